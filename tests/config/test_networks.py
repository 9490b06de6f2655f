import dataclasses
import json
from pathlib import Path

import pytest
from conftest import TINY

from src.config.model import ModelConfig, describe_weights

NETWORKS = sorted((Path(__file__).parent.parent.parent / "configs/networks").glob("*.json"))


def count_parameters(config):
    """Of encoder, embeddings and pooler, by the papers' arithmetic."""
    size, inner = config.hidden_size, config.intermediate_size
    layer = 4 * (size * size + size) + 2 * size * inner + inner + size + 4 * size
    count = config.vocab_size * size + config.type_vocab_size * size + 2 * size + config.num_hidden_layers * layer + size * size + size
    if config.position_embedding_type == "absolute":
        count += config.max_position_embeddings * size
    if config.position_embedding_type == "learned":
        count += config.num_hidden_layers * (2 * config.max_relative_position + 1) * size // config.num_attention_heads
    return count


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("bert_base", 102),
        ("bert_large", 335),
        ("bert_small", 8.8),
        ("nezha_base", 101.9),
        ("nezha_large", 325),
        ("nezha_zoo", 325),
        ("bert_tiny", 3.2),
    ],
)
def test_each_network_has_its_published_size(name, millions):
    path = next(path for path in NETWORKS if path.stem == name)
    config = ModelConfig(**describe_weights(None, path).model)
    assert count_parameters(config) == pytest.approx(millions * 1e6, rel=0.01)
    assert (
        dataclasses.asdict(config).items()
        >= {key: value for key, value in json.loads(path.read_text()).items() if key != "model_type"}.items()
    )


def test_all_networks_are_known_here():
    assert len(NETWORKS) == 7


RAW = {
    "Hugging Face's NEZHA": (
        {"model_type": "nezha", "max_relative_position": 64, "position_embedding_type": "absolute"},
        ("sinusoidal", 64),
    ),
    "published NEZHA": ({"use_relative_position": True}, ("sinusoidal", 64)),
    "English NEZHA": ({"model_type": "nezha", "max_relative_position": 127}, ("sinusoidal", 127)),
    "the model zoo's NEZHA": ({"use_relative_positions": True}, ("learned", 16)),
    "the model zoo's BERT": ({"use_relative_positions": False}, ("absolute", None)),
    "ours": ({"model_type": "nezha", "position_embedding_type": "learned", "max_relative_position": 20}, ("learned", 20)),
    "BERT": ({"model_type": "bert", "position_embedding_type": "absolute", "max_relative_position": 64}, ("absolute", None)),
}


@pytest.mark.parametrize("kind", RAW)
def test_positions_are_read_from_every_dialect(kind, tmp_path):
    raw, expected = RAW[kind]
    (tmp_path / "config.json").write_text(json.dumps(TINY | raw), encoding="utf-8")
    config = ModelConfig(**describe_weights(tmp_path).model)
    assert (config.position_embedding_type, config.max_relative_position) == expected


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"model_type": "roberta"}, "model_type=roberta: bert and nezha are supported"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type=relative_key: absolute, sinusoidal, learned"),
        ({"embedding_size": 8}, "embedding_size=8 belongs to ALBERT"),
        ({"num_hidden_groups": 1}, "num_hidden_groups=1 belongs to ALBERT"),
        ({"task_type_vocab_size": 3}, "task_type_vocab_size=3 belongs to ERNIE"),
        ({"is_encoder_decoder": True}, "is_encoder_decoder=true belongs to encoder-decoders"),
        ({"architectures": ["RobertaForMaskedLM"]}, "architectures=RobertaForMaskedLM: without a model_type"),
    ],
)
def test_networks_of_other_kinds_are_refused(raw, message, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(TINY | raw), encoding="utf-8")
    with pytest.raises(ValueError, match=f"config.json: {message}"):
        describe_weights(tmp_path)


@pytest.mark.parametrize("missing", ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"])
def test_a_size_that_is_missing_is_named_not_guessed(missing, tmp_path):
    for others in ({}, {missing: None}):
        raw = {key: value for key, value in TINY.items() if key != missing}
        (tmp_path / "config.json").write_text(json.dumps(raw | others), encoding="utf-8")
        with pytest.raises(ValueError, match=f"config.json: {missing} missing"):
            describe_weights(tmp_path)


def test_settings_of_other_networks_that_say_nothing_are_passed_over(tmp_path):
    said = {"embedding_size": TINY["hidden_size"], "is_decoder": False, "add_cross_attention": False, "num_hidden_groups": None}
    (tmp_path / "config.json").write_text(json.dumps(TINY | said | {"architectures": ["BertForMaskedLM"]}), encoding="utf-8")
    assert ModelConfig(**describe_weights(tmp_path).model) == ModelConfig(**TINY)


def test_a_distance_without_relative_positions_is_refused():
    with pytest.raises(ValueError, match="model.max_relative_position is for relative positions"):
        ModelConfig(max_relative_position=64)
