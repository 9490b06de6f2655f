from collections import Counter

import numpy as np
import pytest

from src.records.record_set import join_rows
from src.tasks.ner import rows as ner
from src.tasks.ner.encoding_report import INSIDE, NO_TAGS, NO_TOKENS, OVERLAP, SHORTER, EncodingReport
from src.tasks.ner.rows import encode_sentences, find_entities, merge_windows
from src.tasks.ner.tagged_text import Sentence, read_tagged
from src.tasks.ner.tags import Entity, list_labels, make_tag_set
from src.text.tokenization import Tokenizer

TOKENS = "[PAD] [UNK] [CLS] [SEP] [MASK] 中 国 人 民 银 行 一 二 三 cat ##s cafe 20 ##21 ##a 3 3d x y ａ ᄒ ##ᅡ ##ᆫ"
BIO, BMES = (make_tag_set(list_labels(("PER", "ORG"), scheme)) for scheme in ("BIO", "BMES"))


@pytest.fixture
def tokenizer(tmp_path):
    (tmp_path / "vocab.txt").write_text(TOKENS.replace(" ", "\n"), encoding="utf-8")
    return Tokenizer(tmp_path / "vocab.txt", True)


@pytest.fixture(scope="module")
def chinese(shared_file):
    return Tokenizer(shared_file("vocab/bert-base-chinese-vocab.txt"))


def make_sentence(text, *entities):
    return Sentence(text, tuple(Entity(*entity) for entity in entities), 1)


def encode(tokenizer, text, *entities, tag_set=BIO, seq_length=32, windows=False):
    """Tokens, labels and characters of the only row without [CLS] and [SEP], and the reasons of what is unaligned."""
    (row,), report = encode_sentences([make_sentence(text, *entities)], tokenizer, tag_set, seq_length, windows)
    tokens = [tokenizer.tokens[number] for number in row["input_ids"]]
    assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")
    assert row["label_ids"][0] == row["label_ids"][-1] == -1
    assert row["starts"][0] == row["starts"][-1] == row["ends"][0] == row["ends"][-1] == 0
    assert {len(values) for name, values in row.items() if name != "sentence"} == {len(tokens)}
    assert set(row["token_type_ids"]) == {0}
    labels = [tag_set.labels[number] if number >= 0 else None for number in row["label_ids"][1:-1]]
    parts = [text[start:end] for start, end in zip(row["starts"][1:-1], row["ends"][1:-1])]
    return tokens[1:-1], labels, parts, [reason for _, _, reason in report.unaligned]


def decode(tag_set, row):
    return find_entities(tag_set, row["starts"][1:-1], row["ends"][1:-1], row["label_ids"][1:-1])


@pytest.mark.parametrize(
    ("text", "entity", "tokens", "labels", "parts"),
    [
        ("中国人", (0, 2), "中 国 人", "B I O", "中 国 人"),
        ("CATS x", (0, 4), "cat ##s x", "B I O", "CAT S x"),
        ("中cats国", (1, 5), "中 cat ##s 国", "O B I O", "中 cat s 国"),
        ("2021人", (0, 2), "20 ##21 人", "B O O", "20 21 人"),  # an entity may end between two pieces of a word
        ("3a", (0, 1), "3 ##a", "B O", "3 a"),
        ("3a", (1, 2), "3 ##a", "O B", "3 a"),
        ("Café x", (0, 4), "cafe x", "B O", "Café x"),
        ("中 \t国", (0, 4), "中 国", "B I", "中 国"),
        ("中\u200b国人", (0, 3), "中 国 人", "B I O", "中 国 人"),
        ("c\u200bats", (0, 5), "cat ##s", "B I", "c\u200bat s"),
        ("中鿕国", (1, 3), "中 [UNK] 国", "O B I", "中 鿕 国"),
        ("xqy中", (1, 3), "x [UNK] y 中", "O B I O", "x q y 中"),  # the word xqy is one [UNK]
        ("XQY", (2, 3), "x [UNK] y", "O O B", "X Q Y"),
        ("ＡＢ国", (1, 3), "ａ [UNK] 国", "O B I", "Ａ Ｂ 国"),  # full-width letters stay what they are, but for their case
        ("ＡＢ国", (0, 1), "ａ [UNK] 国", "B O O", "Ａ Ｂ 国"),
        ("qe\u0301x", (0, 3), "[UNK] [UNK] x", "B I O", "q e\u0301 x"),  # the accent alone has no token
        ("中鿕\u0301国", (1, 3), "中 [UNK] 国", "O B O", "中 鿕\u0301 国"),
        ("한q", (0, 1), "ᄒ ##ᅡ ##ᆫ [UNK]", "B I I O", "한 한 한 q"),
        ("q" * 3, (1, 2), "[UNK] [UNK] [UNK]", "O B O", "q q q"),
    ],
)
def test_entity_is_labelled_on_its_tokens(text, entity, tokens, labels, parts, tokenizer):
    found = encode(tokenizer, text, ("PER", *entity))
    expected = [label if label == "O" else f"{label}-PER" for label in labels.split()]
    assert found == (tokens.split(), expected, parts.split(" "), [])


@pytest.mark.parametrize(
    ("text", "entity", "reason", "labels"),
    [
        ("3d中", (0, 1), INSIDE, ["O", "O"]),
        ("3d中", (1, 3), INSIDE, ["O", "O"]),
        ("cats", (0, 2), INSIDE, ["O", "O"]),
        ("cats", (1, 4), INSIDE, ["O", "O"]),
        ("Café", (0, 3), INSIDE, ["O"]),
        ("中 国", (1, 2), NO_TOKENS, ["O", "O"]),
        ("中\u200b\u3000", (1, 3), NO_TOKENS, ["O"]),
        ("\u3000", (0, 1), NO_TOKENS, []),
        (" 中国 人", (0, 4), SHORTER, ["B-ORG", "I-ORG", "O"]),
        ("中国\u200b人", (0, 3), SHORTER, ["B-ORG", "I-ORG", "O"]),
    ],
)
def test_entity_that_tokens_cannot_tell_is_listed_with_its_reason(text, entity, reason, labels, tokenizer):
    assert encode(tokenizer, text, ("ORG", *entity), windows=True)[1::2] == (labels, [reason])


def test_shortened_entity_ends_at_its_outer_tokens(tokenizer):
    rows, report = encode_sentences([make_sentence(" 中国 人", ("ORG", 0, 4))], tokenizer, BIO, 8, False)
    assert decode(BIO, rows[0]) == [Entity("ORG", 1, 3)]
    assert report.unaligned == [(0, Entity("ORG", 0, 4), SHORTER)]


@pytest.mark.parametrize(
    ("entities", "labels", "lost"),
    [
        ([("PER", 0, 2), ("ORG", 1, 4)], "O B-ORG M-ORG E-ORG O", [0]),
        ([("PER", 0, 2), ("ORG", 0, 4)], "B-ORG M-ORG M-ORG E-ORG O", [0]),
        ([("PER", 0, 2), ("ORG", 1, 3)], "B-PER E-PER O O O", [1]),
        ([("PER", 0, 2), ("ORG", 1, 3), ("PER", 2, 5)], "B-PER E-PER B-PER M-PER E-PER", [1]),
        ([("PER", 0, 1), ("ORG", 0, 1), ("ORG", 1, 2)], "S-PER S-ORG O O O", [1]),
    ],
)
def test_of_overlapping_entities_the_longer_wins_then_the_earlier(entities, labels, lost, tokenizer):
    sentences = [make_sentence("一二三"), make_sentence("中国人民银", *entities)]
    rows, report = encode_sentences(sentences, tokenizer, BMES, 32, False)
    assert [BMES.labels[number] for number in rows[1]["label_ids"][1:-1]] == labels.split()
    assert report.unaligned == [(1, Entity(*entities[number]), OVERLAP) for number in lost]


def test_sentence_without_entities_is_outside(tokenizer):
    assert encode(tokenizer, "中国")[1] == ["O", "O"]


def test_cut_entity_has_no_label_where_it_is_left(tokenizer):
    entities = [("PER", 0, 1), ("ORG", 3, 6), ("PER", 6, 8)]
    assert encode(tokenizer, "一二三中国人民银", *entities, seq_length=7)[1] == ["B-PER", "O", "O", None, None]
    sentences = [make_sentence("中国人民银", ("PER", 3, 5)), make_sentence("一二三中国人民银", *entities), make_sentence("中国")]
    report = encode_sentences(sentences, tokenizer, BIO, 7, False)[1]
    assert report == EncodingReport(num_cut_sentences=1, num_cut_entities=2)
    assert report.describe("a.txt", sentences) == ["a.txt: 1 of 3 sentences cut, and 2 entities"]


@pytest.mark.parametrize("text", ["", " \u3000", "\u200b"])
def test_sentence_without_tokens_has_a_row_in_evaluation_only(text, tokenizer):
    assert encode(tokenizer, text, windows=True) == ([], [], [], [])
    rows, report = encode_sentences([make_sentence(text), make_sentence("中")], tokenizer, BIO, 8, False)
    assert [row["sentence"] for row in rows] == [1]
    assert report.describe("a.txt", ["", ""]) == ["a.txt: 1 of 2 sentences left out: they have no token"]
    with pytest.raises(ValueError, match="a.txt: no sentence has a token"):
        encode_sentences([make_sentence(text)], tokenizer, BIO, 8, False, "a.txt")


def test_entity_that_has_no_tag_names_file_and_line(tokenizer):
    with pytest.raises(ValueError, match=r"^a.txt:7: the labels have no tag for GPE"):
        encode_sentences([Sentence("中国", (Entity("GPE", 0, 2),), 7)], tokenizer, BIO, 8, True, "a.txt")


def test_entity_that_the_labels_cannot_tell_is_counted_in_evaluation_and_refused_in_training(tokenizer):
    tag_set, entities = make_tag_set(["O", "I-PER", "B-ORG", "I-ORG"]), [("PER", 0, 2), ("PER", 2, 3), ("ORG", 3, 4)]
    assert encode(tokenizer, "中国人民", *entities, tag_set=tag_set, windows=True)[1::2] == (["I-PER", "I-PER", "O", "B-ORG"], [NO_TAGS])
    with pytest.raises(ValueError, match=r"^<text>:1: the labels have no tag B-PER"):
        encode(tokenizer, "中国人民", *entities, tag_set=tag_set)


def test_report_names_line_type_and_text_of_the_first_few(tokenizer):
    sentences = [Sentence("3d 中国", (Entity("PER", 0, 1), Entity("ORG", 3, 5)), 10 * line) for line in range(1, 8)]
    sentences.append(Sentence("中国", (Entity("PER", 0, 2), Entity("ORG", 1, 2)), 80))
    report = encode_sentences(sentences, tokenizer, BIO, 8, False)[1].describe("a.txt", sentences)
    assert report[0] == "a.txt: 8 of 16 entities cannot be labelled exactly: inside a token (7), overlaps another (1)"
    assert report[1:] == [f"a.txt:{10 * line}: PER '3': inside a token" for line in range(1, 6)]
    assert EncodingReport().describe("a.txt", sentences) == []


def merge(rows, values):
    columns = ([row[name] for row in rows] for name in ("starts", "ends"))
    return merge_windows([row["sentence"] for row in rows], [len(row["starts"]) for row in rows], *columns, values)


@pytest.mark.parametrize("seq_length", [3, 4, 5, 6, 7, 10, 18])
def test_merged_value_is_that_of_the_window_with_most_context(seq_length, tokenizer):
    random, room = np.random.default_rng(seq_length), seq_length - 2
    sentences = [make_sentence("一" * length) for length in [0, 1, room, room + 1, 0, *random.integers(1, 60, 12)]]
    rows, report = encode_sentences(sentences, tokenizer, BIO, seq_length, True)
    assert report == EncodingReport()
    values = [random.integers(0, 9999, len(row["starts"]) + random.integers(0, 5)) for row in rows]
    merged = merge(rows, values)
    for number, (sentence, (starts, ends, chosen)) in enumerate(zip(sentences, merged, strict=True)):
        candidates = [[] for _ in sentence.text]  # of every character: (context on the poorer side, value)
        for row, value in zip(rows, values):
            places = row["starts"][1:-1] if row["sentence"] == number else []
            for index, place in enumerate(places):
                candidates[place].append((min(index, len(places) - 1 - index), value[index + 1]))
        assert all(candidates)
        expected = [next(value for context, value in found if context == max(found)[0]) for found in candidates]
        assert chosen.tolist() == expected
        assert (starts.tolist(), ends.tolist()) == (list(range(len(expected))), list(range(1, len(expected) + 1)))


def test_windows_overlap_by_a_quarter_and_only_long_sentences_have_several(tokenizer):
    sentences = [make_sentence("一" * length) for length in (16, 17, 28, 29)]
    rows, _ = encode_sentences(sentences, tokenizer, BIO, 18, True)
    found = [(row["sentence"], row["starts"][1], row["ends"][-2]) for row in rows]
    assert found == [(0, 0, 16), (1, 0, 16), (1, 12, 17), (2, 0, 16), (2, 12, 28), (3, 0, 16), (3, 12, 28), (3, 24, 29)]


@pytest.mark.parametrize("tag_set", [BIO, make_tag_set(list_labels(("PER", "ORG"), "BMES"))])
def test_every_window_is_labelled_as_the_scheme_demands(tag_set, tokenizer):
    sentence = Sentence("一" * 40, (Entity("PER", 3, 20), Entity("ORG", 20, 21), Entity("PER", 25, 40)), 1)
    rows, _ = encode_sentences([sentence], tokenizer, tag_set, 12, True)
    start, transitions, end = tag_set.allowed()
    for row in rows:
        labels = row["label_ids"][1:-1]
        assert start[labels[0]] and end[labels[-1]] and transitions[labels[:-1], labels[1:]].all()
    ((starts, ends, merged),) = merge(rows, [row["label_ids"] for row in rows])
    assert tuple(find_entities(tag_set, starts, ends, merged)) == sentence.entities


def test_rows_are_columns_of_the_records(tokenizer):
    chunk = join_rows(encode_sentences([make_sentence(""), make_sentence("中国人民")], tokenizer, BIO, 5, True)[0])
    assert set(chunk.tokens) == {"input_ids", "token_type_ids", "label_ids", "starts", "ends"}
    assert set(chunk.rows) == {"sentence"}
    assert chunk.lengths.tolist() == [2, 5, 3]
    assert chunk.rows["sentence"].tolist() == [0, 1, 1]
    assert {values.dtype for values in chunk.tokens.values()} == {np.dtype(np.int64)}


@pytest.mark.parametrize("scheme", ["BIO", "BMES"])
@pytest.mark.parametrize(
    ("name", "sentences", "entities", "reasons"),
    [
        ("cluener/train.json", 10748, 23971, {INSIDE: 11, OVERLAP: 2}),
        ("cluener/dev.json", 1343, 3072, {INSIDE: 4}),
        ("msra_ner/msra_test_bio.txt", 3442, 6190, {}),
        pytest.param("msra_ner/msra_train_bio.txt.gz", 50658, 74709, {INSIDE: 13}, marks=pytest.mark.slow),
    ],
)
def test_published_entities_survive_tokens_and_labels(name, scheme, sentences, entities, reasons, shared_file, chinese):
    read = read_tagged(shared_file(name)).sentences
    assert (len(read), sum(len(sentence.entities) for sentence in read)) == (sentences, entities)
    types = dict.fromkeys(entity.type for sentence in read for entity in sentence.entities)
    tag_set = make_tag_set(list_labels(types, scheme))
    rows, report = encode_sentences(read, chinese, tag_set, 3000, False)
    assert Counter(reason for *_, reason in report.unaligned) == reasons
    assert (report.num_cut_sentences, report.num_empty) == (0, 0)
    lost = {(number, entity) for number, entity, _ in report.unaligned}
    for number, (row, sentence) in enumerate(zip(rows, read, strict=True)):
        assert decode(tag_set, row) == [entity for entity in sentence.entities if (number, entity) not in lost]


@pytest.mark.parametrize("name", ["cluener/train.json", "msra_ner/msra_test_bio.txt"])
def test_sentence_that_fits_has_one_row_that_is_the_same_in_training(name, shared_file, chinese):
    read = read_tagged(shared_file(name)).sentences[:2000]
    read = [sentence for sentence in read if len(sentence.text) <= 126]
    tag_set = make_tag_set(list_labels(dict.fromkeys(entity.type for sentence in read for entity in sentence.entities), "BIO"))
    assert encode_sentences(read, chinese, tag_set, 128, True) == encode_sentences(read, chinese, tag_set, 128, False)


def test_longest_published_sentence_is_labelled_at_every_character(shared_file, chinese):
    read = read_tagged(shared_file("msra_ner/msra_test_bio.txt")).sentences
    longest = max(read, key=lambda sentence: len(sentence.text))
    assert len(longest.text) == 2427
    tag_set = make_tag_set(list_labels(("PER", "ORG", "LOC"), "BIO"))
    rows, report = encode_sentences([longest], chinese, tag_set, 128, True)
    assert max(len(row["input_ids"]) for row in rows) == 128
    ((starts, ends, labels),) = merge(rows, [row["label_ids"] for row in rows])
    covered = {place for start, end in zip(starts, ends) for place in range(start, end)}
    assert covered == {place for place, character in enumerate(longest.text) if not character.isspace()}
    assert tuple(find_entities(tag_set, starts, ends, labels)) == longest.entities
    assert report == EncodingReport()


def test_characters_without_tokens_at_the_beginning_of_an_unknown_word_have_none():
    pieces = {"a": [], "b": [], "c": [7], "d": []}
    found = ner.split_unknown("abcd", [1], [(0, 4)], 1, pieces.get)
    assert found == ([7], [(2, 4)])
    assert ner.split_unknown("xab", [5, 1], [(0, 1), (1, 3)], 1, pieces.get) == ([5], [(0, 1)])


def test_long_sentences_are_trained_on_whole_in_windows(tokenizer):
    sentence = make_sentence("中国人民" * 6, ("ORG", 0, 2), ("ORG", 20, 22))
    settings = (tokenizer, BIO, 10, True, "a.txt", "all", True)
    rows, report = encode_sentences([sentence, make_sentence(""), make_sentence("中国")], *settings)
    covered = {position for row in rows[:-1] for position in row["starts"][1:-1]}
    assert covered == set(range(24)) and len(rows[0]["input_ids"]) == 10
    assert report.describe("a.txt", [sentence] * 3) == [
        f"a.txt: 1 of 3 sentences are longer than a row: {len(rows) - 1} windows, nothing cut",
        "a.txt: 1 of 3 sentences left out: they have no token",
    ]
    assert rows == encode_sentences([sentence, make_sentence("中国")], tokenizer, BIO, 10, True)[0][: len(rows) - 1] + [
        {**rows[-1], "sentence": 2}
    ]
