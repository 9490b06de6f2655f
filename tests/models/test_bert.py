import re
from pathlib import Path

import mindspore
import numpy as np
import pytest
from mindspore import Tensor
from reference import TINY, assert_equals_golden, tensors

from src.config.model import ModelConfig, describe_weights
from src.config.training import DeviceSettings
from src.formats import names, weights
from src.kernels import native
from src.models.bert import Bert
from src.tasks.classifier.network import Classifier
from src.train import model_files

GOLDEN = Path(__file__).parent.parent / "golden"
ONE_LAYER = {**TINY, "num_hidden_layers": 1}


@pytest.mark.parametrize(
    ("form", "act"),
    [
        ("native", "gelu"),
        pytest.param("native", "gelu_new", marks=pytest.mark.slow),
        pytest.param("native", "relu", marks=pytest.mark.slow),
        ("composed", "gelu"),
        ("fused", "gelu_new"),
        pytest.param("composed", "gelu_new", marks=pytest.mark.slow),
        pytest.param("composed", "relu", marks=pytest.mark.slow),
        pytest.param("fused", "gelu", marks=pytest.mark.slow),
        pytest.param("fused", "relu", marks=pytest.mark.slow),
    ],
)
def test_outputs_and_gradients_equal_hugging_face(form, act):
    golden = np.load(GOLDEN / "bert.npz")
    device = DeviceSettings(composed_ops=form != "fused", native_library=native.build() if form == "native" else None)
    assert_equals_golden(golden, act, ModelConfig(**TINY, hidden_act=act), device)


def test_minilm_equals_hugging_face(encoder):
    golden = np.load(GOLDEN / "minilm.npz")
    network = Classifier(ModelConfig(**describe_weights(encoder).model), DeviceSettings(), 2)
    model_files.load_weights(network, encoder, whole=False)
    sequence, pooled = network.bert.set_train(False)(*tensors(golden["ids"], golden["mask"], np.zeros_like(golden["ids"])))
    real = golden["mask"].astype(bool)
    # the bound of docs/benchmarks/2026-11-21.md
    assert np.abs(sequence.asnumpy()[:, :, ::16] - golden["sequence"])[real].max() <= 2e-5
    assert np.abs(pooled.asnumpy()[:, ::4] - golden["pooled"]).max() <= 2e-5


def make_inputs(batch_size=2, seq_length=5):
    ids = np.arange(batch_size * seq_length, dtype=np.int32).reshape(batch_size, seq_length) % 30
    return ids, np.ones_like(ids), np.zeros_like(ids)


def test_outputs_have_the_documented_shapes():
    sequence, pooled = Bert(ModelConfig(**ONE_LAYER), DeviceSettings())(*tensors(*make_inputs(2, 5)))
    assert sequence.shape == (2, 5, 8)
    assert pooled.shape == (2, 8)


def test_padding_does_not_change_logits():
    network = Classifier(ModelConfig(**ONE_LAYER), DeviceSettings(), 3).set_train(False)
    ids, mask, types = make_inputs(2, 5)
    padded = [np.pad(array, ((0, 0), (0, 4)), constant_values=fill) for array, fill in ((ids, 7), (mask, 0), (types, 1))]
    np.testing.assert_allclose(network(*tensors(*padded)).asnumpy(), network(*tensors(ids, mask, types)).asnumpy(), atol=1e-6)


def test_dropout_follows_from_its_key():
    config = ModelConfig(**{**ONE_LAYER, "hidden_dropout_prob": 0.5})
    network, inputs = Classifier(config, DeviceSettings(), 3), tensors(*make_inputs())
    without, first, again, second = (
        network(*inputs, key).asnumpy() for key in (None, *(Tensor(np.array([3, step], np.int32)) for step in (0, 0, 1)))
    )
    assert np.array_equal(network(*inputs).asnumpy(), without) and np.array_equal(first, again)
    assert not np.array_equal(without, first) and not np.array_equal(first, second)


def test_weights_start_as_bert_prescribes():
    mindspore.set_seed(1)
    network = Classifier(ModelConfig(**{**TINY, "vocab_size": 3000}), DeviceSettings(), 3)
    for parameter in network.trainable_params():
        values = parameter.asnumpy()
        if parameter.name.endswith("bias"):
            assert (values == 0).all(), parameter.name
        elif "norm" in parameter.name:
            assert (values == 1).all(), parameter.name
        else:
            assert np.abs(values).max() <= 0.04 + 1e-6, parameter.name  # truncated at two deviations of 0.02
    assert abs(network.bert.embeddings.word.weight.asnumpy().std() - 0.02 * 0.8796) < 3e-4  # deviation after truncation


def test_float16_stays_near_float32():
    mindspore.set_seed(1)
    inputs = tensors(*make_inputs())
    full = Classifier(ModelConfig(**ONE_LAYER), DeviceSettings(), 3).set_train(False)
    half = Classifier(ModelConfig(**ONE_LAYER), DeviceSettings(compute_type="float16"), 3).set_train(False)
    mindspore.load_param_into_net(half, full.parameters_dict())
    assert half(*inputs).dtype == mindspore.float32
    np.testing.assert_allclose(half(*inputs).asnumpy(), full(*inputs).asnumpy(), atol=2e-3)


def test_every_parameter_has_a_hugging_face_name():
    network = Classifier(ModelConfig(**TINY), DeviceSettings(), 3)
    ours = set(network.parameters_dict())
    theirs = {names.to_huggingface(name) for name in ours}
    assert len(theirs) == len(ours)
    assert {names.from_huggingface(name) for name in theirs} == ours
    assert all(re.match(r"bert\.(embeddings|encoder\.layer\.\d|pooler)\.|classifier\.", name) for name in theirs)


def test_the_camphr_checkpoint_loads(shared_file):
    folder = shared_file("README.md").parent.parent / "checkpoints" / "camphr_ner_bert_tiny_hf"
    network = Bert(ModelConfig(**describe_weights(folder).model), DeviceSettings())
    found = weights.read(folder).arrays
    missing = set(network.parameters_dict()) - {name.removeprefix("bert.") for name in found}
    assert missing == {"pooler.weight", "pooler.bias"}  # a tagger has none


def test_the_seed_decides_the_weights():
    drawn = []
    for seed in (1, 1, 2):
        mindspore.set_seed(seed)
        drawn.append(Classifier(ModelConfig(**TINY), DeviceSettings(), 3).head.dense.weight.asnumpy())
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
