"""Rows of a MindRecord by their places in the file, without the framework.

A row's arrays are in alphabetical order, each preceded by its size in bytes (uint64, big-endian). Integers are packed: their number
(uint32, big-endian), two bits for each that tell its width of 1, 2, 4 or 8 bytes, the first in the highest bits, and the integers
themselves, signed, little-endian.
Source: mindspore/ccsrc/minddata/mindrecord, shard_column.cc; tests compare the rows with the framework's.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from src.records.mindrecord_format import read_header

_WIDTH_SHIFTS = np.array([6, 4, 2, 0], np.uint8)


def find_rows(path: Path | str) -> Iterator[tuple[int, int]]:
    """Start and size in bytes of each row's arrays, in the order of the rows, from the index {path}.db."""
    header = read_header(path)
    order = "SELECT PAGE_ID_BLOB, PAGE_OFFSET_BLOB, PAGE_OFFSET_BLOB_END FROM INDEXES ORDER BY ROW_ID"
    with closing(sqlite3.connect(f"{Path(f'{path}.db').resolve().as_uri()}?mode=ro", uri=True)) as connection:
        for page, start, end in connection.execute(order):
            yield header["header_size"] + page * header["page_size"] + start + 8, end - start - 8  # the row's length comes first


class RowDecoder:
    """Turns the bytes of a file's rows into columns.

    Args:
        header: from `read_header`.
        names: the columns wanted; those that the file does not have as arrays are left out.
    """

    def __init__(self, header: dict[str, Any], names: Sequence[str]) -> None:
        schema = header["schema"][0]
        self._types = [(name, schema["schema"][name]["type"]) for name in schema["blob_fields"]]
        self._names = names

    def decode(self, rows: Sequence[bytes]) -> dict[str, np.ndarray]:
        """Name -> [B, values of the longest row], padded with 0.

        Raises:
            ValueError: the bytes are not those of a row.
        """
        data = np.frombuffer(b"".join(rows), np.uint8)
        sizes = np.array([len(row) for row in rows])
        ends = np.cumsum(sizes)
        starts = ends - sizes
        columns = {}
        for name, kind in self._types:
            sizes = _read_big_endian(data, starts, 8)
            starts = starts + 8
            if (sizes < 0).any() or (starts + sizes > ends).any():
                raise ValueError(f"damaged row: no room for {name}")
            if name in self._names:
                columns[name] = _unpack(data, starts) if kind in ("int32", "int64") else gather(data, starts, sizes).view(kind)
            starts = starts + sizes
        return columns


def gather(data: np.ndarray, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Some byte strings as rows: uint8 [B, longest], padded with 0."""
    positions = np.arange(sizes.max())
    found = data.take(starts[:, None] + positions, mode="clip")
    return found if (sizes == len(positions)).all() else np.where(positions < sizes[:, None], found, 0).astype(np.uint8)


def _read_big_endian(data, starts, size):
    return data.take(starts[:, None] + np.arange(size), mode="clip").view(f">u{size}")[:, 0].astype(np.int64)


def _unpack(data, starts):
    """The integers of an array in each row: int64 [B, most]."""
    counts = _read_big_endian(data, starts, 4)
    if counts.max() > len(data):
        raise ValueError("damaged row: more integers than bytes")
    num_groups = -(-counts // 4)
    codes = gather(data, starts + 4, num_groups)
    starts = starts + 4 + num_groups
    if not codes.any():
        return gather(data, starts, counts).view(np.int8).astype(np.int64)
    widths = (codes[:, :, None] >> _WIDTH_SHIFTS & 3).reshape(len(starts), -1)[:, : counts.max()].astype(np.int64)
    sizes = np.where(np.arange(widths.shape[1]) < counts[:, None], 1 << widths, 0)
    places = (starts[:, None] + np.cumsum(sizes, 1) - sizes).ravel()
    sizes = sizes.ravel()
    values = np.where(sizes > 0, data.take(places, mode="clip"), 0).astype(np.int64)
    for byte in range(1, sizes.max()):
        wide = np.flatnonzero(sizes > byte)
        values[wide] |= data.take(places[wide] + byte, mode="clip").astype(np.int64) << 8 * byte
    unused_bits = 64 - 8 * np.maximum(sizes, 1)
    return (values << unused_bits >> unused_bits).reshape(widths.shape)  # the sign is extended
