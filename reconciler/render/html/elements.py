"""Elements of a page, in which text is text whatever it holds: the standard library's serialiser escapes it.

Pure. A page is ASCII, with references for all else, so that no encoding on its way to a file changes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from xml.etree.ElementTree import Element, tostring

from reconciler.escape import visible

Part = Element | str
# So that a page can be read, and its differences.
_LINES: Final = frozenset(
    {"head", "meta", "title", "style", "body", "header", "main", "section", "article", "h1", "h2", "h3", "p", "ul"}
    | {"ol", "li", "table", "tr", "details", "summary", "form", "label", "option"}
)


def element(tag: str, *content: Part, **attributes: str) -> Element:
    """Return an element; in an attribute's name, `_` is `-`, and stands at the end of what is a word of Python."""
    made = Element(tag, {name.rstrip("_").replace("_", "-"): visible(value) for name, value in attributes.items()})
    for part in content:
        if not isinstance(part, str):
            made.append(part)
        elif len(made):
            made[-1].tail = (made[-1].tail or "") + visible(part)
        else:
            made.text = (made.text or "") + visible(part)
    made.tail = "\n" if tag in _LINES else None
    return made


def code(text: str) -> Element:
    """Return a name or value of others; an empty one says so."""
    return element("code", text) if text else element("i", "(empty)")


def named(before: str, name: str | None, after: str = "") -> list[Part]:
    """Return a name with the words around it, nothing where there is none."""
    return [before, code(name), after] if name else []


def bulleted(items: Iterable[Part], kind: str = "") -> list[Element]:
    """Return a list, or nothing where nothing is in it."""
    listed = [element("li", item) if isinstance(item, str) or item.tag != "li" else item for item in items]
    return [element("ul", *listed, **({"class": kind} if kind else {}))] if listed else []


def source(page: Element, style: str, script: str) -> str:
    """Return a page with what it looks like and does, which are ours and stand there as they are."""
    for part, tag, text in ((page[0], "style", style), (page[1], "script", script)):
        part.append(element(tag))
        part[-1].text = text
    written: bytes = tostring(page, encoding="us-ascii", method="html")
    return written.decode()
