"""The state file's bytes: what is written is read back, and what isn't a whole state is refused, never guessed."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import StateError
from reconciler.interaction import content_digest, packed
from reconciler.state.codec import decode, encode
from reconciler.state.model import Failed, Kind, Open, Pending, State, Target
from tests.known import AT, LINEAGE, failed, interaction, opened, pending, state

VERSION_1: Final = Path(__file__).parent / "versions" / "version-1.json"
CLID: Final = {"type": "clid", "value": "+447700900123"}
URL: Final = {"type": "url", "label": "Café “☎”", "value": "https://crm.example/?a=1&b=2"}
SKILLS: Final = {"interactiontype": "nonlive", "skills": [{"name": "skillOptional", "expiryafter": 0}]}
DAY: Final = interaction("ObjectId_001", "CrmIntegration", "CrmCallRouting", linkeddata=[CLID, URL], routingdata=SKILLS)
NIGHT: Final = interaction("ObjectId_001", "CrmIntegration", "CrmNight", linkeddata=[CLID])
SMS: Final = interaction("once:welcome sms", None, "SendSMS", linkeddata=[{**CLID, "type": "name"}])
EVERYTHING: Final = State(
    LINEAGE,
    serial=12,
    target=Target("https://emea.api.newvoicemedia.com", "prod-uk"),
    interactions={
        "ObjectId_001": opened(DAY, requestid="6f1c2b5e-0000-5000-8000-000000000001", prevent_release=True),
        "once:welcome sms": opened(SMS, requestid="6f1c2b5e-0000-5000-8000-000000000002", settled=True),
    },
    pending={
        "6f1c2b5e-0000-5000-8000-000000000003": pending(DAY, Kind.RELEASE),
        "6f1c2b5e-0000-5000-8000-000000000004": pending(NIGHT, order=1, prevent_release=True, unsent=True),
        "6f1c2b5e-0000-5000-8000-000000000005": pending(interaction("B"), Kind.BURN),
        "6f1c2b5e-0000-5000-8000-000000000006": pending(interaction("B"), Kind.TOLERANT, 1),
        "6f1c2b5e-0000-5000-8000-000000000007": pending(interaction("once:x"), held="no such route"),
    },
    failed={
        "6f1c2b5e-0000-5000-8000-000000000008": failed(
            interaction("C"), attempts=3, earlier=("6f1c2b5e-0000-5000-8000-000000000009",), prevent_release=True
        ),
        "6f1c2b5e-0000-5000-8000-00000000000a": failed(interaction("D"), "release", resent=True),
    },
)

names = st.text(max_size=12)
providers = st.none() | names
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | names,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(names, part, max_size=3),
    max_leaves=6,
)
digests = st.builds(content_digest, providers, st.binary(max_size=4))
fields = st.builds(packed, st.dictionaries(names, json, max_size=3))
times = st.just(AT)
opens = st.builds(Open, providers, digests, names, names, names, fields, st.booleans(), st.booleans())
links = st.builds(
    Pending,
    address=names.filter(lambda text: not text.startswith("once:")),
    order=st.integers(0, 99),
    kind=st.sampled_from(Kind),
    provider=providers,
    digest=digests,
    at=times,
    source=names,
    fields=fields,
    prevent_release=st.booleans(),
    unsent=st.booleans(),
    held=names,
)
failures = st.builds(
    Failed,
    address=names,
    action=st.sampled_from(["dispatch", "release"]),
    provider=providers,
    digest=digests,
    attempts=st.integers(1, 99),
    first=names,
    last=names,
    reason=names,
    earlier=st.lists(names, max_size=3).map(tuple),
    source=names,
    prevent_release=st.booleans(),
    resent=st.booleans(),
)
states = st.builds(
    State,
    lineage=st.uuids().map(str),
    serial=st.integers(0, 2**53),
    target=st.none() | st.builds(Target, names, st.none() | names),
    interactions=st.dictionaries(names, opens, max_size=3),
    pending=st.dictionaries(names, links, max_size=3),
    failed=st.dictionaries(names, failures, max_size=3),
)


@given(states)
def test_round_trip(original: State) -> None:
    """Whatever a state holds, it is read back as it was, and written again with the same bytes."""
    data = b"".join(encode(original))
    assert decode(data, "s") == original
    assert b"".join(encode(decode(data, "s"))) == data


def test_version_1_is_written_as_ever() -> None:
    """The committed file of version 1 is what this version writes, byte for byte."""
    assert b"".join(encode(EVERYTHING)) == VERSION_1.read_bytes()


def test_version_1_is_read_for_ever() -> None:
    """The committed file of version 1 says what it said when it was written."""
    assert decode(VERSION_1.read_bytes(), "s") == EVERYTHING


def test_one_interaction_a_line() -> None:
    """The file is diffable: sorted, and each entry on a line of its own."""
    lines = VERSION_1.read_text(encoding="utf-8").splitlines()
    entries = [re.match(r' {4}"([^"]+)"', line) for line in lines]
    keys = [found[1] for found in entries if found]
    assert keys == [*EVERYTHING.interactions, *EVERYTHING.pending, *EVERYTHING.failed]


def test_the_keys_of_an_entry_are_sorted() -> None:
    """With every flag set, too, an entry's keys stand in their order, and all of its fields are there."""
    digest, fields = "1:" + "0" * 64, packed({"route": "R"})
    dispatched = Open("P", digest, "r", "2026-11-23T03:00:00Z", "f", fields, prevent_release=True, settled=True)
    link = Pending("a", 1, Kind.RELEASE, "P", digest, dispatched.at, "f", fields, True, True, "why")  # noqa: FBT003
    failure = Failed("a", "release", "P", digest, 2, dispatched.at, dispatched.at, "why", ("e",), "f", True, True)  # noqa: FBT003
    state = State(LINEAGE, interactions={"a": dispatched}, pending={"p": link}, failed={"f": failure})
    raw = orjson.loads(b"".join(encode(state)))
    for section, entry in (("interactions", dispatched), ("pending", link), ("failed", failure)):
        (written,) = raw[section].values()
        assert list(written) == sorted(entry._fields)


def test_no_sensitive_value_is_in_it() -> None:
    """The number that was dispatched is not in the file, the fields that are not sensitive are."""
    text = VERSION_1.read_text(encoding="utf-8")
    assert '{"type":"clid"}' in text
    assert URL["label"] in text
    assert text.count("7700900123") == 1, "that of the `name`, which is not sensitive"


@pytest.mark.parametrize("version", [2, "1", None, 1.5, [1]])
def test_another_version_is_refused(version: object) -> None:
    """A version that this one can't read is refused, naming both and the way on."""
    data = VERSION_1.read_bytes().replace(b'"version": 1', b'"version": ' + orjson.dumps(version))
    with pytest.raises(
        StateError, match=re.escape(f"state of version {version}; this reconciler reads version 1")
    ) as e:
        decode(data, "s")
    assert "newer" in e.value.hint


def test_an_unknown_digest_scheme_is_a_newer_version() -> None:
    """A digest that can't be compared would replace everything, so the state is refused."""
    data = VERSION_1.read_bytes().replace(b'"digest":"1:', b'"digest":"2:', 1)
    with pytest.raises(StateError, match="digests of scheme '2'"):
        decode(data, "s")


def changed(**parts: object) -> bytes:
    """Return a small state with other top-level values."""
    raw = orjson.loads(b"".join(encode(state())))
    return orjson.dumps({**raw, **parts})


OPEN: Final[dict[str, Any]] = {
    "provider": None,
    "digest": interaction().digest,
    "requestid": "o1",
    "at": AT,
    "source": "a.yaml",
    "fields": {},
}
LINK: Final[dict[str, Any]] = {
    "address": "A",
    "order": 0,
    "kind": "dispatch",
    "provider": None,
    "digest": interaction().digest,
    "at": AT,
    "source": "a.yaml",
}
FAILURE: Final[dict[str, Any]] = {
    "address": "A",
    "action": "dispatch",
    "provider": None,
    "digest": interaction().digest,
    "attempts": 1,
    "first": AT,
    "last": AT,
    "reason": "",
}
ILL_SHAPED: Final[list[dict[str, Any]]] = [
    {"linkeddata": None},
    {"linkeddata": ["clid"]},
    {"linkeddata": [{"type": ["clid"]}]},
    {"routingdata": []},
    {"routingdata": {"skills": {}}},
    {"routingdata": {"skills": [{"name": {}}]}},
    {"routingdata": {"personalqueue": None}},
]
WRONG: Final[list[tuple[str, Any, str]]] = [
    ("lineage", "not-a-uuid", "lineage"),
    ("lineage", 5, "lineage"),
    ("serial", -1, "serial"),
    ("serial", True, "serial"),
    ("serial", 1.0, "serial"),
    ("target", "https://x", "target"),
    ("target", {"base_url": 1}, "target"),
    ("target", {"base_url": "x", "account": None, "more": 1}, "target"),
    ("target", {"account": "x"}, "target"),
    ("interactions", [], "interactions"),
    ("interactions", {"A": None}, "interactions"),
    ("interactions", {"A": {**OPEN, "provider": 1}}, "provider of 'A'"),
    ("interactions", {"A": {**OPEN, "fields": []}}, "fields of 'A'"),
    ("interactions", {"A": {**OPEN, "settled": 1}}, "settled of 'A'"),
    *[
        ("interactions", {"A": {**OPEN, "fields": fields}}, "fields of 'A' are not those of an interaction")
        for fields in ILL_SHAPED
    ],
    ("pending", {"p": {**LINK, "fields": {"linkeddata": {}}}}, "fields of 'p' are not those of an interaction"),
    ("interactions", {"A": {**OPEN, "body": {}}}, "the entry of 'A'"),
    ("interactions", {"A": {key: part for key, part in OPEN.items() if key != "at"}}, "the entry of 'A'"),
    ("pending", {"p": {**LINK, "kind": "replace"}}, "kind of 'p'"),
    ("pending", {"p": {**LINK, "kind": "burn", "address": "once:x"}}, "kind of 'p'"),
    ("pending", {"p": {**LINK, "order": "0"}}, "order of 'p'"),
    ("pending", {"p": {**LINK, "order": True}}, "order of 'p'"),
    ("pending", {"p": {**LINK, "at": "yesterday"}}, "at of 'p'"),
    ("pending", {"p": {**LINK, "at": "2026-01-02T11:00:00"}}, "at of 'p'"),
    ("failed", {"f": {**FAILURE, "action": "burn"}}, "action of 'f'"),
    ("failed", {"f": {**FAILURE, "earlier": "x"}}, "earlier of 'f'"),
    ("failed", {"f": {**FAILURE, "attempts": None}}, "attempts of 'f'"),
    ("more", {}, "'more'"),
]


@pytest.mark.parametrize(("key", "value", "said"), WRONG)
def test_a_wrong_part_is_named(key: str, value: object, said: str) -> None:
    """A part of a wrong type, a missing and an unknown one are refused by name, with the way on."""
    with pytest.raises(StateError, match=re.escape(said)) as error:
        decode(changed(**{key: value}), "s.json")
    assert str(error.value).startswith("s.json: ")
    assert "s.json.backup" in error.value.hint


@pytest.mark.parametrize("key", ["version", "lineage", "serial", "target", "interactions", "pending", "failed"])
def test_a_missing_part_is_refused(key: str) -> None:
    """Nothing that belongs at the top has a default."""
    raw = orjson.loads(b"".join(encode(state())))
    del raw[key]
    with pytest.raises(StateError):
        decode(orjson.dumps(raw), "s")


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{}", b'"text"', b"\xff", b"5", b'{"version": 1', b"{}{}"])
def test_something_else_is_refused(data: bytes) -> None:
    """What is no state at all is refused, naming the file."""
    with pytest.raises(StateError, match=r"^s\.json"):
        decode(data, "s.json")


def merged(line: bytes) -> bytes:
    """Return the committed state with one of its lines standing twice, the second time a little different."""
    data = VERSION_1.read_bytes()
    at = data.index(line)
    end = data.index(b"\n", at) + 1
    whole = data[at:end]
    other = whole.replace(b'"at":"2026', b'"at":"2027').replace(b": 12", b": 13")
    comma = b"" if whole.rstrip().endswith((b",", b"{")) else b","
    return data[:at] + other.rstrip(b"\n") + comma + b"\n" + data[at:]


@pytest.mark.parametrize(
    "line",
    [
        b'    "ObjectId_001"',
        b'    "6f1c2b5e-0000-5000-8000-000000000003"',
        b'    "6f1c2b5e-0000-5000-8000-00000000000a"',
        b'  "serial"',
        b'  "lineage"',
    ],
)
def test_a_key_that_stands_twice_is_refused(line: bytes) -> None:
    """A merge of two versions may leave both, of which a JSON parser would keep one without a word."""
    with pytest.raises(StateError, match="stands twice") as error:
        decode(merged(line), "s")
    assert "merged" in error.value.hint


def test_another_layout_is_read() -> None:
    """A state that a tool has laid out anew says the same."""
    raw = orjson.loads(VERSION_1.read_bytes())
    assert decode(orjson.dumps(raw), "s") == EVERYTHING
    assert decode(orjson.dumps(raw, option=orjson.OPT_INDENT_2), "s") == EVERYTHING


@pytest.mark.parametrize("part", [b"[" * 300 + b"]" * 300, b"[" * 1010 + b"]" * 1010, b"9" * 5000])
def test_values_beyond_measure_are_refused(part: bytes) -> None:
    """Values that one JSON parser takes and another doesn't are refused, however they are laid out."""
    data = changed(interactions={"A": {**OPEN, "fields": {"x": "PART"}}}).replace(b'"PART"', part)
    with pytest.raises(StateError):
        decode(data, "s")


def test_a_state_cut_off_anywhere_is_refused() -> None:
    """A file that was not written to its end is refused wherever it ends; only its last line break may be missing."""
    data = VERSION_1.read_bytes()
    for length in range(len(data) - 1):
        with pytest.raises(StateError):
            decode(data[:length], "s")
    assert decode(data[:-1], "s") == EVERYTHING


def test_flipped_bytes_never_raise_anything_else() -> None:
    """Whatever byte is damaged, the answer is a state or a StateError."""
    data, chance = VERSION_1.read_bytes(), random.Random(1)  # noqa: S311
    for _ in range(4000):
        damaged = bytearray(data)
        for _ in range(chance.choice([1, 1, 2, 5])):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            decode(bytes(damaged), "s")
        except StateError:
            continue
