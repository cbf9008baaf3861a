"""The state file's bytes: what is written is read back, and what isn't a whole state is refused, never guessed."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import StateError
from reconciler.interaction import packed
from reconciler.state.codec import LAST_SERIAL, decode, encode
from reconciler.state.entries import Entries
from reconciler.state.model import Failed, Kind, Open, Pending, State
from tests.golden import assert_golden
from tests.known import AT, LINEAGE, interaction, state
from tests.states import EVERYTHING, URL, states

VERSIONS: Final = Path(__file__).parent / "versions"
VERSION_1, VERSION_2 = VERSIONS / "version-1.json", VERSIONS / "version-2.json"
OF_VERSION_1: Final = replace(EVERYTHING, applied=None, reader="", seals={}, history=())


@given(states)
def test_round_trip(original: State) -> None:
    """Whatever a state holds, it is read back as it was, and written again with the same bytes."""
    data = b"".join(encode(original))
    assert decode(data, "s") == original
    assert b"".join(encode(decode(data, "s"))) == data


def test_version_2_is_written_as_ever() -> None:
    """The committed file of version 2 is what this version writes, byte for byte."""
    assert_golden(b"".join(encode(EVERYTHING)).decode(), VERSION_2)


@pytest.mark.parametrize(("file", "said"), [(VERSION_1, OF_VERSION_1), (VERSION_2, EVERYTHING)])
def test_every_version_is_read_for_ever(file: Path, said: State) -> None:
    """The committed file of each version says what it said when it was written."""
    assert decode(file.read_bytes(), "s") == said


def test_version_1_becomes_version_2_when_it_is_written() -> None:
    """What was read of version 1 is written as version 2, and nothing is lost."""
    data = b"".join(encode(decode(VERSION_1.read_bytes(), "s")))
    assert data.startswith(b'{\n  "version": 2,')
    assert decode(data, "s") == OF_VERSION_1


def test_what_nobody_changed_is_written_as_it_was_read() -> None:
    """Entries are decoded when they are looked at, and only what was changed is written anew."""
    read = decode(VERSION_2.read_bytes(), "s").editable()
    assert isinstance(read, Entries)
    read["ObjectId_001"] = read["ObjectId_001"]._replace(at="2026-11-24T00:00:00Z")
    kept = {address: read.line(address) for address in read}
    assert kept["ObjectId_001"] is None
    assert (kept["once:welcome sms"] or b"none") in VERSION_2.read_bytes()
    del read["ObjectId_001"]
    assert list(read) == ["once:welcome sms"]


def test_what_an_editor_changed_is_checked() -> None:
    """Bytes that don't fit their checksum are read, and checked as if there were none."""
    data = VERSION_2.read_bytes()
    edited = data.replace(b"CrmCallRouting", b"Elsewhere")
    assert b"Elsewhere" in decode(edited, "s").interactions["ObjectId_001"].fields
    with pytest.raises(StateError, match="settled of 'once:welcome sms' is of the wrong type"):
        decode(data.replace(b'"settled":true', b'"settled":1'), "s")


def test_one_interaction_a_line() -> None:
    """The file is diffable: sorted, and each entry on a line of its own."""
    lines = VERSION_2.read_text(encoding="utf-8").splitlines()
    entries = [re.match(r' {4}"([^"]+)"', line) for line in lines]
    keys = [found[1] for found in entries if found]
    assert keys == [*EVERYTHING.interactions, *EVERYTHING.pending, *EVERYTHING.failed, *sorted(EVERYTHING.seals)]


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
    text = VERSION_2.read_text(encoding="utf-8")
    assert '{"type":"clid"}' in text
    assert URL["label"] in text
    assert text.count("7700900123") == 1, "that of the `name`, which is not sensitive"


@pytest.mark.parametrize("version", [3, "1", None, 1.5, True, [1]])
def test_another_version_is_refused(version: object) -> None:
    """A version that this one can't read is refused, naming both and the way on."""
    data = VERSION_2.read_bytes().replace(b'"version": 2', b'"version": ' + orjson.dumps(version))
    with pytest.raises(
        StateError, match=re.escape(f"state of version {version}; this reconciler reads versions 1 and 2")
    ) as e:
        decode(data, "s")
    assert "newer" in e.value.hint


def test_an_unknown_digest_scheme_is_a_newer_version() -> None:
    """A digest that can't be compared would replace everything, so the state is refused, once it is looked at."""
    data = VERSION_2.read_bytes().replace(b'"digest":"1:', b'"digest":"2:', 1)
    with pytest.raises(StateError, match="digests of scheme '2'"):
        decode(data, "s")
    with pytest.raises(StateError, match="digests of scheme '2'"):
        list(decode(with_checksum(data), "s").interactions.values())


def with_checksum(data: bytes) -> bytes:
    """Return a state as the program that wrote it so would have ended it."""
    body = data[: data.rindex(b',\n  "checksum"')]
    return body + b',\n  "checksum": "%b"\n}\n' % blake2b(body, digest_size=16).hexdigest().encode()


def test_stones_are_a_later_versions() -> None:
    """What this version has only room for is not dropped silently."""
    with pytest.raises(StateError, match="state of version 2 with stones"):
        decode(changed(stones={"A": {}}), "s")


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
    {"linkeddata": [{"type": "clid", "key": None}]},
]
WRONG: Final[list[tuple[str, Any, str]]] = [
    ("lineage", "not-a-uuid", "lineage"),
    ("lineage", 5, "lineage"),
    *[("serial", wrong, "serial is not") for wrong in (-1, True, 1.0, 1e300, "7", None, 2**53, 2**63, 2**64 - 1)],
    ("target", "https://x", "target"),
    ("target", {"base_url": 1}, "target"),
    ("target", {"base_url": "x", "account": None, "more": 1}, "target"),
    ("target", {"base_url": "x", "more": 1}, "target"),
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
    *[("pending", {"p": {**LINK, "order": wrong}}, "order of 'p'") for wrong in (True, -1, 2**53)],
    ("pending", {"p": {**LINK, "at": "yesterday"}}, "at of 'p'"),
    ("pending", {"p": {**LINK, "at": "2026-01-02T11:00:00"}}, "at of 'p'"),
    ("failed", {"f": {**FAILURE, "action": "burn"}}, "action of 'f'"),
    ("failed", {"f": {**FAILURE, "earlier": "x"}}, "earlier of 'f'"),
    ("failed", {"f": {**FAILURE, "earlier": ["x", 1]}}, "earlier of 'f'"),
    *[("failed", {"f": {**FAILURE, "attempts": wrong}}, "attempts of 'f'") for wrong in (None, -1, 2**64 - 1)],
    ("more", {}, "'more'"),
    ("applied", {"commit": "c"}, "applied: the entry"),
    ("reader", 1, "reader is not a text"),
    ("seals", [], "seals is not a map"),
    ("seals", {"a.yaml": 1}, "seals are not texts"),
    ("history", {}, "history is not a list"),
    ("history", [{"serial": 1}], "history: the entry of 1"),
    ("history", [{**EVERYTHING.history[0]._asdict(), "exit": "0"}], "history: exit of 1"),
    ("history", [{**EVERYTHING.history[0]._asdict(), "counts": {"x": 1.5}}], "history: counts"),
]


@pytest.mark.parametrize(("key", "value", "said"), WRONG)
def test_a_wrong_part_is_named(key: str, value: object, said: str) -> None:
    """A part of a wrong type, a missing and an unknown one are refused by name, with the way on."""
    with pytest.raises(StateError, match=re.escape(said)) as error:
        decode(changed(**{key: value}), "s.json")
    assert str(error.value).startswith("s.json: ")
    assert "s.json.backup" in error.value.hint


@pytest.mark.parametrize("key", orjson.loads(b"".join(encode(EVERYTHING))))
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


class Twice(dict[str, Any]):
    """A map with one of its keys twice, when it is written as JSON."""

    def __init__(self, whole: dict[str, Any], key: str, value: object) -> None:
        super().__init__(whole)
        self._twice = (key, value)

    def items(self) -> Any:
        """Return the pairs, and the one more."""
        return [*super().items(), self._twice]


def our_layout(raw: dict[str, Any]) -> str:
    """Return raw JSON as states are laid out: an entry a line."""
    return "{\n  " + ",\n  ".join(f"{json.dumps(key)}: {our_part(part)}" for key, part in raw.items()) + "\n}\n"


def our_part(part: Any) -> str:
    """Return a part of the top as states are laid out."""
    if not isinstance(part, dict) or not part or "base_url" in part:
        return compact(part)
    return "{\n    " + ",\n    ".join(f"{json.dumps(key)}: {compact(entry)}" for key, entry in part.items()) + "\n  }"


def compact(value: Any) -> str:
    """Return JSON without white space, not escaped."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


LAYOUTS: Final[list[Callable[[dict[str, Any]], str]]] = [
    our_layout,
    compact,
    json.dumps,
    lambda raw: json.dumps(raw, indent=1),
    lambda raw: json.dumps(raw, indent=2),
    lambda raw: "\n" + json.dumps(raw, indent="\t", separators=("  , ", " :")) + "\n\n",
]
layouts = st.sampled_from(LAYOUTS)
line_ends = st.sampled_from(["\n", "\r\n"])


def shuffled(value: Any, chance: random.Random) -> Any:
    """Return JSON with the keys of its maps in another order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key], chance) for key in chance.sample(sorted(value), len(value))}
    return [shuffled(item, chance) for item in value] if isinstance(value, list) else value


def maps(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the map, and all maps in it, that hold anything."""
    if isinstance(value, dict) and value:
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from maps(part)


def with_twice(value: Any, where: dict[str, Any], twice: Twice) -> Any:
    """Return JSON with one of its maps replaced."""
    if value is where:
        return twice
    if isinstance(value, dict):
        return {key: with_twice(part, where, twice) for key, part in value.items()}
    return [with_twice(part, where, twice) for part in value] if isinstance(value, list) else value


@given(states, layouts, line_ends, st.none() | st.randoms(use_true_random=False))
def test_a_layout_says_nothing(original: State, layout: Any, line_end: str, chance: random.Random | None) -> None:
    """However a tool lays a state out, in whatever order and with whatever line ends, it says the same."""
    raw = orjson.loads(b"".join(encode(original)))
    laid_out = layout(shuffled(raw, chance) if chance else raw)
    assert decode(laid_out.replace("\n", line_end).encode(), "s") == original


@given(st.just(EVERYTHING) | states, layouts, st.data())
def test_a_key_that_stands_twice_is_refused(original: State, layout: Any, data: st.DataObject) -> None:
    """A merge may leave two of a key, anywhere and with any value, of which a JSON parser would keep one."""
    raw = orjson.loads(b"".join(encode(original)))
    where = data.draw(st.sampled_from(list(maps(raw))))
    key = data.draw(st.sampled_from(sorted(where)))
    value = data.draw(st.sampled_from([where[key], None, 7, "1:x", {}]))
    with pytest.raises(StateError, match="stands twice, the first time in line") as error:
        decode(layout(with_twice(raw, where, Twice(where, key, value))).encode(), "s")
    assert "merged" in error.value.hint


def test_where_a_key_stands_twice() -> None:
    """Both lines are named, also where one of the two is written with an escape."""
    lines = VERSION_1.read_text(encoding="utf-8").splitlines(keepends=True)
    entry = next(number for number, line in enumerate(lines) if '"ObjectId_001": ' in line)
    lines.insert(entry + 1, lines[entry].replace('"ObjectId_001": ', '"\\u004fbjectId_001": '))
    with pytest.raises(StateError, match=f"^s:{entry + 2}: 'ObjectId_001' .* in line {entry + 1}$"):
        decode("".join(lines).encode(), "s")


def test_a_merge_conflict_is_named() -> None:
    """What git leaves in a file that it couldn't merge is told from other damage."""
    lines = VERSION_1.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[3:4] = ["<<<<<<< HEAD\n", lines[3], "=======\n", lines[3], ">>>>>>> other\n"]
    with pytest.raises(StateError, match=r"^s:4: a merge conflict stands in the state$") as error:
        decode("".join(lines).encode(), "s")
    assert "merged" in error.value.hint


def test_what_looks_like_our_layout_is_not_taken_for_it() -> None:
    """Lines that look like our own mean what they mean as JSON."""
    raw = orjson.loads(VERSION_1.read_bytes())
    inner = "{" + "".join(f'\n  "{section}": {{}},' for section in ("interactions", "pending", "failed"))[:-1] + "}"
    raw["interactions"]["ObjectId_001"]["fields"] = {"x": "INNER"}
    read = decode(compact(raw).replace('"INNER"', inner).encode(), "s")
    assert orjson.loads(read.interactions["ObjectId_001"].fields) == {"x": orjson.loads(inner)}
    with pytest.raises(StateError, match="it is not a state"):
        decode(f"[{inner}]".encode(), "s")


@pytest.mark.parametrize("pending", [0, 1])
def test_the_last_serial(pending: int) -> None:
    """What would have no serial left for the outcome of what is pending is not written, let alone sent."""
    links = dict(list(EVERYTHING.pending.items())[:pending])
    last = replace(EVERYTHING, serial=LAST_SERIAL - pending, pending=links)
    assert decode(b"".join(encode(last)), "s") == last
    with pytest.raises(StateError, match="has come to its last serial, 9007199254740991") as error:
        list(encode(replace(last, serial=last.serial + 1)))
    assert error.value.command == ("state", "new-lineage")


@pytest.mark.parametrize("part", [b"[" * 300 + b"]" * 300, b"[" * 1010 + b"]" * 1010, b"9" * 5000])
def test_values_beyond_measure_are_refused(part: bytes) -> None:
    """Values that one JSON parser takes and another doesn't are refused, however they are laid out."""
    data = changed(interactions={"A": {**OPEN, "fields": {"x": "PART"}}}).replace(b'"PART"', part)
    with pytest.raises(StateError):
        decode(data, "s")


def test_a_state_cut_off_anywhere_is_refused() -> None:
    """A file that was not written to its end is refused wherever it ends; only its last line break may be missing."""
    data = VERSION_2.read_bytes()
    for length in range(len(data) - 1):
        with pytest.raises(StateError):
            decode(data[:length], "s")
    assert decode(data[:-1], "s") == EVERYTHING


def test_flipped_bytes_never_raise_anything_else() -> None:
    """Whatever byte is damaged, the answer is a state or a StateError."""
    data, chance = VERSION_2.read_bytes(), random.Random(1)  # noqa: S311
    for _ in range(4000):
        damaged = bytearray(data)
        for _ in range(chance.choice([1, 1, 2, 5])):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            decode(bytes(damaged), "s")
        except StateError:
            continue
