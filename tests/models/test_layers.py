import math
import subprocess
import sys

import mindspore
import numpy as np
import pytest
from mindspore import Tensor, ops
from scipy.special import ndtr

from src.config.training import DeviceSettings
from src.kernels import native
from src.models.activations import Activation, tanh
from src.models.layers import LayerNorm, Linear, MaskedSoftmax, SwapMiddle

FORMS = {
    "native": DeviceSettings(native_library=native.build()),
    "composed": DeviceSettings(),
    "fused": DeviceSettings(composed_ops=False),
}
X = np.concatenate([np.linspace(-12, 12, 4001), [0.0]]).astype(np.float32)


def gradient_of(cell, x):
    return ops.GradOperation(sens_param=True)(cell)(Tensor(x), Tensor(np.ones_like(x))).asnumpy()


@pytest.mark.parametrize("form", FORMS)
def test_gelu_is_x_times_the_normal_distribution(form):
    cell, x = Activation("gelu", FORMS[form]), X.astype(np.float64)
    expected = x * ndtr(x)
    # the CPU's sigmoid is exact to 8e-7; float32 spacing near 12 is 1e-6
    np.testing.assert_allclose(cell(Tensor(X)).asnumpy(), expected, atol=3e-6)
    slope = ndtr(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(gradient_of(cell, X), slope, atol=3e-6)


@pytest.mark.parametrize("act", ["gelu_tanh", "gelu_new"])
def test_tanh_gelu_follows_its_formula(act):
    x = X.astype(np.float64)
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    np.testing.assert_allclose(Activation(act, FORMS["composed"])(Tensor(X)).asnumpy(), 0.5 * x * (1 + np.tanh(u)), atol=3e-6)
    slope = 0.5 * (1 + np.tanh(u)) + 0.5 * x / np.cosh(u) ** 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)
    np.testing.assert_allclose(gradient_of(Activation(act, FORMS["composed"]), X), slope, atol=5e-6)


def test_gelu_and_its_approximation_are_told_apart():
    exact, approximate = (Activation(act, FORMS["composed"])(Tensor(X)).asnumpy() for act in ("gelu", "gelu_tanh"))
    assert 1e-4 < np.abs(exact - approximate).max() < 1e-3  # the largest difference of the two functions is 4.7e-4


def test_composed_tanh_is_exact_where_the_kernel_is_not():
    np.testing.assert_allclose(tanh(Tensor(X), True).asnumpy(), np.tanh(X.astype(np.float64)), atol=3e-6)


@pytest.mark.parametrize("form", FORMS)
def test_layer_norm_follows_its_formula(form):
    rng = np.random.default_rng(0)
    x, dout = (rng.standard_normal((200, 8)).astype(np.float32) for _ in range(2))  # more rows than a block of the kernel
    norm = LayerNorm(8, 1e-12, FORMS[form])
    weight, bias = np.linspace(0.5, 2, 8), np.linspace(-1, 1, 8)
    norm.weight.set_data(Tensor(weight.astype(np.float32)))
    norm.bias.set_data(Tensor(bias.astype(np.float32)))
    both = ops.GradOperation(get_all=True, get_by_list=True, sens_param=True)
    (dx,), (dweight, dbias) = both(norm, norm.trainable_params())(Tensor(x), Tensor(dout))
    x, dout = x.astype(np.float64), dout.astype(np.float64)
    inverse = 1 / x.std(1, keepdims=True)
    normalised = (x - x.mean(1, keepdims=True)) * inverse
    d = dout * weight
    expected_dx = (d - d.mean(1, keepdims=True) - normalised * (d * normalised).mean(1, keepdims=True)) * inverse
    np.testing.assert_allclose(norm(Tensor(x.astype(np.float32))).asnumpy(), normalised * weight + bias, atol=5e-6)
    np.testing.assert_allclose(dx.asnumpy(), expected_dx, atol=2e-5)
    np.testing.assert_allclose(dweight.asnumpy(), (dout * normalised).sum(0), atol=5e-5)  # sums of 200 terms
    np.testing.assert_allclose(dbias.asnumpy(), dout.sum(0), atol=5e-5)


@pytest.mark.parametrize("form", FORMS)
def test_masked_softmax_follows_its_formula(form):
    rng = np.random.default_rng(0)
    scores, dout = (rng.standard_normal((2, 3, 5, 7)).astype(np.float32) for _ in range(2))
    mask = np.where(np.arange(7) < np.array([[7], [2]]), 0.0, -10000.0).astype(np.float32).reshape(2, 1, 1, 7)
    softmax = MaskedSoftmax(FORMS[form])
    terms = np.exp((scores + mask).astype(np.float64))
    probs = terms / terms.sum(-1, keepdims=True)
    np.testing.assert_allclose(softmax(Tensor(scores), Tensor(mask)).asnumpy(), probs, atol=5e-6)  # the CPU's exp: 8e-6 relative
    gradient = ops.GradOperation(sens_param=True)(softmax)(Tensor(scores), Tensor(mask), Tensor(dout)).asnumpy()
    np.testing.assert_allclose(gradient, probs * (dout - (probs * dout).sum(-1, keepdims=True)), atol=5e-6)


def test_the_native_library_leaves_the_smallest_numbers_of_the_process_alone():
    if FORMS["native"].native_library is None:
        pytest.skip("no C++ compiler")
    code = "import ctypes, sys, numpy; ctypes.CDLL(sys.argv[1]); print(numpy.float32(1e-39) * numpy.float32(1) > 0)"
    done = subprocess.run([sys.executable, "-c", code, FORMS["native"].native_library], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_native_softmax_carries_overflow_on():
    if FORMS["native"].native_library is None:
        pytest.skip("no C++ compiler")
    scores = np.zeros((1, 1, 3, 4), np.float32)
    scores[0, 0, 0, 1], scores[0, 0, 1, 1], scores[0, 0, 2, 1] = np.nan, np.inf, 1e30
    found = MaskedSoftmax(FORMS["native"])(Tensor(scores), Tensor(np.zeros((1, 1, 1, 4), np.float32))).asnumpy()[0, 0]
    assert np.isnan(found[:2]).any(1).all()
    assert found[2].tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("form", FORMS)
def test_the_middle_axes_are_swapped_and_so_is_the_gradient(form):
    x = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    swap = SwapMiddle(FORMS[form])
    assert np.array_equal(swap(Tensor(x)).asnumpy(), x.transpose(0, 2, 1, 3))
    dout = x.transpose(0, 2, 1, 3) ** 2
    gradient = ops.GradOperation(sens_param=True)(swap)(Tensor(x), Tensor(dout)).asnumpy()
    assert np.array_equal(gradient, x**2)


def test_native_gelu_carries_overflow_on():
    if FORMS["native"].native_library is None:
        pytest.skip("no C++ compiler here")
    values = Activation("gelu", FORMS["native"])(Tensor(np.array([np.inf, -100.0, 100.0, np.nan], np.float32))).asnumpy()
    assert np.isposinf(values[0])
    assert abs(values[1]) < 1e-30
    assert abs(values[2] - 100.0) < 2e-5  # vectorised reciprocals may differ in the last bit
    assert np.isnan(values[3])


def test_without_a_compiler_plain_ops_serve(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert native.build.__wrapped__() is None


def test_a_compiler_that_fails_leaves_plain_ops_and_no_file(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.build.__wrapped__() is None
    assert list(tmp_path.rglob("*.so")) == []


def test_the_gradient_of_a_bias_is_summed_in_float32():
    linear = Linear(2, 1, 0.02, DeviceSettings(compute_type="float16"))
    x, dout = np.zeros((5000, 2), np.float32), np.full((5000, 1), 0.1, np.float16)
    differentiate = ops.GradOperation(get_by_list=True, sens_param=True)(linear, mindspore.ParameterTuple([linear.bias]))
    (gradient,) = differentiate(Tensor(x), Tensor(dout))
    # in float16 the sum would stop at 256, where 0.1 is less than half a step
    np.testing.assert_allclose(gradient.asnumpy(), 5000 * np.float64(np.float16(0.1)), rtol=1e-5)
