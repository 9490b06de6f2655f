"""The MindRecord format without the framework: rows as bytes, the header, the index.

A file is a JSON header, then pages; a BLOB_DATA page holds arrays, a RAW_DATA page scalars, each row behind its length (uint64).
The index beside it is an SQLite data base that tells where each row lies. The framework's own generator gives the same tables,
but holds all of them in memory, 1.4 kB a row, while it writes them.
Source: mindspore/ccsrc/minddata/mindrecord/io, and files that it made; tests compare both.
"""

import json
import sqlite3
from pathlib import Path

import numpy as np

_TABLE = (
    "CREATE TABLE INDEXES(ROW_ID INT NOT NULL, PAGE_ID_RAW INT NOT NULL, PAGE_OFFSET_RAW INT NOT NULL, PAGE_OFFSET_RAW_END INT NOT NULL, "
    "ROW_GROUP_ID INT NOT NULL, PAGE_ID_BLOB INT NOT NULL, PAGE_OFFSET_BLOB INT NOT NULL, PAGE_OFFSET_BLOB_END INT NOT NULL, "
    "PRIMARY KEY(ROW_ID))"
)
_LARGEST_HEADER = 1 << 27  # that the format allows


def merge_columns(columns):
    """Each row's bytes as a MindRecord holds them: the columns by name, each behind its size (uint64, the highest byte first).

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


def read_header(path):
    """The JSON header of a MindRecord file.

    Raises:
        ValueError: the file does not begin with one.
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


def write_index(path):
    """Write {path}.db for a file that is complete."""
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


def _walk(path, header, kind):
    """(page, start, end, number of the page among its kind) of each row."""
    with open(path, "rb") as file:
        for page in sorted((page for page in header["page"] if page["page_type"] == kind), key=lambda page: page["page_type_id"]):
            file.seek(header["header_size"] + page["page_id"] * header["page_size"])
            data, start = file.read(page["page_size"]), 0
            while start < len(data):
                end = start + 8 + int.from_bytes(data[start : start + 8], "little")
                yield page["page_id"], start, end, page["page_type_id"]
                start = end
