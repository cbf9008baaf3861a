"""The user's own git, with its credentials, on a repository that nobody else sees.

Objects that are fetched and made go into a bare repository of this process: the checkout, index, references, hooks and
settings of the user's are not touched, and no setting of theirs has an effect but those that say how to reach the
remote. Those are handed over in the environment: a command line is seen by everybody on the machine.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from reconciler.errors import StateError
from reconciler.escape import visible
from reconciler.state.stores.interface import Unclear

TOKEN: Final = "RECONCILER_GIT_TOKEN"  # noqa: S105  # the variable's name
USER: Final = "RECONCILER_GIT_USER"
_OURS: Final = (
    ("core.compression", "1"),
    ("core.bigFileThreshold", "1m"),  # looking for what a large state has in common with the last takes longest
    ("fastimport.unpackLimit", "1"),
    ("gc.auto", "0"),
)
REMOTE: Final = "state"
"""What the remote is called in our repository."""
_REACHES: Final = re.compile(r"(http|credential|protocol|ssh|safe)\..*|core\.(sshcommand|askpass|gitproxy)", re.DOTALL)
_AUTHORIZES: Final = re.compile(r"http\.(.*\.)?extraheader", re.DOTALL)
_OF_REMOTE: Final = ("proxy", "proxyauthmethod", "uploadpack", "receivepack")
_KEPT: Final = ("GIT_SSH", "GIT_SSL", "GIT_HTTP", "GIT_PROXY", "GIT_ASKPASS", "GIT_ALLOW_PROTOCOL", "GIT_EXEC_PATH")
_HELPER: Final = f'!f() {{ test "$1" = get && printf "username=%s\\npassword=%s\\n" "${USER}" "${TOKEN}"; }}; f'
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/\s@]+@")
LONGEST: Final = 120.0
"""Seconds that one question to a remote may take."""
_REFUSED: Final = re.compile(
    r"Authentication failed|could not read (Username|Password)|terminal prompts disabled|Permission .*denied|"
    r"returned error: 40[134]|Access denied|not authorized|[Rr]epository .*not found|not appear to be a git repository|"
    r"dubious ownership|not have the correct access rights|unsupported protocol|transport '.*' not allowed|"
    r"SSL certificate problem|Host key verification failed|upload-pack: not our ref|service not enabled",
)


class Ran(NamedTuple):
    """What git answered."""

    code: int
    out: bytes
    said: str


class Git:
    """git, about one remote of the repository that a folder is in; `url` is where that is, without credentials."""

    def __init__(self, folder: Path, name: str) -> None:
        """Find the repository and the remote; raises StateError. `name`: of a remote."""
        self._folder = folder
        self._format, _, top = ask(folder, "rev-parse", "--show-object-format", "--show-toplevel").partition("\n")
        self._top = top.removesuffix("\n")
        settings = [*_settings(folder)]
        self.author = _author(settings)
        self._environment = _environment(_reaching(folder, name, settings))
        self._there: str | None = None

    def run(self, *arguments: str, data: bytes | None = None) -> Ran:
        """Return what git says in our repository; raises StateError where there is none, Unclear if it takes too long.

        Nothing secret may be among the arguments.
        """
        if self._there is None:
            self._there = tempfile.mkdtemp(prefix="reconciler-git-")
            made = self._run("init", "--quiet", "--bare", "--template=", f"--object-format={self._format}", self._there)
            if made.code:
                raise StateError(f"{self._there}: git can't make a repository there: {made.said}")
        return self._run(*arguments, data=data, GIT_DIR=self._there)

    def close(self) -> None:
        """Remove our repository; the next run makes it anew."""
        if self._there is not None:
            shutil.rmtree(self._there, ignore_errors=True)
            self._there = None

    def _run(self, *arguments: str, data: bytes | None = None, **more: str) -> Ran:
        return _run(["git", *arguments], Path(self._top), {**self._environment, **more}, data)


def failed(ran: Ran, place: str, what: str) -> StateError | Unclear:
    """Return the error of a git that reached no clear end: one that trying again doesn't mend, or Unclear."""
    said = ran.said.strip() or f"git ended with {ran.code}"
    if not _REFUSED.search(said):
        return Unclear(visible(said.splitlines()[-1]))
    reason = "\n".join(map(visible, said.splitlines()))
    return StateError(
        f"{place}: {what}: {reason}",
        hint=f"git must be able to fetch and push here without a question: see that the remote is right and that you "
        f"may write there; in a pipeline, give a token in {TOKEN} (docs/state.md).",
    )


def ask(folder: Path, *arguments: str) -> str:
    """Return what git says about the user's repository, where it only reads; raises StateError."""
    ran = _run(["git", "-C", str(folder), *arguments], Path(), plain_environment(), None)
    if ran.code:
        said = ran.said.strip().removeprefix("fatal: ")
        raise StateError(
            f"{folder}: git can't be asked here: {visible(said)}" if said else f"{folder}: git says no more here",
            hint="A state on a branch is kept in the repository that the configuration is in: run this within a clone "
            "of it.",
        )
    return ran.out.decode(errors="surrogateescape")


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str], data: bytes | None) -> Ran:
    # On a terminal git may ask for a passphrase, which only the terminal's own processes can.
    try:
        process = subprocess.Popen(  # noqa: S603  # git, with arguments of ours
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=not _on_terminal(),
        )
    except FileNotFoundError as error:
        raise StateError("git is not installed", hint="A state on a branch is kept by git: install it.") from error
    except OSError as error:
        raise StateError(f"git can't be started: {error.strerror}") from error
    with process:
        try:
            out, said = process.communicate(data, timeout=LONGEST)
        except subprocess.TimeoutExpired:
            raise Unclear(f"git took longer than {LONGEST:g} s") from None
        finally:
            if process.poll() is None:
                _kill(process)
    return Ran(process.returncode, out, _without_credentials(said.decode(errors="replace")))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End git and what it has started."""
    with suppress(ProcessLookupError):
        if _on_terminal():
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


def _on_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _without_credentials(text: str) -> str:
    token = os.environ.get(TOKEN)
    return _CREDENTIALS.sub("", text.replace(token, "(token)") if token else text)


# -- the environment -----------------------------------------------------------------------------------------------


def plain_environment() -> dict[str, str]:
    """Return our environment without what would lead git elsewhere, as in a hook; it speaks English and asks nobody."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or name.startswith(_KEPT)}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("GIT_CONFIG_")}
    kept |= {"LC_ALL": "C", "LANGUAGE": "C", "GIT_OPTIONAL_LOCKS": "0"}
    if not _on_terminal():
        kept["GIT_TERMINAL_PROMPT"] = "0"
        kept.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes") if "GIT_SSH" not in kept else None
    return kept


def _environment(settings: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the environment of a git that knows these settings, and no others."""
    environment = {name: value for name, value in plain_environment().items() if not name.startswith("GIT_CONFIG_")}
    environment |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    if any(key == "core.sshcommand" for key, _ in settings) and "GIT_SSH_COMMAND" not in os.environ:
        environment.pop("GIT_SSH_COMMAND", None)
    environment["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (key, value) in enumerate(settings):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    environment.setdefault(USER, "x-access-token")
    return environment


def _settings(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what the user's git is set to, in the order in which it counts."""
    for entry in ask(folder, "config", "--list", "--null").split("\0"):
        key, _, value = entry.partition("\n")
        if key:
            yield key, value


def _author(settings: Sequence[tuple[str, str]]) -> str:
    known = dict(settings)
    name = known.get("user.name") or "reconciler"
    email = known.get("user.email") or "reconciler@noreply.invalid"
    return "{} <{}>".format(*(re.sub(r"[<>\n\0]", "", part) for part in (name, email)))


def _reaching(folder: Path, name: str, settings: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the settings that say how to reach a remote, as of one called `REMOTE`, and those of our own."""
    token = os.environ.get(TOKEN)
    urls = {"url": _url(folder, name), "pushurl": _url(folder, name, "--push")}
    found = [(key, value) for key, value in settings if _REACHES.fullmatch(key)]
    prefix = f"remote.{name}."
    of_remote = [(key.removeprefix(prefix), value) for key, value in settings if key.startswith(prefix)]
    found += [(f"remote.{REMOTE}.{key}", value) for key, value in of_remote if key in _OF_REMOTE]
    if token and (scope := _token_scope(urls["pushurl"])):
        urls = {key: _anonymous(url) for key, url in urls.items()}
        found = [(key, value) for key, value in found if not _AUTHORIZES.fullmatch(key)]
        found += [(f"credential.{scope}.helper", ""), (f"credential.{scope}.helper", _HELPER)]
    found += [(f"remote.{REMOTE}.{key}", url) for key, url in urls.items()]
    return [*found, *_OURS]


def _url(folder: Path, name: str, *which: str) -> str:
    return ask(folder, "remote", "get-url", *which, name).strip("\n")


def _token_scope(url: str) -> str | None:
    """Return the part of a URL that a token may be sent to: never in the clear, but on this machine."""
    parts = urlsplit(url)
    local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if parts.scheme == "https" or (parts.scheme == "http" and local):
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return None


def _anonymous(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
