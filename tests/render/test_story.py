"""The state as text and JSON: the list of everything, and the story of one interaction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.interaction import Interaction, Place
from reconciler.render.story import listing_json, listing_text, story_json, story_text
from reconciler.state.model import Kind, State
from tests.golden import assert_golden
from tests.known import LINEAGE, failed, interaction, opened, pending, state
from tests.render.plans import HOSTILE
from tests.states import EVERYTHING

GOLDEN: Final = Path(__file__).parent / "story"
HOSTILE_TEXT: Final = "\x1b[31m\u202e\n".join(HOSTILE)
HOSTILE_STATE: Final = state(
    interactions={HOSTILE_TEXT: opened(interaction(HOSTILE_TEXT, HOSTILE_TEXT), source=HOSTILE_TEXT)},
    pending={"p1": pending(interaction(HOSTILE_TEXT), held=HOSTILE_TEXT)},
    failed={"f1": failed(interaction(HOSTILE_TEXT), reason=HOSTILE_TEXT)},
)


def declared(address: str, route: str = "CrmCallRouting") -> Interaction:
    """Return what a file declares now."""
    return interaction(address, route=route, place=Place("interactions/new.yaml", 14))


def test_listing() -> None:
    """Each open, pending and failed one has its line, and the counts close the list."""
    assert_golden(listing_text(EVERYTHING), GOLDEN / "listing.txt")
    assert_golden(listing_json(EVERYTHING), GOLDEN / "listing.json")


def test_an_empty_state() -> None:
    """There is nothing to list but the counts."""
    assert listing_text(State(LINEAGE)) == "State serial 0: 0 open, 0 pending, 0 failed.\n"
    assert json.loads(listing_json(State(LINEAGE)))["interactions"] == []


STORIES: Final = {
    "replacing": ("ObjectId_001", declared("ObjectId_001")),
    "undeclared": ("ObjectId_001", None),
    "settled": ("once:welcome sms", None),
    "burning": ("B", declared("B")),
    "held": ("once:x", declared("once:x")),
    "failed": ("C", declared("C")),
    "nothing": ("Z", declared("Z")),
}


def test_a_failure_in_doubt_says_so() -> None:
    """What failed only when it was sent again may have been processed: that is why it is held, or released first."""
    doubtful = state(failed={"f1": failed(interaction("A"), resent=True)})
    assert "the first copy may have been processed" in story_text(doubtful, "A", None)
    assert "the first copy" not in story_text(state(failed={"f1": failed(interaction("A"))}), "A", None)


@pytest.mark.parametrize("name", STORIES)
def test_story(name: str) -> None:
    """One interaction: where it is declared, since when it is open, what is pending, and how often it failed."""
    address, wanted = STORIES[name]
    assert_golden(story_text(EVERYTHING, address, wanted), GOLDEN / f"{name}.txt")


def test_story_as_json() -> None:
    """The same for scripts; `declared` is null where it is no more."""
    assert_golden(story_json(EVERYTHING, *STORIES["replacing"]), GOLDEN / "replacing.json")
    assert json.loads(story_json(EVERYTHING, *STORIES["undeclared"]))["declared"] is None


def test_an_unchanged_interaction_is_not_said_to_differ() -> None:
    """Only a declaration with other content is said to differ from what is open."""
    known = state(interactions={"A": opened(declared("A"))})
    assert "differs" not in story_text(known, "A", declared("A"))
    assert "differs" in story_text(known, "A", declared("A", "Other"))


def test_nothing_sensitive_and_no_digest_is_told() -> None:
    """The list and the stories hold neither sensitive values nor what they could be guessed from."""
    told = listing_text(EVERYTHING) + listing_json(EVERYTHING)
    addresses = {address for address, _ in STORIES.values()} - {
        "once:welcome sms"
    }  # has the number as a name, in public
    told += "".join(story_text(EVERYTHING, address, None) for address in addresses)
    assert "7700900123" not in told
    entries = EVERYTHING.interactions, EVERYTHING.pending, EVERYTHING.failed
    for digest in [entry.digest for section in entries for entry in section.values()]:
        assert digest[2:] not in told


def test_hostile_values() -> None:
    """Escape sequences and line breaks in a state come out as visible escapes."""
    assert_golden(listing_text(HOSTILE_STATE), GOLDEN / "hostile-listing.txt")
    assert_golden(story_text(HOSTILE_STATE, HOSTILE_TEXT, None), GOLDEN / "hostile.txt")


@given(st.text(min_size=1))
def test_nothing_unprintable_comes_out(text: str) -> None:
    """Whatever a state holds, the text is printable and the JSON is ASCII."""
    sent = interaction(text, text)
    known = state(
        interactions={text: opened(sent, source=text)},
        pending={"p1": pending(sent, Kind.RELEASE, held=text)},
        failed={"f1": failed(sent, reason=text)},
    )
    assert listing_text(known).replace("\n", "").isprintable()
    assert story_text(known, text, sent).replace("\n", "").isprintable()
    assert json.loads(listing_json(known))["interactions"][0]["address"] == text
    assert listing_json(known).isascii()
