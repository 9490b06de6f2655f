"""MindRecord files of int32 and float32 columns, with a description of the rows in the header."""

import errno
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from mindspore.mindrecord.filewriter import ShardHeader, ShardWriter  # the module that defines them differs between versions

from src.records.mindrecord_format import read_header, write_index


class MindRecordWriter:
    """Writes the rows of `merge_columns`: the same bytes as FileWriter.write_raw_data, about ten times as fast.

    FileWriter parses the schema again for every row and column; here the framework gets each row as the one byte string that it
    stores.

    Args:
        types: name of each column -> "int32" or "float32"; a row has a one-dimensional array in each column.
        description: kept as JSON in the header.
    """

    def __init__(self, path: Path | str, types: dict[str, str], description: dict[str, Any]):
        self._path = path
        header = ShardHeader()
        schema = {name: {"type": kind, "shape": [-1]} for name, kind in types.items()}
        header.add_schema(header.build_schema(schema, json.dumps(description)))
        assert list(header.blob_fields) == sorted(types), "merge_columns has another order than the framework"
        self._writer = ShardWriter()
        self._writer.open([str(path)], False)
        self._writer.set_shard_header(_RowHeader(header.header))

    def write(self, rows: np.ndarray) -> None:
        """Append rows, uint8 [B, bytes]."""
        with _disk_errors(self._path):
            self._writer.write_raw_data([{"row": row} for row in rows], validate=False)

    def close(self) -> None:
        """Write the remaining rows and the index."""
        with _disk_errors(self._path):
            self._writer.commit()
            write_index(self._path)


@contextmanager
def _disk_errors(path: Path | str) -> Iterator[None]:
    """Turn the framework's and SQLite's errors on a full or broken disk into OSError."""
    try:
        yield
    except (RuntimeError, sqlite3.Error) as error:
        raise OSError(errno.EIO, f"cannot write records: {find_reason(error)}", str(path)) from None


class _RowHeader:
    """The attributes that ShardWriter reads from a header, for rows that already are one byte string."""

    blob_fields = frozenset({"row"})
    schema = {"row": None}

    def __init__(self, header: Any):
        self.header = header


def read_description(path: Path | str) -> dict[str, Any]:
    """The description that MindRecordWriter put into a MindRecord; {} in a file written by other programs.

    Raises:
        ValueError: the file does not begin with a MindRecord's header.
    """
    found = read_header(path)["schema"][0]["desc"]
    try:
        description = json.loads(found)
    except ValueError:
        return {}
    return description if isinstance(description, dict) else {}


def find_reason(error: BaseException) -> str:
    """The line of a framework error that gives the reason."""
    lines = [line.removeprefix("[ERROR] ").strip() for line in str(error).splitlines()]
    phrases = ("-", "Exception thrown", "This exception is caused by framework's")  # around the reason, in every report
    return next((line for line in lines if line and not line.startswith(phrases)), "unreadable")
