"""The journal's records: a torn end counts as never written, any other damage is an error."""

from __future__ import annotations

import random
import zlib
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import StateError
from reconciler.state.journal import Record, decode, encode, fold_left_over
from reconciler.state.model import Kind, Outcome, Result
from reconciler.state.transitions import fold
from tests.known import AT, LINEAGE, failed, interaction, opened, pending, state

OTHER: Final = "99999999-2222-4333-8444-555555555555"
RECORDS: Final = (
    Record(LINEAGE, 7, AT, (Outcome("p1", Result.SUCCEEDED), Outcome("p2", Result.FAILED, "no “such” route"))),
    Record(LINEAGE, 7, AT, (Outcome("p3", Result.UNSENT),)),
    Record(LINEAGE, 7, AT, (Outcome("p4", Result.SUCCEEDED, resent=True), Outcome("p5", Result.FAILED, resent=True))),
)
LINES: Final = b"".join(map(encode, RECORDS))
DAY: Final = interaction("A")

outcomes = st.builds(Outcome, st.text(), st.sampled_from(Result), st.text(), st.booleans())
records = st.builds(Record, st.text(), st.integers(0, 2**53), st.text(), st.lists(outcomes, max_size=3).map(tuple))


def line(value: Any) -> bytes:
    """Return a line with a good checksum, whatever it holds."""
    body = orjson.dumps(value)
    return b"%08x %b\n" % (zlib.crc32(body), body)


@given(st.lists(records, max_size=4))
def test_round_trip(written: list[Record]) -> None:
    """Records are read back as they were written, in order."""
    assert decode(b"".join(map(encode, written)), "j") == tuple(written)


@given(st.lists(records, max_size=3))
def test_line_ends_of_windows(written: list[Record]) -> None:
    """A journal that git's autocrlf went over says the same."""
    assert decode(b"".join(map(encode, written)).replace(b"\n", b"\r\n"), "j") == tuple(written)


def test_a_record_is_a_line_of_checksum_and_json() -> None:
    """The format is as it ever was: what is not so, is not written."""
    assert encode(RECORDS[0]) == (
        b'bdd81fde {"lineage":"11111111-2222-4333-8444-555555555555","serial":7,"at":"2026-01-02T11:00:00Z",'
        b'"outcomes":[{"requestid":"p1","result":"succeeded"},'
        b'{"requestid":"p2","result":"failed","reason":"no \xe2\x80\x9csuch\xe2\x80\x9d route"}]}\n'
    )
    assert orjson.loads(encode(RECORDS[2])[9:])["outcomes"][0] == {
        "requestid": "p4",
        "result": "succeeded",
        "resent": True,
    }


def test_a_torn_end_is_dropped_wherever_it_tore() -> None:
    """However much of the last line was written, the lines before it count and it doesn't."""
    ends = [position + 1 for position, byte in enumerate(LINES) if byte == ord("\n")]
    for length in range(len(LINES) + 1):
        whole = sum(end <= length for end in ends)
        assert decode(LINES[:length], "j") == RECORDS[:whole]


def test_damage_is_an_error_and_names_the_record() -> None:
    """A line that does not match its checksum is an error, wherever it stands; a hint tells the way on."""
    damaged = LINES.replace(b'"p3"', b'"p9"')
    with pytest.raises(StateError, match=r"^j: record 2 is damaged: its checksum does not match") as error:
        decode(damaged, "j")
    assert "same requestids" in error.value.hint


def test_flipped_bytes_are_found() -> None:
    """Whatever byte is damaged, what is read is an error, or some of what was written: nothing is ever made up."""
    chance = random.Random(1)  # noqa: S311
    for _ in range(4000):
        damaged = bytearray(LINES)
        for _ in range(chance.choice([1, 1, 2, 5])):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            read = decode(bytes(damaged), "j")
        except StateError:
            continue
        assert read == RECORDS[: len(read)]


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "text",
        {},
        {"lineage": LINEAGE, "serial": 7, "at": AT},
        {"lineage": 1, "serial": 7, "at": AT, "outcomes": []},
        {"lineage": LINEAGE, "serial": "7", "at": AT, "outcomes": []},
        {"lineage": LINEAGE, "serial": 1e400, "at": AT, "outcomes": []},
        {"lineage": LINEAGE, "serial": 7, "at": None, "outcomes": []},
        {"lineage": LINEAGE, "serial": 7, "at": AT, "outcomes": None},
        {"lineage": LINEAGE, "serial": 7, "at": AT, "outcomes": [[]]},
        {"lineage": LINEAGE, "serial": 7, "at": AT, "outcomes": ["p1"]},
        {"lineage": LINEAGE, "serial": 7, "at": AT, "outcomes": [{"requestid": [], "result": "failed"}]},
        {"lineage": LINEAGE, "serial": 7, "at": AT, "outcomes": [{"requestid": "p1", "result": "lost"}]},
        {"lineage": LINEAGE, "serial": 7, "at": AT, "outcomes": [{"requestid": "p1", "result": "failed", "reason": 1}]},
        {"lineage": LINEAGE, "serial": 7, "at": AT, "outcomes": [{"requestid": "p1", "result": "failed", "resent": 1}]},
    ],
)
def test_a_line_that_is_no_record_is_an_error(value: object) -> None:
    """A whole line that says something else comes from another version, and is refused."""
    with pytest.raises(StateError, match="record 1 is damaged: it is not a record of this version"):
        decode(line(value), "j")


@pytest.mark.parametrize("data", [b"\n", b"\n\n", b"short\n", b"00000000 \n", b"\xff\xff\n"])
def test_a_line_that_is_nothing_is_an_error(data: bytes) -> None:
    """An empty or strange line is damage, not an end."""
    with pytest.raises(StateError, match="record 1 is damaged"):
        decode(data, "j")


def test_no_journal_changes_nothing() -> None:
    """Without a record the state is the same, its serial included."""
    assert fold_left_over(state(), (), "j") == state()


def test_a_left_over_journal_is_folded() -> None:
    """Records of the state's own serial are folded, all of them in one serial."""
    before = state(pending={"p1": pending(DAY), "p2": pending(interaction("B")), "p3": pending(interaction("C"))})
    after = fold_left_over(before, RECORDS[:2], "j")
    assert (after.serial, set(after.interactions), set(after.failed)) == (8, {"A"}, {"p2"})
    assert after.pending == {"p3": pending(interaction("C"), unsent=True)}


def test_folding_is_idempotent() -> None:
    """A journal that was folded, but could not be removed, is known by its serial and folded no second time."""
    before = state(pending={"p1": pending(DAY)})
    records = (Record(LINEAGE, 7, AT, (Outcome("p1", Result.SUCCEEDED),)),)
    after = fold_left_over(before, records, "j")
    assert after == state(serial=8, interactions={"A": opened(DAY, requestid="p1")})
    assert fold_left_over(after, records, "j") == after


def test_a_journal_behind_its_state_was_folded_already() -> None:
    """Records of an earlier serial say nothing that the state doesn't know."""
    assert fold_left_over(state(serial=9), RECORDS, "j") == state(serial=9)


def test_a_journal_ahead_of_its_state_is_refused() -> None:
    """The state was restored without its journal: both serials are named, and the way on."""
    with pytest.raises(StateError, match=r"^j: the journal continues serial 7, but the state is at serial 5") as error:
        fold_left_over(state(serial=5), RECORDS, "j")
    assert "serial 7" in error.value.hint
    assert error.value.command == ("state", "new-lineage")


def test_a_journal_of_another_lineage_is_refused() -> None:
    """A journal beside a state of another origin is refused, naming both."""
    with pytest.raises(StateError, match=f"lineage {OTHER}, the state to {LINEAGE}"):
        fold_left_over(state(), (Record(OTHER, 7, AT, ()),), "j")


def test_an_outcome_of_a_request_that_is_not_pending_is_refused() -> None:
    """A record about a request that the state never intended proves that they don't belong together."""
    with pytest.raises(StateError, match="request p1, which is not pending"):
        fold_left_over(state(), RECORDS[:1], "j")


def test_folding_the_journal_is_folding_its_outcomes() -> None:
    """What is read back after a crash is what the run itself would have saved."""
    links = {"p1": pending(DAY, Kind.RELEASE), "p2": pending(interaction("A", route="Night"), order=1)}
    before = state(interactions={"A": opened(DAY)}, pending=links, failed={"f1": failed(DAY)})
    known = [Outcome("p1", Result.SUCCEEDED), Outcome("p2", Result.FAILED, "no")]
    written = b"".join(encode(Record(LINEAGE, 7, AT, (outcome,))) for outcome in known)
    assert fold_left_over(before, decode(written, "j"), "j") == fold(before, [(outcome, AT) for outcome in known])
