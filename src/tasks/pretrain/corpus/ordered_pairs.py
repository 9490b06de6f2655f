"""Pairs of neighbouring runs of sentences for sentence-order prediction, half of them swapped, from a TokenStore.

Source: Lan et al. 2019, "ALBERT", section 3.1, and create_pretraining_data.py of google-research/albert (label 1: swapped). There, a chunk
of one sentence gets a random second part, as for the next sentence; here it is cut inside, so that the two always are neighbours.
"""

import random
from array import array
from bisect import bisect_left

import numpy as np

from src.tasks.pretrain.corpus.sentence_pairs import SPECIAL_TOKENS, narrow
from src.tasks.pretrain.corpus.token_store import TokenStore


def make_ordered_pairs(
    store: TokenStore, first: int, last: int, max_seq_length: int, short_seq_prob: float, seed: tuple[int, ...]
) -> np.ndarray:
    """Make the pairs that begin in the documents first to last - 1; every sentence is in one, unless it is a single token by itself.

    Args:
        seed: non-negative ints that determine the pairs.

    Returns:
        PAIR array, in the order of the text.
    """
    room = max_seq_length - SPECIAL_TOKENS
    starts, middles, ends = _cut_chunks(store, first, last, room, short_seq_prob, random.Random(repr(seed)))
    generator = np.random.default_rng(seed)
    pairs = narrow(starts, middles - starts, middles, ends - middles, room, generator)
    swapped = generator.random(len(pairs)) < 0.5
    ours, theirs = ["a_start", "a_length", "b_start", "b_length"], ["b_start", "b_length", "a_start", "a_length"]
    before = pairs[swapped]
    for name, other in zip(ours, theirs):
        pairs[name][swapped] = before[other]
    pairs["is_random_next"] = swapped
    return pairs


def _cut_chunks(store, first, last, room, short_seq_prob, generator):
    """Cut chunks of sentences, each divided in two: begin, middle and end, int64 [pairs] each."""
    starts, middles, ends = array("q"), array("q"), array("q")
    uniform = generator.random
    sentences = memoryview(store.sentences)
    borders = store.documents[first : last + 1].tolist()
    for begin, end in zip(borders, borders[1:]):
        target = generator.randint(2, room) if uniform() < short_seq_prob else room
        while begin < end:
            start = sentences[begin]
            stop = bisect_left(sentences, start + target, begin + 1, min(end, begin + target))  # no sentence is empty
            if stop > begin + 1:
                middle = sentences[begin + 1 + int(uniform() * (stop - begin - 1))]
            else:
                middle = start + 1 + int(uniform() * (sentences[stop] - start - 1))
            if middle < sentences[stop]:
                starts.append(start)
                middles.append(middle)
                ends.append(sentences[stop])
            begin = stop
    return [np.frombuffer(column, np.int64) for column in (starts, middles, ends)]
