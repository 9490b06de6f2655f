"""Groups of rows that must be in one fold, by a column of their table."""

from collections import Counter
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
        ValueError: no such column, nothing in it, or rows in one line of which some are left out; with file and line.
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
    by_line: dict[int, list[str]] = {}  # the objects of a JSON array may share a line
    for line, fields in chain([(first_line, first)], rows):
        by_line.setdefault(line, []).append((fields[index] if index < len(fields) else None) or "")
    groups: list[str] = []
    for line, count in Counter(examples.lines).items():  # the rows of a line are neighbours
        if len(by_line[line]) != count:
            told = f"{len(by_line[line])} rows in one line, some of which are left out"
            raise ValueError(f"{path}:{line}: {told}; fold_groups needs a line for each row")
        if "" in by_line[line]:
            raise ValueError(f"{path}:{line}: nothing in column {column!r}, which fold_groups names")
        groups += by_line[line]
    return groups
