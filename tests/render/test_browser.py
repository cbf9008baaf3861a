"""The page in a real browser: what a person finds, by eye, by keyboard, on paper, and through a screen reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from reconciler.escape import visible
from reconciler.planning.plan import Change
from reconciler.render.html.page import page as made_page
from reconciler.render.outline import facets
from tests.conftest import ROOT
from tests.render import pages, plans
from tests.render.browser import require, running, shown

AXE: Final = ROOT / ".venv" / "node" / "node_modules" / "axe-core" / "axe.min.js"
SCHEMES: Final[tuple[tuple[Literal["light", "dark"], str], ...]] = (
    ("light", "{}"),
    ("dark", "{runOnly: ['color-contrast']}"),
)
CHANGES: Final = plans.forty().plan.changes


@pytest.fixture(scope="module")  # no longer: while it runs, nothing else in this process can run asyncio
def browser() -> Iterator[Browser]:
    """Give a browser."""
    with running() as started:
        yield started


@pytest.fixture
def small(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """Give the page of a plan with 38 changes of every kind."""
    with shown(browser, pages.small(), tmp_path) as page:
        yield page


def found(page: Page) -> list[str]:
    """Return the addresses that are not left out, folded or not."""
    alone, listed = "article[data-file]:not([hidden]) h3 code", "article:not([hidden]) li[data-file]:not([hidden])"
    return sorted(page.locator(f"{alone}, {listed} > code:first-child").all_text_contents())


def named(changes: tuple[Change, ...] | list[Change]) -> list[str]:
    """Return the addresses of changes."""
    return sorted(change.address for change in changes)


def test_search_finds_addresses_places_and_fields(small: Page) -> None:
    """Every word must be somewhere in what is said of a change; how many there are is said to a screen reader too."""
    said = small.get_by_role("status")
    expect(said).to_have_text(f"{len(CHANGES)} changes")
    assert found(small) == named(CHANGES)
    for words, expected in {
        "gone_1": ["Gone_10", "Gone_11", "Gone_12", "Gone_13"],
        "NIGHT team": ["Night_03"],
        "skills optional": ["Night_01"],
        "no such thing": [],
    }.items():
        small.get_by_label("Search").fill(words)
        expect(said).to_have_text(f"{len(expected)} of {len(CHANGES)} changes shown")
        assert found(small) == expected
        small.get_by_role("button", name="Clear").click()
        expect(said).to_have_text(f"{len(CHANGES)} changes")
    assert found(small) == named(CHANGES)


def test_filters_leave_what_fits(small: Page) -> None:
    """Each choice of a filter leaves exactly the changes that have it, as many as it said beforehand."""
    for facet in ("action", "file", "route", "provider"):
        choice = small.get_by_role("combobox", name=facet.title())
        for option in choice.locator("option").all_text_contents()[1:3]:
            name, _, number = option.removesuffix(")").rpartition(" (")
            value = "" if name == "(none)" else name
            having = [each for each in CHANGES if value in (facets(each).get(facet) or [str(each.action)])]
            choice.select_option(label=option)
            expect(small.get_by_role("status")).to_have_text(f"{number} of {len(CHANGES)} changes shown")
            assert found(small) == named(having)
            choice.select_option("")
            expect(small.get_by_role("status")).to_have_text(f"{len(CHANGES)} changes")


def test_filters_and_search_narrow_together(small: Page) -> None:
    """What fits each is left; headings and groups count it, and sections without any are gone."""
    small.get_by_role("combobox", name="Action").select_option("dispatch")
    small.get_by_role("combobox", name="File").select_option(label="interactions/a.yaml (8)")
    small.get_by_label("Search").fill("new_0")
    expect(small.get_by_role("status")).to_have_text(f"5 of {len(CHANGES)} changes shown")
    expect(small.get_by_role("heading", level=2, name="to dispatch")).to_have_text("5 of 16 to dispatch")
    expect(small.get_by_role("region", name="to release")).to_have_count(0)


def test_lists_fold(small: Page) -> None:
    """Long lists are folded until they are asked for, or until a search leaves a few of them."""
    gone = small.get_by_text("Gone_05", exact=True)
    expect(gone).not_to_be_visible()
    small.get_by_role("button", name="Unfold all").click()
    expect(gone).to_be_visible()
    small.get_by_role("button", name="Fold all", exact=True).click()
    expect(gone).not_to_be_visible()
    small.get_by_label("Search").fill("gone_05")
    expect(gone).to_be_visible()
    small.get_by_label("Search").fill("")
    expect(gone).not_to_be_visible()


def test_the_keyboard_reaches_everything(small: Page) -> None:
    """The first stop leads past the head; search, filters, buttons and lists follow, and Enter sends nothing."""
    small.keyboard.press("Tab")
    expect(small.get_by_role("link", name="Skip to the changes")).to_be_focused()
    small.keyboard.press("Enter")
    small.keyboard.press("Tab")
    expect(small.locator("summary").first).to_be_focused()
    small.keyboard.press("Enter")
    expect(small.get_by_text("Gone_05", exact=True)).to_be_visible()
    small.get_by_label("Search").focus()
    small.keyboard.type("gone_05")
    small.keyboard.press("Enter")
    expect(small.get_by_role("status")).to_have_text(f"1 of {len(CHANGES)} changes shown")
    for label in ("Action", "File", "Route", "Provider"):
        small.keyboard.press("Tab")
        expect(small.get_by_role("combobox", name=label)).to_be_focused()
    small.keyboard.press("Tab")
    small.keyboard.press("Enter")
    expect(small.get_by_role("status")).to_have_text(f"{len(CHANGES)} changes")


def test_nothing_declared_or_answered_acts(browser: Browser, tmp_path: Path) -> None:
    """Hostile values are the text that they are: no script, dialog, request or breach of the policy comes of them."""
    saved, names = plans.hostile(), plans.HOSTILE
    with shown(browser, made_page(saved), tmp_path) as page:
        assert found(page) == sorted(visible(change.address) for change in saved.plan.changes)
        page.get_by_label("Search").fill("<script>alert(1)")
        expect(page.get_by_role("status")).to_contain_text("changes shown")
    with shown(browser, pages.reported(names), tmp_path) as page:
        assert found(page) == sorted(map(visible, names))
        expect(page.get_by_text(visible(f"failed: no such route: {names[0]}")).first).to_be_visible()


@pytest.mark.parametrize("evil", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<p style='color:red'>"])
def test_what_acts_is_noticed(browser: Browser, tmp_path: Path, evil: str) -> None:
    """The policy stops what would get through, and that would not go unnoticed here."""
    opened = shown(browser, pages.small().replace("<body>", f"<body>{evil}"), tmp_path)
    with pytest.raises(AssertionError, match="policy"), opened as page:
        expect(page.get_by_role("status")).to_be_visible()


def test_a_report_is_filtered_by_outcome(browser: Browser, tmp_path: Path) -> None:
    """What failed stands first, with reasons once and each requestid; every outcome can be asked for."""
    with shown(browser, pages.reported(), tmp_path) as page:
        headings = page.locator("#changes h2").all_text_contents()
        assert headings == ["2 failed", "1 unknown", "1 held", "1 not sent", "1 done"]
        page.get_by_role("combobox", name="Outcome").select_option(label="failed (2)")
        expect(page.get_by_role("status")).to_have_text("2 of 6 changes shown")
        assert found(page) == ["crm-1", "crm-2"]
        expect(page.get_by_text("dispatch requestid requestid-2")).to_be_visible()
        page.get_by_role("combobox", name="Outcome").select_option("")
        page.get_by_label("Search").fill("requestid-4")
        expect(page.get_by_role("status")).to_have_text("1 of 6 changes shown")
        assert found(page) == ["crm-4"]


def test_without_script_all_can_be_read(browser: Browser, tmp_path: Path) -> None:
    """Where no script may run, counts, groups and lists are there, and no filter that wouldn't work."""
    with shown(browser, pages.small(), tmp_path, java_script_enabled=False) as page:
        expect(page.get_by_role("search")).not_to_be_visible()
        expect(page.get_by_role("row", name="to release 13")).to_be_visible()
        page.locator("summary").first.click()
        expect(page.get_by_text("Gone_05", exact=True)).to_be_visible()


def test_paper_has_every_change_and_no_controls(small: Page) -> None:
    """Printed, folded lists are open, on white, and filters are gone."""
    small.emulate_media(media="print", color_scheme="dark")
    expect(small.get_by_label("Search")).not_to_be_visible()
    assert small.get_by_text("Gone_05", exact=True).evaluate("each => each.checkVisibility() && each.offsetHeight > 0")
    assert small.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("name", ["small", "reported"])
def test_axe_finds_nothing(browser: Browser, tmp_path: Path, name: str) -> None:
    """No rule of axe-core for accessibility is broken, with every list open; nor is a contrast too low in the dark."""
    with shown(browser, getattr(pages, name)(), tmp_path, color_scheme="light") as page:
        page.get_by_role("button", name="Unfold all").click()
        page.evaluate(require(AXE, "there is no axe-core; make test installs it").read_text(encoding="utf-8"))
        for scheme, rules in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            judged = page.evaluate(f"axe.run({rules})")
            assert "color-contrast" in [each["id"] for each in judged["passes"]]
            assert [(each["impact"], each["id"], each["nodes"][0]["html"]) for each in judged["violations"]] == []


def test_no_page_is_wider_than_its_window(browser: Browser, tmp_path: Path) -> None:
    """Whatever the values, a narrow screen scrolls down only."""
    long = plans.saved([plans.interaction("x" * 300, "y" * 300, route="z" * 300)], [plans.interaction("x" * 300)])
    with shown(browser, made_page(long), tmp_path) as page:
        for width in (320, 390, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.soak(weight=1)
def test_ten_thousand_changes_are_usable(browser: Browser, tmp_path: Path) -> None:
    """Ten thousand groups are open in five seconds, and each search is answered in two."""
    with shown(browser, made_page(plans.ten_thousand()), tmp_path) as page:
        loaded = page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
        page.locator("input").fill("night42")  # not by role or label: to find those takes longer than a search
        expect(page.locator("output")).to_have_text("11 of 10000 changes shown", timeout=2_000)
        assert loaded < 5_000
