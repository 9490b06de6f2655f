"""Masked words of an exported network: transformers' fill-mask pipeline, words of several masks, likelihoods of sentences."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from conftest import exit_code
from tiny_models import make_model, write_bundle, write_model

from src.bundle.model import Bundle
from src.export import __main__ as export_command
from src.tasks.fill_mask import serving
from src.tasks.instances import BadInstance

pytest.importorskip("onnx", reason="onnx is not installed: pip install -r requirements-serve.txt")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install -r requirements-serve.txt")

GOLDEN = Path(__file__).parent.parent / "golden/fill_mask"
SAME = 1e-5  # of probabilities and their logarithms in float32


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """`export(scores)`: the bundle of the golden network, which fills masks or scores sentences."""
    made = {}

    def run(scores):
        if scores not in made:
            path = tmp_path_factory.mktemp("bundle") / "words"
            made[scores] = Bundle(write_bundle(path, GOLDEN, "fill_mask", seq_length=32, candidates=20, score_sentences=scores))
        return made[scores]

    return run


@pytest.fixture(scope="module")
def golden():
    return json.loads((GOLDEN / "results.json").read_text(encoding="utf-8"))


def test_candidates_equal_those_of_the_pipeline(export, golden):
    texts = list(golden["masked"])
    found = export(False).predict(texts, top_k=7)
    for text, result in zip(texts, found, strict=True):
        expected = golden["masked"][text]
        assert [[each["token"] for each in some] for some in result["masks"]] == [[token for token, _ in some] for some in expected], text
        probabilities = [[each["probability"] for each in some] for some in result["masks"]]
        np.testing.assert_allclose(probabilities, [[value for _, value in some] for some in expected], atol=SAME)
    assert all(len(some) == 5 for some in export(False).predict(texts[:1])[0]["masks"])


def test_likelihoods_equal_those_of_the_network(export, golden):
    texts = list(golden["sentences"])
    for result, expected in zip(export(True).predict(texts), golden["sentences"].values(), strict=True):
        assert result["log_likelihood"] == pytest.approx(sum(expected), abs=SAME * len(expected))
        assert result["perplexity"] == pytest.approx(math.exp(-sum(expected) / len(expected)), rel=SAME)
        np.testing.assert_allclose([each["probability"] for each in result["tokens"]], np.exp(expected), atol=SAME)


def test_neighbouring_masks_make_the_most_probable_words(export):
    (result,) = export(False).predict(["我们[MASK][MASK]大学[MASK]"], top_k=4)
    (group,) = result["words"]
    assert (group["first"], group["masks"], len(result["masks"])) == (0, 2, 3)
    pairs = itertools.product(*result["masks"][:2])
    products = sorted((each["probability"] * other["probability"] for each, other in pairs), reverse=True)
    assert [each["probability"] for each in group["candidates"]] == pytest.approx(products[:4])
    best = group["candidates"][0]["word"]
    assert best == serving.append_token(*(result["masks"][number][0]["token"] for number in (0, 1)))
    assert result["filled"].startswith("我们")


@pytest.mark.parametrize(
    ("tokens", "word"),
    [(("北", "京"), "北京"), (("play", "##ing"), "playing"), (("new", "york"), "new york"), (("of", "北"), "of北")],
)
def test_word_pieces_and_ideographs_join_without_a_space(tokens, word):
    assert serving.append_token(*tokens) == word


@pytest.mark.parametrize(
    ("scores", "instance", "message"),
    [
        (False, "the cat", r"instances\[0\]\.text: has no \[MASK\], the place of a word to be found"),
        (False, "the " * 40 + "[MASK]", r"text: its last \[MASK\] is token 41, beyond the 30 that seq_length allows"),
        (True, "the [MASK]", r"sentence: has \[MASK\]: a whole sentence is expected"),
        (True, "", "sentence: has 0 tokens; 1 to 30 can be scored"),
        (True, "the " * 31, "sentence: has 31 tokens; 1 to 30 can be scored"),
    ],
)
def test_what_cannot_be_filled_or_scored_is_named(scores, instance, message, export):
    with pytest.raises(BadInstance, match=message):
        export(scores).encode([instance])


def test_weights_without_the_head_are_refused(tmp_path, capsys):
    write_model(tmp_path / "weights", make_model(), "encoder")
    flags = ["--task", "fill_mask", "--checkpoint", str(tmp_path / "weights"), "--output", str(tmp_path / "bundle")]
    assert exit_code(export_command.main, flags) == 2
    assert "has no head of a masked language model, which pretrained weights have" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()
