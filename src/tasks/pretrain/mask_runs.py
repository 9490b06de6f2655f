"""Runs of neighbouring words to be masked together, drawn for many rows at once in NumPy: n-grams and spans.

A run's length is drawn first, then its place, until it fits: so lengths have the shares of the papers, except for the last run of a row,
which is shortened to the words for which the row has room.

Shapes: B rows, S sequence, W words of all rows, A rows that are not done, L words of the longest run.
"""

import numpy as np

from src.tasks.pretrain.keyed_random import draw

NGRAM_SHARES = (0.4, 0.3, 0.2, 0.1)  # of 1 to 4 words. Source: Cui et al. 2020, "Revisiting Pre-trained Models for Chinese NLP" (MacBERT)
_STOP, _LONGEST = 0.2, 10  # of spans. Source: Joshi et al. 2019, "SpanBERT", section 3.1
_GEOMETRIC = [_STOP * (1 - _STOP) ** (length - 1) for length in range(1, _LONGEST + 1)]
SPAN_SHARES = tuple(share / sum(_GEOMETRIC) for share in _GEOMETRIC)  # their mean is 3.8, as in the paper
SHARES = {"ngram": NGRAM_SHARES, "span": SPAN_SHARES}  # unit -> shares of runs of 1, 2, ... words
_ROUNDS = 1 << 20  # first counter of the draws, one in each round
_PATIENCE = 8  # places that are tried before a run is shortened to what a place allows
_TRIES = 24  # places that are tried before a row is left as it is


def draw_runs(
    candidates: np.ndarray, begins: np.ndarray, keys: np.ndarray, wanted: np.ndarray, shares: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Choose runs of whole words, until each row has as many tokens as wanted, or no run that fits is found.

    A run lies between two special tokens, and no two overlap. A row's runs depend only on its key and its tokens.

    Args:
        candidates: bool [B, S], tokens that may be chosen. begins: bool [B, S], those of them that begin a word.
        keys: uint64 [B], from `make_keys`.
        wanted: int64 [B], tokens.
        shares: of runs of 1, 2, ... words; their sum is 1.

    Returns:
        bool [B, S], the chosen tokens; bool [B, S], the first token of each run.
    """
    words = np.cumsum(begins.reshape(-1)) - 1  # [B * S], the word of each token, numbered across all rows
    rows, firsts = np.nonzero(begins)
    ends = firsts + np.bincount(words[candidates.reshape(-1)], minlength=len(firsts))
    last = _find_last(rows, firsts, ends)
    counts = begins.sum(1)
    offsets = np.cumsum(counts) - counts
    limits = np.array(np.cumsum(shares)[:-1] * 2**32, np.uint64)
    used, leads = np.zeros(len(firsts), bool), np.zeros(len(firsts), bool)
    room, lengths, tries = wanted.copy(), np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
    active = np.flatnonzero((wanted > 0) & (counts > 0))
    steps = np.arange(len(shares))
    number = _ROUNDS
    while len(active):
        draws = draw(keys[active], number)
        number += 1
        drawn = 1 + np.searchsorted(limits, draws >> np.uint64(32), "right")
        lengths[active] = length = np.where(tries[active] == 0, drawn, lengths[active])
        low = draws & np.uint64(0xFFFFFFFF)
        word = offsets[active] + (low * counts[active].astype(np.uint64) >> np.uint64(32)).astype(np.int64)
        run = word[:, None] + steps  # [A, L]
        inside = (steps < length[:, None]) & (run <= last[word, None])
        run = np.where(inside, run, word[:, None])
        free = np.logical_and.accumulate(inside & ~used[run], 1)
        fits = free & (ends[run] - firsts[word, None] <= room[active, None])
        taken = fits.sum(1)
        is_taken = (taken > 0) & ((free.sum(1) == length) | (tries[active] >= _PATIENCE))
        used[run[fits & is_taken[:, None]]] = True
        word, taken, done = word[is_taken], taken[is_taken], active[is_taken]
        leads[word] = True
        room[done] -= ends[word + taken - 1] - firsts[word]
        tries[active] += 1
        tries[done] = 0
        active = active[(room[active] > 0) & (tries[active] < _TRIES)]
    chosen = candidates & used[np.maximum(words, 0)].reshape(begins.shape) if len(used) else np.zeros_like(candidates)
    first_tokens = np.zeros_like(begins)
    first_tokens[rows[leads], firsts[leads]] = True
    return chosen, first_tokens


def _find_last(rows, firsts, ends):
    """The last word of the piece of text, between two special tokens, to which each word belongs: int64 [W]."""
    is_last = np.ones(len(firsts), bool)
    is_last[:-1] = (rows[1:] != rows[:-1]) | (firsts[1:] != ends[:-1])
    return np.flatnonzero(is_last)[np.cumsum(is_last) - is_last]
