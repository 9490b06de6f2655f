"""The building blocks of every network, each in the form that is fast on the device.

DeviceSettings picks the form: on the CPU the compiled kernels of native.py, or without a compiler plain ops whose backward passes
store inputs only; on Ascend and GPU the framework's kernels. All forms compute the same function.

The framework's CPU kernels of broadcasting arithmetic, division and transposition keep two arrays of their output's size for each op
and each shape as long as the graph lives, so that several lengths take many times the memory of one. The native kernels avoid them.

Shapes: T tokens (batch x sequence), I features in, O features out, V vocabulary, H hidden, N heads, S sequence.
"""

import math

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.config.model import MASK_BIAS
from src.config.training import DeviceSettings
from src.kernels.ops import make_kernel, zeros_like
from src.models import ascend
from src.models.native_layers import native_linear

_DRAWN = 2**16  # random numbers at a time, which stay in the processor's cache


def make_weight(shape: tuple[int, ...], initializer_range: float, name: str) -> Parameter:
    """A float32 parameter drawn from a normal distribution truncated at two standard deviations, as in TensorFlow.

    The random numbers follow `mindspore.set_seed`. The framework's own TruncatedNormal returns values of five deviations.
    """
    values = np.empty(math.prod(shape), np.float32)
    far = []  # places of the deviations that are too large
    for start in range(0, values.size, _DRAWN):
        part = values[start : start + _DRAWN]
        drawn = np.random.standard_normal(part.size)
        part[:] = drawn * initializer_range
        far.append(start + np.flatnonzero(np.abs(drawn) > 2.0))
    again = np.concatenate(far)
    while len(again):
        drawn = np.random.standard_normal(len(again))
        values[again] = drawn * initializer_range
        again = again[np.abs(drawn) > 2.0]
    return Parameter(Tensor(values.reshape(shape)), name=name)


class Embedding(nn.Cell):
    """Rows of a trainable table: ids int32 [...] -> float32 [..., H]."""

    def __init__(self, num_rows: int, hidden_size: int, initializer_range: float, aclnn: bool):
        super().__init__()
        self.weight = make_weight((num_rows, hidden_size), initializer_range, "weight")
        self.aclnn = aclnn

    def construct(self, ids: Tensor) -> Tensor:
        return take_rows(self.weight, ids, self.aclnn)


def take_rows(table: Tensor, ids: Tensor, aclnn: bool) -> Tensor:
    """Rows of a table [V, H] by index: int32 [...] -> [..., H]."""
    return ascend.take_rows(table, ids) if aclnn else ops.gather(table, ids, 0)


class _AddBias(nn.Cell):
    """y + b in the type of y: [T, O], float32 [O] -> [T, O]. The gradient of b is summed in float32.

    A sum is six times faster on the CPU than the gradient of BiasAdd.
    """

    def __init__(self):
        super().__init__()
        self.add = ops.BiasAdd()

    def construct(self, y: Tensor, bias: Tensor) -> Tensor:
        return self.add(y, bias.astype(y.dtype))

    def bprop(self, y: Tensor, bias: Tensor, out: Tensor, dout: Tensor) -> tuple:
        return dout, dout.astype(mindspore.float32).sum(0)


class Linear(nn.Cell):
    """x W^T + b in the compute type: [T, I] -> [T, O]."""

    def __init__(self, size_in: int, size_out: int, initializer_range: float, device: DeviceSettings):
        super().__init__()
        self.weight = make_weight((size_out, size_in), initializer_range, "weight")
        self.bias = Parameter(Tensor(np.zeros(size_out, np.float32)), name="bias")
        self.matmul = ops.MatMul(transpose_b=True)
        self.add_bias = _AddBias()
        self.compute_type = getattr(mindspore, device.compute_type)
        self.fused = ascend.FusedLinear() if device.aclnn else None
        self.native = native_linear(device)

    def construct(self, x: Tensor) -> Tensor:
        return self.apply(x, *self.weights())

    def weights(self) -> tuple[Tensor, ...]:
        """Weight and bias as `apply` takes them."""
        return (self.weight if self.fused is None else self.weight.astype(self.compute_type)), self.bias

    def apply(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The function with its weights as arguments: see RecomputedLayer of bert.py."""
        if self.fused is not None:
            return self.fused(x.astype(self.compute_type), weight, bias)
        if self.native is not None:
            return self.native(x, weight, bias)
        return self.add_bias(self.matmul(x.astype(self.compute_type), weight.astype(self.compute_type)), bias)


class _ComposedLayerNorm(nn.Cell):
    """Layer normalisation from plain ops; the backward pass needs only the input."""

    def __init__(self, eps: float):
        super().__init__()
        self.eps = eps
        self.mean = ops.ReduceMean(keep_dims=True)

    def _normalise(self, x):
        centred = x - self.mean(x, -1)
        inverse = ops.rsqrt(self.mean(centred * centred, -1) + self.eps)
        return centred * inverse, inverse

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return self._normalise(x)[0] * weight + bias

    def bprop(self, x: Tensor, weight: Tensor, bias: Tensor, out: Tensor, dout: Tensor) -> tuple:
        normalised, inverse = self._normalise(ops.depend(x, dout))
        dnormalised = dout * weight
        dx = dnormalised - self.mean(dnormalised, -1)
        dx = (dx - normalised * self.mean(dnormalised * normalised, -1)) * inverse
        return dx, (dout * normalised).sum(0), dout.sum(0)


class _NativeLayerNorm(nn.Cell):
    """Layer normalisation in compiled kernels."""

    def __init__(self, library: str, eps: float):
        super().__init__()
        self.eps = Tensor(np.array([eps], np.float32))
        self.forward_kernel = make_kernel(library, "layer_norm", lambda x, weight, bias, eps: x)
        self.backward_kernel = make_kernel(library, "layer_norm_gradient", lambda x, weight, eps, dout: (x, weight, weight))

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return self.forward_kernel(x, weight, bias, self.eps)

    def bprop(self, x: Tensor, weight: Tensor, bias: Tensor, out: Tensor, dout: Tensor) -> tuple:
        return self.backward_kernel(x, weight, self.eps, dout)


class _FusedLayerNorm(nn.Cell):
    """Layer normalisation in the framework's kernel."""

    def __init__(self, eps: float):
        super().__init__()
        self.norm = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=eps)

    def construct(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return self.norm(x, weight, bias)[0]


class LayerNorm(nn.Cell):
    """Layer normalisation over the last axis in float32: [T, H] -> [T, H]."""

    def __init__(self, hidden_size: int, eps: float, device: DeviceSettings):
        super().__init__()
        self.weight = Parameter(Tensor(np.ones(hidden_size, np.float32)), name="weight")
        self.bias = Parameter(Tensor(np.zeros(hidden_size, np.float32)), name="bias")
        if device.native_library:
            self.norm = _NativeLayerNorm(device.native_library, eps)
        elif device.aclnn:
            self.norm = ascend.FusedLayerNorm(eps)
        else:
            self.norm = _ComposedLayerNorm(eps) if device.composed_ops else _FusedLayerNorm(eps)

    def construct(self, x: Tensor) -> Tensor:
        return self.apply(x, *self.weights())

    def weights(self) -> tuple[Tensor, ...]:
        """Weight and bias as `apply` takes them."""
        return self.weight, self.bias

    def apply(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The function with its weights as arguments: see RecomputedLayer of bert.py."""
        return self.norm(x.astype(mindspore.float32), weight, bias)


class _NativeSwapMiddle(nn.Cell):
    """The swap in a compiled kernel; it is its own gradient."""

    def __init__(self, library: str):
        super().__init__()
        self.kernel = make_kernel(library, "swap_middle", _swap)

    def construct(self, x: Tensor) -> Tensor:
        return self.kernel(x)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> tuple:
        return (self.kernel(dout),)


def _swap(x):
    """A shape with its two middle axes swapped; a type unchanged."""
    return [x[0], x[2], x[1], x[3]] if isinstance(x, (list, tuple)) else x


class SwapMiddle(nn.Cell):
    """Swap the two middle axes, such as heads and positions: [A, B, C, D] -> [A, C, B, D]."""

    def __init__(self, device: DeviceSettings):
        super().__init__()
        self.native = _NativeSwapMiddle(device.native_library) if device.native_library and device.compute_type == "float32" else None

    def construct(self, x: Tensor) -> Tensor:
        return x.transpose((0, 2, 1, 3)) if self.native is None else self.native(x)


class _NativeMaskedSoftmax(nn.Cell):
    """The masked softmax in compiled kernels; the mask has no gradient."""

    def __init__(self, library: str):
        super().__init__()
        self.forward_kernel = make_kernel(library, "masked_softmax", lambda scores, mask_bias: scores)
        self.backward_kernel = make_kernel(library, "softmax_gradient", lambda probs, dout: probs)

    def construct(self, scores: Tensor, mask_bias: Tensor) -> Tensor:
        return self.forward_kernel(scores, mask_bias)

    def bprop(self, scores: Tensor, mask_bias: Tensor, out: Tensor, dout: Tensor) -> tuple:
        return self.backward_kernel(out, dout), zeros_like(mask_bias)


class MaskedSoftmax(nn.Cell):
    """softmax(scores + mask) in float32: [B, N, S, S], [B, 1, 1, S] or [B, 1, S, S] -> [B, N, S, S]."""

    def __init__(self, device: DeviceSettings):
        super().__init__()
        self.native = _NativeMaskedSoftmax(device.native_library) if device.native_library else None

    def construct(self, scores: Tensor, mask_bias: Tensor) -> Tensor:
        scores = scores.astype(mindspore.float32)
        return ops.softmax(scores + mask_bias, -1) if self.native is None else self.native(scores, mask_bias)


def make_mask_bias(input_mask: Tensor) -> Tensor:
    """The bias to add to scores, 0 for real tokens and -10000 for padding: [B, S] -> float32 [B, 1, 1, S]."""
    shape = (input_mask.shape[0], 1, 1, input_mask.shape[1])
    return (1.0 - input_mask.reshape(shape).astype(mindspore.float32)) * MASK_BIAS
