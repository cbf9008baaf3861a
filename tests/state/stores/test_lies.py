"""Servers that do what others were reported to do: a state is right there, or refused, and nothing is sent twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import count, cycle
from typing import Final

import pytest

from reconciler.errors import StateError, StateLocked
from reconciler.state.stores.interface import Found, Put
from reconciler.state.stores.patient import PatientObjects
from reconciler.state.stores.remote import RemoteStore, RemoteWriter
from reconciler.state.stores.trial import try_out
from tests.api import SandboxServer
from tests.command import Workplace
from tests.conftest import connection
from tests.soak.budget import InTime
from tests.state.stores.cloud import BUCKET, Asked, Cloud, Lie, Script, etag
from tests.state.stores.places import QUICK, in_cloud
from tests.state.stores.test_stores import ONE
from tests.state.stores.three import APPLY, IDS, THREE

URL: Final = f"s3://{BUCKET}/crm/state.json"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Give a cloud that is honest at first."""
    with Cloud() as cloud:
        yield cloud


# -- for good: found out by the trial ----------------------------------------------------------------------------------


Liar = Callable[[Cloud], Script]


def ignores(header: str) -> Liar:
    """Give a server that doesn't know a condition."""
    return lambda _cloud: lambda asked: Lie(blind=True) if header in asked.headers else None


def writes_what_is_gone(cloud: Cloud) -> Script:
    """Give one that takes an update of what isn't there."""
    return lambda asked: Lie(blind=True) if "if-match" in asked.headers and asked.key not in cloud.objects else None


def writes_what_it_refuses(cloud: Cloud) -> Script:
    """Give one that refuses an update as it should, and writes all the same."""

    def script(asked: Asked) -> Lie | None:
        there, expected = cloud.objects.get(asked.key), asked.headers.get("if-match")
        return Lie(412, blind=True) if there and expected and expected != etag(there[0]) else None

    return script


def refuses_to_create(_cloud: Cloud) -> Script:
    """Give one that refuses each create: what was removed once counts as being there."""
    return lambda asked: Lie(412, lands=False) if "if-none-match" in asked.headers else None


@pytest.mark.parametrize(
    ("liar", "said"),
    [
        (ignores("if-none-match"), "it overwrites an object that it was told to create"),
        (ignores("if-match"), "it overwrites an object that is not the version that it was told to replace"),
        (writes_what_is_gone, "it writes an object that is gone, though it was told to replace it"),
        (writes_what_it_refuses, "what was just written is not what is read"),
        (refuses_to_create, "the place can't be tried"),
    ],
    ids=["create", "update", "gone", "refused and written", "refused"],
)
def test_a_place_that_lies_is_not_trusted(liar: Liar, said: str) -> None:
    """What a server lacks is found out on names of its own, said, and cleared away."""
    with Cloud() as cloud:
        cloud.script = liar(cloud)
        with pytest.raises(StateError, match=f"^{URL}: .*{said}"):
            try_out(in_cloud(URL, cloud.s3)())
        assert cloud.objects == {}


# -- now and then: written once all the same ---------------------------------------------------------------------------

ONCE_IN_A_WHILE: Final = {
    "500, and it landed": Lie(500),
    "no answer, and it landed": Lie(0),
    "409, and nothing landed": Lie(409, lands=False),
    "412, and nothing landed": Lie(412, lands=False),
    "503, and nothing landed": Lie(503, lands=False),
    "no answer in time, and it landed": Lie(wait=0.3),
}


MIXED: Final = (*ONCE_IN_A_WHILE.values(), *(None for _ in ONCE_IN_A_WHILE))


def every_other_write(lie: Lie) -> Script:
    """Return a script that lies about each write once: the next try is answered truly."""
    lies = cycle([lie, None])
    return lambda asked: next(lies) if asked.method == "PUT" else None


@pytest.mark.parametrize("lie", ONCE_IN_A_WHILE.values(), ids=ONCE_IN_A_WHILE)
def test_what_was_written_is_known_again(lie: Lie) -> None:
    """Who counts up, each time on what it read, comes to the sum, whatever was answered: nothing is written twice."""
    with Cloud(every_other_write(lie)) as cloud:
        objects = PatientObjects(in_cloud(URL, cloud.s3, timedelta(seconds=0.1))(), QUICK)
        version: object = None
        for number in range(2):
            assert number == 0 or objects.get("") == Found(b"%d" % number, version)
            [version] = objects.write(Put("", b"%d" % (number + 1), version))
        assert cloud.objects == {"crm/state.json": (b"2", 2)}


def test_a_run_whose_renewals_are_slow_stops_once_another_took_over(cloud: Cloud) -> None:
    """A lease that is dead before its renewal is answered may be taken; who had it sends nothing more."""
    timing = replace(QUICK, lease=0.4)

    def slow(asked: Asked) -> Lie | None:
        return Lie(wait=2 * timing.lease) if (asked.method, asked.key) == ("PUT", "crm/state.json.lock") else None

    def opened() -> RemoteStore:
        return RemoteStore(in_cloud(URL, cloud.s3)(), timing)

    with opened().hold("init") as writer:
        writer.create(ONE)
    with opened().hold("apply") as writer:
        cloud.script = slow
        with opened().hold("apply", timeout=10), pytest.raises(StateLocked):
            use(writer)


def use(writer: RemoteWriter) -> None:
    """Ask as an apply does before each call; what had been asked for already may be answered well."""
    for _ in range(3):
        writer.require_held()


# -- an apply ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory, server: SandboxServer, cloud: Cloud) -> Workplace:
    """Give a folder whose state is there."""
    folder = tmp_path_factory.mktemp("runner")
    place = Workplace(folder, {**connection(server), **cloud.s3, "RECONCILER_STATE": URL})
    assert place.run("init").code == 0
    (folder / "interactions" / "example.yaml").unlink()
    place.declare(THREE)
    return place


@pytest.mark.parametrize("lie", ONCE_IN_A_WHILE.values(), ids=ONCE_IN_A_WHILE)
def test_an_apply_is_right_there(place: Workplace, server: SandboxServer, cloud: Cloud, lie: Lie) -> None:
    """Each is dispatched once, and known to be: the next plan is empty."""
    cloud.script = every_other_write(lie)
    ran = place.run(*APPLY)
    assert ran.code == 0, ran
    assert {*server.emulator.open} == IDS
    assert not server.emulator.doubles
    cloud.script = lambda _asked: None
    assert place.run("plan", "--detailed-exitcode").code == 0


@pytest.mark.soak
def test_applies_are_right_whatever_is_lied_about(
    place: Workplace, server: SandboxServer, cloud: Cloud, in_time: InTime
) -> None:
    """So it is with any mixture of lies, while all that is open is replaced again and again."""
    for seed in count():
        if seed and not in_time():
            break
        draw = random.Random(seed)  # noqa: S311
        cloud.script = lambda asked, draw=draw: draw.choice(MIXED) if asked.method == "PUT" else None  # type: ignore[misc]
        place.declare(THREE.replace("route: R", f"route: R{seed}"))
        ran = place.run(*APPLY, "--allow-releases", "3")
        assert ran.code == 0, (seed, ran)
        assert {*server.emulator.open} == IDS, seed
        assert not server.emulator.doubles, seed
