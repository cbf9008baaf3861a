"""The plan in a pull request: whole outputs, and what no declaration can do to them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.delivery.report import Report
from reconciler.escape import visible
from reconciler.planning.plan import Action
from reconciler.planning.saved_plan import SavedPlan, decode, encode, fingerprint
from reconciler.render.links import SourceLinks
from reconciler.render.markdown.gfm import code, prose, size
from reconciler.render.markdown.plan import LIMIT, NOT_ALL, SMALLEST, marker, plan_markdown
from reconciler.render.markdown.report import report_markdown, stale_markdown
from reconciler.state.model import Kind, State
from tests import known
from tests.golden import assert_golden
from tests.render import plans
from tests.render.gfm import Shown, shown

GOLDEN = Path(__file__).parent / "markdown"
BLOB = "https://github.com/acme/contact-centre/blob/5d41402abc4b2a76b9719d911017c592aaaabbbb"
LINKS = SourceLinks(BLOB, "config")
TAGS = {
    "h2",
    "h3",
    "p",
    "br",
    "ul",
    "ol",
    "li",
    "strong",
    "em",
    "code",
    "pre",
    "blockquote",
    "a",
    "details",
    "summary",
    "b",
}
# What stands outside code; the signs that any platform makes something of are not among them, alerts excepted.
PLAIN = re.compile(r"""[A-Za-z0-9 \n.,:;()'"’%·…×-]*""")
ALERTS = re.compile(r"\[!(CAUTION|WARNING)]")

texts = st.one_of(
    st.sampled_from(plans.HOSTILE),
    st.text(st.sampled_from("`~#*_-+>|\\[]()!<&@:$/.w\n\r \t1aé\u202e\U0001f308"), min_size=1, max_size=40),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=40),
)


@pytest.mark.parametrize("name", ["nothing", "one", "forty", "ten_thousand", "hostile"])
def test_the_whole_output(name: str) -> None:
    """A plan reads exactly as the golden file, which somebody has looked at in a browser."""
    made: Callable[[], SavedPlan] = getattr(plans, name)
    assert_golden(plan_markdown(made(), LINKS), GOLDEN / f"{name}.md")


def assert_harmless(markdown: str, blob: str = BLOB) -> Shown:
    """Check that GitHub's renderer shows our elements only, and outside code nothing that a platform acts on."""
    page = shown(markdown)
    assert page.tags <= TAGS
    assert page.attributes <= {("a", "href"), ("pre", "lang"), ("code", "class")}
    assert all(link.startswith(blob) for link in page.links)
    assert len(page.comments) <= 1
    assert page.depth == 0
    assert PLAIN.fullmatch(ALERTS.sub("", page.prose))
    assert not re.search(r"www\.|http|\b[0-9a-f]{7,40}\b", page.prose)
    return page


@settings(max_examples=50, deadline=None)
@given(st.lists(texts, max_size=4), st.sampled_from([LINKS, None]), st.sampled_from([SMALLEST, LIMIT]))
def test_nothing_declared_breaks_out(declared: list[str], links: SourceLinks | None, limit: int) -> None:
    """Whatever is declared or answered, the page holds our elements only, is never too long, and hides no release."""
    saved = plans.hostile(declared)
    markdown = plan_markdown(saved, links, limit)
    assert size(markdown) <= limit
    page = assert_harmless(markdown)
    assert markdown.startswith(marker(saved.environment))
    assert all(line.isprintable() for line in markdown.splitlines())
    releases = [change.address for change in saved.plan.changes if change.action is Action.RELEASE]
    assert f"{len(releases)} to release" in markdown or not releases
    if "Not all of it" not in markdown:
        named = Counter(" ".join(text.split()) for text in page.code)
        assert {name for address in releases if not named[name := " ".join(shown_name(address).split())]} == set()


def shown_name(address: str) -> str:
    """Return an address as a code span shows it."""
    text = visible(address)
    return text.replace("`", "\\x60") if "`" * 9 in text else text


@settings(max_examples=150, deadline=None)
@given(texts)
def test_a_code_span_shows_the_text(text: str) -> None:
    """A code span holds one element with the very text, wherever it stands."""
    for place in ("{}", "a {} b", "- {}", "> - **{}**", "## x {}"):
        page = shown(place.format(code(text)))
        assert page.code == [shown_name(text)]


@settings(max_examples=150, deadline=None)
@given(texts)
def test_prose_is_harmless(text: str) -> None:
    """A sentence of others keeps its words, and nothing in it acts."""
    page = assert_harmless(f"- said: {prose(text)}")
    assert_harmless(f"- {prose(text)}\n\n> - {prose(text)}")
    assert Counter("".join(page.code)) <= Counter(visible(text)) + Counter("\\x60" * text.count("`"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12 of 20 open (60 %), more than max_releases 3.", "12 of 20 open (60 %), more than `max_releases` 3."),
        ("ask @octocat or #12 now", "ask `@octocat or #12` now".replace("@octocat or #12", "@octocat` or `#12")),
        ("see deadbeef or 1234567", "see `deadbeef` or `1234567`"),
        ("www.evil.example /merge :tada:", "`www.evil.example /merge :tada:`"),
        ("1. first, 2. second", "`1.` first, 2. second"),
        ("not found (404): can't", "not found (404): can't"),
    ],
)
def test_prose_keeps_plain_words(text: str, expected: str) -> None:
    """Words and numbers read as a sentence; what a platform might act on is code."""
    assert prose(text) == expected


@pytest.mark.parametrize("limit", [SMALLEST, LIMIT])
def test_what_does_not_fit_is_counted(limit: int) -> None:
    """Items are left out as a whole and counted, dispatches before replaces before releases."""
    markdown = plan_markdown(plans.ten_thousand(), LINKS, limit)
    assert limit - 700 < size(markdown) <= limit
    listed = {
        "Gone": len(re.findall(r"^- `Gone_\d{4}`", markdown, re.MULTILINE)),
        "Moved": len(re.findall(r"^- `Moved_\d{4}`", markdown, re.MULTILINE)),
        "New": len(re.findall(r"^- `New_\d{4}`", markdown, re.MULTILINE)),
    }
    more = [int(number) for number in re.findall(r"^- … and (\d+) more$", markdown, re.MULTILINE)]
    assert sum(listed.values()) + sum(more) == 10_000
    assert listed["New"] == 0 or listed["Moved"] == 3_000
    assert listed["Moved"] == 0 or listed["Gone"] == 2_000


def test_one_huge_release_hides_no_other() -> None:
    """One that does not fit is cut, and takes nobody else's place."""
    was = [plans.interaction("A" * 70_000), *(plans.interaction(f"id-{n}", provider=f"P{n}") for n in range(50))]
    markdown = plan_markdown(plans.saved([], was), None)
    assert len(re.findall(r"^- `id-\d+` · was", markdown, re.MULTILINE)) == 50
    assert f"- `{'A' * 80}…`" in markdown
    assert NOT_ALL in markdown


@pytest.mark.parametrize("number", [6, 250, 1_000, 5_000])
def test_alike_changes_are_one_item(number: int) -> None:
    """Thousands alike are said once, from the first to the last; all are named below where there is room, folded."""
    was = [plans.interaction(f"T{n:04}") for n in range(number)]
    now = [plans.interaction(f"T{n:04}", route="CrmNight") for n in range(number)]
    markdown = plan_markdown(plans.saved(now, was), None)
    assert (
        f"- {number} × `T0000` … `T{number - 1:04}` · `interactions/crm.yaml`\n  ```diff\n  - route CrmCall" in markdown
    )
    folded = f"  <details><summary>All {number}</summary>\n\n  `T0000`, `T0001`, "
    assert (NOT_ALL in markdown, folded in markdown) == ((True, False) if number > 250 else (False, True))


def test_no_digest_and_no_sensitive_value_is_shown() -> None:
    """Phone numbers stay out, and so does what they could be guessed from."""
    for made in (plans.one(), plans.forty()):
        markdown = plan_markdown(made, LINKS)
        assert "7700900123" not in markdown
        assert made.plan.lineage not in markdown
        digests = {side.digest for change in made.plan.changes for side in (change.before, change.after) if side}
        assert digests
        assert not [digest for digest in digests if digest.removeprefix("1:")[:12] in markdown]


def test_a_saved_plan_reads_the_same() -> None:
    """What `show` prints of a plan file is what was printed when it was saved."""
    for made in (plans.one(), plans.forty()):
        assert plan_markdown(decode(encode(made), "p"), LINKS) == plan_markdown(made, LINKS)


def test_the_marker_finds_the_comment_again() -> None:
    """The first line begins alike for every plan of an environment, else differs, and ends with a fingerprint."""
    one = plan_markdown(plans.one(), None)
    assert one.startswith(f"{marker(None)}fingerprint={fingerprint(plans.one().plan)} -->\n")
    assert marker(None) == "<!-- reconciler:plan environment=- "
    assert marker("prod") == "<!-- reconciler:plan environment=prod "
    assert marker("a --> b") == "<!-- reconciler:plan environment=a%20--%3E%20b "
    assert plan_markdown(replace(plans.nothing(), environment="prod"), None).startswith(marker("prod"))


def test_a_link_leads_to_the_line() -> None:
    """Paths are quoted and below the settings' folder; what is outside the repository has no link."""
    assert LINKS.line("a b/ü.yaml", 7) == f"{BLOB}/config/a%20b/%C3%BC.yaml#L7"
    assert LINKS.line("../other.yaml", 1) == f"{BLOB}/other.yaml#L1"
    assert LINKS.line("../../other.yaml", 1) is None
    assert SourceLinks(BLOB).line("/etc/passwd", 1) is None


def test_a_limit_that_holds_no_plan_is_refused() -> None:
    """Below the least size nothing sensible can be said."""
    with pytest.raises(ValueError, match="8192"):
        plan_markdown(plans.nothing(), None, SMALLEST - 1)


def report(names: tuple[str, ...], problems: tuple[str, ...] = (), file: str = "") -> Report:
    """Return a report in which every named request failed, is held, and was not sent, and another one is unknown."""
    declared = [plans.interaction(name, file or name) for name in names]
    links = {f"u{n}": plans.pending(entry, held=entry.address) for n, entry in enumerate(declared)}
    links |= {
        f"m{n}": plans.pending(entry._replace(address=f"{entry.address} lost")) for n, entry in enumerate(declared)
    }
    links |= {f"n{n}": plans.pending(entry, unsent=True) for n, entry in enumerate(declared)}
    state = State("lineage", 13, interactions={"a": known.opened(plans.interaction("a"))}, pending=links)
    failures = tuple((f"f{n}", plans.failed(entry, "dispatch", 2, entry.address)) for n, entry in enumerate(declared))
    done = Counter({Kind.DISPATCH: 3, Kind.RELEASE: 1})
    return Report(state, done, failures, problems, interrupted=False, gave_up=bool(problems))


def test_a_report_says_how_it_ended() -> None:
    """A clean apply is two lines; another one says what failed, what is unknown and what comes next."""
    assert_golden(report_markdown(report(()), "prod"), GOLDEN / "report-done.md")
    markdown = report_markdown(
        report(("ObjectId_001", "ObjectId_002"), ("HTTP 503 from the API",), "interactions/crm.yaml"), "prod"
    )
    assert_golden(markdown, GOLDEN / "report-failed.md")


@settings(max_examples=50, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4, unique=True))
def test_a_report_is_harmless(names: list[str]) -> None:
    """What the API answered acts no more than what is declared."""
    assert_harmless(report_markdown(report(tuple(names), tuple(names)), names[0]))
    assert size(report_markdown(report(tuple(names) * 50), names[0])) <= LIMIT


def test_a_large_report_fits() -> None:
    """Ten thousand failures are counted, those that fit are named."""
    markdown = report_markdown(report(tuple(f"ObjectId_{n:05}" for n in range(10_000))), None)
    assert size(markdown) <= LIMIT
    assert "### 10000 failed" in markdown
    assert "- … and " in markdown


def test_a_stale_plan_says_what_differs() -> None:
    """The summary names each address with what was reviewed and what would be done."""
    change = plans.one().plan.changes[0]
    markdown = stale_markdown([(change.address, change, None), ("@octocat", None, change)], "Plan anew.", "prod")
    assert_golden(markdown, GOLDEN / "stale.md")
    assert_harmless(markdown)
