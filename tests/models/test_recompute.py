"""Layers computed again in the backward pass, and the dropout that makes this exact."""

import mindspore
import numpy as np
import pytest
from mindspore import Tensor

from src.config.model import ModelConfig
from src.kernels import native
from src.models.dropout import Dropout
from src.models.losses import WithLoss
from src.tasks.classifier.network import Classifier
from src.tasks.squad.network import SpanFinder, SpanLoss
from src.train import runtime

SHAPE = {"vocab_size": 50, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}
NATIVE = runtime.settings("CPU")
KINDS = {"native": NATIVE, "plain": runtime.dataclasses.replace(NATIVE, native_library=None, float32_library=None)}
BFLOAT16 = runtime.dataclasses.replace(NATIVE, bfloat16_library=NATIVE.native_library)


def make_key(step, seed=7):
    return Tensor(np.array([seed, step], np.int32))


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_keeps_its_share_and_the_expectation(rate):
    dropout, x = Dropout(rate, 5, NATIVE), np.ones((1000, 1000), np.float32)
    found = dropout(Tensor(x), make_key(0)).asnumpy()
    assert set(np.unique(found)) == {0.0, np.float32(1 / (1 - round(rate * 2**24) / 2**24))}
    dropped = found == 0
    spread = np.sqrt(rate * (1 - rate) / x.size)
    assert abs(dropped.mean() - rate) < 4 * spread
    for other in (dropped[1:] ^ dropped[:-1], dropped[:, 1:] ^ dropped[:, :-1]):  # neighbours are independent
        assert abs(other.mean() - 2 * rate * (1 - rate)) < 5 * spread


@pytest.mark.parametrize(("stream", "step", "seed"), [(6, 0, 7), (5, 1, 7), (5, 0, 8)])
def test_every_stream_step_and_seed_drops_others(stream, step, seed):
    x, rate = Tensor(np.ones((300, 300), np.float32)), 0.3
    one = Dropout(rate, 5, NATIVE)(x, make_key(0)).asnumpy() == 0
    two = Dropout(rate, stream, NATIVE)(x, make_key(step, seed)).asnumpy() == 0
    assert abs((one & two).mean() - rate**2) < 5 * rate / 300


@pytest.mark.skipif(NATIVE.native_library is None, reason="no C++ compiler")
def test_plain_ops_and_the_kernel_drop_the_same():
    x = np.random.default_rng(0).standard_normal((7, 3, 11)).astype(np.float32)
    for step in (0, 1, 2**31 - 1):
        native, plain = (Dropout(0.4, 11, device)(Tensor(x), make_key(step, -5)).asnumpy() for device in KINDS.values())
        np.testing.assert_array_equal(native, plain)


@pytest.mark.parametrize("device", KINDS.values(), ids=KINDS)
def test_the_gradient_is_dropped_alike(device):
    dropout, x = Dropout(0.4, 3, device), Tensor(np.random.default_rng(0).standard_normal((9, 5)).astype(np.float32))

    def total(x, key):
        return dropout(x, key).sum()

    gradient = mindspore.grad(total)(x, make_key(4)).asnumpy()
    np.testing.assert_array_equal(gradient, dropout(Tensor(np.ones((9, 5), np.float32)), make_key(4)).asnumpy())


def test_no_key_and_no_rate_drop_nothing():
    x = Tensor(np.random.default_rng(0).standard_normal((9, 5)).astype(np.float32))
    for rate, key in ((0.5, None), (0.0, make_key(0))):
        np.testing.assert_array_equal(Dropout(rate, 3, NATIVE)(x, key).asnumpy(), x.asnumpy())


def loss_and_gradients(device, positions):
    mindspore.set_seed(1)
    network = SpanFinder(ModelConfig(**SHAPE, position_embedding_type=positions), device)
    rng = np.random.default_rng(1)
    for parameter in network.trainable_params():  # biases too: a lost gradient would not show at 0
        parameter.set_data(Tensor((rng.standard_normal(parameter.shape) * 0.3).astype(np.float32)))
    ids, mask = rng.integers(0, 50, (4, 9)).astype(np.int32), np.ones((4, 9), np.int32)
    mask[1, 6:] = 0
    batch = (
        ids,
        mask,
        (ids % 2).astype(np.int32),
        np.array([1, 2, 3, 4], np.int32),
        np.array([4, 4, 4, 4], np.int32),
        np.ones(4, np.float32),
    )
    cell = WithLoss(network, SpanLoss(), 3).set_train()
    parameters = network.trainable_params()
    (loss, _), gradients = mindspore.value_and_grad(cell, None, parameters, has_aux=True)(make_key(3), *(Tensor(array) for array in batch))
    return loss.asnumpy(), {parameter.name: gradient.asnumpy() for parameter, gradient in zip(parameters, gradients)}


@pytest.mark.parametrize(
    ("positions", "kind", "forms"),
    [
        ("absolute", "native", ["layer"]),
        pytest.param("absolute", "native", ["framework"], marks=pytest.mark.slow),
        pytest.param("sinusoidal", "native", ["layer"], marks=pytest.mark.slow),
        pytest.param("learned", "plain", ["layer"], marks=pytest.mark.slow),
        pytest.param("absolute", "bfloat16", ["layer", "framework"], marks=pytest.mark.slow),
    ],
)
def test_loss_and_gradients_are_those_without(positions, kind, forms):
    if kind == "bfloat16" and native.lacks_bfloat16(NATIVE.native_library):
        pytest.skip("no bfloat16 product here")
    device = BFLOAT16 if kind == "bfloat16" else KINDS[kind]
    expected_loss, expected = loss_and_gradients(device, positions)
    for form in forms:
        loss, gradients = loss_and_gradients(runtime.dataclasses.replace(device, recompute=form), positions)
        np.testing.assert_allclose(loss, expected_loss, rtol=1e-6)
        assert gradients.keys() == expected.keys()
        for name, gradient in gradients.items():
            np.testing.assert_allclose(
                gradient, expected[name], rtol=1e-6, atol=1e-6 * np.abs(expected[name]).max(), err_msg=f"{form} {name}"
            )
            assert np.abs(gradient).max() > 0 or name.endswith("key.bias"), name


def test_no_two_dropouts_of_a_network_share_a_stream():
    network = Classifier(ModelConfig(**SHAPE), KINDS["plain"], 2)
    streams = [cell.dropout.stream for _, cell in network.cells_and_names() if isinstance(cell, Dropout)]
    assert len(streams) == len(set(streams)) == 2 + 3 * SHAPE["num_hidden_layers"]
