"""MindRecord files of int32 and float32 columns, with a description of what they hold in their header."""

import errno
import json
import sqlite3
from contextlib import contextmanager

from mindspore.mindrecord.filewriter import ShardHeader, ShardWriter  # of its core: a place that differs between versions

from src.records.mindrecord_format import read_header, write_index


class MindRecordWriter:
    """Writes rows that `merge_columns` made: the bytes of FileWriter.write_raw_data, about ten times as fast.

    FileWriter parses the schema anew for every row and column; here the framework gets each row as the one byte string that it
    stores.

    Args:
        path: the file.
        types: name of each column -> "int32" or "float32"; a row has a one-dimensional array of each.
        description: a dict for JSON, kept in the header.
    """

    def __init__(self, path, types, description):
        self._path = path
        header = ShardHeader()
        schema = {name: {"type": kind, "shape": [-1]} for name, kind in types.items()}
        header.add_schema(header.build_schema(schema, json.dumps(description)))
        assert list(header.blob_fields) == sorted(types), "merge_columns has another order than the framework"
        self._writer = ShardWriter()
        self._writer.open([str(path)], False)
        self._writer.set_shard_header(_RowHeader(header.header))

    def write(self, rows):
        """Append rows, uint8 [B, bytes]."""
        with _disk_errors(self._path):
            self._writer.write_raw_data([{"row": row} for row in rows], validate=False)

    def close(self):
        """Write what is left, and the index."""
        with _disk_errors(self._path):
            self._writer.commit()
            write_index(self._path)


@contextmanager
def _disk_errors(path):
    """The framework's and SQLite's errors of a full or broken disk as OSError."""
    try:
        yield
    except (RuntimeError, sqlite3.Error) as error:
        raise OSError(errno.EIO, f"cannot write records: {find_reason(error)}", str(path)) from None


class _RowHeader:
    """What ShardWriter asks of a header, for rows that are one byte string already."""

    blob_fields = frozenset({"row"})
    schema = {"row": None}

    def __init__(self, header):
        self.header = header


def read_description(path):
    """The description that a MindRecord was written with; {} where there is none of ours.

    Raises:
        ValueError: the file does not begin with a MindRecord's header.
    """
    found = read_header(path)["schema"][0]["desc"]
    try:
        description = json.loads(found)
    except ValueError:
        return {}
    return description if isinstance(description, dict) else {}


def find_reason(error):
    """The telling line of a framework's error."""
    lines = [line.removeprefix("[ERROR] ").strip() for line in str(error).splitlines()]
    phrases = ("-", "Exception thrown", "This exception is caused by framework's")  # around the reason, in every report
    return next((line for line in lines if line and not line.startswith(phrases)), "unreadable")
