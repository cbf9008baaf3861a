"""What every place that several runners share must do: each write depends on what it replaces."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from reconciler.state.stores.interface import Found, Objects, Put, Refused, Together, Unclear
from reconciler.state.stores.trial import try_out
from tests.state.stores.places import OBJECTS, Opener

BODY = bytes(range(256)) * 40 + b"\r\n\n"
"""What nothing on the way may change."""


@pytest.fixture(params=OBJECTS)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Give each of the places."""
    return OBJECTS[request.param](tmp_path)


@pytest.fixture
def objects(opener: Opener) -> Objects:
    """Give one run's way to it."""
    return opener()


def test_an_empty_place_holds_nothing(objects: Objects) -> None:
    """What isn't there is not found, not listed, and may be removed all the same."""
    assert (objects.get(""), objects.names("")) == (None, [])
    objects.remove([".journal/1", ".journal/2"])


def test_what_is_written_is_read_at_once(objects: Objects, opener: Opener) -> None:
    """Each run reads every byte of what was written last, with the version that the writer was told."""
    first = objects.put("", BODY, None)
    assert objects.get("") == opener().get("") == Found(BODY, first)
    second = objects.put("", b"", first)
    assert objects.get("") == opener().get("") == Found(b"", second)
    assert first != second


def test_what_is_there_is_not_created(objects: Objects, opener: Opener) -> None:
    """Of two that create it, the second is refused."""
    version = objects.put(".lock", b"one", None)
    for other in (objects, opener()):
        with pytest.raises(Refused):
            other.put(".lock", b"two", None)
    assert objects.get(".lock") == Found(b"one", version)


def test_an_old_version_is_not_replaced(objects: Objects, opener: Opener) -> None:
    """Of two that replace the same version, the second is refused, even by the very same bytes."""
    first = objects.put("", b"one", None)
    other = opener()
    assert other.get("") == Found(b"one", first)
    second = objects.put("", b"two", first)
    for late in (objects, other):
        with pytest.raises(Refused):
            late.put("", b"two", first)
    assert other.get("") == Found(b"two", second)


def test_what_is_gone_is_not_replaced(objects: Objects) -> None:
    """An object that was removed is not made again by who means to replace it."""
    version = objects.put(".journal/1", b"one", None)
    objects.remove([".journal/1"])
    with pytest.raises(Refused):
        objects.put(".journal/1", b"two", version)
    assert objects.get(".journal/1") is None


def test_a_name_stands_for_itself(objects: Objects, opener: Opener) -> None:
    """Objects beside each other are told apart, listed by how they start, and removed by name."""
    for name in ("", ".lock", ".journal/1", ".journal/2", ".journal-aside.1"):
        objects.put(name, name.encode(), None)
    assert sorted(opener().names(".journal/")) == [".journal/1", ".journal/2"]
    objects.remove([".journal/1", ".journal/9"])
    assert sorted(objects.names(".journal")) == [".journal-aside.1", ".journal/2"]
    found = opener().get(".journal/2")
    assert (found.body if found else None) == b".journal/2"


def test_nothing_is_lost_between_runs_that_count(opener: Opener) -> None:
    """Several runs at once, each counting one up on what it read, come to the sum."""
    opener().put("", b"0", None)

    def count() -> None:
        objects, done = opener(), 0
        while done < 3:
            found = objects.get("")
            assert found
            try:
                objects.put("", b"%d" % (int(found.body) + 1), found.version)
                done += 1
            except (Refused, Unclear):
                continue

    threads = [threading.Thread(target=count) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = opener().get("")
    assert (found.body if found else None) == b"9"


def test_together_is_all_or_nothing(objects: Objects, opener: Opener) -> None:
    """Where objects are written together, one that is refused keeps the others from being written."""
    if not isinstance(objects, Together):
        pytest.skip("each is written by itself")
    versions = objects.put_all([Put(".lock", b"1", None), Put(".journal/1", b"a", None)])
    with pytest.raises(Refused):
        objects.put_all([Put(".lock", b"2", versions[0]), Put(".journal/1", b"b", None)])
    other = opener()
    assert (other.get(".lock"), other.get(".journal/1")) == (Found(b"1", versions[0]), Found(b"a", versions[1]))


def test_it_passes_the_trial(objects: Objects) -> None:
    """A place that does all this is trusted with a state, and nothing is left of the trial."""
    try_out(objects)
    assert objects.names("") == []
