"""Tables of (key, value) pairs sorted by key, in LevelDB's format, uncompressed: the index of TensorFlow's checkpoints.

A table has blocks of pairs, an empty metadata block, an index block with the handles of the pair blocks (offset and size), and a
footer with the handles of the other two. A block has pairs, whose keys omit the prefix shared with the previous key; the offsets of the
restarts, which are keys stored in full; and their number. A trailer follows it: the compression type and a checksum.

Source: tensorflow/core/lib/io: table_builder.cc, block_builder.cc, format.cc.
"""

import os
import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from src.formats import protobuf
from src.formats.crc32c import masked_crc

MAGIC = bytes.fromhex("57fb808b247547db")
_FOOTER_BYTES = 48
_TRAILER_BYTES = 5
BLOCK_BYTES = 1 << 18
_RESTART_INTERVAL = 16
_MAX_KEY_BYTES = 1 << 26  # of all keys together: three bytes may repeat the whole previous key, so that a small file unpacks without end
_BYTES_BESIDE_KEY = 64  # counted for each key
NO_COMPRESSION = b"\0"


def read_table(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The (key, value) pairs of an open file in ascending order.

    Raises:
        ValueError: truncated, altered, compressed, or not a table.
    """
    return _Table(file).read_pairs()


def encode_table(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A table of (key, value) pairs sorted by key, byte for byte as TensorFlow writes it."""
    blocks: list[Block] = []
    for key, value in pairs:
        if not blocks or len(blocks[-1].data) + 4 * len(blocks[-1].restarts) + 4 >= BLOCK_BYTES:
            blocks.append(Block(_RESTART_INTERVAL))
        blocks[-1].add(key, value)
    table = bytearray()
    index = Block(1)
    for number, block in enumerate(blocks, 1):
        following = blocks[number].first if number < len(blocks) else None
        index.add(_separate(block.last, following), append_block(table, block))
    footer = append_block(table, Block(_RESTART_INTERVAL)) + append_block(table, index)  # the first is the metadata block
    return bytes(table) + footer.ljust(_FOOTER_BYTES - len(MAGIC), b"\0") + MAGIC


class _Table:
    """A table in LevelDB's format, in a file."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.left = _MAX_KEY_BYTES
        self.size = file.seek(0, 2)
        file.seek(max(0, self.size - _FOOTER_BYTES))
        self.footer = file.read()
        if self.footer[-len(MAGIC) :] != MAGIC or self.size < _FOOTER_BYTES:
            raise ValueError("truncated, or not the index of a TensorFlow checkpoint: the footer is missing")

    def read_pairs(self) -> Iterator[tuple[bytes, bytes]]:
        """The (key, value) pairs in ascending order."""
        metadata, offset = _read_handle(self.footer, 0)
        self._read_block(metadata)
        index, _ = _read_handle(self.footer, offset)
        end = 0
        last = None
        for _, data in self._unpack(self._read_block(index)):
            handle, data_end = _read_handle(data, 0)
            start, size = handle
            if start < end or data_end != len(data):  # in their order, so that no block is read twice
                raise ValueError("not an index of TensorFlow: its blocks are out of order")
            end = start + size
            for key, value in self._unpack(self._read_block(handle)):
                if last is not None and key <= last:
                    raise ValueError("not an index of TensorFlow: its keys are out of order")
                last = key
                yield key, value

    def _read_block(self, handle: tuple[int, int]) -> bytes:
        """The content of a block."""
        start, size = handle
        if start + size + _TRAILER_BYTES > self.size:
            raise ValueError(f"truncated, or damaged: a block ends at byte {start + size + _TRAILER_BYTES} of {self.size}")
        self.file.seek(start)
        block = self.file.read(size + _TRAILER_BYTES)
        if masked_crc(block[:-4]) != int.from_bytes(block[-4:], "little"):
            raise ValueError("a block's checksum does not match: the file is damaged")
        if block[size:-4] != NO_COMPRESSION:
            raise ValueError("compressed, as TensorFlow's own checkpoints are not: not supported")
        return block[:size]

    def _unpack(self, block: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The (key, value) pairs in the content of a block."""
        end = len(block) - 4 * (1 + int.from_bytes(block[-4:], "little"))
        if end < 0:
            raise ValueError("not an index of TensorFlow: a block without an end")
        block = block[:end]
        offset = 0
        key = b""
        while offset < end:
            shared, offset = protobuf.read_varint(block, offset)
            added, offset = protobuf.read_varint(block, offset)
            size, offset = protobuf.read_varint(block, offset)
            if shared > len(key) or added + size > end - offset:
                raise ValueError("not an index of TensorFlow: a key or a value longer than its block")
            self.left -= shared + added + _BYTES_BESIDE_KEY
            if self.left < 0:
                raise ValueError(f"keys of more than {_MAX_KEY_BYTES >> 20} MiB")
            key = key[:shared] + block[offset : offset + added]
            offset += added + size
            yield key, block[offset - size : offset]


def _read_handle(data: bytes, offset: int) -> tuple[tuple[int, int], int]:
    """The handle at an offset, and the offset after it."""
    start, offset = protobuf.read_varint(data, offset)
    size, offset = protobuf.read_varint(data, offset)
    return (start, size), offset


class Block:
    """A block of sorted pairs, to be written: every `interval`-th key is stored in full, the others without the shared prefix."""

    def __init__(self, interval: int):
        self.data = bytearray()
        self.restarts = [0]
        self.interval = interval
        self.count = 0  # keys since the last restart
        self.first: bytes | None = None
        self.last = b""

    def add(self, key: bytes, value: bytes) -> None:
        """Append a pair."""
        shared = 0
        if self.count == self.interval:
            self.restarts.append(len(self.data))
            self.count = 0
        else:
            shared = len(os.path.commonprefix((self.last, key)))
        self.data += b"".join(map(protobuf.encode_varint, (shared, len(key) - shared, len(value)))) + key[shared:] + value
        if self.first is None:
            self.first = key
        self.last = key
        self.count += 1

    def encode(self) -> bytes:
        """The block's content."""
        return bytes(self.data) + struct.pack(f"<{len(self.restarts) + 1}I", *self.restarts, len(self.restarts))


def append_block(table: bytearray, block: Block) -> bytes:
    """Append a block to a table, uncompressed; returns its encoded handle."""
    content = block.encode()
    handle = protobuf.encode_varint(len(table)) + protobuf.encode_varint(len(content))
    content += NO_COMPRESSION
    table += content + struct.pack("<I", masked_crc(content))
    return handle


def _separate(key: bytes, following: bytes | None) -> bytes:
    """A short key that is not below `key` but below the following one, which is None after the last."""
    if following is None:
        length = next((index for index, byte in enumerate(key) if byte < 255), len(key))
        limit = 256
    else:
        length = len(os.path.commonprefix((key, following)))
        limit = following[length] if length < len(following) else 0
    return key[:length] + bytes([key[length] + 1]) if length < len(key) and key[length] + 1 < limit else key
