"""What the workflows use of GitHub's expressions: `${{ }}` in values, and conditions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_TOKEN: Final = re.compile(r"\s*(&&|\|\||==|!=|!|\(\)|\(|\)|'[^']*'|[a-z_][a-zA-Z0-9_.-]*)")
_SLOT: Final = re.compile(r"\$\{\{(.*?)\}\}")


def filled(text: str, contexts: Mapping[str, Any]) -> str:
    """Return a value with its `${{ }}` filled in; nothing is known of a missing one, so it is empty."""
    return _SLOT.sub(lambda slot: _shown(Expression(slot[1], contexts).value()), text)


def holds(condition: str | None, contexts: Mapping[str, Any]) -> bool:
    """Whether an `if:` holds. One that names no status function means `success() && …`."""
    text = condition or "success()"
    if slot := _SLOT.fullmatch(text.strip()):
        text = slot[1]
    own = re.search(r"\b(success|failure|always|cancelled)\(\)", text) is not None
    return bool(Expression(text if own else f"success() && ({text})", contexts).value())


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


class Expression:
    """One expression; contexts map names to nested maps, status functions to callables."""

    def __init__(self, text: str, contexts: Mapping[str, Any]) -> None:
        self._tokens = _TOKEN.findall(text)
        assert "".join(self._tokens) == re.sub(r"\s(?=(?:[^']*'[^']*')*[^']*$)", "", text), text
        self._contexts = contexts

    def value(self) -> Any:
        """Return what it comes to."""
        value = self._either()
        assert not self._tokens, self._tokens
        return value

    def _next(self, *wanted: str) -> str | None:
        return self._tokens.pop(0) if self._tokens and self._tokens[0] in wanted else None

    def _either(self) -> Any:
        value = self._both()
        while self._next("||"):
            other = self._both()
            value = value or other
        return value

    def _both(self) -> Any:
        value = self._compared()
        while self._next("&&"):
            other = self._compared()
            value = value and other
        return value

    def _compared(self) -> Any:
        value = self._single()
        if operator := self._next("==", "!="):
            return (value == self._single()) is (operator == "==")
        return value

    def _single(self) -> Any:
        if self._next("!"):
            return not self._single()
        if self._next("("):
            value = self._either()
            assert self._next(")")
            return value
        token = self._tokens.pop(0)
        if token.startswith("'"):
            return token[1:-1]
        if self._next("()"):
            function: Callable[[], bool] = self._contexts[token]
            return function()
        root, *names = token.split(".")
        value = self._contexts[root]
        for name in names:
            value = (value or {}).get(name)
        return value
