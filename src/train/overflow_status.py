"""Overflow on a chip that saturates: its results are the largest number instead of infinity, and 0 instead of NaN."""

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops.operations.math_ops import NPUClearFloatStatusV2, NPUGetFloatStatusV2


class OverflowStatus(nn.Cell):
    """The status register of the Ascend 910A, which keeps what any computation since `clear` has left there.

    Source: `mindspore.amp.all_finite` of MindSpore 2.7 and 2.10, which asks it by the same operators on the same chips.
    """

    def __init__(self):
        super().__init__()
        self.clear_register, self.read_register = NPUClearFloatStatusV2(), NPUGetFloatStatusV2()
        self.argument = Tensor(np.zeros(8, np.int32))  # asked for by both operators, and not read

    def clear(self, batch: Tensor) -> Tensor:
        """The same batch, whose computations come after the clearing."""
        return ops.depend(batch, self.clear_register(self.argument))

    def read(self, gradients: tuple[Tensor, ...]) -> Tensor:
        """float32 scalar: 1 if something has overflowed until the gradients were there, else 0."""
        register = self.read_register(ops.depend(self.argument, gradients))
        return register.not_equal(0).any().astype(mindspore.float32)
