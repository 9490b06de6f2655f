"""TensorFlow's checkpoints: PREFIX.index, a table of what each variable is, and PREFIX.data-0000i-of-0000n, the bytes.

The index is a table in LevelDB's format: blocks of sorted pairs of key and value, a block that says where they are, a footer.
Under the empty key stands the header, under a variable's name its type, shape, place in the data and CRC-32C.

Source: tensorflow/core/protobuf/tensor_bundle.proto, core/util/tensor_bundle/tensor_bundle.cc, core/lib/io/table_builder.cc.
"""

import math
import mmap
import re
import struct
import sys
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

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
_BIG_ENDIAN, _VERSION = 1, 1

_CHUNK_BYTES = 1 << 20
_MOST_SHAPE_BYTES = _MOST_NAME_BYTES = 1 << 12  # the 254 dimensions that TensorFlow allows are shorter
_STATE = re.compile(rb"""^\s*model_checkpoint_path\s*:\s*(["'])(.+?)\1""", re.MULTILINE)  # of the file `checkpoint`, which names the latest
_OCTAL = re.compile(rb"\\([0-3][0-7]{2})")  # how protobuf's text form writes what is no ASCII
_MOST_FILE_NAME_BYTES = 240  # with an ending still one that file systems take
_INDEX = re.compile(r"(.+?)(?:-(\d+))?\.index")  # prefix and step
_FILE_OF_PREFIX = re.compile(r"(.+)\.(?:index|meta|data-\d{5,}-of-\d{5,})")


def find_prefix(path):
    """The prefix of the checkpoint that a path means: itself, one of its files, or a folder with it.

    Of several in a folder it is the one that the file `checkpoint` there names, else that of the last step.

    Returns:
        Path, or None: there is no index.

    Raises:
        ValueError: checkpoints of several trainings.
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


def _read_state(path):
    """The prefix beside a file `checkpoint` that it names, which may have lain elsewhere when it was written; None: it names none."""
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        found = _STATE.search(file.read(_CHUNK_BYTES))
    name = found and Path(_OCTAL.sub(lambda byte: bytes([int(byte[1], 8)]), found[2]).decode(errors="replace")).name
    return path.with_name(name) if name and len(name.encode()) < _MOST_FILE_NAME_BYTES else None


def read(path):
    """All variables of numbers; texts are left out.

    Args:
        path: as for `find_prefix`.

    Returns:
        dict of name -> array, read-only, mapped from the file; bfloat16 comes as float32.

    Raises:
        FileNotFoundError: the index or a data file is absent. OSError: a file cannot be read.
        ValueError: naming the file: truncated, altered, no checkpoint, or of a kind that is not read (compressed, big-endian,
            partitioned variables).
    """
    prefix = find_prefix(path)
    if prefix is None:
        raise FileNotFoundError(f"{path}: no TensorFlow checkpoint: looked for {path}.index, and for *.index if it is a folder")
    index = Path(f"{prefix}.index")
    with _naming(index):
        num_shards, entries = _read_index(index)
    if not entries:
        raise ValueError(f"{index}: no variables of numbers in it")
    arrays = {}
    for shard, group in groupby(sorted(entries), lambda entry: entry.shard):
        data = _data_file(prefix, shard, num_shards)
        if not data.is_file():
            raise FileNotFoundError(f"{data}: absent; it is one of the checkpoint's data files, which belong beside {index.name}")
        with _naming(data):
            arrays |= _read_shard(data, group)
    return {entry.name: arrays[entry.name] for entry in entries}


def write(prefix, arrays):
    """Write a checkpoint of one data file; an older one of this name is replaced.

    Args:
        prefix: path of the files without their endings.
        arrays: Mapping of name -> array; one value at a time is asked for.

    Raises:
        ValueError: an array is of a type that TensorFlow lacks, or has no name or a very long one. OSError: a file cannot be written.
    """
    for name in arrays:
        if not 0 < len(name.encode()) <= _MOST_NAME_BYTES:
            raise ValueError(f"the name of a variable has {len(name.encode())} bytes")
    entries = [(b"", _encode_header())]
    index_file, data_file = list_files(prefix)
    with written_whole(index_file) as index, written_whole(data_file) as data:
        with open(data, "wb") as file:
            for name in sorted(arrays, key=str.encode):
                entries.append((name.encode(), _write_array(file, name, arrays[name])))
        index.write_bytes(encode_table(entries))


def list_files(prefix):
    """The files that `write` writes."""
    return [Path(f"{prefix}.index"), _data_file(prefix, 0, 1)]


def _data_file(prefix, shard, num_shards):
    return Path(f"{prefix}.data-{shard:05d}-of-{num_shards:05d}")


@contextmanager
def _naming(path):
    """A ValueError inside gets the name of the file."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


class _Entry(NamedTuple):
    """A variable, sorted by its place in the data; `crc` is masked."""

    shard: int
    offset: int
    size: int
    name: str
    kind: int
    shape: tuple
    crc: int


def _read_index(path):
    """(number of data files, entries of the variables of numbers in the order of their names)."""
    with open(path, "rb") as file:
        pairs = read_table(file)
        key, header = next(pairs, (None, b""))
        if key != b"":
            raise ValueError("no checkpoint of TensorFlow: no header")
        num_shards = _check_header(header)
        entries = [_read_entry(key, value, num_shards) for key, value in pairs]
    return num_shards, [entry for entry in entries if entry]


def _check_header(data):
    """The number of data files that a BundleHeaderProto tells."""
    fields = dict(protobuf.read_fields(data))
    if _number(fields, 2) == _BIG_ENDIAN:
        raise ValueError("big-endian, written on another kind of processor: not supported")
    version = dict(protobuf.read_fields(_message(fields, 3)))
    if _number(version, 2) > _VERSION:
        raise ValueError(f"of version {_number(version, 1)}, for readers of version {_number(version, 2)}: this one knows {_VERSION}")
    return _number(fields, 1)


def _read_entry(key, value, num_shards):
    """The _Entry of a BundleEntryProto; None for a text."""
    if len(key) > _MOST_NAME_BYTES:
        raise ValueError(f"the name of a variable has {len(key)} bytes")
    fields = dict(protobuf.read_fields(value))
    if 7 in fields:
        raise ValueError(f"variable {key.decode()} is partitioned, saved in slices: not supported; save it whole")
    kind, shape = _number(fields, 1), _message(fields, 2)
    if kind in _WITHOUT_NUMBERS or key[0] == 0:  # a slice's key starts so; its variable has an entry of its own
        return None
    name = key.decode()
    if kind not in _TYPES and kind != _BFLOAT16:
        raise ValueError(f"variable {name} is of type {kind} (DataType of types.proto): not supported")
    if _number(fields, 3) >= num_shards:
        raise ValueError(f"variable {name} is in data file {_number(fields, 3)} of {num_shards}")
    if len(shape) > _MOST_SHAPE_BYTES:
        raise ValueError(f"variable {name} has a shape of {len(shape)} bytes")
    dims = [dict(protobuf.read_fields(_message({2: dim}, 2))) for dim in protobuf.read_all(shape, 2)]
    crc = int.from_bytes(_message(fields, 6), "little")
    return _Entry(*(_number(fields, number) for number in (3, 4, 5)), name, kind, tuple(_number(dim, 1) for dim in dims), crc)


def _number(fields, number):
    """The value of a field, which is an int."""
    value = fields.get(number, 0)
    if not isinstance(value, int):
        raise ValueError(f"no checkpoint of TensorFlow: field {number} is no number")
    return value


def _message(fields, number):
    """The value of a field, which is bytes."""
    value = fields.get(number, b"")
    if isinstance(value, int):
        raise ValueError(f"no checkpoint of TensorFlow: field {number} is a number")
    return value


def _read_shard(path, entries):
    """The arrays of entries of one data file, sorted by place."""
    arrays, end = {}, 0
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b"")
        for entry in entries:
            start, end, before = entry.offset, entry.offset + entry.size, end
            if end > size:
                raise ValueError(f"truncated: variable {entry.name} ends at byte {end} of {size}")
            if start < before:
                raise ValueError(f"variable {entry.name} overlaps another")
            if _read_crc(file, start, entry.size) != entry.crc:
                raise ValueError(f"variable {entry.name}: the check sum does not fit: the file is damaged")
            arrays[entry.name] = _make_array(entry, data[start:end])
    return arrays


def _read_crc(file, start, size):
    """The masked CRC-32C of a part of a file; read, as mapped it would count as memory in use."""
    file.seek(start)
    crc = 0
    while size and (data := file.read(min(size, _CHUNK_BYTES))):
        crc = google_crc32c.extend(crc, data)
        size -= len(data)
    return mask(crc)


def _make_array(entry, data):
    kind = np.dtype("<u2") if entry.kind == _BFLOAT16 else _TYPES[entry.kind]
    if max(entry.shape, default=0) > sys.maxsize or math.prod(entry.shape) * kind.itemsize != len(data):
        raise ValueError(f"variable {entry.name} of shape {entry.shape} and type {kind} has {len(data)} bytes")
    array = np.frombuffer(data, kind)
    if entry.kind == _BFLOAT16:
        array = widen(array)
        array.flags.writeable = False
    return array.reshape(entry.shape)


def _encode_header():
    """A BundleHeaderProto: one data file, little-endian, version."""
    return protobuf.encode_field(1, 1) + protobuf.encode_field(3, protobuf.encode_field(1, _VERSION))


def _write_array(file, name, array):
    """Append the bytes of an array; its BundleEntryProto."""
    array = np.asarray(array)
    array = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
    if array.dtype not in _NUMBERS:
        raise ValueError(f"variable {name} is of type {array.dtype}, which TensorFlow lacks")
    start, crc, data = file.tell(), 0, array.reshape(-1).view(np.uint8)
    for place in range(0, data.size, _CHUNK_BYTES):
        chunk = data[place : place + _CHUNK_BYTES].tobytes()
        crc = google_crc32c.extend(crc, chunk)
        file.write(chunk)
    dims = b"".join(protobuf.encode_field(2, _encode_number(1, dim)) for dim in array.shape)
    numbers = _encode_number(4, start) + _encode_number(5, data.size)
    crc = protobuf.encode_varint(6 << 3 | protobuf.FIXED32) + struct.pack("<I", mask(crc))
    return protobuf.encode_field(1, _NUMBERS[array.dtype]) + protobuf.encode_field(2, dims) + numbers + crc


def _encode_number(number, value):
    """A field, which protobuf leaves out where it is 0."""
    return protobuf.encode_field(number, value) if value else b""
