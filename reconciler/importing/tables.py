"""Tables to rows: CSV as RFC 4180 has it, and a JSON object a line.

Pure. Rows come one by one, and so do problems, in the order of the file. A cell may hold what a declaration may hold as
such: UTF-8, and of control characters tabs and line breaks only.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from reconciler.declarations.messages import suggestion
from reconciler.errors import Problem
from reconciler.escape import brief
from reconciler.importing.mapping import SEPARATOR, Row
from reconciler.yamlfile.encoding import control_name
from reconciler.yamlfile.reader import parse

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_foreign: Final = re.compile("[\udc80-\udcff]").search
_SAVE: Final = "save the table as UTF-8"


def csv_rows(
    lines: Iterable[bytes], name: str, columns: Sequence[str], separator: str = SEPARATOR
) -> Iterator[Row | Problem]:
    """Yield the rows below the header. A byte order mark, as Excel writes it, is no part of the text."""
    reader = csv.reader(_decoded(lines), delimiter=separator, strict=True)
    number = 0
    try:
        for number, cells in enumerate(reader, 1):
            if number == 1:
                header = cells
                problems = [*_odd_cells(cells, number, name), *_header_problems(header, name, columns, separator)]
                yield from problems
                if problems:
                    return
                places = [header.index(column) for column in columns]
                texts: list[str | None] = [None] * len(columns)
            elif len(cells) == len(header):
                if not "".join(cells).isprintable() and (problems := [*_odd_cells(cells, number, name)]):
                    yield from problems
                else:
                    yield Row(number, [cells[place] for place in places], places, texts)
            elif cells:
                message = f"the row has {len(cells)} cells, the header {len(header)}"
                hint = "write a cell that holds a separator in double quotes"
                yield Problem(name, number, min(len(cells), len(header)) + 1, "csv-syntax", message, hint)
    except csv.Error as error:
        yield Problem(name, number + 1, 1, "csv-syntax", f"this is not CSV: {error}", "the rest is not read")
    if not number:
        yield Problem(name, 0, 0, "column", "there is no header", "")


def json_rows(lines: Iterable[bytes], name: str, columns: Sequence[str]) -> Iterator[Row | Problem]:
    """Yield the objects; a column is a key, null and a key that isn't there are an empty cell."""
    seen, number = set[str](), 0
    for number, line in enumerate(lines, 1):
        parsed = parse(line, name, json=True)
        yield from (replace(problem, line=number) for problem in parsed.problems)
        for document in () if parsed.problems else parsed.documents:
            value = document.value
            if not isinstance(value, dict):
                yield Problem(name, number, 1, "not-a-mapping", "a line must be an object", "")
                continue
            seen |= value.keys() & set(columns)
            marks = [document.mark((column,)) for column in columns]
            values = [value.get(column) for column in columns]
            texts = [document.texts.get(id(mark)) for mark in marks]
            cells = ["" if each is None else each for each in values]
            yield Row(number, cells, [mark.column for mark in marks], texts)
    for column in columns:
        if number and column not in seen:
            yield Problem(name, 0, 0, "column", f"no line has '{brief(column)}'", "")


def _decoded(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines):
        text = line.removeprefix(_BYTE_ORDER_MARK) if not number else line
        yield text.decode("utf-8", "surrogateescape")


def _odd_cells(cells: Sequence[str], number: int, name: str) -> Iterator[Problem]:
    """Yield a problem for each cell that holds what isn't text."""
    for column, cell in enumerate(cells, 1):
        if cell.isprintable():
            continue
        if found := _foreign(cell):
            byte = ord(found[0]) - 0xDC00
            yield Problem(name, number, column, "encoding", f"the byte 0x{byte:02x} is not UTF-8", _SAVE)
        elif control := control_name(cell):
            yield Problem(name, number, column, "control-character", f"the cell holds {control}", "remove it")


def _header_problems(header: Sequence[str], name: str, columns: Sequence[str], separator: str) -> Iterator[Problem]:
    for column, cell in enumerate(header):
        if cell in header[:column] and cell in columns:
            yield Problem(name, 1, column + 1, "column", f"two columns are named '{brief(cell)}'", "rename one of them")
    missing = [column for column in columns if column not in header]
    other = next((each for each in ";\t|," if each in header[0]), None) if len(header) == 1 else None
    for wanted in missing:
        close = suggestion(wanted, header)  # no other cell is shown: where the header is missing, it is data
        hint = f"did you mean '{brief(close)}'?" if close else "the first row must be the header"
        if other and other != separator:
            hint = f"if cells are separated by {other!r}, say so in the mapping: separator: {other!r}"
        yield Problem(name, 1, 1, "column", f"there is no column '{brief(wanted)}'", hint)
