"""Rows of TSV, CSV, JSON and fastText files, plain or gzip, each with its line number; every error names file and line."""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from src import encodings
from src.files import read_bytes
from src.text.json_rows import holds_objects, parse_objects
from src.text.lines import iterate_lines, settle_encoding, split_lines, unify

TableRow = tuple[int, list[str | None]]  # (line number from 1, fields)
_INVISIBLE = r"[\s\u200b\u2060\ufeff]+"  # white space of any kind, and characters without width
_EDGES = re.compile(f"^{_INVISIBLE}|{_INVISIBLE}$")
_CSV_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_LARGEST_FIELD = 1 << 30  # characters
FASTTEXT = "__label__"  # before the label of each line, in fastText's files
FASTTEXT_COLUMNS = ["label", "text"]


def read_text(path: Path | str, encoding: str | None = None) -> str:
    """The text of a file, plain or .gz, without a byte order mark; its line ends as `unify` leaves them.

    Args:
        encoding: from `check_encoding`; a byte order mark takes precedence.

    Raises:
        FileNotFoundError: no such file.
        ValueError: empty, damaged gzip, or in another encoding (with the line).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {'a folder, a file is expected' if path.is_dir() else 'no such file'}")
    raw = read_bytes(path)
    encoding = settle_encoding(path, raw, encoding)
    data = unify(encodings.to_utf8(raw, encoding))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1  # error.object lacks the byte order mark
        raise ValueError(f"{path}:{line}: {encodings.explain(raw, encoding, error.reason)}") from None
    if not text or text.isspace():
        raise ValueError(f"{path}: the file is empty")
    return text


def refuse_nul(path: Path | str, text: str) -> None:
    """Raise a ValueError with file and line if a text has a NUL character, which most texts have only in a wrong encoding."""
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        likely = encodings.guess(text.encode())
        raise ValueError(f"{path}:{line}: NUL character{f'; --encoding is probably {likely}' if likely else ''}")


def read_rows(path: Path | str, separators: tuple[str, ...] | None = None, encoding: str | None = None) -> list[TableRow]:
    """All rows that `iterate_rows` yields."""
    return list(iterate_rows(path, separators, encoding))


def iterate_rows(path: Path | str, separators: tuple[str, ...] | None = None, encoding: str | None = None) -> Iterator[TableRow]:
    """Yield (line number from 1, fields) of each row of a table, of JSON or of fastText's lines.

    JSON, an object a line or an array of objects, is recognised by the name (.json, .jsonl) or by its beginning. The keys of the first
    object come first, at line 0, as a header; the fields follow its order. A missing or null key gives None, a number or nested value its
    JSON. FastText's lines are recognised by `__label__` at the beginning of the first; their header is FASTTEXT_COLUMNS.

    Args:
        path: plain or .gz.
        separators: None for CSV with quoting if the name ends in .csv, else tabs without quoting. A tuple means no quoting whatever
            the name, and the first of these separators that occurs in the first line.
        encoding: see `read_text`.

    Raises:
        FileNotFoundError, ValueError: as `read_text`; also unbalanced quotes, CSV rows of different widths, damaged JSON or an
            empty array, NUL characters, several labels in a line, or a row without any text.
    """
    text = read_text(path, encoding)
    refuse_nul(path, text)
    ending = Path(str(path).removesuffix(".gz")).suffix.lower()
    first_line = next(iterate_lines(text))
    if ending in (".json", ".jsonl") or holds_objects(text):
        rows = _split_json(path, text)
    elif separators is None and first_line.startswith(FASTTEXT):
        rows = chain([(0, list(FASTTEXT_COLUMNS))], _split_fasttext(path, text))
    elif ending == ".csv" and separators is None:
        rows = _split_csv(path, text, _find_delimiter(text))
    else:
        separators = separators or ("\t",)
        rows = _split_plain(path, text, next((separator for separator in separators if separator in first_line), separators[0]))
    for line, fields in rows:
        if not any(fields):
            raise ValueError(f"{path}:{line}: blank line")
        yield line, fields


def parse_columns(text: str, keys: Sequence[str], several: str | None = None) -> dict[str, Any]:
    """The columns of a table by key, names or indices, from `KEY=NAME_OR_INDEX[,KEY=…]`; the first key is required.

    The key `several` may be repeated; its columns are then a tuple.

    Raises:
        ValueError: an unknown key, one other than `several` twice, the first one missing, or a column twice.
    """
    form = f"{keys[0]}=NAME_OR_INDEX" + "".join(f"[,{key}=…]" for key in keys[1:])
    found: dict[str, Any] = {}
    columns: list[str | int] = []
    for part in text.split(","):
        key, _, column = part.partition("=")
        key = key.strip()
        column = column.strip()
        if key not in keys or not column or (key in found and key != several):
            raise ValueError(f"columns={text}: expected {form}, found {part!r}")
        columns.append(int(column) if column.isdecimal() else column)
        if key not in found:
            found[key] = columns[-1]
        else:
            first = found[key] if isinstance(found[key], tuple) else (found[key],)
            found[key] = (*first, columns[-1])
    if keys[0] not in found:
        raise ValueError(f"columns={text}: {keys[0]} is missing")
    if len(set(columns)) < len(columns):
        raise ValueError(f"columns={text}: two of them are the same column")
    return found


def check_widths(path: Path | str, rows: Iterable[TableRow], needed: int, header: bool = False, ragged: bool = False) -> Iterator[TableRow]:
    """Yield the rows, and check that all are as wide as the first; an extra or missing tab would shift the fields after it.

    Empty fields at the end of a row that is wider are left out.

    Args:
        rows: from `iterate_rows`.
        needed: minimum number of columns.
        header: whether the first row is a header.
        ragged: allow different widths, as long as the needed columns are there.

    Raises:
        ValueError: naming file and line.
    """
    width = None
    for line, fields in rows:
        width = width or len(fields)
        fields = _cut_empty(fields, width)
        if len(fields) < needed:
            raise ValueError(f"{path}:{line or 1}: {len(fields)} columns, at least {needed} expected")
        if len(fields) != width and not ragged:
            raise ValueError(f"{path}:{line}: {len(fields)} columns, the {'header' if header else 'first row'} has {width}")
        yield line, fields


def _cut_empty(fields, width):
    """The fields of a row, without those beyond `width` if they are all empty, as after trailing commas."""
    return fields if len(fields) <= width or any(fields[width:]) else fields[:width]


def _split_plain(path, text, separator):
    for line, row in enumerate(split_lines(path, text.rstrip("\r\n")), 1):
        yield line, row.split(separator)


def _split_fasttext(path, text):
    for line, row in enumerate(split_lines(path, text.rstrip("\r\n")), 1):
        label, *rest = row.split(maxsplit=1)[:2] or [""]
        if not label.startswith(FASTTEXT) or not rest:
            raise ValueError(f"{path}:{line}: expected {FASTTEXT} with a label and a text, as in the first line; found {row[:40]!r}")
        if rest[0].startswith(FASTTEXT):
            raise ValueError(f"{path}:{line}: several labels; a text has one class")
        yield line, [label.removeprefix(FASTTEXT), rest[0]]


def _find_delimiter(text):
    """A tab for a CSV file whose lines have as many tabs each, but no common number of commas; else a comma."""
    first = next(filter(str.strip, iterate_lines(text)))
    if "\t" not in first or not _are_alike(text, "\t"):
        return ","
    return "\t" if "," not in first or not _are_alike(text, ",") else ","


def _are_alike(text, delimiter):
    """Whether all lines that are not blank have the same number of delimiters."""
    return len({line.count(delimiter) for line in iterate_lines(text) if line.strip()}) == 1


def _split_csv(path, text, delimiter):
    csv.field_size_limit(_LARGEST_FIELD)  # here, because importing MindSpore sets it back
    reader = csv.reader((match[0] for match in _CSV_LINE.finditer(text)), strict=True, delimiter=delimiter)
    start = 1
    first: list[str] = []
    try:
        for fields in reader:
            first = first or fields
            fields = _cut_empty(fields, len(first))
            if fields and not any(first[len(fields) :]):  # a comma ends the header, but not the rows
                fields = fields + [""] * (len(first) - len(fields))
            if fields and len(fields) != len(first):  # probably an unquoted text with a comma
                raise ValueError(f"{path}:{start}: {len(fields)} columns, the first row has {len(first)}")
            if fields:
                yield start, fields
            start = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}:{start}: not CSV: {error}") from None


def _split_json(path, text):
    keys = None
    for line, row, found in parse_objects(path, enumerate(iterate_lines(text), 1)):
        if keys is None:
            keys = list(found)
            yield 0, keys
        fields = [value if isinstance(value, str | None) else _ENCODER.encode(value) for value in map(found.get, keys)]
        if "\\u" in row:
            try:
                check_escapes([*keys, *fields])
            except ValueError as error:
                raise ValueError(f"{path}:{line}: no JSON object in one line: {error}") from None
        yield line, fields
    if keys is None:
        raise ValueError(f"{path}: the array is empty")


def clean_name(name: str) -> str:
    """The name of a label or type without surrounding white space (no-break space included) and invisible marks."""
    return _EDGES.sub("", name)


def match_case(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Unknown name -> the known name that differs from it in case alone, where exactly one does."""
    folded: dict[str, list[str]] = {}
    for name in known:
        folded.setdefault(name.casefold(), []).append(name)
    found = {name: folded.get(name.casefold(), []) for name in set(names).difference(known)}
    return {name: others[0] for name, others in found.items() if len(others) == 1}


def check_escapes(fields: Iterable[str | None]) -> None:
    r"""Refuse characters that only a \u escape can bring past the checks of the file's text."""
    text = "".join(field for field in fields if field is not None)
    text.encode()  # UnicodeEncodeError, a ValueError, for a lone surrogate
    if "\0" in text:
        raise ValueError("NUL character")


_ENCODER = json.JSONEncoder(ensure_ascii=False)
