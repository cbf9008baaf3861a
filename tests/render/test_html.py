"""The page: whole outputs, and that it holds our elements only, whatever was declared or answered."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.escape import visible
from reconciler.planning.saved_plan import decode, encode
from reconciler.planning.selection import Selection
from reconciler.render.html.page import page
from reconciler.render.links import SourceLinks
from reconciler.render.outline import outline
from tests.golden import assert_golden
from tests.render import pages, plans

GOLDEN = Path(__file__).parent / "html"
POLICY = re.compile(
    r"default-src 'none'; style-src 'sha256-([^']+)'; script-src 'sha256-([^']+)'; base-uri 'none'; form-action 'none'"
)
texts = st.one_of(
    st.sampled_from(plans.HOSTILE),
    st.text(st.sampled_from("<>&\"'/!-=`\\ \n\r\t\0;#xscriptyle1\u202e\U0001f308"), min_size=1, max_size=40),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
)


class Read(HTMLParser):
    """A page as a browser reads it: its elements, what is text, and what is code of ours."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[tuple[str, str]] = set()
        self.links: set[str] = set()
        self.code: list[str] = []
        self.whole: dict[str, str] = {}
        self.policy = ""
        self._within: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements |= {(tag, name) for name, _ in attrs} | {(tag, "")}
        self.links |= {value or "" for name, value in attrs if name in {"href", "src"}}
        self._within.append(tag)
        if tag == "code":
            self.code.append("")
        if tag == "meta" and attrs[0] == ("http-equiv", "Content-Security-Policy"):
            self.policy = attrs[1][1] or ""

    def handle_endtag(self, tag: str) -> None:
        """Go back to the element around it."""
        while self._within.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Note text."""
        inner = self._within[-1] if self._within else ""
        if inner == "code":
            self.code[-1] += data
        if inner in {"style", "script"}:
            self.whole[inner] = self.whole.get(inner, "") + data


def body(text: str) -> str:
    """Return what a page shows, without its style and script, which are files of their own."""
    return text.partition("<body>")[2].partition("<script>")[0]


@pytest.mark.parametrize("name", ["small", "reported"])
def test_the_whole_page(name: str) -> None:
    """A page is exactly as the golden file, which somebody has looked at in a browser."""
    assert_golden(body(getattr(pages, name)()), GOLDEN / f"{name}.html")


def sha256(text: str) -> str:
    """Return a hash as a policy names it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


OURS = Read(pages.small()).elements | Read(pages.reported()).elements


def assert_harmless(text: str) -> Read:
    """Check that a page has our elements and attributes only, and no script, style or link but ours."""
    read = Read(text)
    allowed = POLICY.fullmatch(read.policy)
    assert allowed
    assert allowed.groups() == (sha256(read.whole["style"]), sha256(read.whole["script"]))
    assert text.count("<script") == text.count("<style") == text.count("<!--") == 1
    assert read.elements <= OURS
    assert all(link.startswith(("#", pages.LINKS.blob)) for link in read.links)
    assert text.isascii()
    return read


@settings(max_examples=40, deadline=None)
@given(st.lists(texts, max_size=4), st.sampled_from([pages.LINKS, None]))
def test_nothing_declared_breaks_out(declared: list[str], links: SourceLinks | None) -> None:
    """Whatever is declared, the page holds our elements only, and each address in code as it can be shown."""
    saved = plans.hostile(declared)
    read = assert_harmless(page(saved, links))
    assert {visible(change.address) for change in saved.plan.changes} <= {*read.code}


@settings(max_examples=40, deadline=None)
@given(st.lists(texts, min_size=6, max_size=6, unique_by=visible))
def test_nothing_answered_breaks_out(names: list[str]) -> None:
    """What the API answered does no more than what is declared."""
    assert {*map(visible, names)} <= {*assert_harmless(pages.reported(names)).code}


def test_each_change_stands_on_the_page_once() -> None:
    """Text, Markdown and the page say the same: each group once, each of its interactions once."""
    for saved in (plans.nothing(), plans.one(), plans.forty(), plans.ten_thousand(alike=True)):
        text, groups = page(saved), [group for section in outline(saved).sections for group in section.groups]
        assert text.count("<article ") == len(groups)
        assert len(re.findall(r"<(?:article|li) [^>]*data-file=", text)) == len(saved.plan.changes)


def test_a_part_of_a_plan_says_so() -> None:
    """What was chosen stands at the top, in code, and how much that leaves out in the counts."""
    saved = plans.forty()
    plan = saved.plan.only(Selection(("New_*", "<b>")), {"New_00"})
    text = page(replace(saved, plan=plan))
    assert "<h2>Only a part</h2>\n<ul><li><code>--target='New_*'</code></li>" in text
    assert "<code>--target='&lt;b&gt;'</code>" in text
    assert "37 changes left out by --target" in text


def test_no_digest_and_no_sensitive_value_is_shown() -> None:
    """Phone numbers stay out, and so does what they could be guessed from."""
    for made in (plans.one(), plans.forty()):
        text = page(made)
        digests = {side.digest for change in made.plan.changes for side in (change.before, change.after) if side}
        assert digests
        assert not [value for value in (*digests, "7700900123", made.plan.lineage) if value.removeprefix("1:") in text]


def test_a_saved_plan_reads_the_same() -> None:
    """What `show` prints of a plan file is what was printed when it was saved."""
    for made in (plans.one(), plans.forty()):
        assert page(decode(encode(made), "p"), pages.LINKS) == page(made, pages.LINKS)
