"""YAML through ruamel.yaml's round trip: comments, anchors and quotes stay; each scalar is a text as it is written.

Pure. What ruamel.yaml can't do is an error of any kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from functools import cache
from io import StringIO
from typing import Any, Final

from reconciler.yamlfile.document import Path
from reconciler.yamlfile.writing import scalar_text

_NEVER_FOLDED: Final = 1 << 30


def round_trip(text: str, change: Callable[[Any], None] | None = None) -> str | None:
    """Return the text of a document after a change to its values; None if there are none."""
    yaml = _yaml()
    value = yaml.load(text)
    if value is None:
        return None
    if change:
        change(value)
    _keep_anchors(value)
    out = StringIO()
    yaml.dump(value, out)
    return out.getvalue()


def replace_value(root: Any, path: Path, before: Any, after: Any) -> None:
    """Change the value at a path of what ruamel.yaml read from one plain value to another, and nothing else there."""
    for part in path:
        root = root[part]
    _replace_parts(root, before, after)


def append_value(root: Any, path: Path, value: Any) -> None:
    """Append a plain value to the list at a path of what ruamel.yaml read."""
    for part in path:
        root = root[part]
    root.append(_written(value))


def _replace_parts(node: Any, before: Any, after: Any) -> None:
    if isinstance(after, dict):
        for key in before.keys() - after.keys():
            del node[key]
        for key, value in after.items():
            if key not in before:
                node[key] = _written(value)
            else:
                _replace_part(node, key, before[key], value)
        return
    # From the end, so that what is still to be done stands where it stood.
    for _, one, end, other, last in reversed(SequenceMatcher(None, _names(before), _names(after)).get_opcodes()):
        paired = min(end - one, last - other)
        del node[one + paired : end]
        for value in reversed(after[other + paired : last]):
            node.insert(one + paired, _written(value))
        for index in range(paired):
            _replace_part(node, one + index, before[one + index], after[other + index])


def _replace_part(node: Any, key: Any, before: Any, after: Any) -> None:
    if before == after and type(before) is type(after):
        return
    if type(before) is type(after) and isinstance(after, dict | list):
        _replace_parts(node[key], before, after)
    else:
        node[key] = _written(after)


def _names(items: Sequence[Any]) -> list[str]:
    """Return by what each item of a list is known: all of it, but what it says of what it names."""
    said = ("value", "label", "expiryafter")
    return [
        repr({k: v for k, v in item.items() if k not in said} if isinstance(item, dict) else item) for item in items
    ]


def _written(value: Any) -> Any:
    """Return a plain value as ruamel.yaml is to write it."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq  # noqa: PLC0415 - as below
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString  # noqa: PLC0415

    if isinstance(value, dict):
        return CommentedMap({key: _written(part) for key, part in value.items()})
    if isinstance(value, list):
        return CommentedSeq([_written(part) for part in value])
    text = scalar_text(value)
    return DoubleQuotedScalarString(value) if text.startswith('"') else text


def _keep_anchors(value: Any) -> None:
    """Let anchors that no alias names be written, too."""
    if anchor := getattr(value, "anchor", None):
        anchor.always_dump = True
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        _keep_anchors(part)


def _yaml() -> Any:
    from ruamel.yaml import YAML  # noqa: PLC0415 - slow to import, and for writing only

    yaml = YAML(typ="rt", pure=True)
    yaml.Resolver = _verbatim()
    yaml.Emitter = _emitter()
    yaml.preserve_quotes = True
    yaml.width = _NEVER_FOLDED
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


@cache
def _emitter() -> type[Any]:
    """Return an emitter that breaks the line between `- {a: b}`, below a comment, and the block that follows it."""
    from ruamel.yaml.emitter import Emitter  # noqa: PLC0415 - as above

    class Mended(Emitter):
        def expect_flow_mapping(self, *arguments: Any, **named: Any) -> None:
            self.no_newline = False
            super().expect_flow_mapping(*arguments, **named)

        def expect_flow_sequence(self, *arguments: Any, **named: Any) -> None:
            self.no_newline = False
            super().expect_flow_sequence(*arguments, **named)

    return Mended


@cache
def _verbatim() -> type[Any]:
    """Return a resolver by which each plain scalar is a text as it is written, and an empty one null."""
    from ruamel.yaml.resolver import BaseResolver  # noqa: PLC0415

    class Verbatim(BaseResolver):
        processing_version = (1, 2)

        def __init__(self, version: Any = None, loader: Any = None, loadumper: Any = None) -> None:
            del version
            super().__init__(loader if loader is not None else loadumper)

        @property
        def versioned_resolver(self) -> Any:
            return self.yaml_implicit_resolvers

    Verbatim.add_implicit_resolver_base("tag:yaml.org,2002:null", re.compile("^$"), [""])
    return Verbatim
