"""Rows of a TFRecord file by their places in the file: tf.train.Example messages to columns, by the protobuf library.

Source: tensorflow/core/example/example.proto and feature.proto.
"""

import functools
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from src.formats.crc32c import masked_crc
from src.records.mindrecord_rows import gather
from src.records.tfrecord import check_length

_HEAD_BYTES, FOOT_BYTES = 12, 4  # of a frame, around its message


def find_messages(path: Path | str) -> Iterator[tuple[int, int]]:
    """Start and size in bytes of each message, in the order of the rows; the messages themselves are not read."""
    with open(path, "rb") as file:
        start = _HEAD_BYTES
        while head := file.read(_HEAD_BYTES):
            size = check_length(head)
            if size is None:
                raise ValueError(f"{path}: damaged header before byte {start}")
            yield start, size
            start += size + FOOT_BYTES + _HEAD_BYTES
            file.seek(size + FOOT_BYTES, os.SEEK_CUR)


def decode_messages(frames: Sequence[bytes], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Some rows as columns: name -> [B, values of the longest row], padded with 0; columns that no row has are left out.

    Args:
        frames: messages, each followed by its checksum.

    Raises:
        ValueError: a checksum does not match, or a message is damaged.
    """
    integers: dict[str, list[bytes]] = {name: [] for name in names}
    floats: dict[str, list[bytes]] = {name: [] for name in names}
    example = _example_type()
    for frame in frames:
        message = frame[:-FOOT_BYTES]
        if masked_crc(message) != struct.unpack("<I", frame[-FOOT_BYTES:])[0]:
            raise ValueError("the checksum of a record does not match")
        try:
            features = example.FromString(message).features.feature
        except DecodeError as error:
            raise ValueError(f"no tf.train.Example: {error}") from None
        for name, feature in features.items():
            if name in integers:
                values = feature.int64_list.value
                (integers if values else floats)[name].append(values or feature.float_list.value)
    columns = {}
    for found, decode in ((integers, _decode_varints), (floats, _decode_floats)):
        for name, lists in found.items():
            if lists:
                if len(lists) < len(frames):
                    raise ValueError(f"{name} is not in all records, or of different types")
                columns[name] = decode(np.frombuffer(b"".join(lists), np.uint8), np.array([len(values) for values in lists]))
    return columns


def _decode_floats(data, sizes):
    return gather(data, np.cumsum(sizes) - sizes, sizes).view("<f4")


def _decode_varints(data, sizes):
    """Lists of packed varints, seven bits in a byte, the lowest first; a set top bit means that more bytes follow."""
    ends = np.flatnonzero(data < 128)
    starts = np.concatenate([[0], ends[:-1] + 1])
    widths = ends - starts + 1
    values = data[starts].astype(np.int64) & 127
    for byte in range(1, widths.max()):
        wide = np.flatnonzero(widths > byte)
        values[wide] |= (data[starts[wide] + byte].astype(np.int64) & 127) << 7 * byte
    counts = np.diff(np.searchsorted(ends, np.cumsum(sizes)), prepend=0)
    if (counts == counts[0]).all():
        return values.reshape(len(sizes), -1)
    padded = np.zeros((len(sizes), counts.max()), np.int64)
    padded[np.arange(padded.shape[1]) < counts[:, None]] = values
    return padded


@functools.cache
def _example_type() -> Any:
    """The class of tf.train.Example messages, with packed lists as bytes: as numbers, each would become a Python object."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="records", syntax="proto3")

    def add(owner: Any, name: str, number: int, kind: int, of: str | None = None, repeated: bool = False) -> Any:
        label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
        return owner.field.add(name=name, number=number, type=kind, label=label, type_name=of and f".records.{of}")

    add(file.message_type.add(name="PackedList"), "value", 1, field.TYPE_BYTES)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for name, number in (("float_list", 2), ("int64_list", 3)):
        add(feature, name, number, field.TYPE_MESSAGE, "PackedList").oneof_index = 0
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    add(entry, "key", 1, field.TYPE_STRING)
    add(entry, "value", 2, field.TYPE_MESSAGE, "Feature")
    add(features, "feature", 1, field.TYPE_MESSAGE, "Features.FeatureEntry", repeated=True)
    add(file.message_type.add(name="Example"), "features", 1, field.TYPE_MESSAGE, "Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("records.Example"))
