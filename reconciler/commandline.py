"""Commands to suggest, as a person can paste them into a shell.

Pure. A command that left out the folder or the environment of this run would be about another state.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CommandLine:
    """How this run was called, as far as the next command must be called so too: `-C`, `--env`, `--state` and such."""

    options: tuple[str, ...] = ()

    def __call__(self, *words: str) -> str:
        """Return `reconciler`, the options in force and these words, each quoted where a shell needs it."""
        return " ".join(map(quoted, ("reconciler", *self.options, *words)))

    def within(self, environment: str | None) -> CommandLine:
        """Return it with the environment said, for another shell has not set the variable that this one may have."""
        if not environment or any(option == "--env" or option.startswith("--env=") for option in self.options):
            return self
        return CommandLine((*self.options, f"--env={environment}"))


PLAIN: Final = CommandLine()


def resolutions(address: str) -> tuple[tuple[str, ...], ...]:
    """Return the words of two commands: that an interaction's request of unknown outcome was processed, or was not."""
    return tuple(("state", "resolve", "--as", answer, *operands(address)) for answer in ("applied", "not-applied"))


def adoption(address: str) -> tuple[str, ...]:
    """Return the words of the command that takes a declared interaction as open."""
    return ("state", "adopt", *operands(address))


def quoted(word: str) -> str:
    r"""Return a word as a shell reads it: printable, with `$'\xNN'` (bash, zsh, ksh) for bytes that can't be shown."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(map(_spelled, word)) + "'"


def _spelled(character: str) -> str:
    if character in "\\'":
        return "\\" + character
    if character.isprintable():
        return character
    raw = "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass"
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", raw))


def operands(*names: str) -> tuple[str, ...]:
    """Return names as a command's last words, so that none that begins with `-` is taken for an option."""
    return ("--", *names) if any(name.startswith("-") for name in names) else names
