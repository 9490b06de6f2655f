"""Writers of pretraining records, one class a format: `write` takes what `pack` made of some rows, `close` completes the files."""

import json

from src.data.tfrecord import encode_examples


def pack(file_format, columns):
    """Rows as a writer of the format takes them; the costly part, which a worker does."""
    return encode_examples(columns) if file_format == "tfrecord" else columns


def open_writer(file_format, path, layout, num_rows, num_shards, description):
    """A writer of new files.

    Args:
        path: a Path, the file or what the names of the shards begin with.
        layout: name of each column -> (dtype "int32" or "float32", values a row).
        description: dict, kept in MindRecords.
    """
    if file_format == "tfrecord":
        return TFRecordWriter(path, layout, num_rows, num_shards)
    from src.data.mindrecord import MindRecordWriter  # takes seconds to import, and TFRecords do without it

    return MindRecordWriter(path, {name: kind for name, (kind, _) in layout.items()}, description, num_shards)


class TFRecordWriter:
    """Rows go to the shards in turn, as Google's script deals them out; {stem}.schema.json is the model zoo's schema."""

    def __init__(self, path, layout, num_rows, num_shards):
        self._schema = path.with_name(f"{path.stem}.schema.json")
        self._layout, self._num_rows, self._next = layout, num_rows, 0
        names = [path.name] if num_shards == 1 else [f"{path.name}-{shard:05d}-of-{num_shards:05d}" for shard in range(num_shards)]
        self._files = [open(path.with_name(name), "wb") for name in names]  # noqa: SIM115 (closed by close)

    def write(self, frames):
        for number, file in enumerate(self._files):
            file.write(b"".join(frames[(number - self._next) % len(self._files) :: len(self._files)]))
        self._next += len(frames)

    def close(self):
        for file in self._files:
            file.close()
        kinds = {"int32": "int64", "float32": "float32"}  # as tf.train.Example holds them
        columns = {name: {"type": kinds[kind], "rank": 1, "shape": [size]} for name, (kind, size) in self._layout.items()}
        schema = {"datasetType": "TF", "numRows": self._num_rows, "columns": columns}
        self._schema.write_text(json.dumps(schema, indent=1) + "\n", encoding="utf-8")
