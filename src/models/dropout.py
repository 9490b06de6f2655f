"""Dropout as a function of seed and step: a recomputed layer drops the same values, and so does a resumed training."""

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops

from src.config.training import DeviceSettings
from src.kernels.ops import make_kernel, zeros_like
from src.models.ascend import FusedDropout

_MIX = (0x7FEB352D, 0x846CA68B - 2**32)  # multipliers of a 32-bit hash with little bias (C. Wellons 2018), as int32
_GOLDEN = 0x9E3779B9 - 2**32


def _shift_right(x, bits):
    """The logical shift x >> bits of an int32: zeros come in from the left."""
    return ops.bitwise_and(ops.bitwise_right_shift(x, bits), (1 << (32 - bits)) - 1)


def _mix(x, key=0):
    """A hash of int32 values, in wrapping arithmetic; `key` enters in the middle."""
    x = ops.bitwise_xor(x, _shift_right(x, 16)) * _MIX[0]
    x = ops.bitwise_xor(x, key)
    x = ops.bitwise_xor(x, _shift_right(x, 15)) * _MIX[1]
    return ops.bitwise_xor(x, _shift_right(x, 16))


class _HashedDropout(nn.Cell):
    """Dropout from plain ops: value i is kept if the hash of dropout_key, stream and i is large enough."""

    def __init__(self, stream: int, threshold: int):
        super().__init__()
        self.stream, self.threshold = stream, threshold
        self.scale = 1.0 / (1.0 - threshold / 2**24)
        self.count = ops.Range()

    def construct(self, x: Tensor, dropout_key: Tensor) -> Tensor:
        key = _mix(ops.bitwise_xor(dropout_key[:1], _mix(dropout_key[1:] + _wrap(_GOLDEN * self.stream))))
        rows = self.count(0, x.size, x.shape[-1]).astype(mindspore.int32).reshape((-1, 1))
        columns = self.count(0, x.shape[-1], 1).astype(mindspore.int32)
        # rows + columns without the key would be a constant as large as x, kept in memory
        numbers = rows + key + columns
        kept = _shift_right(_mix(numbers, _mix(key + _GOLDEN)), 8) >= self.threshold
        return x * (kept.reshape(x.shape).astype(x.dtype) * self.scale)


def _wrap(number):
    """A Python integer wrapped to the range of int32."""
    return (number + 2**31) % 2**32 - 2**31


class _NativeDropout(nn.Cell):
    """The function of _HashedDropout in a compiled kernel; it is its own gradient, so nothing is stored for the backward pass."""

    def __init__(self, library: str, stream: int, threshold: int):
        super().__init__()
        self.numbers = Tensor(np.array([stream, threshold], np.int32))
        self.kernel = make_kernel(library, "dropout", lambda x, dropout_key, numbers: x)

    def construct(self, x: Tensor, dropout_key: Tensor) -> Tensor:
        return self.kernel(x, dropout_key, self.numbers)

    def bprop(self, x: Tensor, dropout_key: Tensor, out: Tensor, dout: Tensor) -> tuple:
        return self.kernel(dout, dropout_key, self.numbers), zeros_like(dropout_key)


class _FrameworkDropout(nn.Cell):
    """The framework's dropout, whose own random state starts from `mindspore.set_seed`; it needs `set_train()`."""

    def __init__(self, rate: float):
        super().__init__()
        self.dropout = nn.Dropout(p=rate)

    def construct(self, x: Tensor, dropout_key: Tensor) -> Tensor:
        return self.dropout(x)


class Dropout(nn.Cell):
    """Zero a share of the values and scale the others, so that the expectation stays the same.

    If `DeviceSettings.hashed_dropout` is set, only dropout_key, stream and index of a value decide whether it is dropped: a recomputed
    layer drops the same values, and so does a resumed training.

    Args:
        rate: share of values to drop.
        stream: number of this Dropout in the network; no two Dropouts share one.

    Args of construct:
        x: any shape.
        dropout_key: int32 [2], seed and number of the step; None for no dropout. On Ascend it may be a mask instead.
    """

    def __init__(self, rate: float, stream: int, device: DeviceSettings):
        super().__init__()
        self.rate = rate
        threshold = round(rate * 2**24)
        if device.native_library and device.compute_type == "float32":
            self.dropout = _NativeDropout(device.native_library, stream, threshold)
        elif device.aclnn:
            self.dropout = FusedDropout(rate)
        else:
            self.dropout = _HashedDropout(stream, threshold) if device.hashed_dropout else _FrameworkDropout(rate)

    def construct(self, x: Tensor, dropout_key: Tensor | None) -> Tensor:
        return x if dropout_key is None or self.rate == 0.0 else self.dropout(x, dropout_key)


class MultiSampleDropout(nn.Cell):
    """Dropout of `samples` copies of the rows, which all get other masks: [B, ...] -> [samples B, ...]; without dropout_key x itself.

    What follows makes `samples` predictions of each row; MultiSampleLoss takes the mean of their losses.
    Source: Inoue 2019, "Multi-Sample Dropout for Accelerated Training and Better Generalization".
    """

    def __init__(self, rate: float, stream: int, device: DeviceSettings, samples: int):
        super().__init__()
        self.dropout, self.samples = Dropout(rate, stream, device), samples

    def construct(self, x: Tensor, dropout_key: Tensor | None) -> Tensor:
        return self.dropout(self.repeat(x, dropout_key), dropout_key)

    def repeat(self, x: Tensor, dropout_key: Tensor | None) -> Tensor:
        """x as often as its rows are predicted."""
        return x if dropout_key is None or self.samples == 1 else ops.concat((x,) * self.samples)
