import importlib.metadata
import json

import numpy as np
import pytest
from conftest import ROOT
from safetensors.numpy import load_file, save_file

from src.config.model import ModelConfig, describe_weights
from src.convert import libraries, network
from src.formats.weights import read as read_weights

SHAPE = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
SHAPE |= {"max_position_embeddings": 32, "layer_norm_eps": 1e-12, "hidden_act": "gelu"}
NEZHA = {"model_type": "nezha", "max_relative_position": 4, "architectures": ["NezhaForPreTraining"]}


@pytest.fixture
def install(monkeypatch):
    """Pretend that libraries of these versions are installed."""

    def pretend(**versions):
        def version(name):
            if name not in versions:
                raise importlib.metadata.PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(importlib.metadata, "version", version)

    return pretend


def write_config(folder, **settings):
    (folder / "config.json").write_text(json.dumps(SHAPE | settings), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("version", "settings", "found"),
    [
        ("5.23.0", {}, True),
        ("4.40.0.dev0", {"model_type": "bert"}, True),
        ("4.39.3", {}, False),  # might run code in a .bin file
        ("4.57.1", {"model_type": "nezha", "use_relative_position": True}, True),
        ("5.0.0", {"model_type": "nezha"}, False),
        # theirs would run as BERT with absolute positions, or with sinusoids
        ("4.57.1", {"use_relative_position": True}, False),
        ("4.57.1", {"use_relative_positions": True}, False),
        ("4.57.1", {"model_type": "nezha", "position_embedding_type": "learned"}, False),
        ("5.23.0", {"hidden_act": "gelu_tanh"}, False),
    ],
)
def test_the_library_is_found_where_it_has_the_network(tmp_path, install, version, settings, found):
    install(transformers=version, torch="2.6.0")
    assert libraries.find_transformers(write_config(tmp_path, **settings)) == (f"transformers {version}, torch 2.6.0" if found else None)


@pytest.mark.parametrize("installed", [{}, {"torch": "2.6.0"}, {"transformers": "5.23.0"}])
def test_both_libraries_are_needed(tmp_path, install, installed):
    install(**installed)
    assert libraries.find_transformers(write_config(tmp_path)) is None


@pytest.fixture(params=["bert", "nezha"])
def folder(request, tmp_path):
    """Pretraining weights as Transformers stores them; skips where it is not installed."""
    pytest.importorskip("transformers")
    golden = np.load(ROOT / f"tests/golden/pretraining{'_nezha' * (request.param == 'nezha')}.npz")
    settings = NEZHA if request.param == "nezha" else {"model_type": "bert", "architectures": ["BertForPreTraining"]}
    weights = {key.removeprefix("weight/"): golden[key] for key in golden.files if key.startswith("weight/")}
    save_file(weights, write_config(tmp_path, **settings) / "model.safetensors", {"format": "pt"})
    if libraries.find_transformers(tmp_path) is None:
        pytest.skip("this version has no such network")
    return tmp_path


def make_inputs():
    ids, mask = np.arange(1, 33).reshape(2, 16), np.array([[1] * 16, [1] * 9 + [0] * 7])
    return ids, mask, (np.arange(16) >= 8) * mask


def test_outputs_equal_those_of_our_network(folder):
    inputs = make_inputs()
    expected = network.run(ModelConfig(**describe_weights(folder).model), read_weights(folder).arrays, *inputs)
    found = libraries.run_transformers(folder, *inputs)
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=5e-6, err_msg=name)  # theirs is float32


def test_missing_parameters_are_named(folder):
    weights = load_file(folder / "model.safetensors")
    weights.pop("cls.seq_relationship.bias")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="cls.seq_relationship.bias is missing"):
        libraries.run_transformers(folder, *make_inputs())


def test_other_shapes_are_named(folder):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    write_config(folder, **{**config, "intermediate_size": 48})
    with pytest.raises(ValueError, match="encoder.layer.0.intermediate.dense.bias has another shape"):
        libraries.run_transformers(folder, *make_inputs())


def test_what_it_cannot_read_is_an_error_of_one_line(folder):
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="Transformers cannot load it as .*ForPreTraining: [^\n]*$"):
        libraries.run_transformers(folder, *make_inputs())
