"""Groups of rows that must be in one fold, by a column of their table."""

from itertools import chain
from pathlib import Path

from src.log import shorten
from src.tasks.classifier.data_sets import DataSet
from src.tasks.classifier.examples import Examples
from src.text.tables import iterate_rows


def read_groups(path: Path | str, data_set: DataSet, column: str, examples: Examples, encoding: str | None = None) -> list[str]:
    """The text of each example in a column of its table.

    Args:
        path: the file that `read_examples` read.
        column: its name in the header or among JSON's keys, or its index from 0.
        encoding: see `read_text`.

    Raises:
        ValueError: no such column, or nothing in it; with file and line.
    """
    rows = iterate_rows(path, data_set.separators, encoding)
    first_line, first = next(rows)
    header = [text.strip() if text else "" for text in first]
    if column in header:
        index = header.index(column)
    elif column.isdecimal() and int(column) < len(header):
        index = int(column)
    else:
        raise ValueError(f"{path}:{first_line or 1}: no column {column!r} for fold_groups; found {shorten(header)}")
    by_line = {line: fields[index] for line, fields in chain([(first_line, first)], rows) if index < len(fields)}
    for line in examples.lines:
        if not by_line.get(line):
            raise ValueError(f"{path}:{line}: nothing in column {column!r}, which fold_groups names")
    return [by_line[line] or "" for line in examples.lines]
