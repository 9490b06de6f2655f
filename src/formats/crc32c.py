"""The checksum in TensorFlow's files."""

import google_crc32c


def masked_crc(data: bytes) -> int:
    """The masked CRC-32C of `data`."""
    return mask(google_crc32c.value(data))


def mask(crc: int) -> int:
    """A CRC-32C, rotated and shifted as in TensorFlow, so that data which contain CRCs can safely be checksummed again."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
