"""Writers of records to MindRecord or TFRecord files, in one or more shards."""

import gc
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.records.mindrecord_format import merge_columns
from src.records.tfrecord import encode_examples

ColumnTypes = dict[str, tuple[str, int]]  # name of each column -> ("int32" or "float32", values per row)
PackedRows = np.ndarray | list[bytes]  # MindRecord's uint8 [B, bytes], or TFRecord's frames


def pack(file_format: str, columns: dict[str, np.ndarray]) -> PackedRows:
    """The bytes of rows as they are written; the costly part, done by worker processes.

    Args:
        columns: name -> int32 or float32 array [B, values].
    """
    return encode_examples(columns) if file_format == "tfrecord" else merge_columns(columns)


def open_writer(
    file_format: str,
    path: Path,
    column_types: ColumnTypes,
    num_rows: int,
    num_shards: int,
    description: dict[str, Any],
    only: int | None = None,
) -> "ShardedWriter":
    """A ShardedWriter of new files.

    Args:
        path: the file, or the prefix of the shards: path-00000-of-00004.
        num_rows: of all shards.
        description: kept in the header of MindRecords.
        only: the number of the only shard to write; it gets all rows that are written.
    """
    numbers = range(num_shards) if only is None else [only]
    paths = [path.with_name(f"{path.name}{shard_suffix(number, num_shards)}") for number in numbers]
    if file_format == "tfrecord":
        write_schema(path.with_name(f"{path.stem}.schema.json"), column_types, num_rows)
        return ShardedWriter([TFRecordWriter(part) for part in paths])
    from src.records.mindrecord import MindRecordWriter  # takes seconds to import, and TFRecords do not need it

    gc.freeze()  # or each collection walks everything that was imported
    return ShardedWriter([MindRecordWriter(part, {name: kind for name, (kind, _) in column_types.items()}, description) for part in paths])


def shard_suffix(number: int, count: int) -> str:
    """What the name of a shard has after that of the set; nothing for the only one."""
    return f"-{number:05d}-of-{count:05d}" if count > 1 else ""


class ShardedWriter:
    """Distributes rows over the files in turn, as Google's script does. (MindSpore's own sharding varies from run to run.)"""

    def __init__(self, writers: Sequence[Any]):
        self._writers = writers
        self._num_rows = 0

    def write(self, rows: PackedRows) -> None:
        for number, writer in enumerate(self._writers):
            own = rows[(number - self._num_rows) % len(self._writers) :: len(self._writers)]
            if len(own):
                writer.write(own)
        self._num_rows += len(rows)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


class TFRecordWriter:
    """Writes frames to one file."""

    def __init__(self, path: Path | str):
        self._file = open(path, "wb")  # noqa: SIM115 (closed by close)

    def write(self, frames: list[bytes]) -> None:
        self._file.write(b"".join(frames))

    def close(self) -> None:
        self._file.close()


def write_schema(path: Path, column_types: ColumnTypes, num_rows: int) -> None:
    """Write the model zoo's JSON schema of TFRecords."""
    kinds = {"int32": "int64", "float32": "float32"}  # types in tf.train.Example
    columns = {name: {"type": kinds[kind], "rank": 1, "shape": [size]} for name, (kind, size) in column_types.items()}
    path.write_text(json.dumps({"datasetType": "TF", "numRows": num_rows, "columns": columns}, indent=1) + "\n", encoding="utf-8")
