"""Random weights that are fine-tuned have a row for each token of the vocabulary, as in pretraining."""

import json

import pytest

from src.config import loader
from src.tasks.classifier.options import ClassifierOptions

SHAPE = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def load(tmp_path, num_tokens, *flags):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"t{number}" for number in range(num_tokens - 5))]
    (tmp_path / "words.txt").write_text("\n".join(tokens) + "\n")
    argv = ["--do_train", "--vocab_file_path", str(tmp_path / "words.txt"), "--output_dir", str(tmp_path / "out"), *flags]
    return loader.load(ClassifierOptions, argv).model.vocab_size


@pytest.mark.parametrize(
    ("num_tokens", "flags", "size"), [(30, (), 30), (10, (), 20), (20, (), 20), (30, ("--model.vocab_size", "25"), 25)]
)
def test_a_larger_vocabulary_sets_the_size(num_tokens, flags, size, tmp_path, capsys):
    (tmp_path / "bert_config.json").write_text(json.dumps(SHAPE))
    assert load(tmp_path, num_tokens, "--bert_config_file", str(tmp_path / "bert_config.json"), *flags) == size
    assert ("model.vocab_size=30, as" in capsys.readouterr().out) == (size == 30)


def test_without_a_shape_the_default_is_large_enough(tmp_path):
    assert load(tmp_path, 30) == 21128


def test_loaded_weights_keep_their_size(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SHAPE))
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert load(tmp_path, 30, "--load_pretrain_checkpoint_path", str(tmp_path)) == 20
