"""Reading and writing the arrays of a MindSpore checkpoint (.ckpt); arrays that are read are mapped from the file.

MindSpore's own reader holds the file in memory twice, and refuses a file larger than the completely unused memory, without counting
the file cache: BERT-large would not load after much was read or written.

The file is a protobuf message of values, each with a name and a tensor: dims, name of the type, bytes. A large tensor is split into
consecutive values of the same name. The file may end with "crc_num" and ten bytes holding the CRC-32 of everything before.

Source: mindspore/train/serialization.py, checkpoint_pb2.py.
"""

import math
import mmap
import sys
import zlib
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

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
_NAMES = {dtype: name for name, dtype in reversed(_TYPES.items())}  # uint16 stands for itself, not for the bits of bfloat16
PART_BYTES = 1 << 29  # MindSpore splits larger tensors
_CRC_MARK = b"crc_num"
_CRC_BYTES = 10
_MAX_SHAPE_BYTES = 1 << 12  # no tensor has more dimensions
_MAX_MESSAGE = 300  # letters: a quoted name may be as long as the file


def write(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a checkpoint whole, with its checksum.

    Raises:
        ValueError: the format lacks the type of an array.
    """
    crc = 0
    with written_whole(path) as temporary, open(temporary, "wb") as file:
        for name, array in arrays.items():
            if array.dtype not in _NAMES:
                raise ValueError(f"{path}: parameter {name} is of type {array.dtype}, which is not supported in MindSpore's checkpoints")
            content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
            for start in range(0, max(len(content), 1), PART_BYTES):
                part = content[start : start + PART_BYTES]
                for data in (_encode_head(name, array, len(part)), part):
                    crc = zlib.crc32(data, crc)
                    file.write(data)
        file.write(_CRC_MARK + crc.to_bytes(_CRC_BYTES, "big"))


def _encode_head(name: str, array: np.ndarray, size: int) -> bytes:
    """The part of a value before its `size` bytes of content: name, shape and type."""
    dims = b"".join(protobuf.encode_field(1, dim) for dim in array.shape)
    tensor = dims + protobuf.encode_field(2, _NAMES[array.dtype].encode()) + protobuf.encode_head(3, size)
    value = protobuf.encode_field(1, name.encode()) + protobuf.encode_head(2, len(tensor) + size) + tensor
    return protobuf.encode_head(1, len(value) + size) + value


def read(path: Path | str, check: bool = True) -> dict[str, np.ndarray]:
    """All tensors of a checkpoint, without its texts.

    Args:
        check: whether to compare the checksum, which requires reading the whole file.

    Returns:
        name -> read-only array; bfloat16 becomes float32.

    Raises:
        OSError: it cannot be read. ValueError: truncated, altered, or not a checkpoint; with the path.
    """
    try:
        return _read(path, check)
    except ValueError as error:
        raise ValueError(f"{path}: not a readable checkpoint: {str(error)[:_MAX_MESSAGE]}") from None


def _read(path: Path | str, check: bool) -> dict[str, np.ndarray]:
    with open(path, "rb") as file:
        if not file.seek(0, 2):
            raise ValueError("the file is empty")
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    arrays = {}
    values = (_read_value(value) for number, value in protobuf.read_fields(_find_message(data, check)) if number == 1)
    for name, group in groupby(values, lambda value: value[0]):
        if name in arrays:
            raise ValueError(f"parameter {name} occurs twice")
        parts = list(group)
        _, kind, dims, _ = parts[0]
        if kind != "str":
            arrays[name] = _make_array(name, kind, dims, [content for _, _, _, content in parts])
    if not arrays:
        raise ValueError("no tensors in it")
    return arrays


def _find_message(data: memoryview, check: bool) -> memoryview:
    """The message without the checksum that may follow it."""
    mark = len(data) - _CRC_BYTES - len(_CRC_MARK)
    if mark < 0 or data[mark : mark + len(_CRC_MARK)] != _CRC_MARK:
        return data
    if check and zlib.crc32(data[:mark]) != int.from_bytes(data[-_CRC_BYTES:], "big"):
        raise ValueError("the checksum does not match: the file is damaged")
    return data[:mark]


def _read_value(data: protobuf.Value) -> tuple[str, str, list[int], protobuf.Bytes]:
    """(name, name of the type, dims, bytes) of a value."""
    if isinstance(data, int):
        raise ValueError("a number where a value is expected")
    name = _read_one(data, 1)
    tensor = _read_one(data, 2)
    dims = []
    for number, dim in protobuf.read_fields(tensor):
        if number == 1:
            dims += [dim] if isinstance(dim, int) else protobuf.read_packed(dim[:_MAX_SHAPE_BYTES])
        if len(dims) > _MAX_SHAPE_BYTES:
            raise ValueError("a shape without end")
    return str(name, "utf-8"), str(_read_one(tensor, 2), "utf-8"), dims, _read_one(tensor, 3)


def _read_one(data: protobuf.Bytes, number: int) -> protobuf.Bytes:
    """The bytes of the only field of this number."""
    found = None
    for other, value in protobuf.read_fields(data):
        if other == number:
            if found is not None or isinstance(value, int):
                raise ValueError(f"field {number} occurs twice, or is a number")
            found = value
    if found is None:
        raise ValueError(f"field {number} is absent")
    return found


def _make_array(name: str, kind: str, dims: list[int], contents: Sequence[protobuf.Bytes]) -> np.ndarray:
    if kind not in _TYPES:
        raise ValueError(f"parameter {name} is of type {kind}")
    content = contents[0] if len(contents) == 1 else b"".join(contents)
    dims = [] if dims == [0] and content else dims  # earlier versions of MindSpore wrote a scalar like this; later ones leave dims out
    if math.prod(dims) * _TYPES[kind].itemsize != len(content) or max(dims, default=0) > sys.maxsize:
        raise ValueError(f"parameter {name} of shape {tuple(dims)} and type {kind} has {len(content)} bytes")
    flat = np.frombuffer(content, _TYPES[kind])
    if kind == "BFloat16":
        flat = widen(flat)
    return flat.reshape(dims)
