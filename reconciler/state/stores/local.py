"""The state as a file: read by anybody, replaced whole by who holds it, with a journal beside it.

reconciler.state.json           the state
reconciler.state.json.journal   outcomes since it was saved; part of the state until it is folded in
reconciler.state.json.backup    the state before the last apply
reconciler.state.json.lock      lock.py's
reconciler.state.json.aside1    what a run knew that found the state changed by others; of a journal likewise
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from stat import S_IMODE
from typing import NoReturn

from reconciler.commandline import quoted
from reconciler.errors import StateError
from reconciler.state import codec, journal
from reconciler.state.codec import Prepared
from reconciler.state.journal import Record
from reconciler.state.model import Open, State
from reconciler.state.stores.folder import Folder, Look
from reconciler.state.stores.interface import StoredState
from reconciler.state.stores.journalfile import JournalFile
from reconciler.state.stores.lock import Lock, locked
from reconciler.state.stores.moved import is_stone, stone
from reconciler.state.stores.reading import Version, journal_path, look_up, reading


def backup_path(path: Path) -> Path:
    """Return where the state before the last apply is."""
    return path.with_name(path.name + ".backup")


def files(path: Path) -> dict[Path, str]:
    """Return every file that may be written for a state, each with what it is called."""
    beside = {".journal": "journal", ".backup": "backup", ".lock": "lock", ".new": "next version"}
    named = {path.with_name(path.name + end): f"the state's {what}" for end, what in beside.items()}
    return {path: "the state", **named, path.with_name(path.name + ".backup.new"): "the state's next backup"}


def _say_nothing(_message: str) -> None:
    """Go on without a word."""


class LocalStore:
    """A state in a folder of this machine: anybody may read it, one at a time may hold it, to write.

    `warn` is told what the file system can't do.
    """

    def __init__(self, path: Path, warn: Callable[[str], None] = _say_nothing) -> None:
        self.path = path
        self.place = str(path)
        self._warn = warn

    def read(self) -> StoredState:
        """Return the state with a left-over journal folded in; writes nothing and needs no lock.

        Raises StateMissing where there is none, StateError for what can't be read or trusted.
        """
        with reading(self.path), closing(Folder(self.path.parent, self._warn)) as folder:
            return look_up(folder, self.path).found(self.path)

    @contextmanager
    def hold(
        self,
        command: str,
        *,
        timeout: float = 0.0,
        say: Callable[[str], None] = _say_nothing,
    ) -> Iterator[LocalWriter]:
        """Hold the state for a command, and give who may write it; see `locked` for the rest."""
        lock = self.path.name + ".lock"
        with ExitStack() as stack:
            try:
                folder = Folder(self.path.parent, self._warn)
            except OSError as error:
                raise StateError(f"{self.path.parent / lock}: the lock can't be opened: {error.strerror}") from error
            stack.callback(folder.close)
            held = locked(folder, lock, command, timeout=timeout, say=say)
            writer = LocalWriter(self.path, folder, stack.enter_context(held))
            stack.callback(writer.close)
            yield writer

    def try_out(self) -> None:
        """Do nothing: what a file system lacks is noticed as it is used."""

    def unlock(self, _held: str) -> str:
        """Refuse: the kernel's lock is never stuck."""
        raise StateError(
            f"{self.path}: the lock of a state in a file ends with the process that holds it: nothing to unlock",
            hint=f"Who holds it stands in {self.path}.lock: wait for that process, or stop it.",
        )


class LocalWriter:
    """Writes one state and its journal, as long as nobody else does."""

    def __init__(self, path: Path, folder: Folder, lock: Lock) -> None:
        self.path = path
        self._folder = folder
        self._lock = lock
        self._found: State | None = None
        self._state: State | None = None
        self._look: Look | None = None
        self._saved = False
        self._stopped: StateError | None = None
        self._journal = JournalFile(folder, journal_path(path).name)
        self._prepared = Prepared()

    def close(self) -> None:
        """Let go of the files."""
        self._journal.close()

    def read(self) -> StoredState:
        """Return the state as LocalStore.read does; until it is saved, it must stay as it is."""
        version = self._look_up()
        found = version.found(self.path)
        self._found = found.state
        return found

    def read_despite_journal(self) -> tuple[State, str | None]:
        """Return the state, and where a journal is kept from now on that stands beside it and is not its own.

        It stays where it is, too: until the next save, the state is refused as before.
        """
        version = self._look_up()
        try:
            found, aside = version.found(self.path).state, None
        except StateError:
            found, aside = version.state, str(self._set_journal_aside())
        self._found = found
        return found, aside

    def _look_up(self) -> Version:
        version = look_up(self._folder, self.path)
        self._state, self._look = version.state, version.look
        return version

    def create(self, state: State) -> None:
        """Write a state where there must be none yet."""
        with _explained(self.path, "the state can't be made"):
            found = [path for path in (self.path, journal_path(self.path)) if self._folder.found(path.name)]
            is_left = found == [self.path] and is_stone(self._folder.read(self.path.name))
        if found and not is_left:
            raise StateError(f"{self.path}: there is a state already", hint="It is kept as it is.")
        self._look = self._folder.look(self.path.name)
        self.save(state)

    def back_up(self, public: State) -> None:
        """Keep the state as the backup: as it was read, or `public`, which lacks what is sensitive by now.

        The very state that was read costs no bytes: its file gets a second name, for it is replaced, never rewritten.
        """
        backup = backup_path(self.path)
        spare = backup.name + ".new"
        with _explained(backup, "the backup can't be made"):
            self._require_unchanged()
            self._folder.remove(spare)
            if public is self._found:
                self._folder.copy(self.path.name, spare)
            else:
                self._folder.write(spare, codec.encode(public))
            self._folder.rename(spare, backup.name)
            # Two links to one file: then a rename does nothing, by POSIX.
            self._folder.remove(spare)

    def save(self, state: State) -> None:
        """Replace the state; what the journal held is folded into it."""
        self._replace(state, codec.encode(state, self._prepared))
        self._prepared = Prepared()

    def leave(self, to: str) -> None:
        """Leave a stone in the place of the state that was read, which says that it is there from now on."""
        if self._found is None:
            raise AssertionError("a state is read before it is left")
        self._replace(self._found, iter([stone(to, self._found)]))

    def _replace(self, state: State, pieces: Iterator[bytes]) -> None:
        """Temporary file, fsync, rename, fsync of the folder; then remove the folded journal."""
        spare = self.path.name + ".new"
        with _explained(self.path, "the state can't be saved"):
            self._require_unchanged()
            there = self._folder.found(self.path.name)
            mode = S_IMODE(there.st_mode) if there else 0o600
            new = self._folder.write(spare, pieces, mode)
            self._require_unchanged()
            self._folder.rename(spare, self.path.name)
            self._found = self._state = state
            self._look, self._saved = new, True
            self._journal.remove()

    def prepare(self, opened: Mapping[str, Open]) -> None:
        """Get entries of the next save ready, by address, while there is time for it; nothing depends on it."""
        self._prepared.prepare(opened)

    def append(self, records: Sequence[Record]) -> None:
        """Add records to the journal and fsync it. After a failure the next one starts at the last good offset."""
        with _explained(journal_path(self.path), "the journal can't be written"):
            self._require_unchanged()
            self._journal.append(b"".join(map(journal.encode, records)))

    def settle(self) -> None:
        """Do nothing: what was appended is there."""

    def require_held(self) -> None:
        """Do nothing: the kernel keeps the lock for as long as we live; whether its file stands, each write asks."""

    def _set_journal_aside(self) -> Path:
        journal = journal_path(self.path)
        with _explained(journal, "the journal can't be set aside"):
            self._require_unchanged()
            aside = _free(self._folder, journal.name + ".aside")
            self._folder.copy(journal.name, aside)
            self._folder.sync()
        return journal.with_name(aside)

    # -- others ----------------------------------------------------------------------------------------------------

    def _require_unchanged(self) -> None:
        """Raise StateError, from the first time on, unless lock, state and journal are as this run left them."""
        if self._stopped:
            raise self._stopped
        if not self._lock.stands:
            self._stop("its lock was removed or replaced")
        if not self._is_ours():
            self._stop("it was replaced, edited or removed")
        if not self._journal.stands:
            self._stop("its journal was replaced, cut or removed")

    def _is_ours(self) -> bool:
        """Whether the state on the disk says what this run last read or saved there."""
        found = self._folder.look(self.path.name)
        if found == self._look:
            return True
        try:
            version = look_up(self._folder, self.path)
        except StateError:
            return False
        if version.state == self._state:
            self._look = version.look
        return version.state == self._state

    def _stop(self, why: str) -> NoReturn:
        command: tuple[str, ...] = ("apply",)
        if not (self._saved and self._state):
            hint, command = "Nothing was sent or changed. See what it was, then run this again.", ()
        elif self._is_ours():
            hint = "Nothing more was sent. What was sent is pending in the state, and settled under the same requestids"
        else:
            hint = f"Nothing more was sent. {self._rescue(self._state)}. Then"
        self._stopped = StateError(f"{self.path}: {why} while this run held it", hint=hint, command=command)
        raise self._stopped

    def _rescue(self, state: State) -> str:
        """Keep what this run knows in a file of its own, and return what to do with it."""
        name = str(journal_path(self.path))
        known = journal.fold_left_over(state, journal.decode(self._journal.read(), name), name)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(Folder(self.path.parent, _say_nothing)) as folder:
                aside = _free(folder, self.path.name + ".aside")
                folder.write(aside, codec.encode(known))
        except OSError as error:
            return f"What this run knew can't be kept: {error.strerror}. Put back the state that it began with"
        put_back = f"mv {quoted(str(self.path.with_name(aside)))} {quoted(str(self.path))}"
        return f"What this run knew is kept. Unless another run has written the state since, put it back: {put_back}"


def _free(folder: Folder, start: str) -> str:
    """Return the first name of these that nothing has yet."""
    number = 1
    while folder.found(f"{start}{number}"):
        number += 1
    return f"{start}{number}"


@contextmanager
def _explained(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(
            f"{path}: {what}: {error.strerror or error}",
            hint="Nothing more was sent. Make room or mend the folder, then run apply again: what was sent is known "
            "from what is saved, and is settled under the same requestids.",
        ) from error
