"""Rows of TSV, CSV and JSON-lines files, plain or gzip, each with its line number; every error names file and line."""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from src.files import read_bytes
from src.text.lines import iterate_lines, split_lines, unify

TableRow = tuple[int, list[str | None]]  # (line number from 1, fields)
_INVISIBLE = r"[\s\u200b\u2060\ufeff]+"  # white space of any kind, and characters without width
_EDGES = re.compile(f"^{_INVISIBLE}|{_INVISIBLE}$")
_CSV_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_LARGEST_FIELD = 1 << 30  # characters


def read_text(path: Path | str) -> str:
    """The UTF-8 text of a file, plain or .gz, without a byte order mark; its line ends as `unify` leaves them.

    Raises:
        FileNotFoundError: no such file.
        ValueError: empty, damaged gzip, or not UTF-8 (with the line).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {'a folder, a file is expected' if path.is_dir() else 'no such file'}")
    data = unify(read_bytes(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1  # error.object lacks the byte order mark
        raise ValueError(f"{path}:{line}: not UTF-8: {error.reason}") from None
    if not text or text.isspace():
        raise ValueError(f"{path}: the file is empty")
    return text


def read_rows(path: Path | str, separators: tuple[str, ...] | None = None) -> list[TableRow]:
    """All rows that `iterate_rows` yields."""
    return list(iterate_rows(path, separators))


def iterate_rows(path: Path | str, separators: tuple[str, ...] | None = None) -> Iterator[TableRow]:
    """Yield (line number from 1, fields) of each row of a table or of JSON lines.

    JSON lines are recognised by the name (.json, .jsonl) or by a first line that is an object. The keys of the first object come
    first, at line 0, as a header; the fields follow its order. A missing or null key gives None, a number or nested value its JSON.

    Args:
        path: plain or .gz.
        separators: None for CSV with quoting if the name ends in .csv, else tabs without quoting. A tuple means no quoting whatever
            the name, and the first of these separators that occurs in the first line.

    Raises:
        FileNotFoundError, ValueError: as `read_text`; also unbalanced quotes, CSV rows of different widths, damaged JSON, NUL
            characters, or a row without any text.
    """
    text = read_text(path)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path}:{line}: NUL character")
    ending = Path(str(path).removesuffix(".gz")).suffix.lower()
    first_line = text.partition("\n")[0]
    if ending in (".json", ".jsonl") or _is_object(first_line):
        rows = _split_json(path, text)
    elif ending == ".csv" and separators is None:
        rows = _split_csv(path, text)
    else:
        separators = separators or ("\t",)
        rows = _split_plain(path, text, next((separator for separator in separators if separator in first_line), separators[0]))
    for line, fields in rows:
        if not any(fields):
            raise ValueError(f"{path}:{line}: blank line")
        yield line, fields


def check_widths(path: Path | str, rows: Iterable[TableRow], needed: int, header: bool = False, ragged: bool = False) -> Iterator[TableRow]:
    """Yield the rows, and check that all are as wide as the first; an extra or missing tab would shift the fields after it.

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
        if len(fields) < needed:
            raise ValueError(f"{path}:{line or 1}: {len(fields)} columns, at least {needed} expected")
        if len(fields) != width and not ragged:
            raise ValueError(f"{path}:{line}: {len(fields)} columns, the {'header' if header else 'first row'} has {width}")
        yield line, fields


def _split_plain(path, text, separator):
    for line, row in enumerate(split_lines(path, text.rstrip("\r\n")), 1):
        yield line, row.split(separator)


def _split_csv(path, text):
    csv.field_size_limit(_LARGEST_FIELD)  # here, because importing MindSpore sets it back
    reader = csv.reader((match[0] for match in _CSV_LINE.finditer(text)), strict=True)
    start = 1
    width = 0
    try:
        for fields in reader:
            width = width or len(fields)
            if fields and len(fields) != width:  # probably an unquoted text with a comma
                raise ValueError(f"{path}:{start}: {len(fields)} columns, the first row has {width}")
            if fields:
                yield start, fields
            start = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}:{start}: not CSV: {error}") from None


def _split_json(path, text):
    keys = None
    for line, row in enumerate(iterate_lines(text), 1):
        if not row.strip():
            continue
        try:
            found = decode_object(row)
            if keys is None:
                keys = list(found)
                yield 0, keys
            fields = [value if isinstance(value, str | None) else _ENCODER.encode(value) for value in map(found.get, keys)]
            if "\\u" in row:
                check_escapes([*keys, *fields])
        except RecursionError:
            raise ValueError(f"{path}:{line}: JSON nested too deeply") from None
        except ValueError as error:
            reason = f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else error
            raise ValueError(f"{path}:{line}: no JSON object in one line: {reason}") from None
        yield line, fields


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


def decode_object(row: str) -> dict[str, Any]:
    """The JSON object in a line.

    Raises:
        ValueError: not JSON, a key twice, or not an object with keys.
    """
    found = _DECODER.decode(row)
    if not isinstance(found, dict) or not found:
        raise ValueError(f"found {row[:40]!r}")
    return found


def _is_object(row):
    try:
        return bool(decode_object(row))
    except (ValueError, RecursionError):
        return False


def check_escapes(fields: Iterable[str | None]) -> None:
    r"""Refuse characters that only a \u escape can bring past the checks of the file's text."""
    text = "".join(field for field in fields if field is not None)
    text.encode()  # UnicodeEncodeError, a ValueError, for a lone surrogate
    if "\0" in text:
        raise ValueError("NUL character")


def _make_dict(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        key = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key {key[:40]!r} twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_make_dict)
_ENCODER = json.JSONEncoder(ensure_ascii=False)
