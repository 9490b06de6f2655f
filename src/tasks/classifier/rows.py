"""Texts and pairs with labels, from the tables of classification and regression tasks, and their rows for the records."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from src.log import logger, shorten
from src.tasks.classifier import label_lists
from src.tasks.classifier.data_sets import ENTAILMENT, NO_AGREEMENT, Columns, DataSet
from src.tasks.classifier.examples import Examples
from src.tasks.classifier.label_ids import find_ids, parse_score
from src.text.columns import TextColumn
from src.text.tables import check_widths, clean_name, iterate_rows
from src.text.tokenization import Tokenizer

CHUNK = 1000  # texts tokenised at once; the tokenizer needs far more memory for each than a row does


def read_examples(
    path: Path | str,
    data_set: DataSet,
    with_labels: bool,
    encoding: str | None = None,
    find_header: Callable[[], list[str] | None] | None = None,
) -> Examples:
    """The examples of a table or of JSON, in the order of the file.

    Args:
        path: in any form of `read_rows`.
        with_labels: whether a missing label is an error and rows with `data_set.skipped_label` are skipped; otherwise labels may be
            missing, and only rows of other languages are skipped.
        encoding: see `read_text`.
        find_header: the names of the columns, for a table that needs them and lacks them; None where nothing says them.

    Raises:
        ValueError: empty file, header without the columns, a row of another width than the first, or no row left; with file and line.
    """
    rows = iterate_rows(path, data_set.separators, encoding)
    first = next(rows)
    columns, header, label_names = _find_columns(path, data_set, first, with_labels, find_header)
    id_column = first[1].index("id") if header and "id" in first[1] else None
    needed = 1 + max(index for index in columns.listed if isinstance(index, int))
    rows = chain([first], rows)
    if data_set.leaves_short:
        rows = _leave_short(path, rows, needed)
    rows = check_widths(path, rows, needed, header, data_set.ragged)
    if header:
        next(rows)
    if columns.language is not None:
        rows = _choose_language(path, rows, columns.language, data_set.language)
    examples = _collect(path, rows, columns, data_set, id_column, with_labels, label_names)
    if not examples:
        raise ValueError(f"{path}: a header and no rows")
    skipped_label = (data_set.skipped_label or _find_no_agreement(set(examples.labels))) if with_labels else None
    if skipped_label and skipped_label in examples.labels:
        num_rows = len(examples)
        examples = examples.leave_out(skipped_label)
        logger.info(f"{path}: skipped {num_rows - len(examples)} rows labelled {skipped_label!r}")
    if not examples:
        raise ValueError(f"{path}: all rows are labelled {skipped_label!r}")
    return examples


def _collect(path, rows, columns, data_set, id_column, with_labels, label_names):
    """The Examples of some rows, whose columns are given as indices."""
    reader = None
    if with_labels and data_set.label_separator is not None:
        reader = label_lists.LabelReader(columns.label, label_names, data_set.label_separator)
    first, second, labels, lines, ids = TextColumn(), TextColumn(), TextColumn(), array("q"), TextColumn()
    for line, fields in rows:
        text_a, text_b = fields[columns.text_a], None if columns.text_b is None else fields[columns.text_b]
        if text_a is None or (text_b is None and columns.text_b is not None):
            raise ValueError(f"{path}:{line}: a text is missing or null")
        try:
            if reader:
                label = reader.read(fields)
            else:
                label = clean_name(fields[columns.label] or "") if isinstance(columns.label, int) else ""
            if data_set.make_texts and text_b is not None:
                text_a, text_b = data_set.make_texts(text_a, text_b)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}:{line}: {error}") from None
        if with_labels and not label:
            raise ValueError(f"{path}:{line}: empty label")
        first.append(text_a)
        if text_b is not None:
            second.append(text_b)
        labels.append(data_set.aliases.get(label.casefold(), label))
        lines.append(line)
        if id_column is not None:
            ids.append((fields[id_column] if id_column < len(fields) else None) or "")
    separator = data_set.label_separator if reader and reader.has_split else None
    return Examples(first, second or None, labels, lines, ids or None, reader is not None, label_names, separator)


def read_header(path: Path | str, data_set: DataSet, encoding: str | None = None) -> list[str] | None:
    """The names of a table's columns; None if its first row has none of the data set's names."""
    first_row = [(field or "").strip() for field in next(iterate_rows(path, data_set.separators, encoding))[1]]
    return first_row if any(not set(columns.names).isdisjoint(first_row) for columns in data_set.named) else None


def _leave_short(path, rows, needed):
    """Yield the rows that have the needed columns."""
    num_short = first_short = 0
    for line, fields in rows:
        if len(fields) >= needed:
            yield line, fields
        else:
            num_short += 1
            first_short = first_short or line
    if num_short:
        logger.warning(f"{path}: left out {num_short} rows with fewer than {needed} columns, the first in line {first_short}")


def _find_no_agreement(labels):
    """The label `-` if all other labels are ENTAILMENT's, else None."""
    others = {label.casefold() for label in labels if label} - {NO_AGREEMENT}
    return NO_AGREEMENT if others and others.issubset((*ENTAILMENT, "contradictory")) else None


def _find_columns(path, data_set, first_row, with_labels, find_header):
    """Columns as indices, whether the first row is a header, and the names of several label columns.

    A header is JSON's keys, or a table's row that has a column's name.
    """
    line, fields = first_row[0] or 1, [text.strip() for text in first_row[1]]
    columns = max(data_set.named, key=lambda columns: len(set(columns.names).intersection(fields)))
    header = first_row[0] == 0 or not set(columns.names).isdisjoint(fields)
    if not header and data_set.indexed and not data_set.indexed.names:
        columns = data_set.indexed
    elif not header and find_header and (names := find_header()) and len(names) == len(fields):
        logger.info(f"{path}: no header; its columns are taken to be those of the training file: {', '.join(names)[:300]}")
        columns = max(data_set.named, key=lambda columns: len(set(columns.names).intersection(names)))
        fields = names
    shown = str(fields)[:300]

    def find(key: str, column: Any) -> Any:
        if not isinstance(column, str):
            return column
        if fields.count(column) > 1:
            raise ValueError(f"{path}:{line}: two columns {column!r} in the header {shown}")
        if column not in fields and key in ("text_a", "text_b"):
            wanted = " or ".join(", ".join(map(repr, columns.names)) for columns in data_set.named)
            raise ValueError(f"{path}:{line}: no column {column!r}: expected a header with {wanted}, found {shown}")
        return fields.index(column) if column in fields else None

    indices = {key: find(key, column) for key, column in vars(columns).items() if key != "label"}
    asked = columns.label if isinstance(columns.label, tuple) else (columns.label,)
    found = tuple(find("label", column) for column in asked)
    if not with_labels and any(index is None or index >= len(fields) for index in found):
        found = (None,)
    if with_labels and None in found:
        missing = asked[found.index(None)]
        raise ValueError(f"{path}: " + ("columns names no label" if missing is None else f"no label column {missing!r}; found {shown}"))
    if len(found) == 1:
        return Columns(**indices, label=found[0]), header, ()
    names = tuple(fields[index] if header and index < len(fields) else str(column) for index, column in zip(found, asked))
    return Columns(**indices, label=found), header, names


def _choose_language(path, rows, index, language):
    """Yield the rows whose field at `index` is this language."""
    others, num_chosen = set(), 0
    for line, fields in rows:
        if fields[index] == language:
            num_chosen += 1
            yield line, fields
        else:
            others.add(str(fields[index])[:20])
    if others and not num_chosen:
        raise ValueError(f"{path}: no row of language={language}; found {shorten(map(repr, sorted(others)))}")


def collect_labels(examples: Examples) -> tuple[str, ...]:
    """The label names of some examples in the order of their ids: numbers by value, else alphabetically; of columns in their order."""
    if examples.label_names:
        return examples.label_names
    found = set(label_lists.count_names(examples.labels) if examples.has_lists else filter(None, examples.labels))
    numbers = all(label.isdecimal() and len(label) < 20 for label in found)  # int() refuses thousands of digits
    return tuple(sorted(found, key=lambda label: (int(label) if numbers else 0, label)))


def encode_examples(
    path: Path | str, examples: Examples, tokenizer: Tokenizer, labels: Sequence[str] | None, seq_length: int
) -> Iterator[dict[str, Any]]:
    """Yield rows for the records: input_ids, token_type_ids lists of int; label_ids int, -1 without a label; for regression float, nan
    without; for lists of labels int8 [C], see `label_lists.find_rows`.

    Args:
        path: named in errors.
        labels: label names in id order; None for regression, where each label is a number.
        seq_length: longest row in tokens.

    Raises:
        ValueError: a label that is not in `labels`, or for regression no finite number.
    """
    label_ids = _find_label_ids(path, examples, labels)
    for begin in range(0, len(examples), CHUNK):
        some = slice(begin, begin + CHUNK)
        first = tokenizer.encode(examples.text_a[some])
        second: list[list[int]] | list[None] = [None] * len(first)
        if examples.text_b is not None:
            second = tokenizer.encode(examples.text_b[some])
        for a, b, label_id in zip(first, second, label_ids[some]):
            input_ids, token_type_ids = tokenizer.join(a, b, seq_length)
            yield {"input_ids": input_ids, "token_type_ids": token_type_ids, "label_ids": label_id}


def encode_documents(
    path: Path | str, examples: Examples, tokenizer: Tokenizer, labels: Sequence[str] | None, seq_length: int
) -> Iterator[dict[str, Any]]:
    """As `encode_examples`, with several rows for a longer text: windows that overlap by a quarter and together hold all its tokens.

    Each row also has document, the number of its example; the rows of an example are neighbours.

    Raises:
        ValueError: as `encode_examples`; also pairs of texts.
    """
    if examples.text_b is not None:
        raise ValueError(f"{path}: holds pairs of texts, and long_documents divides single texts only; --long_documents cut")
    label_ids = _find_label_ids(path, examples, labels)
    room = seq_length - 2  # beside [CLS] and [SEP]
    stride = room - room // 4
    for begin in range(0, len(examples), CHUNK):
        for number, tokens in enumerate(tokenizer.encode(examples.text_a[begin : begin + CHUNK]), begin):
            for first in range(0, max(len(tokens) - room, 0) + stride, stride):
                input_ids, token_type_ids = tokenizer.join(tokens[first : first + room], None, seq_length)
                yield {"input_ids": input_ids, "token_type_ids": token_type_ids, "label_ids": label_ids[number], "document": number}


def _find_label_ids(path: Path | str, examples: Examples, labels: Sequence[str] | None) -> "array[int] | array[float] | np.ndarray":
    """The id of each label, or the row of each list; for regression, whose `labels` are None, its number."""
    if labels is not None and examples.has_lists:
        if examples.label_names and set(map(str.casefold, examples.label_names)) != set(map(str.casefold, labels)):
            raise ValueError(f"{path}: its columns are of the labels {shorten(examples.label_names)}, the model's are {shorten(labels)}")
        return label_lists.find_rows(path, examples.labels, examples.lines, labels, examples.separator)
    if labels is None:
        return array("d", (parse_score(path, label, line) for label, line in zip(examples.labels, examples.lines)))
    return array("q", find_ids(path, examples.labels, examples.lines, labels))
