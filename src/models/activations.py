"""GELU in several forms, ReLU, and tanh; see layers.py for the choice of a form."""

import math

from mindspore import Tensor, nn, ops

from src.config.training import DeviceSettings
from src.kernels.ops import make_kernel
from src.models import ascend

# log(Phi(x) / Phi(-x)) / x as a polynomial in x**2 (Phi: normal distribution function): Phi is then a sigmoid, which is fast
# where erf is slow. Weighted minimax fit on |x| <= 6: the error of x Phi(x) is below 7e-8 before rounding, and the positive
# leading coefficient keeps the tails right.
_LOGIT_OF_PHI = (
    1.5957685367818392,
    0.07266829834546038,
    -6.605348602307003e-05,
    -0.00011054674835933904,
    7.948138071023302e-06,
    -2.67566183860311e-07,
    3.627849719724928e-09,
)


class _ComposedGelu(nn.Cell):
    """x Phi(x) with Phi the normal distribution function: the erf form, exact to float32 rounding."""

    def _cdf(self, x):
        square = x * x
        polynomial = square * _LOGIT_OF_PHI[-1] + _LOGIT_OF_PHI[-2]
        for coefficient in _LOGIT_OF_PHI[-3::-1]:
            polynomial = polynomial * square + coefficient
        return ops.sigmoid(x * polynomial)

    def construct(self, x: Tensor) -> Tensor:
        return x * self._cdf(x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple:
        x = ops.depend(x, dout)
        density = ops.exp(x * x * -0.5) * (1.0 / math.sqrt(2.0 * math.pi))
        return (dout * (self._cdf(x) + x * density),)


class _ErfGelu(nn.Cell):
    """The erf form of GELU with the framework's erf; the backward pass needs only the input."""

    def construct(self, x: Tensor) -> Tensor:
        return x * self._cdf(x)

    def _cdf(self, x):
        return (ops.erf(x * math.sqrt(0.5)) + 1.0) * 0.5

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple:
        x = ops.depend(x, dout)
        density = ops.exp(x * x * -0.5) * (1.0 / math.sqrt(2.0 * math.pi))
        return (dout * (self._cdf(x) + x * density),)


class _NativeGelu(nn.Cell):
    """The erf form of GELU in compiled kernels of native.cpp: one pass forward, one backward."""

    def __init__(self, library: str):
        super().__init__()
        self.forward_kernel = make_kernel(library, "gelu", lambda x: x)
        self.backward_kernel = make_kernel(library, "gelu_gradient", lambda x, dout: x)

    def construct(self, x: Tensor) -> Tensor:
        return self.forward_kernel(x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple:
        return (self.backward_kernel(x, dout),)


class _ComposedTanhGelu(nn.Cell):
    """x sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3): the tanh form, with one sigmoid."""

    def _gate(self, x):
        slope = 2.0 * math.sqrt(2.0 / math.pi)
        return ops.sigmoid(x * (x * x * (slope * 0.044715) + slope))

    def construct(self, x: Tensor) -> Tensor:
        return x * self._gate(x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple:
        x = ops.depend(x, dout)
        slope = 2.0 * math.sqrt(2.0 / math.pi)
        gate = self._gate(x)
        inner = x * (x * x * (slope * 3 * 0.044715) + slope)
        return (dout * gate * (inner * (1.0 - gate) + 1.0),)


class Activation(nn.Cell):
    """The activation named by the config: `relu`, `gelu` (by erf), or its tanh approximation, `gelu_tanh` or `gelu_new`."""

    def __init__(self, hidden_act: str, device: DeviceSettings):
        super().__init__()
        if hidden_act == "relu":
            self.function = nn.ReLU()
        elif device.aclnn:
            self.function = ascend.FusedGelu("none" if hidden_act == "gelu" else "tanh")
        elif hidden_act in ("gelu_tanh", "gelu_new"):
            self.function = _ComposedTanhGelu() if device.composed_ops else nn.GELU(approximate=True)
        elif device.native_library and device.compute_type == "float32":
            self.function = _NativeGelu(device.native_library)
        else:
            self.function = _ComposedGelu() if device.composed_ops else _ErfGelu()

    def construct(self, x: Tensor) -> Tensor:
        return self.function(x)


def tanh(x: Tensor, composed: bool) -> Tensor:
    """tanh; made of a sigmoid where the device's tanh is inexact: the CPU's is off by 1e-4 near |x| = 5, its sigmoid by 1e-6."""
    return ops.sigmoid(x * 2.0) * 2.0 - 1.0 if composed else ops.tanh(x)
