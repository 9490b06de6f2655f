from pathlib import Path

import mindspore
import numpy as np
import pytest
from mindspore import Tensor
from reference import TINY, WithLogits, tensors

from src.config.model import ModelConfig
from src.config.training import DeviceSettings
from src.formats import names
from src.models.losses import WithLoss
from src.tasks.squad.network import SpanFinder, SpanLoss
from src.train import model_files

GOLDEN_FOLDER = Path(__file__).parent.parent / "golden"
GOLDEN = np.load(GOLDEN_FOLDER / "span.npz")


@pytest.fixture(scope="module")
def network():
    """A SpanFinder with the golden weights."""
    network = SpanFinder(ModelConfig(**TINY), DeviceSettings())
    given = of_kind("weight")
    parameters = network.parameters_dict()
    assert given.keys() == parameters.keys()
    for name, array in given.items():
        parameters[name].set_data(Tensor(array))
    return network


def of_kind(kind):
    return {names.from_huggingface(key.partition("/")[2]): GOLDEN[key] for key in GOLDEN.files if key.startswith(f"{kind}/")}


def inputs(extra=0):
    """ids, mask, types, with `extra` positions of padding."""
    ids, types = (np.pad(GOLDEN[name], ((0, 0), (0, extra))) for name in ("ids", "types"))
    mask = np.pad(np.ones_like(GOLDEN["ids"]), ((0, 0), (0, extra)))
    return tensors(ids, mask, types)


def targets(weights=(1.0, 1.0, 1.0)):
    return tensors(GOLDEN["start_positions"], GOLDEN["end_positions"], np.array(weights, np.float32))


def test_logits_loss_and_gradients_equal_hugging_face(network):
    cell = WithLoss(network, WithLogits(SpanLoss()), 3)
    parameters = cell.trainable_params()
    (total, count, starts, ends), gradients = mindspore.value_and_grad(cell, None, parameters, has_aux=True)(None, *inputs(), *targets())
    np.testing.assert_allclose(starts.asnumpy(), GOLDEN["start_logits"], atol=5e-6)  # float32 rounding through two layers
    np.testing.assert_allclose(ends.asnumpy(), GOLDEN["end_logits"], atol=5e-6)
    assert count.asnumpy() == 3
    np.testing.assert_allclose(total.asnumpy() / 3, GOLDEN["loss"], rtol=2e-6)
    expected = of_kind("gradient")
    for parameter, gradient in zip(parameters, gradients):
        np.testing.assert_allclose(gradient.asnumpy() / 3, expected[parameter.name], atol=5e-6, err_msg=parameter.name)


@pytest.mark.parametrize("name", ["nvidia_zip.pt", "nvidia_legacy.pt"])
def test_nvidias_checkpoint_is_the_encoder_with_its_vocabulary_cut_back(name):
    network = SpanFinder(ModelConfig(**TINY), DeviceSettings())
    model_files.load_weights(network, GOLDEN_FOLDER / "torch" / name, whole=False)
    parameters = network.parameters_dict()
    expected = {name: array for name, array in of_kind("weight").items() if name.startswith("bert.")}
    for name, array in expected.items():
        np.testing.assert_array_equal(parameters[name].asnumpy(), array.astype(np.float16).astype(np.float32), err_msg=name)


def test_a_vocabulary_that_is_longer_than_filling_up_makes_it_is_refused(tmp_path):
    bigger = SpanFinder(ModelConfig(**{**TINY, "vocab_size": 40}), DeviceSettings())
    mindspore.save_checkpoint(bigger, str(tmp_path / "bigger.ckpt"))
    with pytest.raises(ValueError, match=r"bert.embeddings.word.weight has shape \(40, 8\), the network \(30, 8\)"):
        model_files.load_weights(SpanFinder(ModelConfig(**TINY), DeviceSettings()), tmp_path / "bigger.ckpt", whole=False)


def test_padding_changes_neither_logits_nor_loss(network):
    total, count, starts, ends = WithLoss(network, WithLogits(SpanLoss()), 3)(None, *inputs(extra=3), *targets())
    np.testing.assert_allclose(starts.asnumpy()[:, :9], GOLDEN["start_logits"], atol=5e-6)
    assert max(starts.asnumpy()[:, 9:].max(), ends.asnumpy()[:, 9:].max()) < -9000
    np.testing.assert_allclose(total.asnumpy() / count.asnumpy(), GOLDEN["loss"], rtol=2e-6)


def test_a_row_of_weight_0_does_not_count():
    logits = mindspore.mutable(tuple(tensors(GOLDEN["start_logits"], GOLDEN["end_logits"])))
    losses = [[part.asnumpy().item() for part in SpanLoss()(logits, *targets(row))] for row in np.eye(3)]
    total, count = SpanLoss()(logits, *targets((1.0, 0.0, 1.0)))
    assert count.asnumpy() == 2
    np.testing.assert_allclose(total.asnumpy(), losses[0][0] + losses[2][0], rtol=1e-6)
