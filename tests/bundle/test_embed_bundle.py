"""Vectors of an exported encoder: sentence-transformers' numbers, files, the nearest of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import exit_code
from tiny_models import write_bundle

from src import predict, similarity
from src.bundle.model import Bundle
from src.records.vectors import take_vectors
from src.tasks.embed.modules_file import read_modules
from src.tasks.instances import BadInstance

pytest.importorskip("onnx", reason="onnx is not installed (requirements-serve.txt)")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (requirements-serve.txt)")

GOLDEN = Path(__file__).parent.parent / "golden"
SAME = 1e-5  # in float32, of vectors of length 1; those of [CLS] are ten times as long


def make_bundle(path, encoder, **settings):
    """A bundle of MiniLM with the settings that lie beside its weights, unless others are given."""
    return write_bundle(path, encoder, "embed", **{"normalize": True, "dimensions": 384, **read_modules(encoder), **settings})


@pytest.fixture(scope="module")
def minilm(tmp_path_factory, encoder):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "minilm", encoder)


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN / "embeddings.npz")


def take(results):
    return np.array([result["embedding"] for result in results], np.float32)


def test_vectors_equal_those_of_sentence_transformers(minilm, golden):
    bundle = Bundle(minilm)
    assert bundle.settings["seq_length"] == 256
    vectors = take(bundle.predict(golden["texts"].tolist()))
    np.testing.assert_allclose(vectors, golden["mean"], atol=SAME)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=SAME)


@pytest.mark.slow
def test_vectors_of_cls_at_another_length_equal_those_of_sentence_transformers(encoder, golden, tmp_path):
    bundle = Bundle(make_bundle(tmp_path / "cls", encoder, pooling="cls", normalize=False, seq_length=64))
    vectors = take(bundle.predict(golden["texts"].tolist()))
    np.testing.assert_allclose(vectors, golden["cls_64_not_normalised"], atol=10 * SAME)


def test_files_of_vectors_hold_what_the_bundle_gives_and_the_nearest_are_found(minilm, tmp_path):
    texts = ["A man is playing a flute.", "The stock market fell.", "A person plays an instrument.", "Shares lost value."]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    for ending in ("npy", "jsonl"):
        flags = ["--bundle", minilm, "--input", tmp_path / "texts.txt", "--output", tmp_path / f"vectors.{ending}", "--batch_size", 3]
        predict.main(list(map(str, flags)))
    vectors = np.load(tmp_path / "vectors.npy")
    assert vectors.dtype == np.float32 and vectors.shape == (4, 384)
    lines = (tmp_path / "vectors.jsonl").read_text(encoding="utf-8").splitlines()
    np.testing.assert_array_equal(take(map(json.loads, lines)), vectors)
    flags = ["--queries", tmp_path / "vectors.npy", "--corpus", tmp_path / "vectors.jsonl", "--output", tmp_path / "nearest.jsonl"]
    similarity.main([*map(str, flags), "--top_k", "2", "--corpus_texts", str(tmp_path / "texts.txt")])
    found = [json.loads(line) for line in (tmp_path / "nearest.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [[each["row"] for each in row["nearest"]] for row in found] == [[0, 2], [1, 3], [2, 0], [3, 1]]
    assert [row["nearest"][1]["text"] for row in found] == [texts[2], texts[3], texts[0], texts[1]]
    assert found[0]["nearest"][1]["similarity"] == pytest.approx(float(vectors[0] @ vectors[2]), abs=1e-6)


def test_the_nearest_are_those_of_all_whatever_the_blocks(monkeypatch):
    rng = np.random.default_rng(1)
    queries, corpus = rng.standard_normal((5, 4)).astype(np.float32), rng.standard_normal((23, 4)).astype(np.float32)
    monkeypatch.setattr(similarity, "QUERIES_AT_ONCE", 2)
    monkeypatch.setattr(similarity, "CORPUS_AT_ONCE", 6)
    cosines = queries @ corpus.T / np.outer(np.linalg.norm(queries, axis=1), np.linalg.norm(corpus, axis=1))
    for (numbers, found), row in zip(similarity.find_nearest(queries, corpus, 7), cosines, strict=True):
        assert numbers.tolist() == np.argsort(-row)[:7].tolist()
        np.testing.assert_allclose(found, row[numbers], atol=1e-6)
    thrice = np.repeat(np.eye(4, dtype=np.float32), 3, axis=0)  # of equal ones the earlier row comes first
    assert [numbers.tolist() for numbers, _ in similarity.find_nearest(thrice[3:4], thrice, 5)] == [[3, 4, 5, 0, 1]]


@pytest.mark.parametrize("text", ["", "  ", "\u200b"])
def test_an_empty_text_has_no_vector(text, minilm):
    with pytest.raises(BadInstance, match=r"instances\[1\]\.text: is empty: a text with at least one token is expected"):
        Bundle(minilm).encode(["word", text])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"corpus": "wide.npy"}, "of 3 numbers, wide.npy of 4: both must come from the same model"),
        ({"corpus": "absent.npy"}, "absent.npy: no such file; vectors are expected, which python -m src.predict writes"),
        ({"top_k": "0"}, "--top_k 0: must be 1 or more"),
        ({"corpus_texts": "texts.txt"}, "texts.txt: 1 lines, and the corpus has 2 vectors: one text a line is expected"),
        ({"output": "narrow.npy"}, "--output narrow.npy: is a folder or one of the inputs; another file is expected"),
    ],
)
def test_bad_files_of_vectors_end_with_2(flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("narrow.npy", np.ones((2, 3), np.float32))
    np.save("wide.npy", np.ones((2, 4), np.float32))
    Path("texts.txt").write_text("one\n", encoding="utf-8")
    given = {"queries": "narrow.npy", "corpus": "narrow.npy", "output": "nearest.jsonl", **flags}
    assert exit_code(similarity.main, [part for key, value in given.items() for part in (f"--{key}", value)]) == 2
    assert message in capsys.readouterr().err
    assert not Path("nearest.jsonl").exists()


def test_other_results_are_no_vectors():
    with pytest.raises(ValueError, match=r"the model gives label, probability, and no vectors \(embedding\): export one with --task embed"):
        take_vectors([{"label": "a", "probability": 1.0}])
