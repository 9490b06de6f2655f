import re

import mindspore
import numpy as np
import pytest
from conftest import ROOT

from src.config.model import ModelConfig, describe_weights
from src.config.training import DeviceSettings
from src.convert import network
from src.formats import names
from src.formats.weights import read as read_weights
from src.models.bert import Bert

TINY = {"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
TINY["max_position_embeddings"] = 12
SMALL = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
SMALL["max_position_embeddings"] = 32
NEZHA = {"position_embedding_type": "sinusoidal", "max_relative_position": 4}
TABLE = re.compile(r".*\.(\d)\.attention\.self\.relative_positions_encoding\.table")  # make_nezha.py's own name
ATOL = 5e-6  # the golden numbers are float32, of order one and two layers deep


def load(name):
    return np.load(ROOT / f"tests/golden/{name}.npz")


def take_weights(golden, prefix="weight/"):
    found = {key.removeprefix(prefix): golden[key] for key in golden.files if key.startswith(prefix)}
    return {TABLE.sub(r"bert.encoder.layers.\1.attention.positions.table", names.from_huggingface(name)): found[name] for name in found}


def make_weights(model, seed=1):
    """Every parameter of an encoder, random and of order one."""
    rng, size, inner = np.random.default_rng(seed), model.hidden_size, model.intermediate_size
    tables = {"word": model.vocab_size, "token_type": model.type_vocab_size}
    if model.position_embedding_type == "absolute":
        tables["position"] = model.max_position_embeddings
    shapes = {f"bert.embeddings.{name}.weight": (rows, size) for name, rows in tables.items()}
    linear = {"bert.pooler": (size, size)}
    norms = ["bert.embeddings.norm"]
    for layer in (f"bert.encoder.layers.{number}" for number in range(model.num_hidden_layers)):
        linear |= {f"{layer}.attention.{part}": (size, size) for part in ("query", "key", "value", "output")}
        linear |= {f"{layer}.intermediate": (inner, size), f"{layer}.output": (size, inner)}
        norms += [f"{layer}.attention_norm", f"{layer}.output_norm"]
        if model.position_embedding_type == "learned":
            shapes[f"{layer}.attention.positions.table"] = (2 * model.max_relative_position + 1, size // model.num_attention_heads)
    for name, shape in (linear | dict.fromkeys(norms, (size,))).items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return {name: (rng.standard_normal(shape) * 0.5).astype(np.float32) for name, shape in shapes.items()}


def make_inputs(extra=0):
    """ids, mask, types of two rows, the second shorter; both get `extra` positions of padding."""
    ids, mask = np.arange(1, 15, dtype=np.int32).reshape(2, 7), np.array([[1] * 7, [1] * 4 + [0] * 3])
    types = (np.arange(7) >= 3) * np.ones_like(ids)
    return [np.pad(array, ((0, 0), (0, extra)), constant_values=fill) for array, fill in ((ids, 9), (mask, 0), (types, 1))]


@pytest.mark.parametrize("act", ["gelu", "gelu_new", "relu"])
def test_bert_equals_hugging_face(act):
    golden = load("bert")
    found = network.run(
        ModelConfig(**TINY, hidden_act=act), take_weights(golden, f"{act}/weight/"), golden["ids"], golden["mask"], golden["types"]
    )
    assert list(found) == ["embeddings", "layer 0", "layer 1", "pooled"]
    np.testing.assert_allclose(found["layer 1"], golden[f"{act}/sequence"], atol=ATOL)
    np.testing.assert_allclose(found["pooled"], golden[f"{act}/pooled"], atol=ATOL)


@pytest.mark.parametrize("kind", ["sinusoidal", "learned"])
def test_nezha_equals_hugging_face_beyond_the_clip(kind):
    golden = load("nezha")
    model = ModelConfig(**TINY, position_embedding_type=kind, max_relative_position=3)
    found = network.run(model, take_weights(golden, f"{kind}/weight/"), golden["ids"], golden["mask"], golden["types"])
    np.testing.assert_allclose(found["layer 1"], golden[f"{kind}/sequence"], atol=ATOL)
    np.testing.assert_allclose(found["pooled"], golden[f"{kind}/pooled"], atol=ATOL)


@pytest.mark.parametrize(("file", "positions"), [("pretraining", {}), ("pretraining_nezha", NEZHA)])
@pytest.mark.parametrize("block", [4096, 7])
def test_pretraining_heads_equal_hugging_face(monkeypatch, file, positions, block):
    monkeypatch.setattr(network, "BLOCK", block)
    golden = load(file)
    inputs = [golden[f"batch/{name}"][0].astype(np.int32) for name in ("input_ids", "input_mask", "token_type_ids")]
    found = network.run(ModelConfig(**SMALL, **positions), take_weights(golden), *inputs)
    assert list(found) == ["embeddings", "layer 0", "layer 1", "pooled", "masked_lm", "next_sentence"]
    assert found["masked_lm"].shape == (8, 16, 60)
    masked = np.take_along_axis(found["masked_lm"], golden["batch/masked_lm_positions"][0].astype(int)[:, :, None], 1)
    np.testing.assert_allclose(masked, golden["masked_lm_logits"], atol=ATOL)
    np.testing.assert_allclose(found["next_sentence"], golden["next_sentence_logits"], atol=ATOL)


def test_span_equals_hugging_face():
    golden = load("span")
    found = network.run(ModelConfig(**TINY), take_weights(golden), golden["ids"], np.ones_like(golden["ids"]), golden["types"])
    assert list(found) == ["embeddings", "layer 0", "layer 1", "span"]
    expected = np.stack((golden["start_logits"], golden["end_logits"]), -1)
    np.testing.assert_allclose(found["span"], expected, atol=ATOL)


def test_camphrs_tagger_equals_hugging_face(shared_file):
    folder = shared_file("README.md").parent.parent / "checkpoints" / "camphr_ner_bert_tiny_hf"
    golden, model = load("ner_bert"), ModelConfig(**describe_weights(folder).model)
    found = network.run(model, read_weights(folder).arrays, golden["ids"], golden["mask"], golden["types"])
    np.testing.assert_allclose(found["head"], golden["logits"], atol=1e-6)  # float32; the logits are about 0.1


def test_minilm_equals_hugging_face(encoder):
    golden, model = load("minilm"), ModelConfig(**describe_weights(encoder).model)
    found = network.run(model, read_weights(encoder).arrays, golden["ids"], golden["mask"], np.zeros_like(golden["ids"]))
    # float32 rounding of theirs, through six layers
    np.testing.assert_allclose(found["layer 5"][:, :, ::16], golden["sequence"], atol=1e-5)
    np.testing.assert_allclose(found["pooled"][:, ::4], golden["pooled"], atol=1e-5)


def test_outputs_equal_our_networks():
    """At padding too. With the positions that no reference implementation has."""
    model = ModelConfig(**TINY, position_embedding_type="learned", max_relative_position=3)
    weights, inputs = make_weights(model), make_inputs()
    bert = Bert(model, DeviceSettings()).set_train(False)
    parameters = {f"bert.{name}": parameter for name, parameter in bert.parameters_dict().items()}
    assert parameters.keys() == weights.keys()
    for name, array in weights.items():
        parameters[name].set_data(mindspore.Tensor(array))
    sequence, pooled = bert(*(mindspore.Tensor(array.astype(np.int32)) for array in inputs))
    found = network.run(model, weights, *inputs)
    np.testing.assert_allclose(sequence.asnumpy(), found["layer 1"], atol=ATOL)
    np.testing.assert_allclose(pooled.asnumpy(), found["pooled"], atol=ATOL)


@pytest.mark.parametrize("kind", ["absolute", "sinusoidal", "learned"])
def test_padding_does_not_change_real_tokens(kind):
    model = ModelConfig(**TINY, position_embedding_type=kind)
    weights, (ids, mask, types) = make_weights(model), make_inputs()
    found, padded = network.run(model, weights, ids, mask, types), network.run(model, weights, *make_inputs(extra=4))
    real = mask.astype(bool)
    for name in ("embeddings", "layer 0", "layer 1"):
        np.testing.assert_allclose(padded[name][:, :7][real], found[name][real], atol=1e-12, err_msg=name)  # float64 rounding
    np.testing.assert_allclose(padded["pooled"], found["pooled"], atol=1e-12)


HEAD = {"head.dense.weight": np.ones((3, 8), np.float32), "head.dense.bias": np.zeros(3, np.float32)}


def test_a_head_is_on_the_pooler_if_there_is_one():
    model, inputs = ModelConfig(**TINY), make_inputs()
    weights = make_weights(model) | HEAD
    found = network.run(model, weights, *inputs)
    np.testing.assert_allclose(found["head"], np.tile(found["pooled"].sum(-1, keepdims=True), 3), atol=1e-12)
    tagger = {name: array for name, array in weights.items() if "pooler" not in name}
    found = network.run(model, tagger | {"head.crf.start": np.zeros(3, np.float32)}, *inputs)
    assert list(found) == ["embeddings", "layer 0", "layer 1", "head"]
    np.testing.assert_allclose(found["head"], np.tile(found["layer 1"].sum(-1, keepdims=True), 3), atol=1e-12)


@pytest.mark.parametrize(
    "others",
    [
        {"head.contexts.bias": np.zeros((2, 1, 16), np.float32)},
        {"head.joined.weight": np.zeros((8, 16), np.float32)},
        {"head.dense.weight": np.zeros((3, 1024), np.float32), "head.filters.0.weight": np.zeros((256, 1, 1, 8), np.float32)},
    ],
    ids=["BiLSTM", "RCNN", "CNN"],
)
def test_heads_that_are_not_one_dense_layer_are_left_out(others):
    model = ModelConfig(**TINY)
    assert "head" not in network.run(model, make_weights(model) | HEAD | others, *make_inputs())


def test_weights_are_read_one_at_a_time_and_in_any_precision():
    class Lazy(dict):
        def values(self):
            raise AssertionError("all weights at once")

        items = values

    model, inputs = ModelConfig(**TINY), make_inputs()
    half = {name: array.astype(np.float16) for name, array in make_weights(model).items()}
    found = network.run(model, Lazy(half), *inputs)
    exact = network.run(model, {name: array.astype(np.float64) for name, array in half.items()}, *inputs)
    assert all(array.dtype == np.float64 and np.array_equal(array, exact[name]) for name, array in found.items())
