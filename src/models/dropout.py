"""Dropout as a function of seed and step: a layer that is computed twice drops the same, and so does a training that is resumed."""

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops

from src.models.ascend import FusedDropout
from src.models.layers import make_kernel, zeros_like

_MIX = (0x7FEB352D, 0x846CA68B - 2**32)  # multipliers of a hash of 32 bits with little bias (C. Wellons 2018), as int32
_GOLDEN = 0x9E3779B9 - 2**32


def _shift_right(x, bits):
    """x >> bits of the 32 bits of an int32, zeros from the left."""
    return ops.bitwise_and(ops.bitwise_right_shift(x, bits), (1 << (32 - bits)) - 1)


def _mix(x, key=0):
    """A hash of int32, which wraps around; `key` enters in its middle."""
    x = ops.bitwise_xor(x, _shift_right(x, 16)) * _MIX[0]
    x = ops.bitwise_xor(x, key)
    x = ops.bitwise_xor(x, _shift_right(x, 15)) * _MIX[1]
    return ops.bitwise_xor(x, _shift_right(x, 16))


class _HashedDropout(nn.Cell):
    """Dropout from plain ops: value i stays if a hash of draw, place and i is large enough."""

    def __init__(self, place, threshold):
        super().__init__()
        self.place, self.threshold = place, threshold
        self.scale = 1.0 / (1.0 - threshold / 2**24)
        self.count = ops.Range()

    def construct(self, x, draw):
        key = _mix(ops.bitwise_xor(draw[:1], _mix(draw[1:] + _wrap(_GOLDEN * self.place))))
        rows = self.count(0, x.size, x.shape[-1]).astype(mindspore.int32).reshape((-1, 1))
        columns = self.count(0, x.shape[-1], 1).astype(mindspore.int32)
        numbers = rows + key + columns  # the key first: numbers alone are a constant, as large as x, that stays in memory
        kept = _shift_right(_mix(numbers, _mix(key + _GOLDEN)), 8) >= self.threshold
        return x * (kept.reshape(x.shape).astype(x.dtype) * self.scale)


def _wrap(number):
    """A Python integer as int32 holds it."""
    return (number + 2**31) % 2**32 - 2**31


class _NativeDropout(nn.Cell):
    """The same function by the compiled kernel; it is its own gradient, so that nothing is kept."""

    def __init__(self, library, place, threshold):
        super().__init__()
        self.numbers = Tensor(np.array([place, threshold], np.int32))
        self.kernel = make_kernel(library, "dropout", lambda x, draw, numbers: x)

    def construct(self, x, draw):
        return self.kernel(x, draw, self.numbers)

    def bprop(self, x, draw, out, dout):
        return self.kernel(dout, draw, self.numbers), zeros_like(draw)


class _FrameworkDropout(nn.Cell):
    """The framework's, which draws by a state of its own that `mindspore.set_seed` starts; needs `set_train()`."""

    def __init__(self, rate):
        super().__init__()
        self.dropout = nn.Dropout(p=rate)

    def construct(self, x, draw):
        return self.dropout(x)


class Dropout(nn.Cell):
    """Zero a share of the values and scale the others, whose expectation stays.

    Which ones follows from the draw, the place and the position of the value alone, wherever DeviceSettings asks for it
    (`hashed_dropout`): a layer that is computed twice drops the same, and so does a training that is resumed.

    Args:
        rate: share.
        place: number of this Dropout in the network, so that no two drop alike.
        device: DeviceSettings.

    Args of construct:
        x: any shape. draw: int32 [2], seed and number of the step; None for no dropout.
    """

    def __init__(self, rate, place, device):
        super().__init__()
        self.rate = rate
        threshold = round(rate * 2**24)
        if device.native_library and device.compute_type == "float32":
            self.dropout = _NativeDropout(device.native_library, place, threshold)
        elif device.aclnn:
            self.dropout = FusedDropout(rate)
        else:
            self.dropout = _HashedDropout(place, threshold) if device.hashed_dropout else _FrameworkDropout(rate)

    def construct(self, x, draw):
        return x if draw is None or self.rate == 0.0 else self.dropout(x, draw)
