"""Tables of pairs of bytes sorted by key, in LevelDB's format, uncompressed: the index of TensorFlow's checkpoints.

Blocks of pairs, a block for other things, which stays empty, a block that says where the blocks are, a footer that says where
these two are. A block: pairs, each key without the start that it shares with the one before; the places of the keys that stand
whole, and their number; behind it the kind of compression and a check sum.

Source: tensorflow/core/lib/io: table_builder.cc, block_builder.cc, format.cc.
"""

import os
import struct

from src.formats import protobuf
from src.formats.crc32c import masked_crc

_MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER_BYTES, _TRAILER_BYTES = 48, 5
_BLOCK_BYTES, _RESTART_INTERVAL = 1 << 18, 16
_MOST_KEY_BYTES = 1 << 26  # a key may repeat all of the one before at three bytes: a small file could unpack without end
_BYTES_BESIDE_KEY = 64
_NO_COMPRESSION = b"\0"


def read_table(file):
    """Yield the (key, value) of an open binary file by rising key.

    Raises:
        ValueError: truncated, altered, compressed, or no table.
    """
    return _Table(file).read_pairs()


def encode_table(pairs):
    """A table of (key, value) sorted by key, to the byte as TensorFlow writes it."""
    blocks = []
    for key, value in pairs:
        if not blocks or len(blocks[-1].data) + 4 * len(blocks[-1].restarts) + 4 >= _BLOCK_BYTES:
            blocks.append(_Block(_RESTART_INTERVAL))
        blocks[-1].add(key, value)
    table, index = bytearray(), _Block(1)
    for block, following in zip(blocks, [*blocks[1:], None]):
        index.add(_separate(block.last, following and following.first), _append(table, block))
    footer = _append(table, _Block(_RESTART_INTERVAL)) + _append(table, index)  # first that of other things, which is empty
    return bytes(table) + footer.ljust(_FOOTER_BYTES - len(_MAGIC), b"\0") + _MAGIC


class _Table:
    """A table in LevelDB's format, in a file."""

    def __init__(self, file):
        self.file, self.left = file, _MOST_KEY_BYTES
        self.size = file.seek(0, 2)
        file.seek(max(0, self.size - _FOOTER_BYTES))
        self.footer = file.read()
        if self.footer[-len(_MAGIC) :] != _MAGIC or self.size < _FOOTER_BYTES:
            raise ValueError("truncated, or no index of a TensorFlow checkpoint: its end is not one's")

    def read_pairs(self):
        """Yield (key, value) by rising key."""
        place = _read_handle(self.footer, 0)[1]
        self._read_block(self.footer, 0)
        blocks, _ = self._read_block(self.footer, place)
        end, last = 0, None
        for _, handle in self._unpack(blocks):
            (start, size), behind = _read_handle(handle, 0)
            if start < end or behind != len(handle):  # in their order, so that no block is read twice
                raise ValueError("no table of TensorFlow: its blocks are out of order")
            end = start + size
            for key, value in self._unpack(self._read_block(handle, 0)[0]):
                if last is not None and key <= last:
                    raise ValueError("no table of TensorFlow: its keys are out of order")
                last = key
                yield key, value

    def _read_block(self, data, place):
        """(content of the block whose handle is at a place of `data`, the place behind the handle)."""
        (start, size), place = _read_handle(data, place)
        if start + size + _TRAILER_BYTES > self.size:
            raise ValueError(f"truncated, or damaged: a block ends at byte {start + size + _TRAILER_BYTES} of {self.size}")
        self.file.seek(start)
        block = self.file.read(size + _TRAILER_BYTES)
        if masked_crc(block[:-4]) != int.from_bytes(block[-4:], "little"):
            raise ValueError("a block's check sum does not fit: the file is damaged")
        if block[size:-4] != _NO_COMPRESSION:
            raise ValueError("compressed, as TensorFlow's own checkpoints are not: not supported")
        return block[:size], place

    def _unpack(self, block):
        """Yield the (key, value) of a block's content: pairs, where keys stand whole, how many of these."""
        end = len(block) - 4 * (1 + int.from_bytes(block[-4:], "little"))
        if end < 0:
            raise ValueError("no table of TensorFlow: a block without an end")
        block, place, key = block[:end], 0, b""
        while place < end:
            shared, place = protobuf.read_varint(block, place)
            added, place = protobuf.read_varint(block, place)
            size, place = protobuf.read_varint(block, place)
            if shared > len(key) or added + size > end - place:
                raise ValueError("no table of TensorFlow: a key or a value longer than its block")
            self.left -= shared + added + _BYTES_BESIDE_KEY
            if self.left < 0:
                raise ValueError(f"keys of more than {_MOST_KEY_BYTES >> 20} MiB")
            key, place = key[:shared] + block[place : place + added], place + added + size
            yield key, block[place - size : place]


def _read_handle(data, place):
    """((start, size) of a block, place behind it)."""
    start, place = protobuf.read_varint(data, place)
    size, place = protobuf.read_varint(data, place)
    return (start, size), place


class _Block:
    """A block of sorted pairs: every `interval`-th key whole, the others without the start that they share with the one before."""

    def __init__(self, interval):
        self.data, self.restarts, self.interval, self.count = bytearray(), [0], interval, 0
        self.first, self.last = None, b""

    def add(self, key, value):
        shared = 0
        if self.count == self.interval:
            self.restarts.append(len(self.data))
            self.count = 0
        else:
            shared = len(os.path.commonprefix((self.last, key)))
        self.data += b"".join(map(protobuf.encode_varint, (shared, len(key) - shared, len(value)))) + key[shared:] + value
        self.first, self.last, self.count = key if self.first is None else self.first, key, self.count + 1

    def encode(self):
        """The content."""
        return bytes(self.data) + struct.pack(f"<{len(self.restarts) + 1}I", *self.restarts, len(self.restarts))


def _append(table, block):
    """Append a block to a table, uncompressed; its handle."""
    content = block.encode()
    handle = protobuf.encode_varint(len(table)) + protobuf.encode_varint(len(content))
    content += _NO_COMPRESSION
    table += content + struct.pack("<I", masked_crc(content))
    return handle


def _separate(key, following):
    """A short key that is not below `key` and is below the following one; None: none follows."""
    if following is None:
        place, limit = next((place for place, byte in enumerate(key) if byte < 255), len(key)), 256
    else:
        place = len(os.path.commonprefix((key, following)))
        limit = following[place] if place < len(following) else 0
    return key[:place] + bytes([key[place] + 1]) if place < len(key) and key[place] + 1 < limit else key
