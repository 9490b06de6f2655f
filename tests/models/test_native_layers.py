"""The CPU's linear layers and attention in compiled kernels, with factors in float32 and in bfloat16, compared with NumPy in float64."""

import dataclasses
import os

import mindspore
import numpy as np
import pytest
from mindspore import Parameter, Tensor, ops
from scipy.special import softmax
from test_native import run_here

from src.kernels import native
from src.models.layers import Linear
from src.models.native_layers import Bfloat16Linear
from src.train import runtime

REASON = native.lacks_bfloat16(native.build())
DEVICE = runtime.settings("CPU")
needs_float32 = pytest.mark.skipif(DEVICE.float32_library is None, reason="no C++ compiler, or no oneDNN in MindSpore")
needs_bfloat16 = pytest.mark.skipif(REASON is not None, reason=f"no bfloat16 product: {REASON}")


def draw(*shape, seed=0):
    return np.random.default_rng(seed + sum(shape)).standard_normal(shape).astype(np.float32)


def exact(x):
    return x.astype(np.float64)


def rounded(x):
    """The nearest bfloat16 of float32, ties to even, in float64."""
    bits = x.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16).astype(np.uint32).view(np.float32).astype(np.float64)


def pack(run, name, x):
    """The two packed factors of x [rows, columns], and for a gradient the sums of its columns."""
    rows, columns = (-(-size // 32) * 32 for size in x.shape)
    sums = [np.zeros(x.shape[1], np.float32)] if name == "pack_gradient" else []
    return run(name, [x, np.full((rows, columns), 9, np.uint16), np.full((columns, rows), 9, np.uint16), *sums])[1:]


def multiply(run, x, weight, bias, dout):
    """x W^T + b and the gradients of x, W and b."""
    (x_left, x_right), (weight_forward, weight_back) = pack(run, "pack_input", x), pack(run, "pack_weight", weight)
    dout_left, dout_columns, dbias = pack(run, "pack_gradient", dout)
    y = run("linear", [x_left, weight_forward, bias, x, np.zeros_like(dout)])[-1]
    dx = run("product", [dout_left, weight_back, dout, weight, np.zeros_like(x)])[-1]
    return y, dx, run("product", [dout_columns, x_right, weight, np.zeros_like(weight)])[-1], dbias


def check_products(run, rows, size_in, size_out):
    x, weight, bias, dout = draw(rows, size_in), draw(size_out, size_in), draw(size_out), draw(rows, size_out, seed=1)
    y, dx, dweight, dbias = multiply(run, x, weight, bias, dout)
    # float32 sums of up to 600 terms
    np.testing.assert_allclose(y, rounded(x) @ rounded(weight).T + bias, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(dx, rounded(dout) @ rounded(weight), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(dweight, rounded(dout).T @ rounded(x), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(dbias, dout.sum(0, dtype=np.float64), rtol=1e-5, atol=1e-4)


@needs_bfloat16
@pytest.mark.parametrize(("rows", "size_in", "size_out"), [(1, 1, 1), (7, 5, 3), (300, 33, 520), (64, 600, 32), (513, 64, 2)])
def test_products_are_those_of_rounded_factors(rows, size_in, size_out):
    check_products(run_here, rows, size_in, size_out)


@needs_bfloat16
@pytest.mark.slow
@pytest.mark.skipif("amx_bf16" not in native.describe_processor(), reason="without AMX the kernels tested above are those of AVX512-BF16")
def test_without_amx_products_are_the_same(tmp_path):
    native.compile_library(
        os.environ.get("CXX", "g++"), ("-march=native", "-mno-amx-tile", "-mno-amx-bf16", *native.FLAGS), tmp_path / "native.so"
    )
    check_products(lambda name, arrays: run_here(name, arrays, str(tmp_path / "native.so")), 300, 33, 520)


@needs_bfloat16
def test_values_are_rounded_to_the_nearest_even():
    x = np.array([[1.0, 1.00390625, 1.01171875, -1.005, np.inf, -np.inf, 3.3961775e38, 0.1, -0.0, np.nan]], np.float32)
    x.view(np.uint32)[0, -1] = 0x7FFFFFFF  # a NaN that rounding in integers would turn into -0
    found = (pack(run_here, "pack_input", x)[0][0, : x.size].astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(found[:-1], rounded(x)[0, :-1])
    np.testing.assert_array_equal(found[:4], np.float32([1.0, 1.0, 1.015625, -1.0078125]))
    assert np.isinf(found[6]) and np.isnan(found[-1])


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


@needs_float32
@pytest.mark.parametrize(("rows", "size_in", "size_out"), [(1, 1, 1), (7, 5, 3), (300, 33, 520), (64, 600, 32), (513, 64, 2)])
def test_float32_products_are_numpys(rows, size_in, size_out):
    x, weight, bias, dout = draw(rows, size_in), draw(size_out, size_in), draw(size_out), draw(rows, size_out, seed=1)
    y = run_here("float32_linear", [x, weight, bias, np.full_like(dout, np.nan)])[-1]
    dx = run_here("float32_input_gradient", [dout, weight, np.full_like(x, np.nan)])[-1]
    dweight, dbias = run_here("float32_weight_gradient", [dout, x, np.full_like(weight, np.nan), np.full_like(bias, np.nan)])[-2:]
    # float32 sums of up to 600 terms
    np.testing.assert_allclose(y, exact(x) @ exact(weight).T + bias, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(dx, exact(dout) @ exact(weight), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(dweight, exact(dout).T @ exact(x), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(dbias, exact(dout).sum(0), rtol=1e-5, atol=1e-4)


@needs_float32
def test_a_float32_layer_and_its_gradients_are_those_of_plain_ops():
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


def split(x, batch, heads):
    """[B * S, H] -> [B, N, S, D]."""
    return x.reshape(batch, -1, heads, x.shape[1] // heads).swapaxes(1, 2)


def join(x):
    return x.swapaxes(1, 2).reshape(x.shape[0] * x.shape[2], -1)


@pytest.mark.parametrize(
    ("batch", "length", "heads", "size", "rate", "mask_rows"), [(2, 8, 2, 4, 0.0, 1), (2, 33, 3, 20, 0.1, 1), (1, 70, 2, 64, 0.3, 70)]
)
@pytest.mark.parametrize(
    # values of order one; where float32 differs in the last bit, a probability may be rounded to the next bfloat16, 2^-8 of it away
    ("product_type", "cast", "tolerance"),
    [
        pytest.param("float32", exact, 1e-5, marks=needs_float32),
        pytest.param("bfloat16", rounded, 2e-3, marks=needs_bfloat16),
    ],
    ids=["float32", "bfloat16"],
)
def test_attention_and_its_gradients_are_those_of_the_factors(product_type, cast, tolerance, batch, length, heads, size, rate, mask_rows):
    query, key, value, dcontext = (draw(batch * length, heads * size, seed=number) for number in range(4))
    mask = np.where(draw(batch, 1, mask_rows, length) > 0.9, np.float32(-10000), np.float32(0))
    inputs = [query, key, value, mask, np.array([3, 7], np.int32), np.array([5, round(rate * 2**24), heads], np.int32)]
    context = run_here(f"{product_type}_attention", [*inputs, np.zeros_like(query)])[-1]
    gradients = run_here(f"{product_type}_attention_gradient", [*inputs, dcontext, *(np.zeros_like(query) for _ in range(3))])[-3:]
    ones = np.ones((batch, heads, length, length), np.float32)
    kept = run_here("dropout", [ones, inputs[4], inputs[5][:2], np.zeros_like(ones)])[-1].astype(np.float64)
    q, k, v, dout = (split(cast(x), batch, heads) for x in (query, key, value, dcontext))
    probs = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(size) + mask, -1)
    dropped = cast((probs * kept).astype(np.float32))
    dprobs = dout @ v.swapaxes(-1, -2) * kept
    dscores = cast((probs * (dprobs - (probs * dprobs).sum(-1, keepdims=True)) / np.sqrt(size)).astype(np.float32))
    expected = dscores @ k, dscores.swapaxes(-1, -2) @ q, dropped.swapaxes(-1, -2) @ dout
    np.testing.assert_allclose(context, join(dropped @ v), atol=tolerance)
    for found, right in zip(gradients, expected):
        np.testing.assert_allclose(found, join(right), atol=tolerance)
