"""TFRecord files of tf.train.Example messages, without TensorFlow.

A file is a series of frames: length, masked CRC-32C of the length, data, masked CRC-32C of the data.
Source: tensorflow/core/example/example.proto and feature.proto; protobuf's wire format.
"""

import functools
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from src.formats.crc32c import masked_crc


def check_tfrecord(path: Path | str) -> int:
    """The number of records in a file; checks every frame.

    Raises:
        ValueError: a record is broken; the message has its number.
    """
    with open(path, "rb") as file:
        number = 0
        while header := file.read(12):
            number += 1
            length = check_length(header)
            if length is None:
                raise ValueError(f"record {number}: damaged header: not a TFRecord file, or cut or altered")
            data = file.read(length)
            footer = file.read(4)
            if len(data) < length or len(footer) < 4:
                raise ValueError(f"record {number}: the file ends inside it")
            if masked_crc(data) != struct.unpack("<I", footer)[0]:
                raise ValueError(f"record {number}: checksum does not match")
    if number == 0:
        raise ValueError("the file is empty")
    return number


def check_length(header: bytes) -> int | None:
    """The data length in a frame's first 12 bytes; None if the checksum does not match."""
    if len(header) < 12:
        return None
    length, crc = struct.unpack("<QI", header)
    return length if masked_crc(header[:8]) == crc else None


def encode_examples(columns: dict[str, np.ndarray]) -> list[bytes]:
    """A frame with a tf.train.Example for each row; integers become an Int64List, floats a FloatList.

    Args:
        columns: name -> non-negative int or float array [B, values].
    """
    entries = [_encode_entry(name.encode(), values) for name, values in columns.items()]
    messages = _prefix(1, functools.reduce(_join, entries))
    num_rows = len(next(iter(columns.values())))
    data = np.concatenate([np.broadcast_to(part, (num_rows, part.shape[1])) for part in messages.parts], 1)
    used = np.concatenate([np.broadcast_to(part, (num_rows, part.shape[1])) for part in messages.used], 1)
    payload = data[used].tobytes()
    frames = []
    start = 0
    for size in np.broadcast_to(messages.sizes, num_rows).tolist():
        message = payload[start : start + size]
        frames.append(_frame_head(size) + message + struct.pack("<I", masked_crc(message)))
        start += size
    return frames


def _encode_entry(name, values):
    """An entry of the map Features.feature: key 1 to a Feature 2."""
    return _prefix(1, _join(_prefix(1, _constant(name)), _prefix(2, _encode_list(values))))


@functools.lru_cache(maxsize=4096)
def _frame_head(size):
    length = struct.pack("<Q", size)
    return length + struct.pack("<I", masked_crc(length))


@dataclass(frozen=True)
class _Messages:
    """Byte strings of different lengths, one per row, as columns side by side.

    Attributes:
        parts: uint8 [B or 1, n] each.
        used: bool of the same shapes; marks the bytes that belong to the row.
        sizes: int64 [B or 1], bytes of each row.
    """

    parts: list[np.ndarray]
    used: list[np.ndarray]
    sizes: np.ndarray


def _join(first, second):
    return _Messages(first.parts + second.parts, first.used + second.used, first.sizes + second.sizes)


def _constant(data):
    part = np.frombuffer(data, np.uint8)[None]
    return _Messages([part], [np.ones(part.shape, bool)], np.array([len(data)]))


def _prefix(field, messages):
    """The messages as a length-delimited protobuf field."""
    return _join(_join(_constant(bytes([field << 3 | 2])), _encode_varints(messages.sizes[:, None])), messages)


def _encode_list(values):
    """A Feature with an Int64List (field 3) or a FloatList (field 2) of packed values."""
    if values.dtype.kind == "f":
        raw = np.ascontiguousarray(values, "<f4").view(np.uint8)
        return _prefix(2, _prefix(1, _Messages([raw], [np.ones(raw.shape, bool)], np.array([raw.shape[1]]))))
    return _prefix(3, _prefix(1, _encode_varints(values)))


def _encode_varints(values):
    """Varints of int [B, n]: seven bits per byte, the lowest first; a set top bit means that more bytes follow."""
    width = max(1, -(-int(values.max(initial=0)).bit_length() // 7))
    if width == 1:
        part = values.astype(np.uint8)
        return _Messages([part], [np.ones((1, part.shape[1]), bool)], np.array([part.shape[1]]))
    part = np.empty((*values.shape, width), np.uint8)
    used = np.ones((*values.shape, width), bool)
    for index in range(width):
        more = values >= 1 << 7 * (index + 1)
        part[:, :, index] = (values >> 7 * index).astype(np.uint8) & 127 | more.view(np.uint8) << 7
        used[:, :, index + 1 :] = more[:, :, None]
    used = used.reshape(len(values), -1)
    return _Messages([part.reshape(len(values), -1)], [used], used.sum(1))
