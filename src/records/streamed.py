"""Rows that stay in their record files and are read when a batch needs them.

An index in the cache folder, 24 bytes for each row, has what plans and checks need: lengths, places in the files, numbers of
predictions, the largest values. It is made once, by the framework's readers, which check every row; batches then read their rows by
`os.pread`, so that memory does not grow with the files, and a file that was cut in the meantime is an error and no SIGBUS.
"""

import dataclasses
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np

from src.records.files import Layout, column_names, is_mindrecord, strip
from src.records.mindrecord_format import read_header
from src.records.mindrecord_rows import RowDecoder, find_rows
from src.records.record_set import Chunk, RecordSet
from src.records.tfrecord_rows import FOOT_BYTES, decode_messages, find_messages

_PLACE = np.dtype([("start", np.uint64), ("size", np.uint32)])  # of a row's bytes in its file
_OPEN_FILES = 256  # a process may open about a thousand
_COMPARED = 64  # one row in so many is read in both ways while the index is made
_NARROW = {"int64": np.int32, "float64": np.float32}


class RowFile:
    """One file of records, whose rows are read by their places.

    Args:
        names: the columns that are read.
    """

    def __init__(self, path: Path | str, names: Sequence[str]) -> None:
        self.path, self._names = path, names
        self._decoder = RowDecoder(read_header(path), names) if is_mindrecord(path) else None
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed when the last reference to this object is gone)

    def places(self) -> Iterator[tuple[int, int]]:
        """Start and size in bytes of each row."""
        return find_messages(self.path) if self._decoder is None else find_rows(self.path)

    def read(self, starts: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
        """The columns of the rows in these places: name -> [B, values of the longest row], padded with 0.

        Raises:
            ValueError: the file is not the one that the index was made of.
        """
        extra = FOOT_BYTES if self._decoder is None else 0
        descriptor = self._file.fileno()
        rows = [os.pread(descriptor, size + extra, start) for start, size in zip(starts.tolist(), sizes.tolist())]
        try:
            if [len(row) - extra for row in rows] != sizes.tolist():
                raise ValueError("it ends inside a row")
            return decode_messages(rows, self._names) if self._decoder is None else self._decoder.decode(rows)
        except ValueError as error:
            raise ValueError(f"{self.path}: was changed after its index was made: {error}") from None


class StreamedRecords:
    """The rows of some files, as an index describes them.

    Args:
        paths: the files, in the order of the index.
        layout: the columns.
        index: from `make_index`.

    Attributes:
        lengths: int32 [rows], tokens of each row.
        predictions: float32 [rows], the weights of each row's predictions, summed.
        key: a fingerprint of the rows.
    """

    def __init__(self, paths: Sequence[Path], layout: Layout, index: RecordSet) -> None:
        self.lengths, self.predictions, self.key = index.lengths, index.rows["predictions"], index.key
        self._index, self._layout, self._paths = index, layout, paths
        names = column_names(layout)
        self._open = functools.lru_cache(_OPEN_FILES)(lambda number: RowFile(paths[number], names))

    def maxima(self) -> dict[str, float]:
        """The largest value of each column, `lengths` included, and the width of the lists as `width`."""
        return self._index.largest

    def take(self, row_ids: np.ndarray) -> RecordSet:
        """Some rows, in this order."""
        files, starts, sizes = (self._index.rows[name][row_ids] for name in ("file", "start", "size"))
        parts = {number: np.flatnonzero(files == number) for number in np.unique(files).tolist()}
        found = {number: self._open(number).read(starts[mine], sizes[mine]) for number, mine in parts.items()}
        batch = next(iter(found.values()))
        if len(parts) > 1:
            batch = {name: _merge([(parts[number], columns[name]) for number, columns in found.items()], len(row_ids)) for name in batch}
        chunk = strip(batch, self._layout)
        if not np.array_equal(chunk.lengths, self.lengths[row_ids]):
            raise ValueError(f"{', '.join(map(str, self._paths))}: changed after the index was made")
        return RecordSet(chunk.lengths, _narrow(chunk.tokens), _narrow(chunk.rows))


def _merge(parts, num_rows):
    """One array of the rows of several, each with their numbers."""
    merged = np.zeros((num_rows, max(values.shape[1] for _, values in parts)), parts[0][1].dtype)
    for numbers, values in parts:
        merged[numbers, : values.shape[1]] = values
    return merged


def _narrow(columns):
    return {name: values.astype(_NARROW.get(values.dtype.name, values.dtype), copy=False) for name, values in columns.items()}


def make_index(paths: Sequence[Path], layout: Layout, weights: str, chunks: Iterable[tuple[int, Chunk]]) -> Iterator[Chunk]:
    """Yield the index of some rows, for `cached_records`.

    Args:
        weights: the list whose values are summed.
        chunks: the number of a file and some of its rows, in the order of files and rows, from their beginning.

    Raises:
        ValueError: rows that are not read by their places as they were read here.
    """
    for number, of_file in itertools.groupby(chunks, key=itemgetter(0)):
        file = RowFile(paths[number], column_names(layout))
        places = file.places()
        for _, chunk in of_file:
            count = len(chunk.lengths)
            found = np.fromiter(itertools.islice(places, count), _PLACE, count)
            _compare(file, layout, found, chunk)
            rows = {
                "file": np.full(count, number, np.uint32),
                "start": found["start"],
                "size": found["size"],
                "predictions": chunk.rows[weights].sum(1, dtype=np.float32),
            }
            yield RecordSet(chunk.lengths, {}, rows, largest=chunk.maxima() | {"width": chunk.rows[weights].shape[1]})


def _compare(file, layout, places, chunk):
    some = np.arange(0, len(places), _COMPARED)
    expected = RecordSet(**{field.name: getattr(chunk, field.name) for field in dataclasses.fields(Chunk)}).take(some)
    found = strip(file.read(places["start"][some], places["size"][some]), layout)
    for kind in ("tokens", "rows"):
        for name, values in getattr(expected, kind).items():
            if not np.array_equal(values, getattr(found, kind).get(name)):
                raise ValueError(f"{file.path}: {name} is stored in a form that is not known")
