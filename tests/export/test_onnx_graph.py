import collections
from pathlib import Path

import mindspore
import numpy as np
import pytest
import tiny_models

from src.config.model import ModelConfig, describe_weights
from src.config.training import DeviceSettings
from src.convert import network
from src.formats import weights
from src.tasks.classifier.network import Classifier
from src.tasks.ner.network import Tagger
from src.tasks.ner.pointer import Pointer
from src.tasks.ner.tags import list_labels, make_tag_set

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install -r requirements-serve.txt")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install -r requirements-serve.txt")
from src.export import onnx_graph  # noqa: E402
from src.tasks.task import TASKS

GOLDEN = Path(__file__).parent.parent / "golden"
TOLERANCE = 1e-5  # float32 rounding of values up to 10 through two layers; a wrong formula is off by 1e-2
ENCODER = ("absolute", "sinusoidal", "learned")
PLAIN = DeviceSettings()
HEADS = {"linear": {}, "cnn": {"head": "cnn"}, "cnn_norm": {"head": "cnn", "batch_norm": True}, "rcnn": {"head": "rcnn"}}
LABELS = list_labels(("PER", "LOC"), "BIOES")


def make_inputs(batch_size, seq_length, vocab_size=60):
    """Rows of decreasing length; padding has random ids and segments, so that using it would change the outputs."""
    rng = np.random.default_rng(batch_size * 100 + seq_length)
    ids = rng.integers(0, vocab_size, (batch_size, seq_length)).astype(np.int32)
    lengths = np.maximum(seq_length - 2 * np.arange(batch_size), 2)
    mask = (np.arange(seq_length) < lengths[:, None]).astype(np.int32)
    return ids, mask, rng.integers(0, 2, ids.shape).astype(np.int32)


def start(graph, **settings):
    """Check a graph with onnx's checker and run it: a function from arrays, in the order of the inputs, to a list of arrays."""
    onnx.checker.check_model(graph, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    for key, value in settings.items():
        setattr(options, key, value)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda *arrays: session.run(None, {value.name: array for value, array in zip(session.get_inputs(), arrays)})


def assert_close(found, expected, tolerance=TOLERANCE):
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= tolerance


def make_network(cell, seed=3):
    """The MindSpore network with random parameters of order one, and its parameters by name."""
    rng = np.random.default_rng(seed)
    for name, parameter in cell.parameters_dict().items():
        values = rng.standard_normal(parameter.shape) * 0.3
        parameter.set_data(mindspore.Tensor((np.abs(values) + 0.5 if name.endswith("variance") else values).astype(np.float32)))
    return cell.set_train(False), {name: parameter.asnumpy() for name, parameter in cell.parameters_dict().items()}


def run_network(cell, *inputs):
    outputs = cell(*map(mindspore.Tensor, inputs))
    return [output.asnumpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]


@pytest.mark.parametrize("positions", ENCODER)
@pytest.mark.parametrize("kind", ["classifier", "span", "pretraining"])
def test_graph_equals_the_numpy_network_at_every_size(kind, positions):
    model = tiny_models.make_model(positions)
    arrays = tiny_models.make_weights(model, kind)
    run = start(onnx_graph.build(model, arrays, TASKS[{"span": "squad", "pretraining": "pretrain"}.get(kind, kind)]))
    for batch_size, seq_length in ((3, 14), (1, 1), (2, 9), (1, 32)):
        inputs = make_inputs(batch_size, seq_length)
        expected = network.run(model, arrays, *inputs)
        if kind == "classifier":
            assert_close(run(*inputs)[0], expected["head"])
        elif kind == "span":
            bias = (1.0 - inputs[1]) * -10000.0
            for logits, found in zip(np.moveaxis(expected["span"], 2, 0), run(*inputs), strict=True):
                assert_close(found, logits + bias, 1e-3)  # float32 has steps of 0.001 at 10000
                assert np.abs(found - logits)[inputs[1] > 0].max() <= TOLERANCE
        else:
            positions = np.sort(np.random.default_rng(0).integers(0, seq_length, (batch_size, 3))).astype(np.int32)
            found = run(*inputs, positions)
            rows = np.arange(batch_size)[:, None]
            assert_close(found[0], expected["masked_lm"][rows, positions], 3e-5)  # logits of 32 products of order one
            assert_close(found[1], expected["next_sentence"])


@pytest.mark.parametrize("act", ["gelu", "gelu_tanh", "gelu_new", "relu"])
def test_every_activation(act):
    model = tiny_models.make_model(hidden_act=act, layer_norm_eps=1e-3)
    arrays = tiny_models.make_weights(model, "classifier")
    inputs = make_inputs(2, 9)
    assert_close(start(onnx_graph.build(model, arrays, TASKS["classifier"]))(*inputs)[0], network.run(model, arrays, *inputs)["head"])


@pytest.mark.parametrize("head", HEADS)
def test_classifier_heads_equal_the_network(head):
    model = tiny_models.make_model("learned" if head == "linear" else "absolute")
    cell, arrays = make_network(Classifier(model, PLAIN, 3, **HEADS[head]))
    run, inputs = start(onnx_graph.build(model, arrays, TASKS["classifier"])), make_inputs(3, 11)
    expected = run_network(cell, *inputs)[0]
    assert_close(run(*inputs)[0], expected, 3e-5)  # cnn: sums of 1024 products, logits up to 6
    for number, length in enumerate(inputs[1].sum(1)):  # other sizes, without padding; compiling the network for each takes seconds
        assert_close(run(*(array[number : number + 1, :length] for array in inputs))[0], expected[number : number + 1], 3e-5)


@pytest.mark.parametrize("with_lstm, use_crf", [(False, False), (True, True)])
def test_tagger_equals_the_network_at_real_tokens(with_lstm, use_crf):
    model = tiny_models.make_model()
    allowed = make_tag_set(LABELS).allowed()
    cell, arrays = make_network(Tagger(model, PLAIN, len(LABELS), with_lstm, use_crf, allowed))
    graph = onnx_graph.build(model, arrays, TASKS["ner"], {"labels": LABELS})
    assert [value.name for value in graph.graph.output] == ["logits", *(("transitions", "start", "end") if use_crf else ())]
    inputs = make_inputs(3, 11)
    found, expected = start(graph)(*inputs), run_network(cell, *inputs)
    real = inputs[1].astype(np.float32)[..., None]  # an LSTM gives 0 at padding in one, states of no meaning in the other
    assert_close(found[0] * real, expected[0] * real)
    for scores, of_network in zip(found[1:], expected[1:], strict=True):
        assert np.array_equal(scores, of_network)


@pytest.mark.parametrize("positions", [pytest.param("learned", marks=pytest.mark.slow), "absolute"])
def test_pointer_equals_the_network_at_every_size(positions):
    model = tiny_models.make_model(positions)
    cell, arrays = make_network(Pointer(model, PLAIN, 3, 16))
    graph = onnx_graph.build(model, arrays, TASKS["ner"], {"labels": ("a", "b", "c"), "seq_length": 16})
    run, inputs = start(graph), make_inputs(3, 11)
    expected = run_network(cell, *inputs)[0]
    real = expected > -9000  # elsewhere float32 has steps of 0.001
    assert real.any() and np.array_equal(run(*inputs)[0] > -9000, real)
    assert_close(np.where(real, run(*inputs)[0], np.float32(0)), np.where(real, expected, 0), 3e-5)  # scores of up to 50
    for number, length in enumerate(inputs[1].sum(1)):
        alone = run(*(array[number : number + 1, :length] for array in inputs))[0][0]
        part = expected[number, :length, :, :length]
        assert_close(np.where(part > -9000, alone, np.float32(0)), np.where(part > -9000, part, 0), 3e-5)
    assert run(*make_inputs(1, 2))[0].max() < -9000


def test_crf_without_constraints_forbids_nothing():
    model = tiny_models.make_model()
    arrays = tiny_models.make_weights(model, "tagger")
    settings = {"labels": ("O", "B-A", "I-A", "B-B", "I-B")}
    for constraints in (True, False):
        graph = onnx_graph.build(model, arrays, TASKS["ner"], settings | {"crf_constraints": constraints})
        transitions = start(graph)(*make_inputs(1, 4))[1]
        assert (transitions < -1000).any() == constraints


@pytest.mark.parametrize("with_lstm", [False, True])
def test_padding_does_not_change_outputs(with_lstm):
    model = tiny_models.make_model("sinusoidal")
    _, arrays = make_network(Tagger(model, PLAIN, 3, with_lstm))
    run = start(onnx_graph.build(model, arrays, TASKS["ner"]))
    inputs = make_inputs(1, 6)
    padded = [np.pad(array, ((0, 0), (0, 5)), constant_values=fill) for array, fill in zip(inputs, (7, 0, 1))]
    assert_close(run(*padded)[0][:, :6], run(*inputs)[0])


def test_minilm_equals_hugging_face(encoder):
    golden = np.load(GOLDEN / "minilm.npz")
    model, arrays = ModelConfig(**describe_weights(encoder).model), weights.read(encoder).arrays
    width = model.hidden_size
    arrays = {**arrays, "head.dense.weight": np.eye(width, dtype=np.float32), "head.dense.bias": np.zeros(width, np.float32)}
    ids, mask = golden["ids"].astype(np.int32), golden["mask"].astype(np.int32)
    tokens = start(onnx_graph.build(model, arrays, TASKS["ner"]))(ids, mask, np.zeros_like(ids))[0]
    pooled = start(onnx_graph.build(model, arrays, TASKS["classifier"]))(ids, mask, np.zeros_like(ids))[0]
    # the bound of docs/benchmarks/2026-11-21.md
    assert np.abs(tokens[:, :, ::16] - golden["sequence"])[mask.astype(bool)].max() <= 2e-5
    assert np.abs(pooled[:, ::4] - golden["pooled"]).max() <= 2e-5


def test_optimiser_makes_few_large_ops(tmp_path):
    model = tiny_models.make_model()
    graph = onnx_graph.build(model, tiny_models.make_weights(model, "classifier"), TASKS["classifier"])
    start(graph, optimized_model_filepath=str(tmp_path / "optimised.onnx"))
    counts = collections.Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    layers = model.num_hidden_layers
    assert counts["Gemm"] == 6 * layers + 1 and counts["FusedGemm"] == 1  # bias in the product; pooler and its tanh
    assert counts["Gelu"] == layers and counts["LayerNormalization"] == 2 * layers + 1
    assert counts["FusedMatMul"] == layers and counts["MatMul"] == layers  # scores with their scale, context
    assert not counts["Erf"] and not counts["Div"]


def test_weights_without_the_head_are_refused():
    model = tiny_models.make_model()
    arrays = tiny_models.make_weights(model, "encoder")
    for task in ("classifier", "ner", "squad", "pretrain"):
        with pytest.raises(ValueError, match=rf"weights have no .*: they are of no network that was trained for {task}"):
            onnx_graph.build(model, arrays, TASKS[task])
    del arrays["bert.encoder.layers.1.output.bias"]
    with pytest.raises(ValueError, match="the weights have no bert.encoder.layers.1.output.bias"):
        onnx_graph.build(model, {**arrays, "head.span.weight": arrays["bert.pooler.weight"][:2]}, TASKS["squad"])


def test_more_weights_than_a_file_holds_are_refused():
    model = tiny_models.make_model(vocab_size=17_000_000 // 2, hidden_size=64)
    arrays = dict.fromkeys(("bert.embeddings.word.weight",), np.broadcast_to(np.float32(1), (8_500_000, 64)))
    others = tiny_models.make_model(hidden_size=64)
    with pytest.raises(ValueError, match=r"2\.2 GB of weights: an ONNX file holds 2\.1 GB"):
        onnx_graph.build(model, {**tiny_models.make_weights(others, "classifier"), **arrays}, TASKS["classifier"])


def test_save_leaves_one_file(tmp_path):
    model = tiny_models.make_model()
    onnx_graph.save(onnx_graph.build(model, tiny_models.make_weights(model, "span"), TASKS["squad"]), tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    onnx.checker.check_model(str(tmp_path / "model.onnx"))
