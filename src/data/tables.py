"""Rows of TSV and CSV files, plain or gzip, with the line that each came from; every defect names file and line."""

import csv
import gzip
import io
import zlib
from pathlib import Path

csv.field_size_limit(1 << 30)


def read_text(path):
    """The UTF-8 text of a file, plain or .gz, without a byte order mark.

    Raises:
        FileNotFoundError: no such file. ValueError: empty, damaged gzip, or not UTF-8 (with the line).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path}: damaged gzip file: {error}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1  # of the error's own bytes: they lack the byte order mark
        raise ValueError(f"{path}:{line}: not UTF-8: {error.reason}") from None
    if not text.strip():
        raise ValueError(f"{path}: the file is empty")
    return text


def read_rows(path):
    """(line number from 1, list of fields) of each row: CSV with quoting if the name says .csv, else TSV without.

    Raises:
        As `read_text`; ValueError also for unbalanced quotes, NUL characters and rows without any text.
    """
    text = read_text(path)
    is_csv = ".csv" in Path(path).suffixes
    rows = list(_split_csv(path, text) if is_csv else _split_tsv(text))
    for line, fields in rows:
        if not any(fields):
            raise ValueError(f"{path}:{line}: blank line")
        if any("\0" in field for field in fields):
            raise ValueError(f"{path}:{line}: NUL character")
    return rows


def _split_tsv(text):
    for line, row in enumerate(text.rstrip("\r\n").split("\n"), 1):
        yield line, row.removesuffix("\r").split("\t")


def _split_csv(path, text):
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    start = 1
    try:
        for fields in reader:
            if fields:
                yield start, fields
            start = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}:{start}: not CSV: {error}") from None
