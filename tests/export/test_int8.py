import logging

import numpy as np
import pytest
import tiny_models

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install -r requirements-serve.txt")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install -r requirements-serve.txt")
from src.export import int8, onnx_graph  # noqa: E402
from src.tasks.task import TASKS

KINDS = {"classifier": "classifier", "ner": "tagger", "squad": "span", "embed": "encoder", "pretrain": "pretraining", "pointer": "pointer"}


def write_both(tmp_path, task, positions="absolute"):
    model = tiny_models.make_model(positions, vocab_size=600)
    weights = tiny_models.make_weights(model, KINDS[task])
    if task == "pretrain":
        weights["masked_lm.bias"] = np.zeros(600, np.float32)
    settings = {"labels": ("O", "B-A", "I-A", "B-B", "I-B"), "seq_length": 12, "pooling": "mean", "normalize": True}
    onnx_graph.save(onnx_graph.build(model, weights, TASKS["ner" if task == "pointer" else task], settings), tmp_path / "model.onnx")
    int8.quantize(tmp_path / "model.onnx", tmp_path / "model.int8.onnx")
    return tmp_path / "model.onnx", tmp_path / "model.int8.onnx"


def run(path, inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {value.name: inputs[value.name] for value in session.get_inputs()})


@pytest.mark.parametrize("task, positions", [*((task, "absolute") for task in KINDS), ("classifier", "sinusoidal"), ("squad", "learned")])
def test_int8_outputs_follow_those_of_float32(tmp_path, task, positions):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 600, (8, 12)).astype(np.int32)
    ones = np.ones_like(ids)
    inputs = {"input_ids": ids, "input_mask": ones, "token_type_ids": ones * 0, "masked_lm_positions": ids[:, :3] % 12}
    whole, quantised = (run(path, inputs) for path in write_both(tmp_path, task, positions))
    assert len(whole) == len(quantised)
    for one, two in zip(whole, quantised):
        one, two = (np.where(part > -9000, part, 0) for part in (one, two))  # a pointer's -10000 would correlate by itself
        # weights of 7 bits, activations of 8: a few percent of the spread in each of two layers; a wrong scale leaves no correlation
        assert np.corrcoef(one.reshape(-1), two.reshape(-1))[0, 1] > 0.98


def test_quantisation_leaves_one_smaller_file_and_no_word(tmp_path, capfd, caplog):
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    whole, quantised = write_both(tmp_path, "classifier")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.int8.onnx", "model.onnx"]
    assert quantised.stat().st_size < 0.6 * whole.stat().st_size
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert (logging.getLogger().handlers, logging.getLogger().level) == (handlers, level)


def test_heads_stay_float(tmp_path):
    graph = onnx.load(write_both(tmp_path, "classifier")[1]).graph
    floats = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2}
    assert {"bert.embeddings.position.weight", "bert.embeddings.token_type.weight"} <= set(floats)
    assert any(name.startswith("head.dense.weight") for name in floats)
    assert any(name.startswith("bert.pooler.weight") for name in floats)
    assert not any(name.startswith(("bert.encoder", "bert.embeddings.word")) for name in floats if not name.endswith("_scale"))
