"""How rows become interactions: a mapping, which is an interaction with columns in the place of values.

Pure. Every row becomes a document with the place of each value, as a file has, so that it is checked as files are; what
stands in the mapping itself is checked once, where it stands there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from reconciler.declarations.messages import problem_at, suggestion
from reconciler.declarations.rules import DeclarationRules
from reconciler.declarations.schema import ON_CHANGE, WHOLE, LinkedDataItem, Skill
from reconciler.declarations.validation import validate
from reconciler.errors import Complaint, Problem
from reconciler.escape import brief
from reconciler.yamlfile.document import Document, Mark, Path
from reconciler.yamlfile.scalars import resolve

_STRICT: Final = ConfigDict(strict=True, extra="forbid")
_Text = Annotated[str, Field(min_length=1)]

ColumnValue = TypedDict(
    "ColumnValue",
    {
        "column": Annotated[_Text, Field(description="The column whose cell is the value.", examples=["Phone"])],
        "as": NotRequired[
            Annotated[
                Literal["integer", "boolean", "text"],
                Field(description="What the text is read as; of JSON, a number as the text that it is written as."),
            ]
        ],
    },
)
"""A value that is a cell. An empty one leaves out the field, or what can't be without it."""
with_config(_STRICT)(ColumnValue)


@with_config(_STRICT)
class PatternValue(TypedDict):
    """A value made of cells. An empty one leaves out the field, or what can't be without it."""

    pattern: Annotated[
        _Text,
        Field(description="A text with columns in braces.", examples=["https://crm.example.com/cases/{CaseId}"]),
    ]


@with_config(_STRICT)
class ImportMapping(TypedDict):
    """How the rows of a table become interactions."""

    file: NotRequired[
        Annotated[
            _Text,
            Field(
                description="The file below interactions/, with columns in braces: one for each of their values."
                " Default: the table's own name.",
                examples=["crm.yaml", "teams/{Team}.yaml"],
            ),
        ]
    ]
    separator: NotRequired[
        Annotated[Literal[",", ";", "\t", "|"], Field(description="What stands between the cells of a CSV.")]
    ]
    interaction: Annotated[
        dict[str, Any],
        Field(
            description="An interaction, as it is declared; instead of a value may stand `{column: NAME}`, also with"
            " `as: integer` or `as: boolean`, or `{pattern: TEXT}`, whose columns stand in braces.",
        ),
    ]


ADAPTER: Final = TypeAdapter(ImportMapping)
CELLS: Final[Mapping[str, TypeAdapter[Any]]] = {
    "column": TypeAdapter(ColumnValue),
    "pattern": TypeAdapter(PatternValue),
}
SEPARATOR: Final = ","
_NEEDED: Final[Mapping[str | int, frozenset[str]]] = {
    "linkeddata": LinkedDataItem.__required_keys__,
    "skills": Skill.__required_keys__,
    **{around[-1]: frozenset({name}) for around, name in WHOLE if around},
}
"""What a map, by its own name or that of its list, is left out without."""
_WANTED: Final = frozenset({*ON_CHANGE, *(name for around, name in WHOLE if not around)})
"""What an interaction can't be without: where such a cell is empty, the interaction stands there."""
_columns_in: Final = re.compile(r"\{([^{}]+)\}").split
_NAME: Final = re.compile(r"\w[\w .@+-]*").fullmatch
_ABSENT: Final = object()


class Row(NamedTuple):
    """A row of a table: its number, from 1; and of each column that the mapping names, in order, what the cell holds.

    `columns` are where the cells stand, from 0; `texts` how values are written that are no strings.
    """

    number: int
    values: Sequence[Any]
    columns: Sequence[int]
    texts: Sequence[str | None]


class RowMark(NamedTuple):
    """The place of a cell: `line` is its row, `column` its column, from 0."""

    line: int
    column: int


class _Cells(NamedTuple):
    """A value that is made of cells: texts and, at each odd place, the number of a column."""

    parts: tuple[str | int, ...]
    kind: str = ""


class MappingRefused(Exception):
    """The mapping can't be used; `problems` are all of it."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("the mapping can't be used")
        self.problems = problems


class RowMapping:
    """Makes documents of rows; raises MappingRefused where it can't of any row."""

    def __init__(self, document: Document, name: str, rules: DeclarationRules) -> None:
        self.columns: list[str] = []
        """The columns that are used, in the order in which rows are to have them."""
        self.separator, self.file, self.warnings = SEPARATOR, _Cells(("",)), list[Problem]()
        if problems := _shape_problems(document, name):
            raise MappingRefused(problems)
        value = document.value
        self.separator = value.get("separator", SEPARATOR)
        self._shape = self._compiled(value["interaction"], "")
        self.file = self._pattern(value.get("file", ""))
        problems = [*_file_problems(document, name), *_mold_problems(document, name, rules)]
        self.warnings = [problem for problem in problems if problem.warning]
        if len(problems) > len(self.warnings):
            raise MappingRefused(problems)

    def document(self, row: Row) -> Document:
        """Return the row as a document with one interaction."""
        start = RowMark(row.number - 1, 0)
        document = Document(None, start)
        item, _ = self._built(self._shape, row, document)
        item = {} if item is _ABSENT else item
        items = [item]
        document.value = {"interactions": items}
        lacking = (part for name, part in self._shape[0].items() if name in _WANTED and name not in item)
        spot = next((_cell(part, row, document)[1] for part in lacking if isinstance(part, _Cells)), start)
        document.marks |= {id(document.value): [start] * 3, id(items): [start, spot]}
        document.marks.setdefault(id(item), [spot])
        return document

    def file_of(self, row: Row, name: str) -> str | Problem:
        """Return the file that the row belongs to, empty if the mapping doesn't say; `name` is that of the table."""
        for part in self.file.parts[1::2]:
            value = _text(row, int(part))
            if not isinstance(value, str) or not _NAME(value):
                message = f"{brief(self.columns[int(part)])} can't be part of a file's name"
                hint = "letters, digits, spaces and . @ + - _ can be, and it starts with a letter or digit"
                return Problem(name, row.number, row.columns[int(part)] + 1, "file-name", message, hint)
        return "".join(part if isinstance(part, str) else _text(row, part) for part in self.file.parts)

    def _compiled(self, value: Any, name: str | int) -> Any:
        if isinstance(value, dict):
            if "column" in value:
                return _Cells(("", self._number(value["column"]), ""), value.get("as", ""))
            if "pattern" in value:
                return self._pattern(value["pattern"])
            return {key: self._compiled(part, key) for key, part in value.items()}, _NEEDED.get(name, frozenset())
        return [self._compiled(part, name) for part in value] if isinstance(value, list) else value

    def _pattern(self, text: str) -> _Cells:
        parts = (self._number(part) if at % 2 else part for at, part in enumerate(_columns_in(text)))
        return _Cells(tuple(parts), "text")

    def _number(self, column: str) -> int:
        if column not in self.columns:
            self.columns.append(column)
        return self.columns.index(column)

    def _built(self, shape: Any, row: Row, document: Document) -> tuple[Any, Mark]:
        """Return the value that a row has for a part of the mapping, if any, and its place."""
        if isinstance(shape, _Cells):
            return _cell(shape, row, document)
        mark = document.start
        built: Any
        if isinstance(shape, list):
            parts = [self._built(part, row, document) for part in shape]
            built = [part for part, _ in parts if part is not _ABSENT]
            document.marks[id(built)] = [mark, *(where for part, where in parts if part is not _ABSENT)]
            return (built if built or not shape else _ABSENT), mark
        if not isinstance(shape, tuple):
            document.has_null |= shape is None
            return shape, mark
        fields, needed = shape
        built, marks = {}, [mark]
        for key, part in fields.items():
            value, where = self._built(part, row, document)
            if value is not _ABSENT:
                built[key] = value
                marks += where, where
            elif key in needed:
                return _ABSENT, mark
        document.marks[id(built)] = marks
        return (built if built or not fields else _ABSENT), mark


def _cell(shape: _Cells, row: Row, document: Document) -> tuple[Any, Mark]:
    numbers = [part for part in shape.parts if isinstance(part, int)]
    if not numbers:
        return shape.parts[0], document.start
    mark = RowMark(row.number - 1, row.columns[numbers[0]])
    values = {number: _text(row, number) if shape.kind == "text" else row.values[number] for number in numbers}
    if "" in values.values():
        return _ABSENT, mark
    odd = next((number for number, value in values.items() if not isinstance(value, str)), None)
    if odd is not None:  # of JSON: told of as in a file, unless it is meant so
        if (text := row.texts[odd]) is not None:
            document.texts[id(mark)] = text
        return values[odd], mark
    return _read("".join(part if isinstance(part, str) else values[part] for part in shape.parts), shape.kind), mark


def _text(row: Row, number: int) -> Any:
    """Return a cell as text, as it is written; what is no scalar, as it is."""
    return row.values[number] if row.texts[number] is None else row.texts[number]


def _read(text: str, kind: str) -> Any:
    """Return the text as the kind of value that it is to be; as it is where it is none, for the checks to tell of."""
    wanted = {"integer": int, "boolean": bool}.get(kind)
    value = resolve(text) if wanted and len(text) < 20 else text  # noqa: PLR2004  # longer than any that may stand
    return value if type(value) is wanted else text


# -- what is wrong with the mapping itself -------------------------------------------------------------------------


def _shape_problems(document: Document, name: str) -> list[Problem]:
    if not isinstance(document.value, dict):
        return [problem_at(document, name, (), ("not-a-mapping", "the mapping must be a map", ""))]
    found = [*_errors(ADAPTER, document.value, ())]
    if not found and document.value["interaction"].keys() & CELLS.keys():
        found = [("dict_type", ("interaction",), "")]
    if not found:
        found = [
            error
            for path in _cell_paths(document.value["interaction"], ("interaction",))
            for error in _errors(
                CELLS["column" if "column" in document.at(path) else "pattern"], document.at(path), path
            )
        ]
    return [
        problem_at(document, name, path, _complaint(kind, path, said), key=kind == "extra_forbidden")
        for kind, path, said in found
    ]


def _errors(adapter: TypeAdapter[Any], value: Any, at: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield pydantic's errors: the kind, where it is, and what is expected there."""
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            yield detail["type"], (*at, *detail["loc"]), detail.get("ctx", {}).get("expected", "a text")


def _complaint(kind: str, path: Path, expected: str) -> Complaint:
    field, around = brief(str(path[-1])), ".".join(map(str, path[:-1])) or "the mapping"
    if kind == "missing":
        return "missing-field", f"{around} has no '{field}'", ""
    if kind == "extra_forbidden":
        known = [*(ImportMapping.__annotations__ if len(path) == 1 else ("column", "as", "pattern"))]
        close = suggestion(field, known)
        hint = f"did you mean '{close}'?" if close else f"known fields: {', '.join(known)}"
        return "unknown-field", f"unknown field '{field}' in {around}", hint
    if kind == "dict_type":
        expected = "a map of fields"
    return "wrong-value", f"{'.'.join(map(str, path))} must be {expected}", ""


def _cell_paths(value: Any, path: Path) -> Iterator[Path]:
    if isinstance(value, dict) and value.keys() & CELLS.keys():
        yield path
    elif isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _cell_paths(part, (*path, key))


def _file_problems(document: Document, name: str) -> Iterator[Problem]:
    """Yield what no column could mend about the name of the file."""
    if (pattern := document.value.get("file")) is None:
        return
    parts = "".join("x" if at % 2 else part for at, part in enumerate(_columns_in(pattern))).split("/")
    if not all(map(_NAME, parts)) or not parts[-1].endswith((".yaml", ".yml")):
        message = "file must be a path below interactions/ that ends in .yaml"
        yield problem_at(document, name, ("file",), ("file-name", message, ""))


def _mold_problems(document: Document, name: str, rules: DeclarationRules) -> list[Problem]:
    """Return what is wrong with all but the cells: an interaction is checked that has their names in their place."""
    mold = Document(None, document.start, document.marks, document.texts, document.has_null)
    cells = set[tuple[int, int]]()
    item = _molded(document.value["interaction"], document, cells)
    items, mark = [item], document.mark(("interaction",))
    mold.value = {"interactions": items}
    mold.marks |= {id(mold.value): [mark] * 3, id(items): [mark] * 2}
    found = validate(mold, name, rules).problems
    return sorted({problem for problem in found if (problem.line - 1, problem.column - 1) not in cells})


def _molded(value: Any, document: Document, cells: set[tuple[int, int]]) -> Any:
    """Return a copy of a value with the cells' names in their place; `cells` takes where they stand."""
    built: Any
    marks = document.marks.get(id(value))
    if isinstance(value, dict) and value.keys() & CELLS.keys() and marks:
        cells.add((marks[0].line, marks[0].column))
        kinds = {"integer": 0, "boolean": True}
        return kinds.get(value.get("as", ""), value.get("pattern") or f"{{{value.get('column')}}}")
    if not isinstance(value, dict | list) or not marks:
        return value
    if isinstance(value, dict):
        built = {key: _molded(part, document, cells) for key, part in value.items()}
    else:
        built = [_molded(part, document, cells) for part in value]
    document.marks[id(built)] = marks
    return built
