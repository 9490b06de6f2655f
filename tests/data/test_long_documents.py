"""Texts longer than a row, in windows: no token is lost, and a text's score follows from its windows."""

from array import array
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import write_vocabulary
from scipy.special import softmax

from src.tasks.classifier.examples import Examples
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.classifier.results import score, tabulate
from src.tasks.classifier.rows import encode_documents, encode_examples
from src.tasks.task import Prepared
from src.text.columns import TextColumn
from src.text.tokenization import Tokenizer

LABELS = ("no", "yes")
LOGITS = np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 0.5], [1.0, 3.0]], np.float32)
DOCUMENTS = [0, 1, 1, 1]


@pytest.fixture
def tokenizer(tmp_path):
    return Tokenizer(write_vocabulary(tmp_path / "vocab.txt"))


def make_examples(*lengths):
    words = ["the", "cat", "sat", "on", "a", "mat"]
    texts = [" ".join(words[position % len(words)] for position in range(length)) for length in lengths]
    return Examples(TextColumn(texts), None, [LABELS[number % 2] for number in range(len(texts))], array("q", range(1, len(texts) + 1)))


@pytest.mark.parametrize("seq_length", [4, 6, 10])
def test_the_windows_of_a_text_hold_all_its_tokens(seq_length, tokenizer):
    examples = make_examples(0, 1, seq_length - 2, seq_length - 1, 25)
    rows = list(encode_documents("a.tsv", examples, tokenizer, LABELS, seq_length))
    room = seq_length - 2
    stride = room - room // 4
    for number, (example, tokens) in enumerate(zip(examples, tokenizer.encode([each.text_a for each in examples]))):
        own = [row for row in rows if row["document"] == number]
        found = {}
        for window, row in enumerate(own):
            found |= {window * stride + place: token for place, token in enumerate(row["input_ids"][1:-1])}
        assert [found[position] for position in range(len(tokens))] == tokens and len(found) == len(tokens)
        assert {row["label_ids"] for row in own} == {LABELS.index(example.label)}
        assert (len(own) > 1) == (len(tokens) > room)


def test_short_texts_are_the_same_rows_as_without_windows(tokenizer):
    examples = make_examples(3, 5)
    plain = encode_examples("a.tsv", examples, tokenizer, LABELS, 10)
    rows = list(encode_documents("a.tsv", examples, tokenizer, LABELS, 10))
    assert rows == [{**row, "document": number} for number, row in enumerate(plain)]


def test_pairs_are_refused(tokenizer):
    with pytest.raises(ValueError, match="a.tsv: holds pairs of texts, and long_documents divides single texts only"):
        next(encode_documents("a.tsv", Examples(TextColumn(["the"]), TextColumn(["cat"]), ["no"], array("q", [1])), tokenizer, LABELS, 10))


def make_prepared(kind, **settings):
    columns = {"label_ids": np.array([1, 0, 0, 0]), "document": np.array(DOCUMENTS)}
    config = ClassifierOptions(long_documents=kind, labels=LABELS, **settings)
    return Prepared(config, {"eval": SimpleNamespace(rows=columns)}, None)


@pytest.mark.parametrize(("kind", "join"), [("mean", np.mean), ("max", np.max)])
def test_the_probabilities_of_a_text_are_those_of_its_windows_joined(kind, join):
    prepared = make_prepared(kind)
    _, rows = tabulate(prepared, [LOGITS])
    probabilities = softmax(LOGITS.astype(np.float64), axis=1)
    expected = join(probabilities[1:], axis=0)
    expected /= expected.sum()
    assert [row[0] for row in rows] == ["yes", "no"]
    np.testing.assert_allclose([float(value) for value in rows[0][2:]], probabilities[0], rtol=1e-8)
    np.testing.assert_allclose([float(value) for value in rows[1][2:]], expected, rtol=1e-8)
    assert score(prepared, [LOGITS])["num_examples"] == 2


@pytest.mark.parametrize(("kind", "expected"), [("mean", 1.5), ("max", 3.0)])
def test_the_score_of_a_text_is_the_mean_or_the_largest_of_its_windows(kind, expected):
    prepared = make_prepared(kind, num_class=1)
    prepared.records["eval"].rows["label_ids"] = np.array([1.0, 0.5, 0.5, 0.5])
    values = np.array([[2.0], [1.0], [0.5], [3.0]], np.float32)
    assert [float(row[1]) for row in tabulate(prepared, [values])[1]] == [2.0, expected]
