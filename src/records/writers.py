"""Pretraining records to MindRecord or TFRecord files, one or more shards."""

import gc
import json

from src.records.mindrecord_format import merge_columns
from src.records.tfrecord import encode_examples


def pack(file_format, columns):
    """Rows as they are written, a sequence of bytes: the costly part, which a worker does.

    Args:
        columns: name -> int32 or float32 array [B, values].
    """
    return encode_examples(columns) if file_format == "tfrecord" else merge_columns(columns)


def open_writer(file_format, path, layout, num_rows, num_shards, description):
    """A ShardedWriter of new files.

    Args:
        path: a Path, the file, or what the names of the shards begin with: path-00000-of-00004.
        layout: name of each column -> (dtype "int32" or "float32", values a row).
        description: dict, kept in MindRecords.
    """
    names = [path.name] if num_shards == 1 else [f"{path.name}-{shard:05d}-of-{num_shards:05d}" for shard in range(num_shards)]
    paths = [path.with_name(name) for name in names]
    if file_format == "tfrecord":
        write_schema(path.with_name(f"{path.stem}.schema.json"), layout, num_rows)
        return ShardedWriter([TFRecordWriter(part) for part in paths])
    from src.records.mindrecord import MindRecordWriter  # takes seconds to import, and TFRecords do without it

    gc.freeze()  # else each collection walks all that the import left behind
    return ShardedWriter([MindRecordWriter(part, {name: kind for name, (kind, _) in layout.items()}, description) for part in paths])


class ShardedWriter:
    """Deals rows out to the files in turn, as Google's script does. (MindSpore's own division into shards varies from run to run.)"""

    def __init__(self, writers):
        self._writers = writers
        self._num_rows = 0

    def write(self, rows):
        for number, writer in enumerate(self._writers):
            own = rows[(number - self._num_rows) % len(self._writers) :: len(self._writers)]
            if len(own):
                writer.write(own)
        self._num_rows += len(rows)

    def close(self):
        for writer in self._writers:
            writer.close()


class TFRecordWriter:
    """Writes frames."""

    def __init__(self, path):
        self._file = open(path, "wb")  # noqa: SIM115 (closed by close)

    def write(self, frames):
        self._file.write(b"".join(frames))

    def close(self):
        self._file.close()


def write_schema(path, layout, num_rows):
    """The model zoo's JSON schema of TFRecords."""
    kinds = {"int32": "int64", "float32": "float32"}  # as tf.train.Example holds them
    columns = {name: {"type": kinds[kind], "rank": 1, "shape": [size]} for name, (kind, size) in layout.items()}
    path.write_text(json.dumps({"datasetType": "TF", "numRows": num_rows, "columns": columns}, indent=1) + "\n", encoding="utf-8")
