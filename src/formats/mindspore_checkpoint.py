"""Read and write the arrays of a MindSpore checkpoint (.ckpt); those read are mapped from the file.

MindSpore's own reader holds the file twice, and refuses one that is larger than the memory nothing uses, not even as a cache of
files: where much was read or written before, BERT-large's would not load.

The file is a protobuf message of values, each a name and a tensor: dims, name of its type, bytes. A large tensor is several
values of one name behind each other. At the end may stand "crc_num" and ten bytes with the CRC-32 of all before.

Source: mindspore/train/serialization.py, checkpoint_pb2.py.
"""

import math
import mmap
import sys
import zlib
from itertools import groupby

import numpy as np

from src.files import written_whole
from src.formats import protobuf
from src.formats.bfloat16 import widen

_TYPES = {
    **{f"{kind}{bits}": np.dtype(f"{kind.lower()}{bits}") for kind in ("Int", "UInt") for bits in (8, 16, 32, 64)},
    **{f"Float{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
    "Bool": np.dtype(bool),
    "BFloat16": np.dtype("uint16"),
}
_NAMES = {dtype: name for name, dtype in reversed(_TYPES.items())}  # uint16 is itself, not the bits of bfloat16
_PART_BYTES = 1 << 29  # of a large tensor, as MindSpore cuts it
_CRC_MARK, _CRC_BYTES = b"crc_num", 10
_MOST_SHAPE_BYTES = 1 << 12  # no tensor has so many dimensions
_MAX_MESSAGE = 300  # letters: a name that is quoted may be as long as the file


def write(path, arrays):
    """Write a checkpoint whole, with its check sum.

    Args:
        path: the file.
        arrays: name -> array.

    Raises:
        ValueError: an array is of a type that the format lacks.
    """
    crc = 0
    with written_whole(path) as temporary, open(temporary, "wb") as file:
        for name, array in arrays.items():
            if array.dtype not in _NAMES:
                raise ValueError(f"{path}: parameter {name} is of type {array.dtype}, which MindSpore's checkpoints lack here")
            content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
            for start in range(0, max(len(content), 1), _PART_BYTES):
                part = content[start : start + _PART_BYTES]
                for data in (_encode_head(name, array, len(part)), part):
                    crc = zlib.crc32(data, crc)
                    file.write(data)
        file.write(_CRC_MARK + crc.to_bytes(_CRC_BYTES, "big"))


def _encode_head(name, array, size):
    """What stands before the content of a value: its name, shape and type."""
    dims = b"".join(protobuf.encode_field(1, dim) for dim in array.shape)
    tensor = dims + protobuf.encode_field(2, _NAMES[array.dtype].encode()) + protobuf.encode_head(3, size)
    value = protobuf.encode_field(1, name.encode()) + protobuf.encode_head(2, len(tensor) + size) + tensor
    return protobuf.encode_head(1, len(value) + size) + value


def read(path, check=True):
    """All tensors of a checkpoint; texts in it are left out.

    Args:
        path: the file.
        check: whether to compare the check sum, for which the whole file must be read.

    Returns:
        dict of name -> array, read-only; bfloat16 comes as float32.

    Raises:
        OSError: it cannot be read. ValueError: truncated, altered, or no checkpoint, with the path.
    """
    try:
        return _read(path, check)
    except ValueError as error:
        raise ValueError(f"{path}: not a readable checkpoint: {str(error)[:_MAX_MESSAGE]}") from None


def _read(path, check):
    with open(path, "rb") as file:
        if not file.seek(0, 2):
            raise ValueError("the file is empty")
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    arrays = {}
    values = (_read_value(value) for number, value in protobuf.read_fields(_find_message(data, check)) if number == 1)
    for name, tensors in groupby(values, lambda value: value[0]):
        if name in arrays:
            raise ValueError(f"parameter {name} occurs twice")
        _, kinds, dims, contents = zip(*tensors)
        if kinds[0] != "str":
            arrays[name] = _make_array(name, kinds[0], dims[0], contents)
    if not arrays:
        raise ValueError("no tensors in it")
    return arrays


def _find_message(data, check):
    """The message without the check sum that may stand behind it."""
    mark = len(data) - _CRC_BYTES - len(_CRC_MARK)
    if mark < 0 or data[mark : mark + len(_CRC_MARK)] != _CRC_MARK:
        return data
    if check and zlib.crc32(data[:mark]) != int.from_bytes(data[-_CRC_BYTES:], "big"):
        raise ValueError("the check sum does not fit: the file is damaged")
    return data[:mark]


def _read_value(data):
    """(name, name of the type, dims, bytes) of a value."""
    if isinstance(data, int):
        raise ValueError("no checkpoint: a number where a value is expected")
    name, tensor = _read_one(data, 1), _read_one(data, 2)
    dims = []
    for number, dim in protobuf.read_fields(tensor):
        if number == 1:
            dims += [dim] if isinstance(dim, int) else protobuf.read_packed(dim[:_MOST_SHAPE_BYTES])
        if len(dims) > _MOST_SHAPE_BYTES:
            raise ValueError("no checkpoint: a shape without end")
    return str(name, "utf-8"), str(_read_one(tensor, 2), "utf-8"), dims, _read_one(tensor, 3)


def _read_one(data, number):
    """The bytes of the only field of this number."""
    found = None
    for other, value in protobuf.read_fields(data):
        if other == number:
            if found is not None or isinstance(value, int):
                raise ValueError(f"no checkpoint: field {number} is there twice, or a number")
            found = value
    if found is None:
        raise ValueError(f"no checkpoint: field {number} is absent")
    return found


def _make_array(name, kind, dims, contents):
    if kind not in _TYPES:
        raise ValueError(f"parameter {name} is of type {kind}")
    content = contents[0] if len(contents) == 1 else b"".join(contents)
    dims = [] if dims == [0] and content else dims  # how MindSpore told a scalar before it left dims out
    if math.prod(dims) * _TYPES[kind].itemsize != len(content) or max(dims, default=0) > sys.maxsize:
        raise ValueError(f"parameter {name} of shape {tuple(dims)} and type {kind} has {len(content)} bytes")
    flat = np.frombuffer(content, _TYPES[kind])
    if kind == "BFloat16":
        flat = widen(flat)
    return flat.reshape(dims)
