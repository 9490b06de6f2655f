"""The rows of several sources as one."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from src.records.record_set import RecordSet, make_key


class Records(Protocol):
    """Rows that are read when they are needed; see StreamedRecords."""

    @property
    def lengths(self) -> np.ndarray: ...

    @property
    def predictions(self) -> np.ndarray: ...

    @property
    def key(self) -> int: ...

    def maxima(self) -> dict[str, float]: ...

    def take(self, row_ids: np.ndarray) -> RecordSet: ...


class JoinedRecords:
    """The rows of several sources, numbered one source after another.

    Args:
        sources: a column that not all of them have is left out.
        repeats: for each source, how often its rows have numbers, as in a Mixture.
        about: what else determines the rows of a training.
    """

    def __init__(self, sources: Sequence[Records], repeats: Sequence[int], about: object = None) -> None:
        self._sources = sources
        self.lengths = np.concatenate([np.tile(source.lengths, repeat) for source, repeat in zip(sources, repeats)])
        self.predictions = np.concatenate([np.tile(source.predictions, repeat) for source, repeat in zip(sources, repeats)])
        self.key = int(make_key("sources", [source.key for source in sources], about)[:15], 16)
        found = [source.maxima() for source in sources]
        self._maxima = {name: max(each[name] for each in found) for name in found[0] if all(name in each for each in found)}
        self._starts = np.cumsum([0, *(len(source.lengths) * repeat for source, repeat in zip(sources, repeats))])

    def maxima(self) -> dict[str, float]:
        """The largest value of each column, as of StreamedRecords."""
        return self._maxima

    def take(self, row_ids: np.ndarray) -> RecordSet:
        """Some rows; their numbers must ascend."""
        borders = np.searchsorted(row_ids, self._starts)
        found = []
        for source, start, begin, end in zip(self._sources, self._starts, borders, borders[1:]):
            if begin < end:
                found.append(source.take((row_ids[begin:end] - start) % len(source.lengths)))
        first = found[0]
        return RecordSet(
            np.concatenate([part.lengths for part in found]),
            {name: np.concatenate([part.tokens[name] for part in found]) for name in first.tokens if name in self._maxima},
            {name: np.concatenate([part.rows[name] for part in found]) for name in first.rows if name in self._maxima},
        )
