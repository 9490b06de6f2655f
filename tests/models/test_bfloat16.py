"""The CPU's matrix products of bfloat16 factors: kernels, Linear, and what a run does with them."""

import mindspore
import numpy as np
import pytest
from mindspore import Parameter, Tensor, ops
from test_native import run_here

from src.models import native
from src.models.layers import Bfloat16Linear
from src.train import runtime

REASON = native.prepare_bfloat16(native.build())
needs_bfloat16 = pytest.mark.skipif(REASON is not None, reason=f"no bfloat16 product: {REASON}")


def draw(*shape, seed=0):
    return np.random.default_rng(seed + sum(shape)).standard_normal(shape).astype(np.float32)


def to_bits(x):
    """float32 to the bits of the nearest bfloat16, ties to even."""
    bits = x.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def to_float(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def rounded(x):
    """The nearest bfloat16 of float32, in float64."""
    return to_float(to_bits(x)).astype(np.float64)


def test_values_are_rounded_to_the_nearest_even():
    x = np.array([[1.0, 1.00390625, 1.01171875, -1.00390626, 1e-40, np.inf, -np.inf, 3.3961775e38, 0.1, -0.0, np.nan]], np.float32)
    x.view(np.uint32)[0, -1] = 0x7FFFFFFF  # a NaN that rounding alone would turn into -0
    bits = run_here("round_bfloat16", [x, np.zeros(x.shape, np.uint16)])[1]
    np.testing.assert_array_equal(bits[:, :-1], to_bits(x)[:, :-1])
    np.testing.assert_array_equal(to_float(bits)[0, :4], [1.0, 1.0, 1.015625, -1.0078125])
    assert np.isinf(to_float(bits)[0, 7]) and np.isnan(to_float(bits)[0, -1])


@needs_bfloat16
@pytest.mark.parametrize(("rows", "size_in", "size_out"), [(1, 1, 1), (7, 5, 3), (300, 33, 520), (513, 64, 2)])
def test_products_are_those_of_rounded_factors(rows, size_in, size_out):
    x, weight, bias, dout = draw(rows, size_in), draw(size_out, size_in), draw(size_out), draw(rows, size_out, seed=1)
    xs, weights, douts = to_bits(x), to_bits(weight), to_bits(dout)
    y = run_here("linear", [xs, weights, bias, np.zeros((rows, size_out), np.float32)])[3]
    dx = run_here("linear_input_gradient", [douts, weights, np.zeros_like(x)])[2]
    dweight = run_here("linear_weight_gradient", [douts, xs, np.zeros_like(weight)])[2]
    # float32 sums of up to 520 terms
    np.testing.assert_allclose(y, rounded(x) @ rounded(weight).T + bias, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(dx, rounded(dout) @ rounded(weight), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(dweight, rounded(dout).T @ rounded(x), rtol=1e-5, atol=1e-4)


@needs_bfloat16
def test_a_layer_and_its_gradients_are_those_of_rounded_factors():
    x, weight, bias, dout = draw(9, 6), draw(4, 6), draw(4), draw(9, 4, seed=1)
    layer, weight_parameter, bias_parameter = Bfloat16Linear(native.build()), Parameter(Tensor(weight)), Parameter(Tensor(bias))

    class Affine(mindspore.nn.Cell):
        def __init__(self):
            super().__init__()
            self.layer, self.weight, self.bias = layer, weight_parameter, bias_parameter

        def construct(self, x):
            return self.layer(x, self.weight, self.bias)

    network = Affine()
    gradients = ops.GradOperation(get_all=True, get_by_list=True, sens_param=True)(network, [weight_parameter, bias_parameter])
    (dx,), (dweight, dbias) = gradients(Tensor(x), Tensor(dout))
    np.testing.assert_allclose(network(Tensor(x)).asnumpy(), rounded(x) @ rounded(weight).T + bias, atol=1e-5)
    np.testing.assert_allclose(dx.asnumpy(), rounded(dout) @ rounded(weight), atol=1e-5)
    np.testing.assert_allclose(dweight.asnumpy(), rounded(dout).T @ rounded(x), atol=1e-5)
    np.testing.assert_allclose(dbias.asnumpy(), dout.sum(0), atol=1e-5)


def test_a_processor_without_the_instructions_is_refused(monkeypatch):
    monkeypatch.setattr(native, "_processor", lambda: "flags\t\t: fpu avx2 avx512f")
    with pytest.raises(
        ValueError, match="bfloat16: CPU has no bfloat16 matrix product here: this processor has no avx512_bf16 or amx_bf16"
    ):
        runtime.settings("CPU", "bfloat16")


def test_without_a_compiler_bfloat16_is_refused(monkeypatch):
    monkeypatch.setattr(native, "build", lambda: None)
    with pytest.raises(ValueError, match="bfloat16: CPU .*C.. compiler"):
        runtime.settings("CPU", "bfloat16")


@needs_bfloat16
def test_on_the_cpu_bfloat16_is_the_products_alone():
    device = runtime.settings("CPU", "bfloat16")
    assert (device.compute_type, device.product_type, device.bfloat16_library) == ("float32", "bfloat16", native.build())
    assert runtime.settings("CPU").bfloat16_library is None
