"""The CPU's float32 linear layers: kernels and Linear against NumPy in float64."""

import dataclasses

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, ops
from test_native import run_here

from src.models import native
from src.models.layers import Linear
from src.train import runtime

DEVICE = runtime.settings("CPU")
needs_kernels = pytest.mark.skipif(DEVICE.float32_library is None, reason="no C++ compiler, or no oneDNN in MindSpore")


def draw(*shape, seed=0):
    return np.random.default_rng(seed + sum(shape)).standard_normal(shape).astype(np.float32)


@needs_kernels
@pytest.mark.parametrize(("rows", "size_in", "size_out"), [(1, 1, 1), (7, 5, 3), (300, 33, 520), (64, 600, 32), (513, 64, 2)])
def test_products_are_numpys(rows, size_in, size_out):
    x, weight, bias, dout = draw(rows, size_in), draw(size_out, size_in), draw(size_out), draw(rows, size_out, seed=1)
    exact = [array.astype(np.float64) for array in (x, weight, bias, dout)]
    y = run_here("float32_linear", [x, weight, bias, np.full_like(dout, np.nan)])[-1]
    dx = run_here("float32_input_gradient", [dout, weight, np.full_like(x, np.nan)])[-1]
    dweight, dbias = run_here("float32_weight_gradient", [dout, x, np.full_like(weight, np.nan), np.full_like(bias, np.nan)])[-2:]
    # float32 sums of up to 600 terms
    np.testing.assert_allclose(y, exact[0] @ exact[1].T + exact[2], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(dx, exact[3] @ exact[1], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(dweight, exact[3].T @ exact[0], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(dbias, exact[3].sum(0), rtol=1e-5, atol=1e-4)


@needs_kernels
def test_a_layer_and_its_gradients_are_those_of_plain_ops():
    x, dout = Tensor(draw(9, 6)), Tensor(draw(9, 4, seed=1))

    def differentiate(device):
        mindspore.set_seed(0)
        layer = Linear(6, 4, 0.02, device)
        gradients = ops.GradOperation(get_all=True, get_by_list=True, sens_param=True)(layer, [layer.weight, layer.bias])
        (dx,), (dweight, dbias) = gradients(x, dout)
        return [tensor.asnumpy() for tensor in (layer(x), dx, dweight, dbias)]

    for found, expected in zip(differentiate(DEVICE), differentiate(dataclasses.replace(DEVICE, float32_library=None))):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_without_a_compiler_the_frameworks_products_serve():
    assert not native.has_float32(None)
