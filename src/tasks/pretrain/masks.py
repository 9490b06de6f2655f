"""Masks for masked-language-model pretraining, drawn for many rows at once in NumPy.

Shapes: B rows, S sequence, P largest number of predictions in a row, M masked words.
Source: create_pretraining_data.py of google-research/bert (which tokens, how many, 80/10/10, whole words); mask_runs.py and
similar_words.py name those of the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from src.formats.vocabulary import count_ids
from src.tasks.pretrain.keyed_random import draw
from src.tasks.pretrain.mask_runs import SHARES, draw_runs
from src.tasks.pretrain.similar_words import SimilarWords
from src.text.tokenization import CLS, MASK, PAD, SEP

MASK_SHARE, KEEP_SHARE = 0.8, 0.1  # shares of the chosen tokens; the rest become random tokens
_POSITION_BITS = np.uint64((1 << 16) - 1)  # low bits of a score, which hold the token's position
_NEVER = np.uint64((1 << 64) - 1)
_LOW = np.uint64((1 << 32) - 1)  # low half of a random word
_CHOICE, _REPLACEMENT, _SIMILAR = 0, 1 << 16, 2 << 16  # counters of the draws for a position


@dataclass(frozen=True)
class Masking:
    """The settings that masks depend on.

    mask_id: id of [MASK]. vocab_size: limit of random ids. special_ids: ids that are never masked ([PAD], [CLS], [SEP]).
    probability: share of a row's tokens, special tokens included. max_predictions: largest number of masked tokens in a row.
    unit: what is masked together, one of MASK_UNITS; None: words where they are marked, else tokens.
    similar: words that replace masked ones instead of [MASK].
    """

    mask_id: int
    vocab_size: int
    special_ids: tuple[int, ...]
    probability: float = 0.15
    max_predictions: int = 20
    unit: str | None = field(default=None, repr=False)  # not in the text of which keys of trainings are made: see `list_departures`
    similar: SimilarWords | None = field(default=None, repr=False, compare=False)

    def list_departures(self, has_words: bool) -> tuple[str, ...]:
        """What sets these masks apart from the plain ones of rows whose words are marked or not: nothing, or parts of a key."""
        units = () if self.unit in (None, "word" if has_words else "token") else (self.unit,)
        return units if self.similar is None else (*units, self.similar.digest)


def make_masking(
    path: Path | str,
    vocabulary: Mapping[str, int],
    probability: float,
    max_predictions: int,
    unit: str | None = None,
    similar: SimilarWords | None = None,
) -> Masking:
    """The Masking for a vocabulary that was read from `path`.

    Raises:
        ValueError: the vocabulary has no [MASK].
    """
    if MASK not in vocabulary:
        raise ValueError(f"{path}: no {MASK} token, which masked-language-model pretraining needs")
    special = tuple(vocabulary[token] for token in (PAD, CLS, SEP))
    return Masking(vocabulary[MASK], count_ids(vocabulary), special, probability, max_predictions, unit, similar)


def check_runs(unit: str | None, max_predictions: int, setting: str) -> None:
    """Raise a ValueError that names the setting of max_predictions if the longest run of words of a unit never fits."""
    longest = len(SHARES.get(unit or "", ()))
    if max_predictions < longest:
        raise ValueError(
            f"{setting}={max_predictions}: mask_unit={unit} masks up to {longest} words together: at least {longest} are needed"
        )


def draw_masks(
    input_ids: np.ndarray, lengths: np.ndarray, keys: np.ndarray, masking: Masking, continues: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Choose tokens to predict, and hide them.

    A row's masks depend only on its key and its tokens. The number of chosen tokens is min(max_predictions, max(1, round(length *
    probability))), or less if whole words do not fill it. 80 % of them become [MASK] or part of a similar word, 10 % stay, and 10 % become
    a random token: each by itself, all of a span alike, all of a word alike if there are similar words.

    Args:
        input_ids: int32 [B, S], padded with 0.
        lengths: int [B], tokens of each row.
        keys: uint64 [B], from `make_keys`.
        continues: bool [B, S], marks tokens that continue a word, so that whole words are chosen. None: words are not marked, and single
            tokens are chosen.

    Returns:
        input_ids int32 [B, S] with hidden tokens; masked_lm_positions int32 [B, P], ascending; masked_lm_ids int32 [B, P],
        the true tokens; masked_lm_weights float32 [B, P], 1 for a real position. Padding is 0.
    """
    columns = np.arange(input_ids.shape[1], dtype=np.uint64)
    candidates = columns < np.asarray(lengths)[:, None].astype(np.uint64)
    for special in masking.special_ids:
        candidates &= input_ids != special
    wanted = np.minimum(masking.max_predictions, np.maximum(1, np.rint(np.asarray(lengths) * masking.probability))).astype(np.int64)
    assert continues is not None or masking.unit not in SHARES, "runs are of whole words"
    unit = "token" if continues is None else masking.unit or "word"
    begins = candidates if unit == "token" else _find_words(candidates, continues)
    leads = None if masking.similar is None else begins
    if unit in SHARES:
        chosen, firsts = draw_runs(candidates, begins, keys, wanted, SHARES[unit])
        positions = _list_positions(chosen, masking.max_predictions)
        leads = firsts if unit == "span" else leads
    else:
        scores = np.where(candidates, draw(keys[:, None], columns + np.uint64(_CHOICE)) & ~_POSITION_BITS | columns, _NEVER)
        if unit == "token":
            positions = _choose_tokens(scores, wanted, masking.max_predictions)
        else:
            positions = _choose_words(scores, candidates, begins, wanted, masking.max_predictions)
    real = positions < input_ids.shape[1]
    positions = np.where(real, positions, 0)
    true_ids = np.where(real, np.take_along_axis(input_ids, positions, 1), 0).astype(np.int32)
    masked = input_ids.copy()
    rows = np.nonzero(real)[0]
    masked[rows, positions[real]] = _replace(true_ids, keys, positions, real, masking, leads)[real]
    return masked, positions.astype(np.int32), true_ids, real.astype(np.float32)


def _choose_tokens(scores, wanted, max_predictions):
    """The positions of the lowest scores: int64 [B, P], ascending, S where there is none."""
    seq_length = scores.shape[1]
    lowest = np.partition(scores, min(max_predictions, seq_length) - 1, 1)[:, :max_predictions]
    lowest.sort(axis=1)
    chosen = (np.arange(lowest.shape[1]) < wanted[:, None]) & (lowest != _NEVER)
    positions = np.full((len(scores), max_predictions), seq_length, np.int64)
    positions[:, : lowest.shape[1]] = np.where(chosen, lowest & _POSITION_BITS, seq_length)
    positions.sort(axis=1)
    return positions


def _find_words(candidates, continues):
    """bool [B, S], the first tokens of words. After a special token a word begins, even if it is the rest of a cut one."""
    begins = candidates.copy()
    begins[:, 1:] &= ~(continues[:, 1:] & candidates[:, :-1])
    return begins


def _choose_words(scores, candidates, begins, wanted, max_predictions):
    """Like `_choose_tokens`, for whole words in the order of their first tokens' scores; a word that no longer fits is skipped."""
    num_rows, seq_length = scores.shape
    words = np.cumsum(begins, 1) - 1 + np.arange(num_rows)[:, None] * seq_length  # [B, S], numbered across all rows
    sizes = np.bincount(words[candidates], minlength=num_rows * seq_length)
    scores = np.sort(np.where(begins, scores, _NEVER), 1)
    order = np.where(scores != _NEVER, np.take_along_axis(words, (scores & _POSITION_BITS).astype(np.int64) % seq_length, 1), -1)
    taken = np.zeros(num_rows * seq_length, bool)
    room = wanted.copy()
    for rank in range(int(begins.sum(1).max())):
        word = order[:, rank]
        fits = (word >= 0) & (sizes[word] <= room)
        taken[word[fits]] = True
        room -= np.where(fits, sizes[word], 0)
        if not room.any():
            break
    return _list_positions(candidates & taken[words], max_predictions)


def _list_positions(chosen, max_predictions):
    """The positions of chosen tokens: bool [B, S] -> int64 [B, P], ascending, S where there is none."""
    num_rows, seq_length = chosen.shape
    rows, columns = np.nonzero(chosen)
    counts = np.bincount(rows, minlength=num_rows)
    positions = np.full((num_rows, max_predictions), seq_length, np.int64)
    positions[rows, np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]] = columns
    return positions


def _replace(true_ids, keys, positions, real, masking, leads):
    """The tokens that replace the chosen ones, where they are `real`: int32 [B, P].

    Args:
        leads: bool [B, S], the first tokens of what is replaced as a whole; None: each token is replaced by itself.
    """
    draws = draw(keys[:, None], positions + _REPLACEMENT)
    action, low = draws >> np.uint64(32), draws & _LOW
    random_ids = ((low * np.uint64(masking.vocab_size)) >> np.uint64(32)).astype(np.int32)
    hiding = masking.mask_id
    if leads is not None:
        columns = np.where(leads, np.arange(leads.shape[1]), 0)
        leaders = np.take_along_axis(np.maximum.accumulate(columns, 1), positions, 1)  # [B, P], the last that leads
        action = draw(keys[:, None], leaders + _REPLACEMENT) >> np.uint64(32)
        if masking.similar is not None:
            similar = _draw_similar(true_ids, keys, positions, leaders, real, masking.similar)
            hiding = np.where(similar < 0, random_ids, similar)
    hidden = np.where(action < int((MASK_SHARE + KEEP_SHARE) * 2**32), true_ids, random_ids)
    return np.where(action < int(MASK_SHARE * 2**32), hiding, hidden)


def _draw_similar(true_ids, keys, positions, leaders, real, similar):
    """Tokens of similar words: int32 [B, P], -1 in words that have none."""
    longest = similar.words.shape[1]
    is_first = (leaders == positions)[real]
    word, offset = np.cumsum(is_first) - 1, (positions - leaders)[real]  # of each masked token
    ids = np.full((int(is_first.sum()), longest), -1, np.int32)  # [M, L]
    short = offset < longest
    ids[word[short], offset[short]] = true_ids[real][short]
    ids[word[~short]] = -1
    draws = (draw(keys[:, None], leaders + _SIMILAR) & _LOW)[real][is_first]
    others = similar.replace(ids, draws)
    instead = np.full(positions.shape, -1, np.int32)
    instead[real] = np.where(short, others[word, np.minimum(offset, longest - 1)], -1)
    return instead
