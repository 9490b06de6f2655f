"""Rows of one text, filled to the last token: ranges of the stream of all documents, or of each document by itself.

Source: Liu et al. 2019, "RoBERTa", section 4.2: FULL-SENTENCES, with a separator between documents, and DOC-SENTENCES; but a row ends at
its last token, in a sentence or even in a word, whose rest begins the next row.

Shapes: B rows, S sequence, T = S - 2 tokens of text in a row.
"""

from typing import Any

import numpy as np

from src.tasks.pretrain.corpus.token_store import TokenStore
from src.tasks.pretrain.keyed_random import make_keys

RANGE = np.dtype([("start", "i8"), ("length", "i4")])
SPECIAL_TOKENS = 2  # [CLS] text [SEP]
_ROWS = 4096  # rows of a block
_OFFSET_STREAM = 2 << 32  # added to the seed, so that the beginnings of passes are independent of all other random numbers


def cut_stream(store: TokenStore, max_seq_length: int) -> np.ndarray:
    """The borders of blocks of rows of the stream: int64 [blocks + 1]."""
    num_rows = -(-int(store.spaced[-1]) // (max_seq_length - SPECIAL_TOKENS))
    return np.append(np.arange(0, num_rows, _ROWS), num_rows)


def make_stream_rows(store: TokenStore, first: int, last: int, max_seq_length: int, seed: int, number: int) -> np.ndarray:
    """The rows first to last - 1 of a pass over the stream of documents, each of which is followed by a separator: a RANGE array.

    The first pass begins with the first document, any other at a random token; there it ends too, after the last document and the first.
    Only its last row may be short.

    Args:
        number: of the pass, from 0.
    """
    room, size = max_seq_length - SPECIAL_TOKENS, int(store.spaced[-1])
    offset = int(make_keys(seed + _OFFSET_STREAM, 0, [number])[0] % np.uint64(size)) if number else 0
    begins = np.arange(first, last) * room
    rows = np.empty(last - first, RANGE)
    rows["start"] = (begins + offset) % size
    rows["length"] = np.minimum(room, size - begins)
    return rows


def make_document_rows(store: TokenStore, first: int, last: int, max_seq_length: int) -> np.ndarray:
    """The rows of the documents first to last - 1, each by itself, so that its last row may be short: a RANGE array of tokens."""
    room = max_seq_length - SPECIAL_TOKENS
    borders = store.sentences[store.documents[first : last + 1]]
    lengths = np.diff(borders)
    counts = -(-lengths // room)
    document = np.repeat(np.arange(len(lengths)), counts)
    begins = (np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)) * room  # in the document
    rows = np.empty(len(document), RANGE)
    rows["start"] = borders[document] + begins
    rows["length"] = np.minimum(room, lengths[document] - begins)
    return rows


def lay_out_text(
    store: TokenStore, rows: np.ndarray, max_seq_length: int, across_documents: bool, cls_id: int, sep_id: int
) -> dict[str, Any]:
    """Lay out each range as a row [CLS] text [SEP].

    Args:
        rows: RANGE array.
        across_documents: whether ranges are of the stream with separators; else they are of tokens.

    Returns:
        dict: input_ids, segment_ids int32 [B, S] padded with 0; lengths int64 [B]; word_continues bool [B, S] or None.
    """
    columns = np.arange(max_seq_length)
    last = rows["length"].astype(np.int64)[:, None] + 1
    is_text = (columns > 0) & (columns < last)
    sources = rows["start"][:, None] + columns - 1  # [B, S]
    is_token = is_text
    if across_documents:
        sources, is_separator = _find_tokens(store, np.maximum(sources, 0))
        is_token = is_text & ~is_separator
    input_ids = np.where(is_token, store.tokens.take(sources), np.where(is_text, sep_id, 0)).astype(np.int32)
    input_ids[:, 0] = cls_id
    np.put_along_axis(input_ids, last, sep_id, 1)
    return {
        "input_ids": input_ids,
        "segment_ids": np.zeros_like(input_ids),
        "lengths": last[:, 0] + 1,
        "word_continues": None if store.continues is None else is_token & store.continues.take(sources),
    }


def _find_tokens(store, positions):
    """Positions in the endless repetition of the stream: int64 [B, S] -> the numbers of their tokens, and which are separators."""
    goes_around = positions[:, 0] // store.spaced[-1] != positions[:, -1] // store.spaced[-1]
    positions = positions % store.spaced[-1]
    document = np.searchsorted(store.spaced, positions[:, [0, -1]], "right") - 1
    reaches = (document[:, 0] != document[:, 1]) | goes_around
    several = np.flatnonzero(reaches)  # rows of more than one document
    documents = np.repeat(document[:, :1], positions.shape[1], 1)
    documents[several] = np.searchsorted(store.spaced, positions[several], "right") - 1
    found = positions - documents, positions == store.spaced[documents + 1] - 1
    store.release()
    return found
