"""Rows ready for the pipeline: a memory-mapped RecordSet and its cache folder.

Rows are stored without padding in flat arrays. (MindSpore's MindDataset cannot serve a plan of several epochs: its
samplers take no more row numbers than the file has rows.) The folder is written whole, so an existing folder is complete.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.files import write_text, written_whole
from src.locks import locked
from src.records.growing_array import GrowingArray
from src.records.plan import Batch

_FORMAT = 6  # cache version, to be increased when rows are made differently
_PADDING = {"label_ids": -1}  # -1 means no label; all other columns are padded with 0
_SAMPLE = 1 << 20  # bytes at each end of a large file that are hashed instead of the whole file
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Chunk:
    """Some rows, as readers deliver them and the cache appends them.

    Attributes:
        lengths: int32 [rows], tokens of each row.
        tokens: name -> [all tokens], the rows' values, concatenated.
        rows: name -> [rows, ...].
    """

    lengths: np.ndarray
    tokens: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]

    def maxima(self) -> dict[str, float]:
        """The largest value of each column, `lengths` included."""
        columns = {"lengths": self.lengths, **self.tokens, **self.rows}
        return {name: float(np.max(values)) for name, values in columns.items()}

    def head(self, count: int) -> "Chunk":
        """The first `count` rows."""
        end = int(self.lengths[:count].sum(dtype=np.int64))
        tokens = {name: values[:end] for name, values in self.tokens.items()}
        return Chunk(self.lengths[:count], tokens, {name: values[:count] for name, values in self.rows.items()})


@dataclass(frozen=True)
class RecordSet(Chunk):
    """All rows of a data set.

    Attributes:
        largest: the result of `maxima`.
        key: a fingerprint of the data set.
    """

    largest: dict[str, float] = dataclasses.field(default_factory=dict)
    key: int = 0

    def maxima(self) -> dict[str, float]:
        return self.largest

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """int64 [rows], each row's start in the flat columns."""
        return np.cumsum(self.lengths, dtype=np.int64) - self.lengths

    def take(self, row_ids: np.ndarray) -> "RecordSet":
        """Some rows, in this order."""
        lengths = self.lengths[row_ids]
        ends = np.cumsum(lengths, dtype=np.int64)
        places = np.arange(ends[-1]) + np.repeat(self.starts[row_ids] - ends + lengths, lengths)
        tokens = {name: values[places] for name, values in self.tokens.items()}
        return RecordSet(lengths, tokens, {name: values[row_ids] for name, values in self.rows.items()})

    def column(self, name: str, batch: Batch) -> np.ndarray:
        """One column of a Batch: int32 [B, batch.length], padded, or [B, ...]; `input_mask` is made from the lengths."""
        if name in self.rows:
            return self.rows[name][batch.row_ids]
        lengths = self.lengths[batch.row_ids, None]
        positions = np.arange(batch.length)[None, :]
        if name == "input_mask":
            return (positions < lengths).astype(np.int32)
        starts = self.starts[batch.row_ids, None]
        values = self.tokens[name][starts + np.minimum(positions, lengths - 1)]
        return np.where(positions < lengths, values, _PADDING.get(name, 0)).astype(np.int32)


def join_rows(rows: list[dict[str, Any]]) -> Chunk:
    """A Chunk of rows given as dicts: lists, equally long within a row, become token columns; numbers and arrays become row columns."""
    tokens = [name for name, value in rows[0].items() if np.ndim(value) and not isinstance(value, np.ndarray)]
    return Chunk(
        np.array([len(row[tokens[0]]) for row in rows], np.int32),
        {name: np.concatenate([row[name] for row in rows]) for name in tokens},
        {name: np.array([row[name] for row in rows]) for name in rows[0] if name not in tokens},
    )


def join_in_chunks(rows: Iterable[dict[str, Any]]) -> Iterator[Chunk]:
    """Yield the Chunks of many rows, a few thousand in each, so that the dicts of only those are in memory."""
    rows = iter(rows)
    while some := list(itertools.islice(rows, ROWS_AT_ONCE)):
        yield join_rows(some)


def make_key(*parts: Any) -> str:
    """A short hash of `parts`: of the file's bytes for a Path, of the repr for anything else."""
    digest = hashlib.sha256(str(_FORMAT).encode())
    for part in parts:
        if isinstance(part, Path):
            with open(part, "rb") as file:
                while data := file.read(_SAMPLE):
                    digest.update(data)
        else:
            digest.update(repr(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


def fingerprint_file(path: Path | str) -> tuple[str, int, str]:
    """Name, size and a hash of both ends of a file that may be too large to hash whole."""
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(_SAMPLE)
        file.seek(max(0, size - _SAMPLE))
        return Path(path).name, size, hashlib.sha256(head + file.read()).hexdigest()


def cached_records(folder: Path | str, make_chunks: Callable[[], Iterable[Chunk]]) -> RecordSet:
    """The RecordSet in `folder`, made from `make_chunks()` if the folder does not exist yet.

    Args:
        folder: its name is a hash of everything that determines the rows.
        make_chunks: makes Chunks that all have the same columns.
    """
    folder = Path(folder)
    if not folder.is_dir():
        with locked(folder.parent):  # if several ranks get here together, one makes the rows
            if not folder.is_dir():
                with written_whole(folder) as temporary:
                    temporary.mkdir()
                    _write(temporary, make_chunks())
    try:
        arrays = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
        lengths = np.asarray(arrays.pop("lengths"))
        largest = json.loads((folder / "maxima.json").read_text(encoding="utf-8"))
    except (ValueError, EOFError, KeyError, FileNotFoundError) as error:
        raise ValueError(f"{folder}: damaged cache ({error}); remove this folder") from None
    parts = {kind: {name[len(kind) + 1 :]: array for name, array in arrays.items() if name.startswith(kind)} for kind in ("tokens", "rows")}
    return RecordSet(lengths, **parts, largest=largest, key=int(hashlib.sha256(folder.name.encode()).hexdigest()[:15], 16))


def _write(folder: Path, chunks: Iterable[Chunk]) -> None:
    files: dict[str, GrowingArray] = {}
    largest: dict[str, float] = {}
    try:
        for chunk in chunks:
            for name, value in chunk.maxima().items():
                largest[name] = max(value, largest.get(name, value))
            columns = {"lengths": chunk.lengths}
            columns |= {f"{kind}-{name}": array for kind in ("tokens", "rows") for name, array in getattr(chunk, kind).items()}
            for name, array in columns.items():
                if name not in files:
                    files[name] = GrowingArray(folder / f"{name}.npy", array)
                files[name].append(array)
    finally:
        for file in files.values():
            file.close()
    write_text(folder / "maxima.json", json.dumps(largest))
