"""Texts, pairs and triplets with scores, read from tables, JSON or lines of text."""

import math
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from src.text.columns import TextColumn
from src.text.tables import TableRow, check_widths, iterate_rows, parse_columns

TEXTS = ("text_a", "text_b", "negative")
KEYS = (*TEXTS, "score")
Columns = Mapping[str, str | int]  # key of KEYS -> name in the header, or index from 0
_SPELLINGS: tuple[dict[str, str], ...] = (
    {key: key for key in KEYS},
    {"text_a": "sentence1", "text_b": "sentence2", "score": "score"},  # GLUE
    {"text_a": "anchor", "text_b": "positive", "negative": "negative"},  # sentence-transformers
    {"text_a": "sent0", "text_b": "sent1", "negative": "hard_neg"},  # SimCSE
    {"text_a": "text"},
    {"text_a": "sentence"},
)
_BENCHMARK = {"text_a": 5, "text_b": 6, "score": 4}  # the STS benchmark's own files
_SEPARATORS = {"stsb": ("\t",)}  # without quoting, whatever the file is called


@dataclass(frozen=True)
class Texts:
    """Rows of one to three texts.

    Attributes:
        texts: a column for each text of a row: text_a, text_b, negative.
        scores: as in the file; None if it has none.
        lines: the line of each row.
    """

    texts: tuple[TextColumn, ...]
    scores: "array[float] | None"
    lines: "array[int]"

    def __len__(self) -> int:
        return len(self.lines)

    def choose(self, kept: Sequence[int]) -> "Texts":
        """The rows of these numbers."""
        texts = tuple(TextColumn(column[number] for number in kept) for column in self.texts)
        scores = None if self.scores is None else array("d", (self.scores[number] for number in kept))
        return Texts(texts, scores, array("q", (self.lines[number] for number in kept)))


def read_texts(path: Path | str, task_name: str, columns: str | None, encoding: str | None = None) -> Texts:
    """The rows of a file in any form of `iterate_rows`.

    Args:
        task_name, columns: settings of EmbedOptions.
        encoding: see `read_text`.

    Raises:
        ValueError: a column that is named and absent, a row with a text missing or blank, a score that is no number; with file and line.
    """
    rows = iterate_rows(path, _SEPARATORS.get(task_name), encoding)
    first = next(rows)
    known = parse_columns(columns, KEYS) if columns else None
    indices, header = _find_columns(path, first, known, task_name == "stsb")
    checked = check_widths(path, chain([first], rows), 1 + max(indices.values()), header, ragged=task_name == "stsb")
    if header:
        next(checked)
    found = _collect(path, checked, indices)
    if not found:
        raise ValueError(f"{path}: a header and no rows")
    return found


def _find_columns(path: Path | str, first: TableRow, known: Columns | None, is_benchmark: bool) -> tuple[dict[str, int], bool]:
    """The index of each column, and whether the first row is a header."""
    line, fields = first[0], [(field or "").strip() for field in first[1]]
    if known is None:
        spelling = max(_SPELLINGS, key=lambda names: len(set(names.values()).intersection(fields)))
        if spelling["text_a"] in fields:
            known = {key: name for key, name in spelling.items() if name in fields}
        elif is_benchmark:
            known = _BENCHMARK
        elif line and len(fields) <= 2:
            known = dict(zip(TEXTS, range(len(fields))))
        else:
            raise ValueError(f"{path}:{line or 1}: {len(fields)} columns of unknown names: give --columns text_a=NAME_OR_INDEX[,text_b=…]")
    names = [name for name in known.values() if isinstance(name, str)]
    for name in names:
        if fields.count(name) != 1:
            raise ValueError(f"{path}:{line or 1}: {fields.count(name)} columns {name!r} in the header {str(fields)[:300]}")
    return {key: fields.index(name) if isinstance(name, str) else name for key, name in known.items()}, bool(names) or not line


def _collect(path: Path | str, rows: Iterator[TableRow], indices: Mapping[str, int]) -> Texts:
    keys = [key for key in TEXTS if key in indices]
    texts, lines = [TextColumn() for _ in keys], array("q")
    scores = array("d") if "score" in indices else None
    for line, fields in rows:
        for key, column in zip(keys, texts):
            text = fields[indices[key]]
            if not (text or "").strip():
                raise ValueError(f"{path}:{line}: {key} is missing or blank; every row has {' and '.join(keys)}")
            column.append(text or "")
        if scores is not None:
            scores.append(_parse_score(path, line, fields[indices["score"]]))
        lines.append(line)
    return Texts(tuple(texts), scores, lines)


def _parse_score(path: Path | str, line: int, text: str | None) -> float:
    try:
        score = float(text or "")
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise ValueError(f"{path}:{line}: the score {(text or '')[:80]!r} is no finite number")
    return score
