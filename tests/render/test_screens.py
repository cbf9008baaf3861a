"""The pictures in docs/ of one plan of 5,000 changes, on each screen: made from what is really shown, and true."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console
from rich.text import Text

from tests.conftest import ROOT
from tests.golden import assert_golden
from tests.render.browser import running, shown
from tests.render.night import RELEASED, night

SCREENS: Final = ROOT / "docs" / "screens"
WIDTH: Final = 120
COLUMN: Final = 12.2
"""How wide rich draws a character."""
MAKE_ANEW: Final = os.environ.get("UPDATE_GOLDEN") == "1"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Text, Path]:
    """Give what a terminal shows, and where the comment and the page of the same plan are."""
    folder = tmp_path_factory.mktemp("night")
    files = ("--markdown-into", "comment.md", "--html-into", "page.html")
    env = {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    ran = night(folder).run("plan", "--concise", f"--allow-releases={RELEASED}", *files, env=env)
    assert (ran.code, ran.err) == (0, "")
    return Text.from_ansi(ran.out.rstrip()), folder


def drawn(screen: Text) -> str:
    """Return a terminal with this on it, as SVG."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere)
        console.print(screen, soft_wrap=True)
    title = f"reconciler plan --concise --allow-releases={RELEASED}"
    # Without the addresses of fonts: a picture fetches nothing.
    return re.sub(r"\s*@font-face \{.*?\}", "", console.export_svg(title=title, unique_id="plan"), flags=re.DOTALL)


def read(picture: Path) -> Iterator[str]:
    """Yield the lines of text in a picture of a terminal."""
    lines: defaultdict[int, str] = defaultdict(str)
    for text in ET.parse(picture).iter("{http://www.w3.org/2000/svg}text"):  # noqa: S314  # our own file
        if found := re.search(r"line-(\d+)", text.get("clip-path", "")):
            number = int(found[1])
            lines[number] = lines[number].ljust(round(float(text.get("x", "0")) / COLUMN)) + (text.text or "")
    yield from (lines[number].replace("\xa0", " ").rstrip() for number in range(max(lines) + 1))


def test_the_terminal_is_shown_as_it_is(seen: tuple[Text, Path]) -> None:
    """The picture has each line that the command prints; the whole plan is on one screen."""
    picture, lines = SCREENS / "terminal.svg", seen[0].plain.splitlines()
    if MAKE_ANEW:
        picture.write_text(drawn(seen[0]), encoding="utf-8")
    assert [*read(picture)] == [line.rstrip() for line in lines]
    assert len(lines) <= 40
    assert "url(http" not in picture.read_text(encoding="utf-8").replace('"', "")


def test_the_comment_is_shown_as_it_is(seen: tuple[Text, Path]) -> None:
    """The file is the comment; without what it folds, it is a screen or two."""
    comment = (seen[1] / "comment.md").read_text(encoding="utf-8")
    assert_golden(comment, SCREENS / "comment.md")
    assert len(re.sub(r"<details>.*?</details>", "", comment, flags=re.DOTALL)) < 5_000


def test_the_page_is_shown_as_it_is(seen: tuple[Text, Path]) -> None:
    """The text behind the picture is what the page says on its first screen."""
    how = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}
    words, picture = SCREENS / "page.txt", SCREENS / "page.png"
    with running() as browser, shown(browser, (seen[1] / "page.html").read_text("ascii"), seen[1], **how) as page:
        parts = [page.locator(part).inner_text() for part in ("header", ".top", "#changes")]
        said = "\n".join(line for line in "\n".join(parts).splitlines()[:60] if line) + "\n"
        if MAKE_ANEW and not (picture.exists() and words.exists() and words.read_text("utf-8") == said):
            page.screenshot(path=picture)
    assert_golden(said, words)
    assert picture.stat().st_size < 200_000
