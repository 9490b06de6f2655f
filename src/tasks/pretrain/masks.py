"""Masks for masked-language-model pretraining, drawn for many rows at once; NumPy.

B: rows. S: sequence length. P: most predictions a row.
Source: create_pretraining_data.py of google-research/bert (which tokens, how many, 80/10/10, whole words).
"""

from dataclasses import dataclass

import numpy as np

from src.formats.tokenizer_files import count_ids
from src.tasks.pretrain.keyed_random import draw
from src.text.tokenization import CLS, MASK, PAD, SEP

MASK_SHARE, KEEP_SHARE = 0.8, 0.1  # of the chosen tokens; the rest becomes a random token
_PLACE_BITS = np.uint64((1 << 16) - 1)  # of a score, which hold the token's place
_NEVER = np.uint64((1 << 64) - 1)
_CHOICE, _REPLACEMENT = 0, 1 << 16  # counters of the two draws for a place


@dataclass(frozen=True)
class Masking:
    """mask_id: of [MASK]. vocab_size: random tokens are below it. special_ids: tuple, never masked ([CLS], [SEP], [PAD]).
    probability: share of a row's tokens, special ones included. max_predictions: most tokens a row."""

    mask_id: int
    vocab_size: int
    special_ids: tuple
    probability: float = 0.15
    max_predictions: int = 20


def make_masking(path, vocabulary, probability, max_predictions):
    """The Masking for a vocabulary, dict of str -> int, that was read from `path`.

    Raises:
        ValueError: it has no [MASK].
    """
    if MASK not in vocabulary:
        raise ValueError(f"{path}: no {MASK} token, which masked-language-model pretraining needs")
    special = tuple(vocabulary[token] for token in (PAD, CLS, SEP))
    return Masking(vocabulary[MASK], count_ids(vocabulary), special, probability, max_predictions)


def draw_masks(input_ids, lengths, keys, masking, continues=None):
    """Choose tokens to predict, and hide them.

    What a row gets follows from its key and its tokens alone. Of a row's candidates min(max_predictions, max(1,
    round(length * probability))) are chosen, fewer where whole words do not fill that number. Of the chosen, 80 % become
    [MASK], 10 % stay, 10 % become a random token.

    Args:
        input_ids: int32 [B, S], padded with 0.
        lengths: int [B], tokens of each row.
        keys: uint64 [B], of `make_keys`.
        masking: Masking.
        continues: bool [B, S], tokens that continue the word before; whole words are chosen. None: single tokens.

    Returns:
        input_ids int32 [B, S] with hidden tokens; masked_lm_positions int32 [B, P], ascending; masked_lm_ids int32 [B, P],
        the true tokens; masked_lm_weights float32 [B, P], 1 for a real position. Padding is 0.
    """
    places = np.arange(input_ids.shape[1], dtype=np.uint64)
    candidates = places < np.asarray(lengths)[:, None].astype(np.uint64)
    for special in masking.special_ids:
        candidates &= input_ids != special
    wanted = np.minimum(masking.max_predictions, np.maximum(1, np.rint(np.asarray(lengths) * masking.probability))).astype(np.int64)
    scores = np.where(candidates, draw(keys[:, None], places + np.uint64(_CHOICE)) & ~_PLACE_BITS | places, _NEVER)
    if continues is None:
        positions = _choose_tokens(scores, wanted, masking.max_predictions)
    else:
        positions = _choose_words(scores, candidates, continues, wanted, masking.max_predictions)
    real = positions < input_ids.shape[1]
    positions = np.where(real, positions, 0)
    true_ids = np.where(real, np.take_along_axis(input_ids, positions, 1), 0).astype(np.int32)
    masked = input_ids.copy()
    rows = np.nonzero(real)[0]
    masked[rows, positions[real]] = _replace(true_ids, keys, positions, masking)[real]
    return masked, positions.astype(np.int32), true_ids, real.astype(np.float32)


def _choose_tokens(scores, wanted, max_predictions):
    """Places of the lowest scores: int64 [B, P] ascending, S where there is none."""
    num_places = scores.shape[1]
    lowest = np.partition(scores, min(max_predictions, num_places) - 1, 1)[:, :max_predictions]
    lowest.sort(axis=1)
    chosen = (np.arange(lowest.shape[1]) < wanted[:, None]) & (lowest != _NEVER)
    positions = np.full((len(scores), max_predictions), num_places, np.int64)
    positions[:, : lowest.shape[1]] = np.where(chosen, lowest & _PLACE_BITS, num_places)
    positions.sort(axis=1)
    return positions


def _choose_words(scores, candidates, continues, wanted, max_predictions):
    """As `_choose_tokens` for whole words in the order of their first tokens' scores; one that is too long for the rest is passed over."""
    num_rows, num_places = scores.shape
    begins = candidates.copy()
    begins[:, 1:] &= ~(continues[:, 1:] & candidates[:, :-1])  # what follows a special token begins a word, cut as it may be
    words = np.cumsum(begins, 1) - 1 + np.arange(num_rows)[:, None] * num_places  # [B, S], numbered through all rows
    sizes = np.bincount(words[candidates], minlength=num_rows * num_places)
    scores = np.sort(np.where(begins, scores, _NEVER), 1)
    order = np.where(scores != _NEVER, np.take_along_axis(words, (scores & _PLACE_BITS).astype(np.int64) % num_places, 1), -1)
    taken = np.zeros(num_rows * num_places, bool)
    room = wanted.copy()
    for rank in range(int(begins.sum(1).max())):
        word = order[:, rank]
        fits = (word >= 0) & (sizes[word] <= room)
        taken[word[fits]] = True
        room -= np.where(fits, sizes[word], 0)
        if not room.any():
            break
    rows, places = np.nonzero(candidates & taken[words])
    counts = np.bincount(rows, minlength=num_rows)
    positions = np.full((num_rows, max_predictions), num_places, np.int64)
    positions[rows, np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]] = places
    return positions


def _replace(true_ids, keys, positions, masking):
    """What stands in the place of the chosen tokens: int32 [B, P]."""
    draws = draw(keys[:, None], positions + _REPLACEMENT)
    action, low = draws >> np.uint64(32), draws & np.uint64(0xFFFFFFFF)
    other = (low * np.uint64(masking.vocab_size)) >> np.uint64(32)
    hidden = np.where(action < int((MASK_SHARE + KEEP_SHARE) * 2**32), true_ids, other.astype(np.int32))
    return np.where(action < int(MASK_SHARE * 2**32), masking.mask_id, hidden)
