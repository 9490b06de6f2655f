"""Detection of overflow on a chip that saturates: it returns the largest number instead of infinity, and 0 instead of NaN."""

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.ops.operations.math_ops import NPUClearFloatStatusV2, NPUGetFloatStatusV2


class OverflowStatus(nn.Cell):
    """The status register of the Ascend 910A: it shows whether any computation since `clear` has overflowed.

    Source: `mindspore.amp.all_finite` of MindSpore 2.7 and 2.10, which uses the same operators on the same chips.
    """

    def __init__(self):
        super().__init__()
        self.clear_register, self.read_register = NPUClearFloatStatusV2(), NPUGetFloatStatusV2()
        self.argument = Tensor(np.zeros(8, np.int32))  # an input that both operators require and do not read

    def clear(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Clear the register; returns the same batch, so that all that is computed from it comes afterwards."""
        return ops.depend(batch, self.clear_register(self.argument))

    def read(self, gradients: tuple[Tensor, ...]) -> Tensor:
        """1 if anything overflowed up to the computation of the gradients, else 0: float32 scalar."""
        register = self.read_register(ops.depend(self.argument, gradients))
        return register.not_equal(0).any().astype(mindspore.float32)
