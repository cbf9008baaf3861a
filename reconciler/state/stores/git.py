"""A state on a branch of a git repository: a file for each object, a commit and a push for each write.

A push names the commit that it follows (--force-with-lease), so that of two only the first arrives. Where other files
of the branch changed meanwhile, the write is made anew on top of them: several states may share a branch.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

from reconciler.errors import StateError
from reconciler.escape import visible
from reconciler.state.stores.gitcommand import REMOTE, Git, Ran, ask, failed
from reconciler.state.stores.interface import Found, Put, Refused, Unclear
from reconciler.state.stores.timing import Timing

SCHEME: Final = "git:"
TIMING: Final = Timing(lease=90.0, renew=25.0, group=10.0, poll=5.0)
"""A push takes seconds, and stays in the branch's history."""
_TIP: Final = "refs/reconciler/tip"
_NEXT: Final = "refs/reconciler/next"
_JOURNAL: Final = ".journal/"
_RACES: Final = 10
_AS_PUSHED: Final = 1.0  # seconds
_MOVED: Final = re.compile(
    r"stale info|fetch first|non-fast-forward|already exists|needs force|updated since|cannot lock ref|"
    r"failed to (update|lock)|incorrect old value|reference already exists|but expected"
)
_WHAT: Final = {"": "state", ".lock": "lock", ".backup": "backup", ".journal": "outcomes", ".trial": "trial"}


class GitObjects:
    """The files of one state on a branch."""

    def __init__(self, place: str, folder: Path, file: str) -> None:
        """Find the remote and the branch in the repository that the folder is in. Raises StateError."""
        remote, self._branch = _remote_and_branch(place, folder)
        self.place = f"{SCHEME}{remote}/{self._branch}"  # one spelling: a state is not brought to where it is
        self._ref = f"refs/heads/{self._branch}"
        self._file = file
        self._git = Git(folder, remote)
        self._lock = threading.RLock()
        self._tip: str | None = None
        self._files: dict[str, str] = {}
        self._listed: set[str] = set()
        self._garbage: set[str] = set()
        self._known = False
        self._pushed = -_AS_PUSHED

    # -- Objects -------------------------------------------------------------------------------------------------------

    def get(self, name: str) -> Found | None:
        """See Objects."""
        with self._lock:
            if name not in self._listed:
                self._look()
            blob = self._there(name)
            return Found(self._said(self._git.run("cat-file", "blob", blob)), blob) if blob else None

    def put(self, name: str, body: bytes, expected: object | None) -> object:
        """See Objects."""
        return self.put_all([Put(name, body, expected)])[0]

    def put_all(self, puts: Sequence[Put]) -> list[object]:
        """See Together."""
        with self._lock:
            fresh = not self._known and self._refresh()
            for _ in range(_RACES):
                if any(self._there(put.name) != put.expected for put in puts):
                    if fresh:
                        raise Refused
                    fresh = self._refresh()
                elif (versions := self._try_push(puts)) is not None:
                    return [*versions]
                else:
                    time.sleep(random.random() / 4)  # noqa: S311  # so that two don't meet again
                    fresh = self._refresh()
            raise Unclear("others push to the branch faster than we can")

    def names(self, start: str) -> list[str]:
        """See Objects."""
        with self._lock:
            self._look()
            ours = [name.removeprefix(self._file) for name in self._files if name.startswith(self._file)]
            names = [name for name in ours if name.startswith(start) and name not in self._garbage]
            self._listed = {name for name in names if name.startswith(_JOURNAL)}
            return names

    def remove(self, names: Sequence[str]) -> None:
        """Leave them out of the next commit: of no use, they are not worth one of their own."""
        with self._lock:
            self._garbage |= {name for name in names if self._file + name in self._files}

    def close(self) -> None:
        """See Closing."""
        with self._lock:
            self._git.close()
            self._known = False

    # -- git -----------------------------------------------------------------------------------------------------------

    def _there(self, name: str) -> str | None:
        """Return the version of a file at the tip that we know."""
        return None if name in self._garbage else self._files.get(self._file + name)

    def _look(self) -> None:
        """Know the tip of the branch; what was pushed just now is as it was pushed."""
        if not (self._known and time.monotonic() - self._pushed < _AS_PUSHED):
            self._refresh()

    def _refresh(self) -> bool:
        """Know the tip of the branch as it is now."""
        self._pushed = -_AS_PUSHED
        listed = self._said(self._git.run("ls-remote", "--quiet", REMOTE, self._ref)).decode()
        tip = next((line.split("\t")[0] for line in listed.splitlines() if line.endswith(f"\t{self._ref}")), None)
        if tip != self._tip or not self._known:
            self._files = self._fetch() if tip else {}
            self._tip = self._said(self._git.run("rev-parse", _TIP)).decode().strip() if tip else None
            self._known = True
            self._garbage &= {name.removeprefix(self._file) for name in self._files}
            self._listed &= {name.removeprefix(self._file) for name in self._files}
        return True

    def _fetch(self) -> dict[str, str]:
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--depth=1", "--refmap=", "--force")
        self._said(self._git.run("fetch", *options, REMOTE, f"+{self._ref}:{_TIP}"))
        return _blobs(self._said(self._git.run("ls-tree", "-r", "-z", "--full-tree", _TIP)))

    def _said(self, ran: Ran) -> bytes:
        """Return what git printed; raises StateError or Unclear if it failed."""
        if ran.code:
            raise failed(ran, self.place, "the branch can't be read")
        return ran.out

    def _try_push(self, puts: Sequence[Put]) -> list[str] | None:
        """Commit on the tip that we know, and push; None if the branch has moved on."""
        files = {self._file + put.name: put.body for put in puts}
        gone = {self._file + name for name in self._garbage} & self._files.keys() - files.keys()
        commit, blobs = self._commit(files, gone, _message(self._file, puts))
        lease = f"--force-with-lease={self._ref}:{self._tip or ''}"
        options = ("--porcelain", "--no-verify", "--no-follow-tags", "--no-signed", "--recurse-submodules=no", lease)
        self._pushed = -_AS_PUSHED
        ran = self._git.run("push", *options, REMOTE, f"{commit}:{self._ref}")
        if ran.code:
            if self._has_moved(ran):
                return None
            raise failed(ran, self.place, "the branch can't be written")
        self._tip, self._pushed = commit, time.monotonic()
        self._files = {name: blob for name, blob in self._files.items() if name not in gone} | blobs
        self._garbage.clear()
        return [blobs[name] for name in files]

    def _has_moved(self, ran: Ran) -> bool:
        """Whether the push was refused for what it follows; raises StateError where it always will be."""
        rejected = [line for line in ran.out.decode(errors="replace").splitlines() if line.startswith("!\t")]
        if not rejected or "[remote failure]" in rejected[0]:
            return False
        reason = rejected[0].split("\t")[-1]
        if _MOVED.search(reason):
            return True
        told = [line.removeprefix("remote: ").strip() for line in ran.said.splitlines() if line.startswith("remote: ")]
        raise StateError(
            f"{self.place}: the push was refused: {visible(' '.join([reason, *filter(None, told)]))}",
            hint="Nothing was written. The branch must not be protected from those who run apply; let them push to it.",
        )

    def _commit(self, files: Mapping[str, bytes], gone: set[str], message: str) -> tuple[str, dict[str, str]]:
        """Return a commit on the tip with these files, and their versions."""
        text = message.encode()
        head = f"commit {_NEXT}\nmark :1\ncommitter {self._git.author} {int(time.time())} +0000\n"
        parts = [head.encode(), b"data %d\n%b\n" % (len(text), text)]
        parts += [f"from {self._tip}\n".encode()] if self._tip else []
        parts += [f"D {_path(name)}\n".encode() for name in gone]
        for name, body in files.items():
            parts += [f"M 100644 inline {_path(name)}\ndata {len(body)}\n".encode(), body, b"\n"]
        parts += [b"\nget-mark :1\n", *(f"ls :1 {_path(name)}\n".encode() for name in files), b"done\n"]
        ran = self._git.run("fast-import", "--quiet", "--done", "--force", data=b"".join(parts))
        if ran.code:
            raise StateError(f"{self.place}: git can't make the commit: {visible(ran.said.strip())}")
        commit, *listed = ran.out.decode().splitlines()
        return commit, dict(zip(files, (line.split()[2] for line in listed), strict=True))


def _blobs(listed: bytes) -> dict[str, str]:
    """Return the files of a folder of git's, with their versions."""
    entries = [entry.decode(errors="surrogateescape").partition("\t") for entry in listed.split(b"\0") if entry]
    return {name: kind.split()[2] for kind, _, name in entries if kind.split()[1] == "blob"}


def _path(name: str) -> str:
    """Return a name as git's import reads it."""
    return '"{}"'.format(name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))


def _message(file: str, puts: Sequence[Put]) -> str:
    """Return what a commit says: what it is about, and that no pipeline is to run for it.

    None is like another: of two runs that write the same, only one may find that it has written it.
    """
    kinds = dict.fromkeys(re.split(r"(?<=\w)[./-]", put.name)[0] for put in puts)
    return f"{file}: {', '.join(_WHAT.get(kind, kind) for kind in kinds)} [skip ci]\n\nWrite-Id: {uuid4().hex}\n"


def _remote_and_branch(place: str, folder: Path) -> tuple[str, str]:
    """Return which remote and which branch are meant; raises StateError where that can't be."""
    named = place.removeprefix(SCHEME)
    remotes = ask(folder, "remote").split()
    remote = max((each for each in remotes if named.startswith(f"{each}/")), key=len, default=None)
    branch = named.removeprefix(f"{remote}/") if remote else named
    if remote is None:
        remote = "origin" if "origin" in remotes else remotes[0] if len(remotes) == 1 else None
    if remote is None:
        known = (
            f"It has: {', '.join(remotes)}; say git:REMOTE/BRANCH." if remotes else "Add one: git remote add origin …"
        )
        raise StateError(f"{place}: the repository has no remote that this could mean", hint=known)
    if not branch or not _is_branch(branch):
        raise StateError(f"{place}: no branch can have this name", hint="Write git:BRANCH or git:REMOTE/BRANCH.")
    if branch == _checked_out(folder):
        hint = "Each write is a commit on it: keep the state on a branch of its own, which nobody works on."
        raise StateError(f"{place}: this branch is checked out", hint=hint)
    return remote, branch


def _checked_out(folder: Path) -> str | None:
    """Return the branch that is worked on."""
    try:
        return ask(folder, "symbolic-ref", "--quiet", "--short", "HEAD").strip("\n")
    except StateError:  # none is
        return None


def _is_branch(name: str) -> bool:
    try:
        ask(Path(), "check-ref-format", f"refs/heads/{name}")
    except StateError:
        return False
    return True
