"""Markdown as GitHub's own renderer shows it, taken apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

import cmarkgfm  # type: ignore[import-untyped]
from cmarkgfm.cmark import Options  # type: ignore[import-untyped]


@dataclass
class Shown:
    """What a page shows: elements, links, comments, text in code and text outside of it."""

    tags: set[str] = field(default_factory=set)
    attributes: set[tuple[str, str]] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    code: list[str] = field(default_factory=list)
    prose: str = ""
    depth: int = 0


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.shown = Shown()
        self._in_code = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        shown = self.shown
        shown.tags.add(tag)
        shown.attributes |= {(tag, name) for name, _ in attrs}
        shown.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        shown.depth += tag == "details"
        if tag == "code":
            self._in_code = True
            shown.code.append("")

    def handle_endtag(self, tag: str) -> None:
        self.shown.depth -= tag == "details"
        if tag == "code":
            self._in_code = False

    def handle_data(self, data: str) -> None:
        if self._in_code:
            self.shown.code[-1] += data
        else:
            self.shown.prose += data

    def handle_comment(self, data: str) -> None:
        self.shown.comments.append(data)


def shown(markdown: str) -> Shown:
    """Return what GitHub would show: raw HTML kept, links found, so that whatever gets through is seen."""
    reader = _Reader()
    html = cmarkgfm.github_flavored_markdown_to_html(markdown, options=Options.CMARK_OPT_UNSAFE)
    reader.feed(html)
    reader.close()
    return reader.shown
