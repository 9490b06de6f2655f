import math

import numpy as np
import pytest
from mindspore import Tensor, ops
from scipy.special import ndtr

from src.config.training import DeviceSettings
from src.models import native
from src.models.layers import Activation, LayerNorm, tanh

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
    assert 1e-4 < np.abs(exact - approximate).max() < 1e-3  # known distance of the two functions: 4.7e-4


def test_composed_tanh_is_exact_where_the_kernel_is_not():
    np.testing.assert_allclose(tanh(Tensor(X), True).asnumpy(), np.tanh(X.astype(np.float64)), atol=3e-6)


def test_layer_norm_forms_agree_with_the_formula_and_each_other():
    rng = np.random.default_rng(0)
    x, dout = (rng.standard_normal((6, 8)).astype(np.float32) for _ in range(2))
    results = []
    for composed in (True, False):
        norm = LayerNorm(8, 1e-12, composed)
        norm.weight.set_data(Tensor(np.linspace(0.5, 2, 8, dtype=np.float32)))
        norm.bias.set_data(Tensor(np.linspace(-1, 1, 8, dtype=np.float32)))
        both = ops.GradOperation(get_all=True, get_by_list=True, sens_param=True)
        (dx,), (dweight, dbias) = both(norm, norm.trainable_params())(Tensor(x), Tensor(dout))
        results.append([value.asnumpy() for value in (norm(Tensor(x)), dx, dweight, dbias)])
    centred = x.astype(np.float64) - x.mean(1, keepdims=True, dtype=np.float64)
    expected = centred / np.sqrt((centred**2).mean(1, keepdims=True)) * np.linspace(0.5, 2, 8) + np.linspace(-1, 1, 8)
    np.testing.assert_allclose(results[0][0], expected, atol=2e-6)
    for composed, fused in zip(*results):
        np.testing.assert_allclose(composed, fused, atol=1e-5)


def test_native_gelu_carries_overflow_on():
    if FORMS["native"].native_library is None:
        pytest.skip("no C++ compiler here")
    values = Activation("gelu", FORMS["native"])(Tensor(np.array([np.inf, -100.0, 100.0, np.nan], np.float32))).asnumpy()
    assert np.isposinf(values[0])
    assert abs(values[1]) < 1e-30
    assert values[2] == 100.0
    assert np.isnan(values[3])


def test_without_a_compiler_plain_ops_serve(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert native.build.__wrapped__() is None


def test_a_compiler_that_fails_leaves_plain_ops_and_no_file(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.build.__wrapped__() is None
    assert list(tmp_path.rglob("*.so")) == []
