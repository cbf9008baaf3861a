"""The repository that holds the declarations, through git: which commits came when, and what they hold. Shell.

Files of a commit that nobody vouches for are written as plain data: no links, no filters, no submodules, nothing that
a file of the commit could set off. The token goes to git in its environment: it is in no process list, file or URL.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Final

from reconciler.errors import ReconcilerError
from reconciler.escape import visible
from reconciler.state.stores.gitcommand import plain_environment

_FILE: Final = {b"100644", b"100755"}


class GitError(ReconcilerError):
    """Git refused."""


class Repository:
    """The clone around a folder; `user` and `token` are for its remote, where one is needed."""

    def __init__(self, folder: Path, user: str = "", token: str = "") -> None:
        self._folder = folder
        self._environ = {**plain_environment(), "GIT_TERMINAL_PROMPT": "0"}
        self.root = Path(self._git("rev-parse", "--show-toplevel"))
        if token:
            self._environ |= self._authorisation(user, token)

    def _authorisation(self, user: str, token: str) -> Mapping[str, str]:
        with suppress(GitError):
            url = self._git("remote", "get-url", "origin")
            if url.startswith("http"):
                basic = b64encode(f"{user}:{token}".encode()).decode()
                set_already = int(self._environ.get("GIT_CONFIG_COUNT") or 0)
                return {
                    "GIT_CONFIG_COUNT": str(set_already + 1),
                    f"GIT_CONFIG_KEY_{set_already}": f"http.{url}.extraheader",
                    f"GIT_CONFIG_VALUE_{set_already}": f"Authorization: Basic {basic}",
                }
        return {}

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return self._git("rev-parse", "HEAD")

    @property
    def remote(self) -> str:
        """The address of origin; empty where there is none."""
        with suppress(GitError):
            return self._git("remote", "get-url", "origin")
        return ""

    @property
    def is_new(self) -> bool:
        """Whether the remote is there and has no branch yet."""
        with suppress(GitError):
            return not self._git("ls-remote", "--heads", "origin")
        return False

    @property
    def default_branch(self) -> str:
        """The default branch: the remote's, if it has one yet; empty if nobody knows."""
        with suppress(GitError):
            first, _, _ = self._git("ls-remote", "--symref", "origin", "HEAD").partition("\t")
            if first.startswith("ref: "):
                return first.removeprefix("ref: refs/heads/")
        with suppress(GitError):
            return self._git("symbolic-ref", "--short", "HEAD")
        return ""

    def position(self, path: Path) -> str:
        """Return where a path is below the root, with `/`."""
        return PurePosixPath(os.path.relpath(os.path.realpath(path), os.path.realpath(self.root))).as_posix()

    def follows(self, later: str, earlier: str) -> bool:
        """Whether a commit is another one or comes after it."""
        with suppress(GitError):
            self._git("merge-base", "--is-ancestor", earlier, later)
            return True
        return False

    def commits(self, since: str | None, until: str, paths: tuple[str, ...], most: int) -> list[str]:
        """Return the commits of the branch itself that changed any of the paths, oldest first; at most so many."""
        reach = [f"^{since}"] if since else []
        listed = self._git("rev-list", "--first-parent", f"--max-count={most}", until, *reach, "--", *paths)
        return listed.split()[::-1]

    def parent(self, commit: str) -> str | None:
        """Return its first parent."""
        with suppress(GitError):
            return self._git("rev-parse", "--verify", "--quiet", f"{commit}^1")
        return None

    def fork_point(self, one: str, other: str) -> str | None:
        """Return the commit that two have in common."""
        with suppress(GitError):
            return self._git("merge-base", one, other)
        return None

    def fetch(self, commit: str) -> None:
        """Bring a commit and its history here; raises GitError."""
        try:
            self._git("cat-file", "-e", f"{commit}^{{commit}}")
        except GitError:
            self._git("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "origin", commit)

    def merged(self, base: str, head: str) -> str | None:
        """Return the tree of a merge of two commits; None where they conflict."""
        ran = self._run("merge-tree", "--write-tree", "--name-only", base, head)
        if ran.returncode == 0:
            return ran.stdout.decode().split("\n", 1)[0].strip()
        if ran.returncode == 1:
            return None
        raise self._error("merge-tree", ran)

    @contextmanager
    def checkout(self, commit: str) -> Iterator[Path]:
        """Give a commit of our own history in a work tree of its own, which goes again."""
        with tempfile.TemporaryDirectory(prefix="reconciler-") as name:
            self._git("worktree", "add", "--quiet", "--force", "--detach", name, commit)
            try:
                yield Path(name)
            finally:
                self._git("worktree", "remove", "--force", name)

    def blob(self, tree: str, path: str) -> str:
        """Return the identity of a file in a commit or tree; empty where there is none."""
        with suppress(GitError):
            return self._git("rev-parse", "--verify", "--quiet", f"{tree}:{path}")
        return ""

    def extract(self, tree: str, path: str, into: Path) -> None:
        """Write the files of a commit or tree at a path below the root, that of a file or a folder, below `into`."""
        listed = self._bytes("ls-tree", "-r", "-z", "--full-tree", tree, "--", path)
        wanted = []
        for entry in filter(None, listed.split(b"\0")):
            about, _, name = entry.partition(b"\t")
            mode, _, blob = about.split(b" ")
            parts = PurePosixPath(os.fsdecode(name)).parts
            if mode in _FILE and not {"..", ".", ".git"} & set(parts):
                wanted.append((blob, into.joinpath(*parts)))
        for content, place in zip(
            self._blobs([blob for blob, _ in wanted]), [place for _, place in wanted], strict=True
        ):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)

    def _blobs(self, names: list[bytes]) -> list[bytes]:
        if not names:
            return []
        found, data, place = [], self._bytes("cat-file", "--batch", stdin=b"\n".join(names) + b"\n"), 0
        for _ in names:
            start = data.index(b"\n", place) + 1
            place = start + int(data[place:start].split(b" ")[2])
            found.append(data[start:place])
            place += 1  # the line break that ends each
        return found

    def _git(self, *arguments: str) -> str:
        return os.fsdecode(self._bytes(*arguments)).strip()

    def _bytes(self, *arguments: str, stdin: bytes = b"") -> bytes:
        ran = self._run(*arguments, stdin=stdin)
        if ran.returncode:
            raise self._error(arguments[0], ran)
        return ran.stdout

    def _run(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = ["git", "-C", str(self._folder), *arguments]
        try:
            return subprocess.run(command, env=self._environ, input=stdin, capture_output=True, check=False)  # noqa: S603
        except OSError as error:
            raise GitError(f"git can't be run: {error.strerror}", hint="Install git.") from error

    def _error(self, command: str, ran: subprocess.CompletedProcess[bytes]) -> GitError:
        said = visible(" ".join(os.fsdecode(ran.stderr).split()))
        hint = "Run this in a clone of the repository." if "not a git repository" in said else ""
        return GitError(f"git {command} in {self._folder}: {said or f'exit code {ran.returncode}'}", hint=hint)
