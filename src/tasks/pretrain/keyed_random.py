"""Random numbers that depend only on a key and a counter, not on earlier draws; vectorised in NumPy."""

import numpy as np
from numpy.typing import ArrayLike

_GOLDEN = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1
_ROUNDS = 6  # with four, small permutations are visibly uneven


def mix(values: np.ndarray) -> np.ndarray:
    """Apply the finaliser of splitmix64, a bijection of 64-bit words: uint64 [...] -> uint64 [...].

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
    """
    values = values ^ (values >> np.uint64(30))
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def draw(keys: np.ndarray, counters: ArrayLike) -> np.ndarray:
    """Uniform 64-bit words, one for each pair of key and counter.

    Args:
        keys: uint64. counters: non-negative integers. They are broadcast.
    """
    return mix(keys + (np.atleast_1d(counters).astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN))


def make_keys(seed: int, epoch: int, row_ids: ArrayLike) -> np.ndarray:
    """A random key for each row of an epoch: uint64 [B]."""
    key = np.array([seed & _WORD], np.uint64)
    return draw(draw(draw(key, 0), epoch), row_ids)


def permute(indices: ArrayLike, count: int, seed: int) -> np.ndarray:
    """The images of some indices under a seeded permutation of `range(count)`, without a table of the whole permutation.

    A Feistel network permutes the next power of four and is applied again to any result that is not below `count`.

    Args:
        indices: int64 [B], from 0 to count - 1.

    Returns:
        int64 [B].
    """
    half = np.uint64(max(1, ((count - 1).bit_length() + 1) // 2))
    mask = (np.uint64(1) << half) - np.uint64(1)
    keys = make_keys(seed, 0, np.arange(_ROUNDS))
    found = np.asarray(indices).astype(np.uint64)
    outside = np.arange(len(found))
    while len(outside):
        left, right = found[outside] >> half, found[outside] & mask
        for key in keys:
            left, right = right, left ^ (draw(key, right) & mask)
        found[outside] = (left << half) | right
        outside = outside[found[outside] >= count]
    return found.astype(np.int64)
