"""The MindRecord format without the framework: rows as bytes, the header, the index.

A file is a JSON header, then pages; a BLOB_DATA page holds arrays, a RAW_DATA page scalars, each row preceded by its length (uint64).
The index beside it is an SQLite database of the rows' offsets. The framework's own generator makes the same tables,
but holds all of them in memory, 1.4 kB per row, while it writes them.
Source: mindspore/ccsrc/minddata/mindrecord/io, and files that it wrote; tests compare both.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

_TABLE = (
    "CREATE TABLE INDEXES(ROW_ID INT NOT NULL, PAGE_ID_RAW INT NOT NULL, PAGE_OFFSET_RAW INT NOT NULL, PAGE_OFFSET_RAW_END INT NOT NULL, "
    "ROW_GROUP_ID INT NOT NULL, PAGE_ID_BLOB INT NOT NULL, PAGE_OFFSET_BLOB INT NOT NULL, PAGE_OFFSET_BLOB_END INT NOT NULL, "
    "PRIMARY KEY(ROW_ID))"
)
_LARGEST_HEADER = 1 << 27  # the format's limit, in bytes


def merge_columns(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Each row's bytes in a MindRecord: its columns in alphabetical order, each preceded by its size (big-endian uint64).

    Args:
        columns: name -> int32 or float32 array [B, values].

    Returns:
        uint8 [B, bytes].
    """
    parts = []
    for name in sorted(columns):
        data = np.ascontiguousarray(columns[name]).view(np.uint8)
        size = np.frombuffer(data.shape[1].to_bytes(8, "big"), np.uint8)
        parts += [np.broadcast_to(size, (len(data), 8)), data]
    return np.concatenate(parts, 1)


def read_header(path: Path | str) -> dict[str, Any]:
    """The JSON header of a MindRecord file.

    Raises:
        ValueError: the file does not begin with a header.
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if length <= _LARGEST_HEADER else b""
    try:
        header = json.loads(text)
        header["schema"][0]["desc"]
    except (ValueError, KeyError, IndexError, TypeError):
        raise ValueError(f"{path}: damaged header: not a MindRecord, or cut or altered") from None
    return header


def count_rows(path: Path | str) -> int:
    """The number of rows in {path}.db, the index of a MindRecord.

    Raises:
        ValueError: it is absent or no such index.
    """
    index = Path(f"{path}.db")
    if not index.is_file():
        raise ValueError(f"{index} is absent")
    try:
        with closing(sqlite3.connect(f"{index.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT COUNT(*) FROM INDEXES").fetchone()[0]
    except sqlite3.Error as error:
        raise ValueError(f"{index} is no index of a MindRecord: {error}") from None


def write_index(path: Path | str) -> None:
    """Write {path}.db, the index of a complete file."""
    header = read_header(path)
    connection = sqlite3.connect(f"{path}.db")
    with connection:
        connection.execute("CREATE TABLE SHARD_NAME(NAME TEXT NOT NULL)")
        connection.execute("INSERT INTO SHARD_NAME VALUES(?)", (Path(path).name,))
        connection.execute(_TABLE)
        rows = zip(_walk(path, header, "RAW_DATA"), _walk(path, header, "BLOB_DATA"), strict=True)
        numbered = ((number, *raw[:3], blob[3], *blob[:3]) for number, (raw, blob) in enumerate(rows))
        connection.executemany("INSERT INTO INDEXES VALUES(?, ?, ?, ?, ?, ?, ?, ?)", numbered)
    connection.close()


def _walk(path: Path | str, header: dict[str, Any], kind: str) -> Iterator[tuple[int, int, int, int]]:
    """(page number, start, end, number of the page within its kind) of each row."""
    with open(path, "rb") as file:
        for page in sorted((page for page in header["page"] if page["page_type"] == kind), key=lambda page: page["page_type_id"]):
            file.seek(header["header_size"] + page["page_id"] * header["page_size"])
            data = file.read(page["page_size"])
            start = 0
            while start < len(data):
                end = start + 8 + int.from_bytes(data[start : start + 8], "little")
                yield page["page_id"], start, end, page["page_type_id"]
                start = end
