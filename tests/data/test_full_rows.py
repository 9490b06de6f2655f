"""Rows of one text, and pairs in order or swapped, made of a TokenStore."""

import random

import numpy as np
import pytest
from test_pretrain_data import CLS, SEP, make_store

from src.tasks.pretrain.corpus.full_rows import cut_stream, lay_out_text, make_document_rows, make_stream_rows
from src.tasks.pretrain.corpus.ordered_pairs import make_ordered_pairs
from src.tasks.pretrain.corpus.token_store import TokenStore, TokenStoreWriter
from src.tasks.pretrain.corpus.tokens import TokenBlock

ROOM = 7
LENGTH = ROOM + 2


def make_documents(count=40, seed=1):
    """Documents as lists of sentence lengths: many short ones, some of many rows."""
    generator = random.Random(seed)
    return [[generator.randint(1, 9) for _ in range(generator.choice([1, 1, 2, 12]))] for _ in range(count)]


def list_stream(documents):
    """The tokens of all documents with a separator after each."""
    stream, number = [], 10
    for document in documents:
        stream += [*range(number, number + sum(document)), SEP]
        number += sum(document)
    return stream


def read_rows(store, rows, across_documents):
    found = lay_out_text(store, rows, LENGTH, across_documents, CLS, SEP)
    assert not found["segment_ids"].any() and found["input_ids"].dtype == np.int32
    texts = []
    for ids, length in zip(found["input_ids"], found["lengths"]):
        assert ids[0] == CLS and ids[length - 1] == SEP and not ids[length:].any()
        texts.append(ids[1 : length - 1].tolist())
    return texts


@pytest.mark.parametrize("count", [1, 2, 40])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_pass_has_each_token_of_the_stream_once_in_full_rows(count, number, tmp_path):
    documents = make_documents(count)
    store, stream = make_store(tmp_path / "store", documents), list_stream(documents)
    borders = cut_stream(store, LENGTH).tolist()
    rows = np.concatenate([make_stream_rows(store, *some, LENGTH, 3, number) for some in zip(borders, borders[1:])])
    texts = read_rows(store, rows, True)
    assert all(len(text) == ROOM for text in texts[:-1])
    offset = int(rows["start"][0])
    assert [token for text in texts for token in text] == stream[offset:] + stream[:offset]
    assert (offset > 0) == (number > 0) or len(stream) < 20


@pytest.mark.parametrize("number", range(6))
def test_a_row_that_goes_around_a_short_stream_keeps_its_separators(number, tmp_path):
    documents = [[2], [1, 1], [1]]
    store, stream = make_store(tmp_path / "store", documents), list_stream(documents)
    borders = cut_stream(store, 20).tolist()
    rows = np.concatenate([make_stream_rows(store, *some, 20, 3, number) for some in zip(borders, borders[1:])])
    found = lay_out_text(store, rows, 20, True, CLS, SEP)
    for start, ids, length in zip(rows["start"], found["input_ids"], found["lengths"]):
        assert ids[1 : length - 1].tolist() == (stream * 5)[start:][: length - 2]


def test_blocks_of_rows_do_not_change_them_and_rows_are_read_in_any_order(tmp_path):
    store = make_store(tmp_path / "store", make_documents())
    rows = make_stream_rows(store, 0, 20, LENGTH, 3, 1)
    parts = [make_stream_rows(store, first, first + 5, LENGTH, 3, 1) for first in range(0, 20, 5)]
    np.testing.assert_array_equal(rows, np.concatenate(parts))
    order = np.random.default_rng(0).permutation(20)
    texts = read_rows(store, rows, True)
    assert read_rows(store, rows[order], True) == [texts[row] for row in order]


def test_passes_begin_at_other_tokens(tmp_path):
    store = make_store(tmp_path / "store", make_documents())
    starts = [int(make_stream_rows(store, 0, 1, LENGTH, seed, number)["start"][0]) for seed in (1, 2) for number in (1, 2, 3)]
    assert len(set(starts)) == len(starts)


def test_rows_of_documents_by_themselves_end_where_these_end(tmp_path):
    documents = make_documents()
    store = make_store(tmp_path / "store", documents)
    rows = np.concatenate([make_document_rows(store, first, first + 10, LENGTH) for first in range(0, 40, 10)])
    expected, number = [], 10
    for document in documents:
        tokens = list(range(number, number + sum(document)))
        number += sum(document)
        expected += [tokens[start : start + ROOM] for start in range(0, len(tokens), ROOM)]
    assert read_rows(store, rows, False) == expected


def test_documents_begin_alike_however_the_text_is_cut_into_blocks(tmp_path):
    lengths, ends = np.array([3, 1, 4, 1, 5, 9, 2, 6]), np.array([2, 2, 3, 8])  # sentences; the second document is empty
    tokens = np.arange(10, 10 + lengths.sum(), dtype=np.uint16)
    found = []
    for size in (8, 3, 1):
        folder = tmp_path / str(size)
        folder.mkdir()
        with TokenStoreWriter(folder) as writer:
            for first in range(0, 8, size):
                some = lengths[first : first + size]
                begin, end = lengths[:first].sum(), lengths[: first + size].sum()
                inside = ends[(ends > first) & (ends <= first + size)] - first
                writer.append(TokenBlock(tokens[begin:end], some, inside, None))
        found.append(TokenStore(folder, np.uint16).spaced.tolist())
    assert found[0] == found[1] == found[2] == [0, 5, 10, 34]


def test_words_that_a_row_or_a_separator_cuts_begin_anew(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    with TokenStoreWriter(folder) as writer:
        writer.append(TokenBlock(np.arange(10, 22, dtype=np.uint16), np.array([5, 7]), np.array([1, 2]), np.ones(12, bool)))
    found = lay_out_text(
        TokenStore(folder, np.uint16), make_stream_rows(TokenStore(folder, np.uint16), 0, 2, LENGTH, 0, 0), LENGTH, True, CLS, SEP
    )
    assert found["input_ids"].tolist() == [[CLS, 10, 11, 12, 13, 14, SEP, 15, SEP], [CLS, 16, 17, 18, 19, 20, 21, SEP, SEP]]
    assert found["word_continues"].astype(int).tolist() == [[0, 1, 1, 1, 1, 1, 0, 1, 0], [0, 1, 1, 1, 1, 1, 1, 0, 0]]


def make_pairs(store, size, seeds, short_seq_prob=0.1):
    return np.concatenate([make_ordered_pairs(store, 0, store.num_documents, size, short_seq_prob, (seed,)) for seed in seeds])


def test_ordered_pairs_are_neighbours_in_one_document_and_half_of_them_are_swapped(tmp_path):
    documents = [[random.Random(number).randint(1, 12) for _ in range(number % 12 + 1)] for number in range(40)]
    store = make_store(tmp_path / "store", documents)
    pairs = make_pairs(store, 256, range(60), 0.3)  # nothing is cut
    borders = store.sentences[store.documents]
    swapped = pairs["is_random_next"] == 1
    for name in ("a", "b"):
        document = np.searchsorted(borders, pairs[f"{name}_start"], "right")
        assert (pairs[f"{name}_start"] + pairs[f"{name}_length"] <= borders[document]).all() and (pairs[f"{name}_length"] > 0).all()
    before, behind = (
        {name: np.where(swapped == flag, pairs[f"b_{name}"], pairs[f"a_{name}"]) for name in ("start", "length")} for flag in (1, 0)
    )
    np.testing.assert_array_equal(before["start"] + before["length"], behind["start"])
    assert abs(swapped.mean() - 0.5) < 4 * (0.25 / len(pairs)) ** 0.5  # ALBERT, section 3.1; label 1 is the swapped order in its program


def test_every_sentence_is_in_an_ordered_pair_and_long_ones_are_divided(tmp_path):
    store = make_store(tmp_path / "store", [[1], [500], [3, 30, 2], [1, 1]])
    for seed in range(20):
        pairs = make_pairs(store, 1000, [seed], 0)
        covered = np.zeros(store.sentences[-1], bool)
        for pair in pairs:
            for name in ("a", "b"):
                covered[pair[f"{name}_start"] :][: pair[f"{name}_length"]] = True
        assert len(pairs) == 3 and covered[1:].all() and not covered[0]  # one token by itself cannot be divided
    short = make_pairs(store, 32, range(50))
    lengths = short["a_length"] + short["b_length"]
    assert lengths.max() == 29 and (short["a_length"] > 0).all() and (short["b_length"] > 0).all()
