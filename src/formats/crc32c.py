"""The check sum that TensorFlow's files carry."""

import google_crc32c


def masked_crc(data):
    """The CRC-32C of `data`, rotated and shifted as TensorFlow does."""
    return mask(google_crc32c.value(data))


def mask(crc):
    """A CRC-32C rotated and shifted: with check sums inside the data, those of the data stay good."""
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
