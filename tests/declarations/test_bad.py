"""Every kind of broken declaration gives the problems that its golden file says, word for word."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.declarations import discovery
from reconciler.declarations.loader import load
from reconciler.declarations.rules import DeclarationRules
from reconciler.errors import DeclarationError
from reconciler.render.problems import problems_text
from tests.golden import assert_golden
from tests.known import RULES

BAD = Path(__file__).parent / "bad"
CASES = sorted(path for path in BAD.iterdir() if path.is_dir() or path.suffix in {".yaml", ".json"})
GOOD = "interactions: [{externalid: A, route: R}]\n"
SECRETS = ("7700900", "secret", "2079460", "hello0")


def problems_of(root: Path, base: Path, rules: DeclarationRules | None = None) -> str:
    """Return the text that a person reads for broken declarations."""
    with pytest.raises(DeclarationError) as caught:
        load(root, rules or RULES, base=base)
    return problems_text(caught.value.problems)


def golden(tmp_path: Path, name: str, rules: DeclarationRules | None = None) -> None:
    """Compare the problems of what a test has built in its folder with the golden file of that name."""
    assert_golden(problems_of(tmp_path, tmp_path, rules), BAD / f"{name}.expected")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_each_broken_file_has_its_problems(path: Path) -> None:
    """The problems are those of the golden file, and no sensitive value is among them."""
    text = problems_of(path, BAD)
    assert_golden(text, BAD / f"{path.name}.expected")
    assert not [secret for secret in SECRETS if secret in text]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("nul", GOOD.encode() + b"# \0\n"),
        ("control", GOOD.encode() + b"# \x1b[31m\n"),
        ("nel", b"# \xc3\xa9\n" + GOOD.encode() + b"# \xc2\x85 x\n"),
        ("ls", GOOD.encode() + "#\u2028 x\n".encode()),
        ("ps", GOOD.encode() + "#\u2029 x\n".encode()),
        ("bom", b"\xef\xbb\xbf" + GOOD.encode()),
        ("utf-16", GOOD.encode("utf-16")),
        ("utf-16-without-mark", GOOD.encode("utf-16-le")),
        ("latin-1", GOOD.encode() + "# é\n".encode("latin-1")),
        ("long-number", b"interactions: [{externalid: A, route: " + b"1" * 5000 + b"}]\n"),
    ],
)
def test_bytes_that_are_no_plain_text_are_refused(tmp_path: Path, name: str, data: bytes) -> None:
    """What people can't see, and what isn't UTF-8, is refused where it stands, before any parser sees it."""
    (tmp_path / "x.yaml").write_bytes(data)
    golden(tmp_path, name)


def test_a_folder_named_like_a_file_is_a_problem(tmp_path: Path) -> None:
    """A folder `x.yaml` is not walked silently, nor left out silently."""
    (tmp_path / "x.yaml").mkdir()
    golden(tmp_path, "folder-named-yaml")


def test_links_that_lead_nowhere_or_back_are_problems(tmp_path: Path) -> None:
    """Dangling links, links to themselves, and links to a folder above end in problems, not in a hang."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "up").symlink_to(tmp_path)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "self.yaml").symlink_to(tmp_path / "self.yaml")
    golden(tmp_path, "links")


def test_pipes_and_sockets_are_never_opened(tmp_path: Path) -> None:
    """A pipe would block for ever: it is a problem, as a socket is; so it is as the root."""
    os.mkfifo(tmp_path / "pipe.yaml")
    with socket.socket(socket.AF_UNIX) as server:
        old = Path.cwd()
        os.chdir(tmp_path)  # the path of a socket may have a hundred characters only
        try:
            server.bind("socket.json")
        finally:
            os.chdir(old)
    golden(tmp_path, "pipe-and-socket")
    assert "this is a pipe" in problems_of(tmp_path / "pipe.yaml", tmp_path)


def test_an_unreadable_file_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the system refuses to open is named with the system's reason; the others are still checked."""
    (tmp_path / "shut.yaml").write_text(GOOD)
    (tmp_path / "wrong.yaml").write_text("interactions: 3\n")
    (tmp_path / "folder").mkdir()
    opened, listed = os.open, os.scandir

    def refuse_open(path: str, flags: int) -> int:
        if path.endswith("shut.yaml"):
            raise PermissionError(13, "Permission denied")
        return opened(path, flags)

    def refuse_list(path: str) -> object:
        if path.endswith("folder"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    # Permissions don't bind root, which is who runs the tests in many containers.
    monkeypatch.setattr(os, "open", refuse_open)
    monkeypatch.setattr(os, "scandir", refuse_list)
    golden(tmp_path, "unreadable")


def test_a_path_that_is_not_there_has_a_code_of_its_own(tmp_path: Path) -> None:
    """A missing root is one problem of code `missing-path`, by which a caller tells it apart."""
    with pytest.raises(DeclarationError) as caught:
        load(tmp_path / "nowhere", RULES, base=tmp_path)
    assert [problem.code for problem in caught.value.problems] == ["missing-path"]


def test_an_interaction_too_large_for_a_request_is_a_problem(tmp_path: Path) -> None:
    """An interaction that can't be sent even alone is refused, and the numbers are shown."""
    item = f"{{type: name, value: {'x' * 2000}}}"
    (tmp_path / "x.yaml").write_text(f"interactions:\n  - {{externalid: A, route: R, linkeddata: [{item}]}}\n")
    golden(tmp_path, "too-large", replace(RULES, request_bytes=1000))


def test_a_file_past_the_limit_is_refused_unread(tmp_path: Path) -> None:
    """A file of more than 64 MiB is a problem, found by its size alone."""
    with (tmp_path / "x.yaml").open("wb") as handle:
        handle.truncate(discovery.MAX_BYTES + 1)
    golden(tmp_path, "file-size")


def test_names_from_files_are_shown_escaped(tmp_path: Path) -> None:
    """A field name can't send control characters to the terminal, nor can a file's name."""
    (tmp_path / "a\x1b.yaml").write_text('interactions: [{externalid: A, route: R, "x\\e[31m\\u202e": 1}]\n')
    golden(tmp_path, "escaped")
