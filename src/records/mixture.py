"""Rows of several sources by weight: which rows of which source each epoch has."""

from collections.abc import Sequence

import numpy as np

_STREAM = 0x6D6978  # keeps the passes' orders independent of the order in which an epoch is planned


class Mixture:
    """The rows of each epoch, taken from several sources by weight.

    An epoch has as many rows as the sources together, and each source has its weight's share of them. A source is gone through in
    passes, each in another order; an epoch goes on where the one before stopped, and a source that ends begins again.

    A row that an epoch has twice has two numbers, so that dynamic masking hides other tokens the second time: the numbers of a source
    are those of its rows, repeated for each pass that one epoch can touch. The numbers of the next source follow.

    Args:
        names: of the sources.
        counts: rows of each source, none 0.
        weights: a positive number for each source; only their ratios count.
        seed: determines the orders of the passes.

    Attributes:
        num_rows: rows of an epoch.
        quotas: rows of each source in an epoch.
        repeats: for each source, how often its rows have numbers.

    Raises:
        ValueError: a source has no row in an epoch.
    """

    def __init__(self, names: Sequence[str], counts: Sequence[int], weights: Sequence[float], seed: int) -> None:
        self.names, self.counts, self.seed = names, counts, seed
        self.num_rows = sum(counts)
        self.quotas = _apportion(self.num_rows, weights)
        if 0 in self.quotas:
            none = self.quotas.index(0)
            raise ValueError(f"the weight {weights[none]:g} gives {names[none]} none of the {self.num_rows} rows of an epoch")
        self.repeats = [_count_passes(quota, count) for quota, count in zip(self.quotas, counts)]
        self._starts = np.cumsum([0, *(repeat * count for repeat, count in zip(self.repeats, counts))])

    def rows(self, epoch: int) -> np.ndarray:
        """The numbers of an epoch's rows: int64 [num_rows], source by source."""
        parts = []
        for source, (count, quota, start) in enumerate(zip(self.counts, self.quotas, self._starts)):
            begin, end = epoch * quota, (epoch + 1) * quota
            first = begin // count
            for number in range(first, -(-end // count)):
                from_row, to_row = max(begin - number * count, 0), min(end - number * count, count)
                rows = np.arange(count)
                if to_row - from_row < count:  # the order of a pass that lies within one epoch does not matter
                    rows = np.random.default_rng([self.seed, _STREAM, source, number]).permutation(count)[from_row:to_row]
                parts.append(start + (number - first) * count + rows)
        return np.concatenate(parts)

    def describe(self) -> str:
        """The definition of an epoch, for the log."""
        shares = ", ".join(
            f"{name} rows={quota} passes={quota / count:.4g}" for name, count, quota in zip(self.names, self.counts, self.quotas)
        )
        return f"an epoch of the mixture has rows={self.num_rows}: {shares}"

    def count_rows(self, row_ids: np.ndarray) -> np.ndarray:
        """How many of some rows come from each source: int64 [sources]."""
        return np.bincount(np.searchsorted(self._starts, row_ids, "right") - 1, minlength=len(self.counts))


def _apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers with the sum `total`, nearly in proportion to the weights; the largest remainders are rounded up."""
    exact = [total * (weight / sum(weights)) for weight in weights]
    whole = [int(value) for value in exact]
    by_remainder = sorted(range(len(whole)), key=lambda number: whole[number] - exact[number])
    for number in by_remainder[: total - sum(whole)]:
        whole[number] += 1
    return whole


def _count_passes(quota: int, count: int) -> int:
    """The most passes over `count` rows that `quota` rows in a row, one epoch's, can touch."""
    return quota // count if quota % count == 0 else (quota + count - 2) // count + 1
