"""Files of vectors: .npy, or JSON lines of {"embedding": [...]}; and vectors as results of a served model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from src.records.growing_array import GrowingArray
from src.text.json_rows import parse_objects
from src.text.lines import read_lines

KEY = "embedding"
ENDING = ".npy"


def to_floats(vector: np.ndarray) -> list[float]:
    """float32 [H] as Python's numbers, each the shortest that is the same in float32."""
    return vector.astype(str).astype(np.float64).tolist()


def take_vectors(results: Sequence[dict[str, Any]]) -> np.ndarray:
    """The vectors among a model's results: float32 [rows, H].

    Raises:
        ValueError: the results are no vectors.
    """
    if not all(isinstance(result.get(KEY), list) for result in results):
        raise ValueError(f"the model gives {', '.join(results[0])}, and no vectors ({KEY}): export one with --task embed")
    return np.array([result[KEY] for result in results], np.float32)


class VectorFile:
    """A .npy file of the vectors of results, written piece by piece."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._array: GrowingArray | None = None

    def write(self, results: Sequence[dict[str, Any]]) -> None:
        """Append the vectors of some results, see `take_vectors`."""
        vectors = take_vectors(results)
        self._array = self._array or GrowingArray(self._path, vectors)
        self._array.append(vectors)

    def close(self) -> None:
        if self._array is not None:
            self._array.close()


def read_vectors(path: Path | str) -> np.ndarray:
    """The vectors of a file: float32 [rows, H], memory-mapped if it is a .npy of that type.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a vector a row, vectors of different lengths, or one with NaN or infinity; with file and row or line.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; vectors are expected, which python -m src.predict writes")
    vectors = _read_array(path) if str(path).endswith(ENDING) else _read_lines(path)
    if not len(vectors):
        raise ValueError(f"{path}: no vector in it")
    if len(broken := np.flatnonzero(~np.isfinite(vectors).all(1))):
        raise ValueError(f"{path}: NaN or infinity in row {broken[0]}")
    return vectors


def _read_array(path):
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path}: not a file of NumPy: {error}") from None
    if array.ndim != 2 or array.dtype.kind != "f":
        raise ValueError(f"{path}: has {array.dtype} of shape {array.shape}; vectors are float32 of shape [rows, length]")
    return array if array.dtype == np.float32 else array.astype(np.float32)


def _read_lines(path):
    vectors: list[np.ndarray] = []
    for line, _, row in parse_objects(path, read_lines(path)):
        try:
            found = np.array(row.get(KEY))
        except ValueError:  # lists of different lengths inside
            found = np.empty(0)
        if found.ndim != 1 or not found.size or found.dtype.kind not in "iuf":
            raise ValueError(f'{path}:{line}: "{KEY}" with a list of numbers is expected')
        vectors.append(found.astype(np.float32))
        if len(vectors[-1]) != len(vectors[0]):
            raise ValueError(f"{path}:{line}: {len(vectors[-1])} numbers, the first vector has {len(vectors[0])}")
    return np.array(vectors, np.float32)
