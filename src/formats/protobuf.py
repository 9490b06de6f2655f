"""Protobuf's wire format: messages are read without a schema, field by field, and written by hand.

Source: protobuf.dev, "Encoding".
"""

from collections.abc import Iterator

Bytes = bytes | memoryview
Value = int | Bytes

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types


def read_fields(data: Bytes) -> Iterator[tuple[int, Value]]:
    """The fields of a message in their order.

    Yields:
        (field number, value): int for a varint, else a slice of `data`.

    Raises:
        ValueError: truncated, or not a message.
    """
    offset = 0
    while offset < len(data):
        key, offset = read_varint(data, offset)
        wire = key & 7
        value: Value
        if wire == VARINT:
            value, offset = read_varint(data, offset)
        elif wire in (BYTES, FIXED32, FIXED64):
            size = {FIXED32: 4, FIXED64: 8}.get(wire)
            if size is None:
                size, offset = read_varint(data, offset)
            if size > len(data) - offset:
                raise ValueError(f"truncated, or of another format: a field of {size} bytes where {len(data) - offset} are left")
            value = data[offset : offset + size]
            offset += size
        else:
            raise ValueError(f"of another format: wire type {wire}")
        yield key >> 3, value


def read_all(data: Bytes, number: int) -> list[Value]:
    """The values of all fields with this number."""
    return [value for found, value in read_fields(data) if found == number]


def read_packed(data: Bytes) -> list[int]:
    """The numbers of a packed field."""
    values = []
    offset = 0
    while offset < len(data):
        value, offset = read_varint(data, offset)
        values.append(value)
    return values


def read_varint(data: Bytes, offset: int) -> tuple[int, int]:
    """The unsigned number at an offset, seven bits per byte, and the offset after it."""
    value = 0
    for count, byte in enumerate(data[offset : offset + 10]):
        value |= (byte & 127) << 7 * count
        if byte < 128:
            return value, offset + count + 1
    raise ValueError("truncated, or of another format: a number without end")


def encode_varint(value: int) -> bytes:
    """An unsigned number, seven bits per byte."""
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes((*data, value))


def encode_field(number: int, value: int | bytes) -> bytes:
    """A field: varint for an int, length and content for bytes."""
    if isinstance(value, int):
        return encode_varint(number << 3 | VARINT) + encode_varint(value)
    return encode_head(number, len(value)) + value


def encode_head(number: int, size: int) -> bytes:
    """The part of a field before its `size` bytes of content."""
    return encode_varint(number << 3 | BYTES) + encode_varint(size)
