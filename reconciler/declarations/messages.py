"""What pydantic found wrong with a document's shape, in our words: place, stable code, message, hint.

Pure. A sensitive value is never shown: neither in a message nor, unmasked, in a hint.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final

from reconciler.declarations.json_schema import choices, home, known_fields
from reconciler.declarations.schema import LINKEDDATA_TYPES, ON_CHANGE
from reconciler.errors import Complaint, Problem, ProblemCode
from reconciler.escape import brief, visible
from reconciler.interaction import ONCE_PREFIX
from reconciler.yamlfile.document import Document, Path
from reconciler.yamlfile.scalars import describe, resolve

_EXPECTED: Final = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
}
_RANGE: Final = "must be from 0 to 2147483647"
_SAID: Final[dict[str, tuple[ProblemCode, str]]] = {
    "string_too_short": ("empty", "is empty"),
    "greater_than_equal": ("out-of-range", _RANGE),
    "less_than_equal": ("out-of-range", _RANGE),
    "date": ("date", "must be a day such as 2027-01-31"),
    "string_unicode": ("surrogate", "holds half a surrogate pair, which is no character"),
}
_INTERACTION: Final = ("interactions", 0)
_BOOLEANS: Final = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
"""What YAML 1.1 read as a boolean, besides the words themselves."""
_SHOWN: Final = 40


def translated(
    document: Document, name: str, sensitive: frozenset[str], found: Iterable[tuple[str, Path]]
) -> list[Problem]:
    """Return a problem for each of pydantic's errors, given as its type and where it is."""
    translator = _Translator(document, name, sensitive)
    return [problem for kind, path in found if (problem := translator.problem(kind, path)) is not None]


def where(document: Document, path: Path) -> str:
    """Return a path as the messages name it: `linkeddata[1].value of 'ObjectId_001'`."""
    if path[:1] != ("interactions",) or len(path) < len(_INTERACTION):
        return _joined(path) or "the document"
    own, item = path[len(_INTERACTION) :], document.at(path[: len(_INTERACTION)])
    names = [name for name in ON_CHANGE if isinstance(item, dict) and isinstance(item.get(name), str) and item[name]]
    if not names:
        return f"{_joined(own)} of {_joined(path[: len(_INTERACTION)])}" if own else _joined(path)
    if own == (names[0],):
        return names[0]
    name = f"'{brief((ONCE_PREFIX if names[0] == 'once' else '') + item[names[0]])}'"
    return f"{_joined(own)} of {name}" if own else f"interaction {name}"


def _joined(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{visible(part)}" for part in path).lstrip(".")


def problem_at(document: Document, name: str, path: Path, text: Complaint, *, key: bool = False) -> Problem:
    """Return a problem at the value (or key) at `path`; `text` is its code, message and hint."""
    mark = document.mark(path, key=key)
    return Problem(name, mark.line + 1, mark.column + 1, *text)


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant."""
    # Long words are compared slowly, and are no typing mistakes.
    matches = get_close_matches(word.lower(), known, n=1, cutoff=0.7) if len(word) <= _SHOWN else []
    return matches[0] if matches else None


class _Translator:
    """Translates the errors of one document."""

    def __init__(self, document: Document, name: str, sensitive: frozenset[str]) -> None:
        self._document, self._name, self._sensitive = document, name, sensitive

    def problem(self, kind: str, path: Path) -> Problem | None:
        if kind == "missing":
            text = self._missing(path)
        elif kind == "extra_forbidden":
            text = self._extra(path)
        else:
            text = self._wrong(kind, path)
        return problem_at(self._document, self._name, path, text, key=kind == "extra_forbidden") if text else None

    def _where(self, path: Path) -> str:
        return where(self._document, path)

    def _missing(self, path: Path) -> Complaint | None:
        if path != ("interactions",):
            return ("missing-field", f"{self._where(path[:-1])} has no '{path[-1]}'", "")
        document = self._document.value
        if "requests" in document:
            return None  # an API body: reported as such
        hint = "write `interactions: []` if there are none"
        if document.keys() & set(known_fields(_INTERACTION)) - set(known_fields(())):
            hint = "put each interaction into the list `interactions:`"
        return ("missing-field", "the document has no 'interactions'", hint)

    def _extra(self, path: Path) -> Complaint:
        field, container = str(path[-1]), path[:-1]
        if field in _REFUSED and _is_interaction(container):
            return _REFUSED[field]
        if field in ON_CHANGE and container == ("defaults",):
            hint = "an identity is one interaction's own: move it there"
            return ("identity-in-defaults", f"'{field}' can't stand in defaults", hint)
        if field == "requests" and not container:
            return _API_BODY
        close = suggestion(field, known_fields(container))
        # In a sensitive item an unknown field may be its value, slipped: it isn't shown.
        named = close is not None or not self._is_sensitive(path)
        message = (
            f"unknown field '{brief(field)}'" if named else "unknown field (not shown: it may be a sensitive value)"
        )
        return ("unknown-field", f"{message} in {self._where(container)}", _field_hint(field, container, close))

    def _wrong(self, kind: str, path: Path) -> Complaint:
        value, subject = self._document.at(path), self._where(path)
        if kind in _SAID:
            code, said = _SAID[kind]
            return (code, f"{subject} {said}", "")
        if kind in {"literal_error", "enum"}:
            return self._choice(path, value)
        expected = _EXPECTED.get(kind, "something else")
        message = f"{subject} must be {expected}, this is {describe(value)}"
        if expected == "a string" and (text := self._document.text(path)):
            return ("unquoted", message, f"write it in quotes: {self._quoted(path, text)}")
        return ("wrong-type", message, _type_hint(expected, value))

    def _choice(self, path: Path, value: Any) -> Complaint:
        known = choices(path)
        message = f"{self._where(path)} must be {', '.join(known[:-1])} or {known[-1]}"
        if not isinstance(value, str):
            return ("wrong-type", f"{message}, this is {describe(value)}", "")
        close = suggestion(value, known)
        return ("unknown-value", message, f"did you mean '{close}'?" if close else "")

    def _quoted(self, path: Path, text: str) -> str:
        if path[-1] in {"value", "type"} and self._is_sensitive(path):
            return f'"{masked(text)}"'
        return f'"{text}"' if len(text) <= _SHOWN else f'"{text[:_SHOWN]}…"'

    def _is_sensitive(self, path: Path) -> bool:
        """Whether the path is in a `linkeddata` item whose value is sensitive, or may be for all that can be told."""
        if "linkeddata" not in path[:-1]:
            return False
        item = self._document.at(path[: path.index("linkeddata") + 2])
        if not isinstance(item, dict) or not isinstance(item.get("type"), str):
            return True
        return _may_be_sensitive(item["type"], self._sensitive)


def masked(text: str) -> str:
    """Return the first two characters, and a dot for each further one."""
    return text[:2] + "•" * min(len(text) - 2, _SHOWN)


def _may_be_sensitive(kind: str, sensitive: frozenset[str]) -> bool:
    # The item is wrong somewhere, so its key may be too: one sensitive key makes the type sensitive here.
    return kind not in LINKEDDATA_TYPES or kind in sensitive or any(name.startswith(f"{kind}:") for name in sensitive)


def _is_interaction(path: Path) -> bool:
    """Whether an interaction, or what is merged under one, stands at the path."""
    return path == ("defaults",) or (len(path) == len(_INTERACTION) and path[0] == "interactions")


def _field_hint(field: str, container: Path, close: str | None) -> str:
    if close:
        return f"did you mean '{close}'?"
    if _is_interaction(container) and (belongs := home(field)):
        return f"it belongs under `{belongs}`"
    if field in known_fields(_INTERACTION):
        return (
            "it belongs to the interaction itself" if container else "it belongs to an interaction, or under `defaults`"
        )
    return f"known fields: {', '.join(known_fields(container))}"


def _type_hint(expected: str, value: object) -> str:
    if expected == "true or false" and isinstance(value, str) and value.lower() in _BOOLEANS:
        return f"write `{_BOOLEANS[value.lower()]}`: in YAML 1.2, {value} is a text"
    if expected == "a list" and isinstance(value, dict):
        return "start each item with `- `"
    right = {"an integer": int, "true or false": bool}.get(expected)
    if isinstance(value, str) and len(value) <= _SHOWN and type(resolve(value)) is right:
        return "write it without quotes"
    return ""


_REFUSED: Final[dict[str, Complaint]] = {
    "action": (
        "action",
        "'action' is not declared: an interaction that is declared is dispatched",
        "remove this line; to release an interaction, remove its declaration",
    ),
    "requestid": (
        "requestid",
        "'requestid' is not declared: each request gets its own when it is sent",
        "remove this line; `externalid` is what identifies the interaction",
    ),
}
_API_BODY: Final[Complaint] = (
    "api-body",
    "this is a request body of the API, not a declaration",
    "rename `requests` to `interactions`, and remove each `action` and `requestid`",
)
