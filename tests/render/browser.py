"""A page in a browser that notes whatever no page of ours may do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WATCH: Final = "addEventListener('securitypolicyviolation', each => console.error('policy: ' + each.violatedDirective))"


def require(path: str | Path | None, said: str) -> Path:
    """Return where a program is that make installs; without it skip, but in CI fail."""
    if path is not None and Path(path).exists():
        return Path(path)
    if os.environ.get("CI"):
        pytest.fail(said)
    pytest.skip(said)


@contextmanager
def running() -> Iterator[Browser]:
    """Start Debian's Chromium.

    Playwright drives it: it fetches none of its own where it is told which one to use, sees every request and dialog,
    and shows dark, printed and scriptless pages.
    """
    path = require(shutil.which("chromium"), "there is no chromium; as root, make test installs it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS])
        yield browser
        browser.close()


@contextmanager
def shown(browser: Browser, text: str, folder: Path, **how: Any) -> Iterator[Page]:
    """Open a page, and check in the end that it asked for nothing, said nothing and broke nothing."""
    file = folder / "page.html"
    file.write_text(text, encoding="ascii")
    wrong: list[str] = []

    def refuse(dialog: Dialog) -> None:
        wrong.append(dialog.message)
        dialog.dismiss()

    context = browser.new_context(**how)
    context.add_init_script(WATCH)
    page = context.new_page()
    page.on("request", lambda request: wrong.append(request.url) if request.url != file.as_uri() else None)
    page.on("dialog", refuse)
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(file.as_uri())
    yield page
    context.close()
    assert not wrong, wrong
