"""TensorFlow's checkpoints: PREFIX.index, a table that describes each variable, and PREFIX.data-0000i-of-0000n, the values.

The index is a table in LevelDB's format (sorted_table.py). Its empty key holds the header; a variable's name holds its type, shape,
data file, offset, size and CRC-32C.

Source: tensorflow/core/protobuf/tensor_bundle.proto, core/util/tensor_bundle/tensor_bundle.cc, core/lib/io/table_builder.cc.
"""

import math
import mmap
import re
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple

import google_crc32c
import numpy as np

from src.files import written_whole
from src.formats import protobuf, series
from src.formats.bfloat16 import widen
from src.formats.crc32c import mask
from src.formats.sorted_table import encode_table, read_table

# DataType of types.proto
_KINDS = ["<f4", "<f8", "<i4", "u1", "<i2", "i1", "<c8", "<i8", "?", "<u2", "<c16", "<f2", "<u4", "<u8"]
_TYPES = dict(zip((1, 2, 3, 4, 5, 6, 8, 9, 10, 17, 18, 19, 22, 23), map(np.dtype, _KINDS)))
_NUMBERS = {kind: number for number, kind in _TYPES.items()}
_BFLOAT16 = 14
_WITHOUT_NUMBERS = (7, 20, 21)  # string, resource, variant
_BIG_ENDIAN = 1
_VERSION = 1

_CHUNK_BYTES = 1 << 20
_MAX_NAME_BYTES = 1 << 12
_MAX_SHAPE_BYTES = 1 << 12  # enough for the 254 dimensions that TensorFlow allows
_STATE = re.compile(rb"""^\s*model_checkpoint_path\s*:\s*(["'])(.+?)\1""", re.MULTILINE)  # in the file `checkpoint`: the latest prefix
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")  # escapes of non-ASCII bytes in protobuf's text form
_MAX_FILE_NAME_BYTES = 240  # leaves room for an ending
_INDEX = re.compile(r"(.+?)(?:-(\d+))?\.index")  # prefix and step
_FILE_OF_PREFIX = re.compile(r"(.+)\.(?:index|meta|data-\d{5,}-of-\d{5,})")


def find_prefix(path: Path | str) -> Path | None:
    """The prefix of the checkpoint that a path refers to: the prefix itself, one of its files, or their folder; None without an index.

    Among several in a folder, it is the one that the file `checkpoint` names, or else the one of the last step.

    Raises:
        ValueError: the folder has checkpoints of several trainings.
    """
    path = Path(path)
    found = _FILE_OF_PREFIX.fullmatch(path.name)
    for prefix in (path, path.parent / found[1]) if found else (path,):
        if Path(f"{prefix}.index").is_file():
            return prefix
    if not path.is_dir():
        return None
    if (named := _read_state(path / "checkpoint")) and Path(f"{named}.index").is_file():
        return named
    indexes = [file for file in path.glob("*.index") if file.is_file() and not file.name.startswith(".")]
    newest = series.find_newest(path, indexes, _INDEX)
    return newest and newest.with_name(newest.name.removesuffix(".index"))


def _read_state(path: Path) -> Path | None:
    """The prefix that a file `checkpoint` names, in that file's folder even if it was written elsewhere; None if it names none."""
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        found = _STATE.search(file.read(_CHUNK_BYTES))
    name = found and Path(_OCTAL.sub(lambda byte: bytes([int(byte[1], 8)]), found[2]).decode(errors="replace")).name
    return path.with_name(name) if name and len(name.encode()) < _MAX_FILE_NAME_BYTES else None


def read(path: Path | str) -> dict[str, np.ndarray]:
    """All numeric variables of a checkpoint that `find_prefix` finds, without its texts.

    Returns:
        name -> read-only array, mapped from the file; bfloat16 becomes float32.

    Raises:
        FileNotFoundError: the index or a data file is absent. OSError: a file cannot be read.
        ValueError: truncated, altered, not a checkpoint, or of an unsupported kind (compressed, big-endian, partitioned variables);
            with the name of the file.
    """
    prefix = find_prefix(path)
    if prefix is None:
        raise FileNotFoundError(f"{path}: no TensorFlow checkpoint: looked for {path}.index, and for *.index if it is a folder")
    index = Path(f"{prefix}.index")
    with _naming(index):
        num_shards, entries = _read_index(index)
    if not entries:
        raise ValueError(f"{index}: no numeric variables in it")
    arrays: dict[str, np.ndarray] = {}
    for shard, group in groupby(sorted(entries), lambda entry: entry.shard):
        data = _data_file(prefix, shard, num_shards)
        if not data.is_file():
            raise FileNotFoundError(f"{data}: absent; it is one of the checkpoint's data files, which belong beside {index.name}")
        with _naming(data):
            arrays |= _read_shard(data, group)
    return {entry.name: arrays[entry.name] for entry in entries}


def write(prefix: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a checkpoint with one data file; an older one of the same name is replaced.

    Args:
        prefix: path of the files without their endings.
        arrays: name -> array; values are requested one at a time.

    Raises:
        ValueError: an array has no name or a very long one, or a type that TensorFlow lacks. OSError: a file cannot be written.
    """
    for name in arrays:
        if not 0 < len(name.encode()) <= _MAX_NAME_BYTES:
            raise ValueError(f"the name of a variable has {len(name.encode())} bytes")
    header = protobuf.encode_field(1, 1) + protobuf.encode_field(3, protobuf.encode_field(1, _VERSION))  # one data file, little-endian
    entries = [(b"", header)]
    index_file, data_file = list_files(prefix)
    with written_whole(index_file) as index, written_whole(data_file) as data:
        with open(data, "wb") as file:
            for name in sorted(arrays, key=str.encode):
                entries.append((name.encode(), _write_array(file, name, arrays[name])))
        index.write_bytes(encode_table(entries))


def list_files(prefix: Path | str) -> list[Path]:
    """The files that `write` writes."""
    return [Path(f"{prefix}.index"), _data_file(prefix, 0, 1)]


def _data_file(prefix: Path | str, shard: int, num_shards: int) -> Path:
    return Path(f"{prefix}.data-{shard:05d}-of-{num_shards:05d}")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Add the file's name to a ValueError."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


class _Entry(NamedTuple):
    """A variable in the index; entries sort by position in the data. `crc` is masked."""

    shard: int
    offset: int
    size: int
    name: str
    kind: int
    shape: tuple[int, ...]
    crc: int


def _read_index(path: Path) -> tuple[int, list[_Entry]]:
    """(number of data files, entries of the numeric variables in the order of their names)."""
    with open(path, "rb") as file:
        pairs = read_table(file)
        key, header = next(pairs, (None, b""))
        if key != b"":
            raise ValueError("not a TensorFlow checkpoint: no header")
        num_shards = _check_header(header)
        entries = [_read_entry(key, value, num_shards) for key, value in pairs]
    return num_shards, [entry for entry in entries if entry]


def _check_header(data: bytes) -> int:
    """The number of data files in a BundleHeaderProto, which must be little-endian and of a known version."""
    fields = dict(protobuf.read_fields(data))
    if _number(fields, 2) == _BIG_ENDIAN:
        raise ValueError("big-endian, written on another kind of processor: not supported")
    version = dict(protobuf.read_fields(_message(fields, 3)))
    if _number(version, 2) > _VERSION:
        raise ValueError(f"of version {_number(version, 1)}, for readers of version {_number(version, 2)}: this one knows {_VERSION}")
    return _number(fields, 1)


def _read_entry(key: bytes, value: bytes, num_shards: int) -> _Entry | None:
    """The _Entry of a BundleEntryProto; None for a text."""
    if len(key) > _MAX_NAME_BYTES:
        raise ValueError(f"the name of a variable has {len(key)} bytes")
    fields = dict(protobuf.read_fields(value))
    if 7 in fields:
        raise ValueError(f"variable {key.decode()} is partitioned, saved in slices: not supported; save it whole")
    kind = _number(fields, 1)
    shape = _message(fields, 2)
    if kind in _WITHOUT_NUMBERS or key[0] == 0:  # the key of a slice starts like this; its variable has an entry of its own
        return None
    name = key.decode()
    if kind not in _TYPES and kind != _BFLOAT16:
        raise ValueError(f"variable {name} is of type {kind} (DataType of types.proto): not supported")
    if _number(fields, 3) >= num_shards:
        raise ValueError(f"variable {name} is in data file {_number(fields, 3)} of {num_shards}")
    if len(shape) > _MAX_SHAPE_BYTES:
        raise ValueError(f"variable {name} has a shape of {len(shape)} bytes")
    dims = [dict(protobuf.read_fields(_message({2: dim}, 2))) for dim in protobuf.read_all(shape, 2)]
    return _Entry(
        shard=_number(fields, 3),
        offset=_number(fields, 4),
        size=_number(fields, 5),
        name=name,
        kind=kind,
        shape=tuple(_number(dim, 1) for dim in dims),
        crc=int.from_bytes(_message(fields, 6), "little"),
    )


def _number(fields: Mapping[int, protobuf.Value], number: int) -> int:
    """The value of a field that must be an int."""
    value = fields.get(number, 0)
    if not isinstance(value, int):
        raise ValueError(f"not a TensorFlow checkpoint: field {number} is no number")
    return value


def _message(fields: Mapping[int, protobuf.Value], number: int) -> protobuf.Bytes:
    """The value of a field that must be bytes."""
    value = fields.get(number, b"")
    if isinstance(value, int):
        raise ValueError(f"not a TensorFlow checkpoint: field {number} is a number")
    return value


def _read_shard(path: Path, entries: Iterable[_Entry]) -> dict[str, np.ndarray]:
    """The arrays of one data file; entries must be sorted by offset."""
    arrays = {}
    last_end = 0
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b"")
        for entry in entries:
            start = entry.offset
            end = start + entry.size
            if end > size:
                raise ValueError(f"truncated: variable {entry.name} ends at byte {end} of {size}")
            if start < last_end:
                raise ValueError(f"variable {entry.name} overlaps another")
            if _read_crc(file, start, entry.size) != entry.crc:
                raise ValueError(f"variable {entry.name}: the checksum does not match: the file is damaged")
            arrays[entry.name] = _make_array(entry, data[start:end])
            last_end = end
    return arrays


def _read_crc(file: BinaryIO, start: int, size: int) -> int:
    """The masked CRC-32C of a part of a file; it is read, because mapped pages would count as memory in use."""
    file.seek(start)
    crc = 0
    while size and (data := file.read(min(size, _CHUNK_BYTES))):
        crc = google_crc32c.extend(crc, data)
        size -= len(data)
    return mask(crc)


def _make_array(entry: _Entry, data: memoryview) -> np.ndarray:
    kind = np.dtype("<u2") if entry.kind == _BFLOAT16 else _TYPES[entry.kind]
    if max(entry.shape, default=0) > sys.maxsize or math.prod(entry.shape) * kind.itemsize != len(data):
        raise ValueError(f"variable {entry.name} of shape {entry.shape} and type {kind} has {len(data)} bytes")
    array = np.frombuffer(data, kind)
    if entry.kind == _BFLOAT16:
        array = widen(array)
        array.flags.writeable = False
    return array.reshape(entry.shape)


def _write_array(file: BinaryIO, name: str, array: np.ndarray) -> bytes:
    """Append the bytes of an array; returns its BundleEntryProto."""
    array = np.asarray(array)
    array = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    if array.dtype not in _NUMBERS:
        raise ValueError(f"variable {name} is of type {array.dtype}, which TensorFlow lacks")
    data = array.reshape(-1).view(np.uint8)
    crc = 0
    start = file.tell()
    for offset in range(0, data.size, _CHUNK_BYTES):
        chunk = data[offset : offset + _CHUNK_BYTES].tobytes()
        crc = google_crc32c.extend(crc, chunk)
        file.write(chunk)
    dims = b"".join(protobuf.encode_field(2, _encode_number(1, dim)) for dim in array.shape)
    position = _encode_number(4, start) + _encode_number(5, data.size)
    checksum = protobuf.encode_varint(6 << 3 | protobuf.FIXED32) + struct.pack("<I", mask(crc))
    return protobuf.encode_field(1, _NUMBERS[array.dtype]) + protobuf.encode_field(2, dims) + position + checksum


def _encode_number(number: int, value: int) -> bytes:
    """A field, which protobuf leaves out if it is 0."""
    return protobuf.encode_field(number, value) if value else b""
