"""Rows of spans: entities that overlap, windows, records, and what is refused for heads that tag tokens."""

import itertools
import logging
from dataclasses import dataclass

import numpy as np
import pytest

from src.records.record_set import Chunk, join_rows
from src.tasks.ner import inputs
from src.tasks.ner.encoding_report import INSIDE, EncodingReport
from src.tasks.ner.options import NerOptions
from src.tasks.ner.sentences import Sentence, Sentences
from src.tasks.ner.span_rows import NO_WINDOW, encode_span_rows, fill_spans, find_span_entities
from src.tasks.ner.tags import Entity, find_overlapping, list_types, make_tag_set
from src.text.tokenization import Tokenizer

TYPES = ("PER", "ORG")
LETTERS = "abcdefghij"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "3d", *"中国人民银行一二三", *LETTERS]) + "\n", encoding="utf-8"
    )
    return Tokenizer(path, True)


def make_sentence(text, *entities, line=1):
    return Sentence(text, tuple(Entity(*entity) for entity in entities), line)


def encode(tokenizer, *sentences, seq_length=16, windows=True, training=False):
    report = EncodingReport()
    width = inputs.count_spans([Sentences(sentences)], seq_length)
    return list(encode_span_rows(sentences, tokenizer, TYPES, width, seq_length, windows, report, "a.txt", training)), report


def decode(rows, spans=None):
    columns = [[np.array(row[name]) for row in rows] for name in ("starts", "ends")]
    spans = [row["label_ids"] for row in rows] if spans is None else spans
    return find_span_entities(TYPES, [row["sentence"] for row in rows], [len(row["input_ids"]) for row in rows], *columns, spans)


NESTED = [("ORG", 0, 6), ("PER", 0, 2), ("PER", 2, 6), ("ORG", 2, 6), ("PER", 4, 5)]


def test_entities_that_overlap_and_share_their_tokens_come_back(tokenizer):
    sentences = [make_sentence("中国人民银行", *NESTED), make_sentence("一二三"), make_sentence(" 一 二", ("PER", 1, 2))]
    rows, report = encode(tokenizer, *sentences)
    assert rows[0]["label_ids"].tolist() == [[0, 1, 2], [0, 3, 6], [0, 5, 5], [1, 1, 6], [1, 3, 6]]
    assert rows[1]["label_ids"].tolist() == [[-1, -1, -1]] * 5
    found = decode(rows)
    assert [set(entities) for entities in found] == [set(sentence.entities) for sentence in sentences]
    assert found[0] == sorted(found[0], key=lambda entity: (entity.start, entity.end, entity.type))
    assert not report.unaligned


def test_an_entity_inside_a_token_and_one_twice(tokenizer):
    rows, report = encode(tokenizer, make_sentence("3d中", ("PER", 0, 1), ("ORG", 0, 3), ("ORG", 0, 3)))
    assert decode(rows) == [[Entity("ORG", 0, 3)]]
    assert report.unaligned == [(0, Entity("PER", 0, 1), INSIDE)]


def test_rows_become_columns_with_a_matrix_of_spans(tokenizer):
    rows, _ = encode(tokenizer, make_sentence("中国人", ("PER", 0, 2), ("ORG", 0, 3)), make_sentence("一二"))
    chunk = join_rows(rows)
    assert chunk.rows["label_ids"].shape == (2, 2, 3) and set(chunk.tokens) == {"input_ids", "token_type_ids", "starts", "ends"}


@pytest.mark.parametrize("length", [5, 6, 9, 10])
def test_windows_find_every_span_that_one_of_them_holds(length, tokenizer):
    """Each possible entity by itself, and all at once: those that some window holds come back, and only those."""
    text = LETTERS[:length]
    everything = [Entity(kind, *place) for kind in TYPES for place in itertools.combinations(range(length + 1), 2)]
    rows, report = encode(tokenizer, make_sentence(text, *everything), seq_length=7)
    begins = [0] if length <= 5 else range(0, length - 5 + 4, 4)
    held = {entity for entity in everything if any(begin <= entity.start and entity.end <= begin + 5 for begin in begins)}
    assert set(decode(rows)[0]) == held
    assert {entity for _, entity, reason in report.unaligned if reason == NO_WINDOW} == set(everything) - held


def test_of_two_windows_the_one_with_more_context_decides(tokenizer):
    rows, _ = encode(tokenizer, make_sentence(LETTERS), seq_length=10)  # windows of the tokens 0 to 7 and 6 to 9
    first = [(0, 7, 7), (1, 8, 8)]  # g, with one token behind it, and h, with none
    second = [(1, 1, 1), (0, 2, 2)]  # g, with none before it, and h, with one
    found = decode(rows, [fill_spans(first, 2), fill_spans(second, 2)])
    assert found == [[Entity("PER", 6, 7), Entity("PER", 7, 8)]]


def test_training_cuts_or_has_windows(tokenizer):
    sentence = make_sentence(LETTERS, ("PER", 0, 2), ("ORG", 0, 7), ("PER", 6, 9))
    rows, report = encode(tokenizer, sentence, make_sentence(" "), seq_length=7, windows=False, training=True)
    assert decode(rows) == [[Entity("PER", 0, 2)]]
    assert (report.num_cut_sentences, report.num_cut_entities, report.num_empty) == (1, 2, 1)
    rows, report = encode(tokenizer, sentence, make_sentence(" "), seq_length=7, training=True)
    assert decode(rows) == [[Entity("PER", 0, 2), Entity("PER", 6, 9)]]
    assert (report.num_long, report.num_windows, report.num_empty) == (1, 3, 1)
    assert report.unaligned == [(0, Entity("ORG", 0, 7), NO_WINDOW)]


def test_a_type_without_a_score_is_refused(tokenizer):
    with pytest.raises(ValueError, match=r"a.txt:3: the labels have no tag for LOC; their types: PER, ORG"):
        encode(tokenizer, make_sentence("中国", ("LOC", 0, 1), line=3))


def test_tags_of_records_become_spans():
    tag_set = make_tag_set(("O", "B-PER", "I-PER", "B-ORG", "I-ORG"))
    labels = np.array([-1, 1, 2, 1, 0, -1, -1, 3, -1], np.int32)
    chunk = Chunk(np.array([6, 3], np.int32), {"label_ids": labels, "input_ids": labels}, {"sentence": np.arange(2)})
    found = inputs.label_spans(chunk, tag_set, TYPES, 3)
    assert found.rows["label_ids"].tolist() == [[[0, 1, 2], [0, 3, 3], [-1] * 3], [[1, 1, 1], [-1] * 3, [-1] * 3]]
    assert set(found.tokens) == {"input_ids"}


def test_types_are_those_of_tags_or_the_labels_themselves():
    assert list_types(("O", "B-b", "I-b", "B-a", "I-a")) == ("b", "a")
    assert list_types(("b", "a")) == ("b", "a")
    assert list_types(()) == ()


def test_overlapping_entities_are_those_that_tags_leave_out():
    """Brute force: each is refused exactly if a longer one, or as long a one before it, was kept and has a character of it."""
    random = np.random.default_rng(1)
    for _ in range(200):
        places = [sorted(random.choice(9, 2, replace=False).tolist()) for _ in range(5)]
        entities = [Entity("PER", *place) for place in sorted(places)]
        taken, expected = set(), []
        for entity in sorted(entities, key=lambda entity: -(entity.end - entity.start)):
            if taken & set(range(entity.start, entity.end)):
                expected.append(entity)
            else:
                taken |= set(range(entity.start, entity.end))
        assert find_overlapping(entities) == expected


@dataclass
class _Many:
    """Sentences of one entity each, and some with nested ones."""

    plain: int
    nested: int

    def make(self):
        plain = [make_sentence("一二", ("PER", 0, 1), line=number) for number in range(1, self.plain + 1)]
        return Sentences([*plain, *(make_sentence("中国人民银行", *NESTED[:2], line=1000 + number) for number in range(self.nested))])


def test_overlapping_entities_are_counted_told_and_refused():
    with pytest.raises(ValueError) as refused:
        inputs.check_overlaps(NerOptions(head="crf"), "a.json", _Many(10, 5).make())
    told = "5 of 20 entities overlap a longer one or one before them, which head=crf cannot hold: "
    told += "; ".join(f"line {line} PER '中国'" for line in (1000, 1001, 1002))
    assert str(refused.value) == f"a.json: {told}; give --head global_pointer, or --drop_overlapping true to train without them"


@pytest.mark.parametrize(
    ("settings", "many", "is_told"),
    [
        ({"drop_overlapping": True}, _Many(10, 5), True),
        ({}, _Many(1000, 1), True),  # 1 of 1002 entities
        ({}, _Many(10, 0), False),
        ({"head": "global_pointer"}, _Many(10, 5), False),
    ],
)
def test_overlapping_entities_that_are_asked_for_or_few_are_told(settings, many, is_told, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("bert"), "propagate", True)
    with caplog.at_level("WARNING", "bert"):
        inputs.check_overlaps(NerOptions(**settings), "a.json", many.make())
    assert ("left out" in caplog.text and "line 1000 PER '中国'" in caplog.text) == is_told
