"""The site of the docs, as `make docs` builds it, in a browser: complete, readable, and from nowhere else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final, Literal

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import ROOT
from tests.render.browser import require, running
from tests.render.test_browser import AXE

BUILT: Final = ROOT / "build" / "site"
PHONE: Final = {"viewport": {"width": 390, "height": 844}}
DESK: Final = {"viewport": {"width": 1280, "height": 900}}
Scheme = Literal["light", "dark"]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: Any) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_arguments: Any) -> None:
        """Say nothing: a browser leaves whenever it likes."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Build the site, strictly: a link or an anchor that leads nowhere fails it. Give the address of its server."""
    require(ROOT / ".venv" / "site", "there is no generator; make docs installs it")
    ran = subprocess.run(["make", "docs"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    with _Server(("127.0.0.1", 0), partial(_Quiet, directory=str(BUILT))) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a browser."""
    with running() as started:
        yield started


def opened(browser: Browser, site: str, page: str, size: dict[str, Any], scheme: Scheme) -> Page:
    """Return a page of the site; the test ends if it asks anybody else for anything, or complains."""
    context = browser.new_context(**size, color_scheme=scheme)
    shown, wrong = context.new_page(), list[str]()
    shown.on("request", lambda asked: None if asked.url.startswith(site) else wrong.append(asked.url))
    shown.on("console", lambda said: wrong.append(said.text))
    shown.on("pageerror", lambda error: wrong.append(str(error)))
    shown.goto(f"{site}{page}", wait_until="load")
    assert wrong == []
    return shown


def judge(page: Page) -> None:
    """Find nothing serious by axe-core, and nothing wider than the window."""
    page.evaluate(require(AXE, "there is no axe-core; make test installs it").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    serious = [each for each in found if each["impact"] in {"serious", "critical"}]
    assert [(page.url, each["id"], each["nodes"][0]["html"]) for each in serious] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def every_page() -> list[str]:
    """Return the address of each page, below that of the site."""
    return [file.parent.relative_to(BUILT).as_posix() + "/" for file in sorted(BUILT.rglob("index.html"))]


def test_each_page_of_the_docs_is_in_it(site: str) -> None:
    """What is written in docs/ can be found in the navigation, but for a screen that is shown."""
    assert site
    written = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    named = (ROOT / "zensical.toml").read_text(encoding="utf-8")
    assert {path for path in written if f'"{path}"' not in named} == {"docs/screens/comment.md"}


@pytest.mark.parametrize(
    ("page", "size", "scheme"),
    [("docs/start/plan/", DESK, "light"), ("docs/configuration/", PHONE, "dark")],
    ids=["start, desk, light", "configuration, phone, dark"],
)
def test_it_can_be_read(browser: Browser, site: str, page: str, size: dict[str, Any], scheme: Scheme) -> None:
    """At a desk and on a phone, light and dark, axe-core finds nothing serious."""
    judge(opened(browser, site, page, size, scheme))


@pytest.mark.soak(weight=1)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_page_can_be_read(browser: Browser, site: str, scheme: Scheme) -> None:
    """So it is with each page."""
    for page in every_page():
        for size in (PHONE, DESK):
            shown = opened(browser, site, page, size, scheme)
            judge(shown)
            shown.context.close()


def test_it_can_be_searched(browser: Browser, site: str) -> None:
    """A word leads to the pages about it."""
    page = opened(browser, site, "", DESK, "light")
    page.get_by_role("button", name="Search").first.click()
    page.keyboard.type("max_release_percent")
    page.get_by_role("listbox").filter(has_text="Plans and guards").wait_for(timeout=20_000)
