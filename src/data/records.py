"""Rows on disk: the cache that fine-tuning reads, and the model zoo's MindRecord and TFRecord files.

A RecordSet holds rows without padding in flat arrays, memory-mapped. (MindSpore's MindDataset cannot serve a plan of
several epochs: its samplers take no more row numbers than the file has rows.) Its folder is written whole, so a folder
that exists is complete.
"""

import functools
import hashlib
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import mindspore.dataset as ds
import numpy as np
import tokenizers
from google_crc32c import value as crc32c

from src.files import written_whole
from src.log import logger

# the network's names of the columns that the model zoo's files have
_ZOO_INPUTS = {"input_ids": "input_ids", "input_mask": "input_mask", "segment_ids": "token_type_ids"}
ZOO_COLUMNS = {"classifier": {**_ZOO_INPUTS, "label_ids": "label_ids"}}
_FORMAT = 2  # of the cache; a change in what the rows are made of gets a new number
_TOKEN_COLUMNS = ("input_ids", "token_type_ids")  # one value a token, stored flat; every other column has one a row


@dataclass(frozen=True)
class RecordSet:
    """Rows ready for the pipeline.

    lengths: int32 [rows], tokens of each row. columns: name -> int32 or float32, [all tokens] or [rows]. key: tells data sets apart.
    """

    lengths: np.ndarray
    columns: dict
    key: int = 0

    @functools.cached_property
    def starts(self):
        """int64 [rows], where each row begins in the flat columns."""
        return np.cumsum(self.lengths, dtype=np.int64) - self.lengths

    def batch(self, name, row_ids, length):
        """One column of some rows: int32 [B, length] padded with 0, or [B]; `input_mask` follows from the lengths."""
        if name not in (*_TOKEN_COLUMNS, "input_mask"):
            return self.columns[name][row_ids]
        lengths = self.lengths[row_ids, None]
        places = np.arange(length)[None, :]
        if name == "input_mask":
            return (places < lengths).astype(np.int32)
        starts = self.starts[row_ids, None]
        return np.where(places < lengths, self.columns[name][starts + np.minimum(places, lengths - 1)], 0).astype(np.int32)


def make_key(*parts):
    """A short name for what follows from `parts`: files by their bytes, all else by its text."""
    digest = hashlib.sha256(f"{_FORMAT} {tokenizers.__version__}".encode())
    for part in parts:
        digest.update(Path(part).read_bytes() if isinstance(part, Path) else repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def cached_records(folder, make_rows):
    """The RecordSet in `folder`, made from `make_rows()` where it does not exist yet.

    Args:
        folder: named by everything that the rows follow from.
        make_rows: () -> list of dicts of int or float arrays; `input_ids` and `token_type_ids` of any length, the rest scalars.
    """
    folder = Path(folder)
    if not folder.is_dir():
        rows = make_rows()
        with written_whole(folder) as temporary:
            temporary.mkdir()
            np.save(temporary / "lengths.npy", np.array([len(row["input_ids"]) for row in rows], np.int32))
            for name in rows[0]:
                values = np.concatenate([np.atleast_1d(row[name]) for row in rows])
                np.save(temporary / f"{name}.npy", values.astype(np.float32 if values.dtype.kind == "f" else np.int32))
    try:
        arrays = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
        lengths = np.asarray(arrays.pop("lengths"))
    except (ValueError, EOFError, KeyError) as error:
        raise ValueError(f"{folder}: damaged cache ({error}); remove this folder") from None
    return RecordSet(lengths, arrays, int(hashlib.sha256(folder.name.encode()).hexdigest()[:15], 16))


def is_record_file(path):
    """Whether a data file is a MindRecord or a TFRecord rather than a text table; told by its content."""
    with open(path, "rb") as file:
        return is_mindrecord(path) or _checked_length(file.read(12)) is not None


def is_mindrecord(path):
    """Whether `path` is a MindRecord, by its name or by the index that lies beside it."""
    return Path(path).suffix == ".mindrecord" or Path(f"{path}.db").is_file()


def read_record_file(path, task, schema_file=None):
    """All rows of a ready-made MindRecord or TFRecord, padding stripped by input_mask.

    Args:
        path: made for the model zoo.
        task: key of ZOO_COLUMNS; its columns must be there.
        schema_file: the model zoo's schema JSON, for TFRecord.

    Returns:
        list of dicts for `cached_records`.

    Raises:
        FileNotFoundError: no such file. ValueError: damaged, truncated, or without the columns.
    """
    names = list(ZOO_COLUMNS[task])
    try:
        if is_mindrecord(path):
            _check_mindrecord(path)
            dataset = ds.MindDataset(str(path), columns_list=names, shuffle=False)
        else:
            count = check_tfrecord(path)
            dataset = ds.TFRecordDataset(str(path), schema=schema_file, columns_list=names, shuffle=False)
        rows = [_from_zoo(row, ZOO_COLUMNS[task]) for row in dataset.create_dict_iterator(output_numpy=True, num_epochs=1)]
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not readable as records with columns {', '.join(names)}: {_reason(error)}") from None
    if not rows:
        raise ValueError(f"{path}: no rows")
    if not is_mindrecord(path) and len(rows) < count:
        logger.warning(f"{schema_file}: numRows takes {len(rows)} of the {count} rows of {path}")
    return rows


def _check_mindrecord(path):
    """Open the file in a process of its own: some damage in its header makes the framework abort.

    Raises:
        ValueError: it did not survive.
    """
    code = "import sys; from mindspore.dataset import MindDataset; MindDataset(sys.argv[1], shuffle=False).get_dataset_size()"
    if subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True).returncode < 0:
        raise ValueError("damaged header")


def check_tfrecord(path):
    """Check the frames of a TFRecord file: length, its masked CRC-32C, data, its masked CRC-32C.

    Returns:
        the number of records.

    Raises:
        ValueError: with the number of the broken record.
    """
    with open(path, "rb") as file:
        number = 0
        while header := file.read(12):
            number += 1
            length = _checked_length(header)
            if length is None:
                raise ValueError(f"record {number}: damaged header: not a TFRecord file, or cut or altered")
            data, footer = file.read(length), file.read(4)
            if len(data) < length or len(footer) < 4:
                raise ValueError(f"record {number}: the file ends inside it")
            if _masked_crc(data) != struct.unpack("<I", footer)[0]:
                raise ValueError(f"record {number}: checksum does not match")
    if number == 0:
        raise ValueError("the file is empty")
    return number


def _checked_length(header):
    if len(header) < 12:
        return None
    length, crc = struct.unpack("<QI", header)
    return length if _masked_crc(header[:8]) == crc else None


def _masked_crc(data):
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _from_zoo(row, names):
    length = int(np.count_nonzero(row["input_mask"]))
    row = {names[name]: np.reshape(value, -1) for name, value in row.items() if name != "input_mask"}
    if not 0 < length <= min(len(row[name]) for name in _TOKEN_COLUMNS):
        raise ValueError(f"a row of {length} tokens by input_mask has {len(row['input_ids'])} ids, {len(row['token_type_ids'])} segments")
    for name, value in row.items():
        if name not in _TOKEN_COLUMNS and len(value) != 1:
            raise ValueError(f"a row has {len(value)} values in {name}, 1 expected")
    return {name: value[:length] if name in _TOKEN_COLUMNS else value for name, value in row.items()}


def _reason(error):
    """The telling line of a framework's error."""
    lines = [line.removeprefix("[ERROR] ").strip() for line in str(error).splitlines()]
    phrases = ("-", "Exception thrown", "This exception is caused by framework's")  # around the reason, in every report
    return next((line for line in lines if line and not line.startswith(phrases)), "unreadable")
