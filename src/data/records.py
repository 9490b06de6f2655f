"""Records on disk: the columns of each task, MindRecord written and read, TFRecord checked and read.

All fine-tuning data comes to the network from a RecordSet: a folder with rows.mindrecord, stripped of padding, and
lengths.npy. It is written whole, so a folder that exists is complete. Column names and types are the model zoo's.
"""

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
from google_crc32c import value as crc32c
from mindspore.mindrecord import FileWriter

from src.files import written_whole
from src.log import progress

SCHEMAS = {
    "classifier": {
        "input_ids": {"type": "int32", "shape": [-1]},
        "input_mask": {"type": "int32", "shape": [-1]},
        "segment_ids": {"type": "int32", "shape": [-1]},
        "label_ids": {"type": "int32", "shape": [-1]},
    }
}
_WRITE_ROWS = 2000  # rows handed to the writer at once


@dataclass(frozen=True)
class RecordSet:
    """Rows ready for the pipeline.

    path: the MindRecord file. lengths: int32 [rows], tokens of each row.
    """

    path: str
    lengths: np.ndarray


def make_key(*parts):
    """A short name for what follows from `parts`: files by their bytes, all else by its text."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(Path(part).read_bytes() if isinstance(part, Path) else repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def cached_records(folder, schema, make_rows):
    """The RecordSet in `folder`; made from `make_rows()` (a list of dicts of arrays) where it does not exist yet."""
    folder = Path(folder)
    if not folder.is_dir():
        with written_whole(folder) as temporary:
            rows = make_rows()
            temporary.mkdir()
            _write_mindrecord(temporary / "rows.mindrecord", schema, rows)
            np.save(temporary / "lengths.npy", np.array([len(row["input_ids"]) for row in rows], np.int32))
    return RecordSet(str(folder / "rows.mindrecord"), np.load(folder / "lengths.npy"))


def _write_mindrecord(path, schema, rows):
    writer = FileWriter(str(path), shard_num=1, overwrite=True)
    try:
        writer.add_schema(SCHEMAS[schema], schema)
        with progress(total=len(rows), desc="writing records", unit="row") as bar:
            for start in range(0, len(rows), _WRITE_ROWS):
                part = rows[start : start + _WRITE_ROWS]
                writer.write_raw_data(part)
                bar.update(len(part))
        writer.commit()
    except RuntimeError as error:
        raise OSError(5, f"cannot write records ({_first_line(error)})", str(path)) from None


def is_record_file(path):
    """Whether a data file is a MindRecord (its index lies beside it) or TFRecord rather than a text table."""
    return is_mindrecord(path) or _first_tfrecord_length(path) is not None


def is_mindrecord(path):
    """Whether `path` is a MindRecord by its name or by the index file beside it."""
    return Path(path).suffix == ".mindrecord" or Path(f"{path}.db").is_file()


def read_record_file(path, schema, schema_file=None):
    """All rows of a ready-made MindRecord or TFRecord, padding stripped by input_mask.

    Args:
        path: made by this program or for the model zoo.
        schema: name in SCHEMAS; the columns that must be there.
        schema_file: the model zoo's schema JSON, for TFRecord.

    Returns:
        list of dicts of int32 arrays.

    Raises:
        FileNotFoundError: no such file. ValueError: damaged, truncated, or without the columns.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    names = list(SCHEMAS[schema])
    try:
        if is_mindrecord(path):
            dataset = ds.MindDataset(str(path), columns_list=names, shuffle=False)
        else:
            check_tfrecord(path)
            dataset = ds.TFRecordDataset(str(path), schema=schema_file, columns_list=names, shuffle=False)
        rows = [_strip_padding(row) for row in dataset.create_dict_iterator(output_numpy=True, num_epochs=1)]
    except (RuntimeError, ValueError, TypeError) as error:
        raise ValueError(f"{path}: not readable as records with columns {', '.join(names)}: {_first_line(error)}") from None
    if not rows:
        raise ValueError(f"{path}: no rows")
    return rows


def check_tfrecord(path):
    """Check the frames of a TFRecord file: length, its masked CRC-32C, data, its masked CRC-32C.

    Raises:
        ValueError: with the number of the broken record.
    """
    with open(path, "rb") as file:
        number = 0
        while header := file.read(12):
            number += 1
            length = _checked_length(header)
            if length is None:
                raise ValueError(f"{path}: record {number}: damaged header: not a TFRecord file, or cut or altered")
            data, footer = file.read(length), file.read(4)
            if len(data) < length or len(footer) < 4:
                raise ValueError(f"{path}: record {number}: the file ends inside it")
            if _masked_crc(data) != struct.unpack("<I", footer)[0]:
                raise ValueError(f"{path}: record {number}: checksum does not match")
    if number == 0:
        raise ValueError(f"{path}: the file is empty")


def _first_tfrecord_length(path):
    with open(path, "rb") as file:
        return _checked_length(file.read(12))


def _checked_length(header):
    if len(header) < 12:
        return None
    length, crc = struct.unpack("<QI", header)
    return length if _masked_crc(header[:8]) == crc else None


def _masked_crc(data):
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _strip_padding(row):
    length = int(np.count_nonzero(row["input_mask"]))
    row = {name: np.asarray(value).reshape(-1).astype(np.int32) for name, value in row.items()}
    return {name: value[:length] if name in ("input_ids", "input_mask", "segment_ids") else value for name, value in row.items()}


def _first_line(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("---")]
    return lines[0] if lines else type(error).__name__
