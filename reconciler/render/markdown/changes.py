"""The groups of a plan as sections of Markdown, each as fully as there is room for.

Pure: returns strings, for fit.py to choose from.
"""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.commandline import CommandLine, resolutions
from reconciler.escape import brief
from reconciler.planning.plan import Action, Change
from reconciler.render import fit
from reconciler.render.fit import Item
from reconciler.render.links import SourceLinks
from reconciler.render.markdown.gfm import code, difference, indented, prose
from reconciler.render.outline import Field, Group, Outline, Section, Shape, file_of
from reconciler.render.text import columns

_WIDEST_NAME = 24
_FEW = 5
_LONGEST_NAMES = 6_000


def change_sections(made: Outline, links: SourceLinks | None, command: CommandLine) -> Iterator[fit.Section]:
    """Yield a section for each kind of change but records; dispatches collapsed."""
    for section in made.sections:
        head = f"{section.number} {section.title}"
        items = [_item(group, links, command) for group in _apart(section)]
        if section.action is Action.DISPATCH:
            yield fit.Section(f"<details>\n<summary><b>{head}</b></summary>", items, "</details>")
        elif section.action is not Action.RECORD:
            yield fit.Section(f"### {head}" + (f"\n\n{section.note}" if section.note else ""), items)


def _apart(section: Section) -> Iterator[Group]:
    """Yield the groups; what is held one by one, for each is looked up for itself."""
    for group in section.groups:
        alike = [(change,) for change in group.changes] if section.action is Action.HOLD else [group.changes]
        yield from (group._replace(changes=changes) for changes in alike)


def named(group: Group) -> bool:
    """Whether there is room for each address of a group."""
    return sum(len(change.address) + 4 for change in group.changes) <= _LONGEST_NAMES


def _item(group: Group, links: SourceLinks | None, command: CommandLine) -> Item:
    shape, changes = group.shape, group.changes
    number = f"{len(changes)} × " if len(changes) > 1 else ""
    short = number + " … ".join(code(brief(change.address)) for change in (changes[0], *changes[1:][-1:]))
    every, few = ", ".join(code(change.address) for change in changes), len(changes) <= _FEW
    facts = [_where(group, shape.provider, links), *(prose(note) for note in (shape.attempt, *shape.notes) if note)]
    facts += [f"renamed {code(changes[0].renamed)}" if len(changes) == 1 else "renamed"] if shape.renamed else []
    full = " · ".join([number + every if few and named(group) else short, *filter(None, facts)])
    if shape.action is Action.DISPATCH and shape.new and shape.fields and not shape.steps:
        full += f"\\\n  {', '.join(map(_value, shape.fields))}"
    else:
        full += "".join(_details(group, shape, command))
    folded = f"\n  <details><summary>All {len(changes)}</summary>\n\n  {every}\n\n  </details>"
    return Item(full if few or not named(group) else full + folded, short)


def _where(group: Group, provider: str, links: SourceLinks | None) -> str:
    """Return the files of a group; of one change the line too, with where to look at it."""
    first = group.changes[0]
    files = sorted({file_of(change) for change in group.changes} - {""})
    named = ", ".join(map(code, files[:_FEW])) + (f" and {len(files) - _FEW} more" if len(files) > _FEW else "")
    line = f" {_line(first, links)}" if len(group.changes) == 1 and first.after and first.after.line else ""
    was = "was " if files and not first.after else ""
    return f"{was}{named}{line}" + (f" (provider {code(provider)})" if provider else "")


def _line(change: Change, links: SourceLinks | None) -> str:
    side = change.after
    if side is None:
        return ""
    url = links.line(side.source, side.line) if links else None
    return f"[line {side.line}]({url})" if url else f"line {side.line}"


def _details(group: Group, shape: Shape, command: CommandLine) -> Iterator[str]:
    yield from (f"\n  {number}. {step}" for number, step in enumerate(shape.steps, start=1))
    if shape.action is Action.HOLD:
        applied, not_applied = (code(command(*words)) for words in resolutions(group.changes[0].address))
        yield f"\\\n  Look it up, then {applied} or {not_applied}"
    if shape.fields:
        yield "\n" + indented(difference(_differences(shape.fields)))


def _value(field: Field) -> str:
    """Return a field of what is dispatched anew."""
    return f"{prose(field.name)} {field.note or code(field.after or '')}"


def _differences(fields: tuple[Field, ...]) -> Iterator[tuple[str, str]]:
    """Yield the lines of a difference, each with its mark."""
    width = min(_WIDEST_NAME, max(columns(field.name) for field in fields))
    for field in fields:
        lead = field.name + " " * (width - columns(field.name) + 1)
        if field.note:
            yield field.mark or "#", lead + field.note
        if field.before is not None:
            yield "-", lead + field.before
        if field.after is not None:
            yield "+", lead + field.after
