"""Texts and pairs with labels, from the tables of classification and regression tasks, and their rows for the records."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.log import logger, shorten
from src.tasks.classifier.data_sets import ENTAILMENT, NO_AGREEMENT, Columns, DataSet
from src.text.tables import check_widths, clean_name, match_case, read_rows
from src.text.tokenization import Tokenizer


@dataclass(frozen=True)
class Example:
    """One row; `label` is the label's name, or None if the file has none."""

    text_a: str
    text_b: str | None
    label: str | None
    line: int


def read_examples(path: Path | str, data_set: DataSet, with_labels: bool) -> list[Example]:
    """The examples of a table or of JSON lines, in the order of the file.

    Args:
        path: TSV, CSV or JSON lines, plain or .gz.
        with_labels: whether a missing label is an error and rows with `data_set.skipped_label` are skipped; otherwise labels may be
            missing, and only rows of other languages are skipped.

    Raises:
        ValueError: empty file, header without the columns, a row of another width than the first, or no row left; with file and line.
    """
    rows = read_rows(path, data_set.separators)
    columns, header = _find_columns(path, data_set, rows[0], with_labels)
    needed = 1 + max(index for index in vars(columns).values() if index is not None)
    check_widths(path, rows, needed, header, data_set.ragged)
    if header:
        rows = rows[1:]
        if not rows:
            raise ValueError(f"{path}: a header and no rows")
    if columns.language is not None:
        rows = _choose_language(path, rows, columns.language, data_set.language)
    labels = [None if columns.label is None else clean_name(fields[columns.label] or "") or None for _, fields in rows]
    skipped_label = (data_set.skipped_label or _find_no_agreement(labels)) if with_labels else None
    examples = []
    for (line, fields), label in zip(rows, labels):
        text_a, text_b = fields[columns.text_a], None if columns.text_b is None else fields[columns.text_b]
        if text_a is None or (text_b is None and columns.text_b is not None):
            raise ValueError(f"{path}:{line}: a text is missing or null")
        if with_labels and label is None:
            raise ValueError(f"{path}:{line}: empty label")
        if label is None or label != skipped_label:
            examples.append(Example(text_a, text_b, data_set.aliases.get((label or "").casefold(), label), line))
    if len(examples) < len(rows):
        logger.info(f"{path}: skipped {len(rows) - len(examples)} rows labelled {skipped_label!r}")
    if not examples:
        raise ValueError(f"{path}: all rows are labelled {skipped_label!r}")
    return examples


def _find_no_agreement(labels):
    """The label `-` if all other labels are ENTAILMENT's, else None."""
    others = {label.casefold() for label in labels if label} - {NO_AGREEMENT}
    return NO_AGREEMENT if others and others.issubset((*ENTAILMENT, "contradictory")) else None


def _find_columns(path, data_set, first_row, with_labels):
    """Columns as indices, and whether the first row is a header: JSON's keys, or a table's row that has a column's name."""
    line, fields = first_row[0] or 1, [text.strip() for text in first_row[1]]
    columns = max(data_set.named, key=lambda columns: len(set(columns.names).intersection(fields)))
    header = first_row[0] == 0 or not set(columns.names).isdisjoint(fields)
    if not header:
        columns = data_set.indexed or columns
    shown = str(fields)[:300]
    indices = {}
    for key, column in vars(columns).items():
        if isinstance(column, str):
            if fields.count(column) > 1:
                raise ValueError(f"{path}:{line}: two columns {column!r} in the header {shown}")
            if column not in fields and key in ("text_a", "text_b"):
                wanted = " or ".join(", ".join(map(repr, columns.names)) for columns in data_set.named)
                raise ValueError(f"{path}:{line}: no column {column!r}: expected a header with {wanted}, found {shown}")
            column = fields.index(column) if column in fields else None
        indices[key] = column
    if not with_labels and indices["label"] is not None and indices["label"] >= len(fields):
        indices["label"] = None
    if with_labels and indices["label"] is None:
        raise ValueError(f"{path}: " + ("columns names no label" if columns.label is None else f"no label column {columns.label!r}"))
    return Columns(**indices), header


def read_groups(path: Path | str, data_set: DataSet, column: str, examples: Iterable[Example]) -> list[str]:
    """The text of each example in a column of its table.

    Args:
        path: the file that `read_examples` read.
        column: its name in the header or among JSON's keys, or its index from 0.

    Raises:
        ValueError: no such column, or nothing in it; with file and line.
    """
    rows = read_rows(path, data_set.separators)
    header = [text.strip() if text else "" for text in rows[0][1]]
    if column in header:
        index = header.index(column)
    elif column.isdecimal() and int(column) < len(header):
        index = int(column)
    else:
        raise ValueError(f"{path}:{rows[0][0] or 1}: no column {column!r} for fold_groups; found {shorten(header)}")
    by_line = {line: fields[index] for line, fields in rows if index < len(fields)}
    for example in examples:
        if not by_line.get(example.line):
            raise ValueError(f"{path}:{example.line}: nothing in column {column!r}, which fold_groups names")
    return [by_line[example.line] or "" for example in examples]


def _choose_language(path, rows, index, language):
    """The rows whose field at `index` is this language."""
    if not (chosen := [row for row in rows if row[1][index] == language]):
        found = sorted({str(fields[index])[:20] for _, fields in rows})
        raise ValueError(f"{path}: no row of language={language}; found {shorten(map(repr, found))}")
    return chosen


def collect_labels(examples: Iterable[Example]) -> tuple[str, ...]:
    """The label names of some examples in the order of their ids: numbers by value, else alphabetically."""
    found = {example.label for example in examples if example.label is not None}
    numbers = all(label.isdecimal() and len(label) < 20 for label in found)  # int() refuses thousands of digits
    return tuple(sorted(found, key=lambda label: (int(label) if numbers else 0, label)))


def encode_examples(
    path: Path | str, examples: Sequence[Example], tokenizer: Tokenizer, labels: Sequence[str] | None, seq_length: int
) -> list[dict[str, Any]]:
    """Rows for the records.

    Args:
        path: named in errors.
        examples: list of Example.
        tokenizer: Tokenizer.
        labels: label names in id order; None for regression, where each label is a number.
        seq_length: longest row in tokens.

    Returns:
        list of dicts: input_ids, token_type_ids lists of int; label_ids int, -1 without a label; for regression float, nan without.

    Raises:
        ValueError: a label that is not in `labels`, or for regression no finite number.
    """
    if labels is None:
        label_ids = [parse_score(path, example) for example in examples]
    else:
        label_ids = _find_ids(path, examples, labels)
    first = tokenizer.encode([example.text_a for example in examples])
    second: list[list[int]] | list[None] = [None] * len(examples)
    if examples[0].text_b is not None:
        second = tokenizer.encode([example.text_b or "" for example in examples])
    rows = []
    for a, b, label_id in zip(first, second, label_ids):
        input_ids, token_type_ids = tokenizer.join(a, b, seq_length)
        rows.append({"input_ids": input_ids, "token_type_ids": token_type_ids, "label_ids": label_id})
    return rows


def encode_documents(
    path: Path | str, examples: Sequence[Example], tokenizer: Tokenizer, labels: Sequence[str] | None, seq_length: int
) -> list[dict[str, Any]]:
    """As `encode_examples`, with several rows for a longer text: windows that overlap by a quarter and together hold all its tokens.

    Returns:
        list of dicts as those of `encode_examples`, and document, the number of the example, whose rows are neighbours.

    Raises:
        ValueError: as `encode_examples`; also pairs of texts.
    """
    if examples[0].text_b is not None:
        raise ValueError(f"{path}: holds pairs of texts, and long_documents divides single texts only; --long_documents cut")
    label_ids = [parse_score(path, example) for example in examples] if labels is None else _find_ids(path, examples, labels)
    room = seq_length - 2  # beside [CLS] and [SEP]
    stride = room - room // 4
    rows = []
    for number, (tokens, label_id) in enumerate(zip(tokenizer.encode([example.text_a for example in examples]), label_ids)):
        for first in range(0, max(len(tokens) - room, 0) + stride, stride):
            input_ids, token_type_ids = tokenizer.join(tokens[first : first + room], None, seq_length)
            rows.append({"input_ids": input_ids, "token_type_ids": token_type_ids, "label_ids": label_id, "document": number})
    return rows


def _find_ids(path, examples, labels):
    """The id of each label, which may differ in case from its name in `labels`."""
    ids = {None: -1, **{label: number for number, label in enumerate(labels)}}
    known = match_case({example.label for example in examples if example.label is not None}, labels)
    names = [known.get(example.label, example.label) for example in examples]
    for example, name in zip(examples, names):
        if name not in ids:
            raise ValueError(f"{path}:{example.line}: unknown label {example.label[:80]!r}; known are {shorten(labels)}")
    if known:
        logger.info(f"{path}: labels are matched without regard to case: {shorten(f'{name} is {known[name]}' for name in sorted(known))}")
    return [ids[name] for name in names]


def parse_score(path: Path | str, example: Example) -> float:
    """The label of a regression; nan without one. A ValueError with file and line if it is no finite number."""
    if example.label is None:
        return math.nan
    try:
        score = float(example.label)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise ValueError(f"{path}:{example.line}: the score {example.label[:80]!r} is no finite number")
    return score
