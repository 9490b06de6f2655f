"""Pairs of runs of sentences for next-sentence prediction, sampled from a TokenStore as in Google's create_pretraining_data.py.

A pair is two ranges of tokens: the sentences of a document are contiguous, and truncation only narrows a range.
"""

import random
from array import array
from bisect import bisect_left
from typing import Any

import numpy as np

from src.tasks.pretrain.corpus.token_store import TokenStore

# is_random_next is the label; in ordered_pairs.py, as in ALBERT's program, it says that the parts are swapped
PAIR = np.dtype([("a_start", "i8"), ("b_start", "i8"), ("a_length", "i4"), ("b_length", "i4"), ("is_random_next", "i8")])
SPECIAL_TOKENS = 3  # [CLS] a [SEP] b [SEP]
_SENTENCES = 4096  # sentences of a block
_READ_AT_ONCE = 64  # places in the text, before memory is freed


def cut_documents(store: TokenStore) -> np.ndarray:
    """The borders of blocks of documents of about equal size: int64 [blocks + 1]."""
    sentences = np.arange(0, store.num_sentences, _SENTENCES)
    return np.unique(np.append(np.searchsorted(store.documents, sentences), store.num_documents))


def make_pairs(store: TokenStore, first: int, last: int, max_seq_length: int, short_seq_prob: float, seed: tuple[int, ...]) -> np.ndarray:
    """Make the pairs that begin in the documents first to last - 1; every sentence is in some pair.

    Args:
        store: has at least two documents.
        seed: non-negative ints that determine the pairs.

    Returns:
        PAIR array, in the order of the text.
    """
    room = max_seq_length - SPECIAL_TOKENS
    documents, a_start, a_end, b_end, targets = _cut_chunks(store, first, last, room, short_seq_prob, random.Random(repr(seed)))
    generator = np.random.default_rng(seed)
    is_random = b_end < 0
    a_length, b_start, b_length = a_end - a_start, a_end.copy(), b_end - a_end
    wanted = np.maximum(1, (targets - a_length)[is_random])
    b_start[is_random], b_length[is_random] = _draw_others(store, documents[is_random], wanted, generator)
    pairs = narrow(a_start, a_length, b_start, b_length, room, generator)
    pairs["is_random_next"] = is_random
    return pairs


def narrow(
    a_start: np.ndarray, a_length: np.ndarray, b_start: np.ndarray, b_length: np.ndarray, room: int, generator: np.random.Generator
) -> np.ndarray:
    """Cut the longer part of each pair at either end, one token at a time, until both have room: a PAIR array, whose label is not set.

    Args:
        a_start, a_length, b_start, b_length: int64 [pairs].
        room: tokens of a row without special ones.
    """
    pairs = np.empty(len(a_start), PAIR)
    keep_a = np.minimum(a_length, np.maximum(room - b_length, room - room // 2))
    keep_b = np.minimum(b_length, room - keep_a)
    for name, start, length, keep in (("a", a_start, a_length, keep_a), ("b", b_start, b_length, keep_b)):
        pairs[f"{name}_start"] = start + generator.binomial(length - keep, 0.5)  # each cut removes the first or the last token
        pairs[f"{name}_length"] = keep
    return pairs


def _cut_chunks(store, first, last, room, short_seq_prob, generator):
    """Cut chunks of sentences, each divided in two.

    Returns:
        five int64 arrays [pairs]: document; begin and end of A; end of B, or -1 for a random next; the length aimed at.
    """
    documents, a_starts, a_ends = array("q"), array("q"), array("q")
    b_ends, targets = array("q"), array("q")
    uniform = generator.random
    sentences = memoryview(store.sentences)
    borders = store.documents[first : last + 1].tolist()
    for document, begin, end in zip(range(first, last), borders, borders[1:]):
        target = generator.randint(2, room) if uniform() < short_seq_prob else room
        while begin < end:
            start = sentences[begin]
            stop = bisect_left(sentences, start + target, begin + 1, min(end, begin + target))  # no sentence is empty
            middle = begin + 1 + int(uniform() * (stop - begin - 1))
            is_random = stop == begin + 1 or uniform() < 0.5
            documents.append(document)
            a_starts.append(start)
            a_ends.append(sentences[middle])
            b_ends.append(-1 if is_random else sentences[stop])
            targets.append(target)
            begin = middle if is_random else stop
    return [np.frombuffer(column, np.int64) for column in (documents, a_starts, a_ends, b_ends, targets)]


def _draw_others(store, documents, targets, generator):
    """Draw runs of sentences from other documents, each until its target length or the end of its document is reached.

    Returns:
        their first tokens and their lengths: int64 [pairs] each.
    """
    others = generator.integers(0, store.num_documents - 1, len(documents))
    others += others >= documents
    firsts, ends = store.documents[others], store.documents[others + 1]
    chosen = firsts + (generator.random(len(others)) * (ends - firsts)).astype(np.int64)
    sentences = memoryview(store.sentences)
    starts, lengths = np.empty_like(others), np.empty_like(others)
    for row, (sentence, end, target) in enumerate(zip(chosen.tolist(), ends.tolist(), targets.tolist())):
        start = sentences[sentence]
        starts[row], lengths[row] = start, sentences[bisect_left(sentences, start + target, sentence, end)] - start
        if row % _READ_AT_ONCE == 0:  # each place maps the 64 KiB around it
            store.release()
    return starts, lengths


def lay_out(store: TokenStore, pairs: np.ndarray, max_seq_length: int, cls_id: int, sep_id: int) -> dict[str, Any]:
    """Lay out each pair as a row [CLS] a [SEP] b [SEP].

    Returns:
        dict: input_ids, segment_ids int32 [B, S] padded with 0; lengths int64 [B]; word_continues bool [B, S] or None.
    """
    columns = np.arange(max_seq_length)
    a_length = pairs["a_length"][:, None].astype(np.int64)
    first_sep = a_length + 1
    last_sep = first_sep + pairs["b_length"][:, None].astype(np.int64) + 1
    is_second = columns > first_sep
    sources = columns + np.where(is_second, pairs["b_start"][:, None] - first_sep - 1, pairs["a_start"][:, None] - 1)  # [B, S]
    is_text = (columns > 0) & (columns != first_sep) & (columns < last_sep)
    input_ids = np.where(is_text, store.tokens.take(sources), 0).astype(np.int32)
    input_ids[:, 0] = cls_id
    np.put_along_axis(input_ids, first_sep, sep_id, 1)
    np.put_along_axis(input_ids, last_sep, sep_id, 1)
    return {
        "input_ids": input_ids,
        "segment_ids": (is_second & (columns <= last_sep)).astype(np.int32),
        "lengths": last_sep[:, 0] + 1,
        "word_continues": None if store.continues is None else is_text & store.continues.take(sources),
    }
