"""Reading and writing safetensors files; arrays that are read are mapped from the file.

The library of that name holds a file in memory twice while reading it, and returns bytes for types that NumPy lacks (bfloat16).

A file has three parts: the size of the header, 8 bytes little-endian; the header, JSON of name -> dtype, shape, data_offsets, padded
with spaces to a multiple of 8; the data of all tensors, without gaps. Source: github.com/huggingface/safetensors, README.md, "Format".
"""

import json
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from src.files import written_whole
from src.formats.bfloat16 import widen

_TYPES = {
    **{f"{kind}{bits}": np.dtype(f"<{kind.lower()}{bits // 8}") for kind in "FIU" for bits in (16, 32, 64)},
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
    "BF16": np.dtype("<u2"),
}
_NAMES = {dtype: name for name, dtype in _TYPES.items() if name != "BF16"}
_MAX_HEADER = 100_000_000  # bytes; the library's limit
_MAX_TENSORS = 20_000  # the largest networks have a few thousand
_ALIGNMENT = 8
_MAX_MESSAGE = 300  # letters: a quotation may be as long as the header


def read(path: Path | str) -> dict[str, np.ndarray]:
    """All tensors of a file.

    Returns:
        name -> read-only array; bfloat16 becomes float32.

    Raises:
        OSError: it cannot be read. ValueError: truncated, altered, or of another format; with the path.
    """
    try:
        with open(path, "rb") as file:
            header, start = _read_header(file)
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[start:]
        return _make_arrays(header, data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: not a readable safetensors file: {type(error).__name__}: {str(error)[:_MAX_MESSAGE]}") from None


def _read_header(file: BinaryIO) -> tuple[Any, int]:
    """(parsed header, offset of the data)."""
    size = int.from_bytes(file.read(8), "little")
    if size > _MAX_HEADER:
        raise ValueError(f"a header of {size} bytes")
    text = file.read(size)
    if len(text) < size:
        raise ValueError("truncated in the header")
    if (count := text.count(b'"data_offsets"')) > _MAX_TENSORS:
        raise ValueError(f"{count} tensors, more than {_MAX_TENSORS}")
    return json.loads(text.decode(), object_pairs_hook=_refuse_repetition), 8 + size


def _refuse_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name occurs twice in the header")
    return dict(pairs)


def _make_arrays(header: Any, data: memoryview) -> dict[str, np.ndarray]:
    header.pop("__metadata__", None)
    arrays = {}
    offset = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        kind = entry["dtype"]
        shape = entry["shape"]
        start, end = entry["data_offsets"]
        if kind not in _TYPES:
            raise ValueError(f"{name} is of type {kind}; {', '.join(_TYPES)} are supported")
        if not all(type(number) is int and number >= 0 for number in (*shape, start, end)):
            raise ValueError(f"{name} is of shape {shape} at {start} to {end}")
        if start != offset or end - start != math.prod(shape) * _TYPES[kind].itemsize or end > len(data):
            raise ValueError(f"{name} of shape {shape} and type {kind} is at {start} to {end}, after {offset} and in {len(data)} bytes")
        flat = np.frombuffer(data[start:end], _TYPES[kind])
        if kind == "BF16":
            flat = widen(flat)
        arrays[name] = flat.reshape(shape)
        offset = end
    if offset < len(data):
        raise ValueError(f"{len(data) - offset} bytes after the last tensor")
    return arrays


def write(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a file whole.

    Raises:
        ValueError: the format lacks the type of an array.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers requires it
    offset = 0
    arrays = dict(sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])))  # large items first: each array is aligned
    for name, array in arrays.items():
        if array.dtype not in _NAMES:
            raise ValueError(f"{path}: parameter {name} is of type {array.dtype}, which is not supported in safetensors files")
        header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with written_whole(path) as temporary, open(temporary, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).data)
