"""Protobuf's wire format: the fields of a message as bytes, read without a schema and written by hand.

Source: protobuf.dev, "Encoding".
"""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types


def read_fields(data):
    """The fields of a message in their order.

    Args:
        data: memoryview or bytes.

    Yields:
        (field number, value): int for a varint, else a slice of `data`.

    Raises:
        ValueError: truncated, or no message.
    """
    place = 0
    while place < len(data):
        key, place = read_varint(data, place)
        wire = key & 7
        if wire == VARINT:
            value, place = read_varint(data, place)
        elif wire in (BYTES, FIXED32, FIXED64):
            size = {FIXED32: 4, FIXED64: 8}.get(wire)
            if size is None:
                size, place = read_varint(data, place)
            if size > len(data) - place:
                raise ValueError(f"truncated, or of another format: a field of {size} bytes where {len(data) - place} are left")
            value, place = data[place : place + size], place + size
        else:
            raise ValueError(f"of another format: wire type {wire}")
        yield key >> 3, value


def read_all(data, number):
    """The values of the fields of one number."""
    return [value for found, value in read_fields(data) if found == number]


def read_packed(data):
    """The numbers of a packed field."""
    values, place = [], 0
    while place < len(data):
        value, place = read_varint(data, place)
        values.append(value)
    return values


def read_varint(data, place):
    """(value, place behind it) of an unsigned number, seven bits a byte."""
    value = 0
    for count, byte in enumerate(data[place : place + 10]):
        value |= (byte & 127) << 7 * count
        if byte < 128:
            return value, place + count + 1
    raise ValueError("truncated, or of another format: a number without end")


def encode_varint(value):
    """An unsigned number, seven bits a byte."""
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes((*data, value))


def encode_field(number, value):
    """A field: varint for an int, length and content for bytes."""
    if isinstance(value, int):
        return encode_varint(number << 3 | VARINT) + encode_varint(value)
    return encode_head(number, len(value)) + value


def encode_head(number, size):
    """What stands before the content of a field of `size` bytes."""
    return encode_varint(number << 3 | BYTES) + encode_varint(size)
