"""Loss scales for float16: none, static, and dynamic with a floor."""

from typing import Any

import mindspore
from mindspore import Parameter, Tensor, nn, ops

_STATIC, _DYNAMIC = 128.0, 2.0**32  # the second shrinks within some steps


class LossScale(nn.Cell):
    """The factor that keeps float16 gradients in range.

    Dynamic: after an overflow the scale is divided by `factor`, but never falls below `floor`; after `window` good steps in a row it is
    multiplied by `factor`. Static: the scale stays. Source: Micikevicius et al. 2017, section 3.2.

    Args:
        value: the first, or static, scale.
        factor: 1 makes the scale static.
    """

    def __init__(self, value: float, factor: float = 1.0, window: int = 1, floor: float = 1.0):
        super().__init__(auto_prefix=False)
        self.factor, self.window, self.floor = factor, window, floor
        self.scale = Parameter(Tensor(value, mindspore.float32), name="loss_scale", requires_grad=False)
        self.good_steps = Parameter(Tensor(0, mindspore.int32), name="good_steps", requires_grad=False)

    def construct(self, finite: Tensor) -> Tensor:
        """Take note of whether the gradients of an update were finite (bool scalar)."""
        if self.factor != 1.0:
            good = ops.where(finite, self.good_steps + 1, ops.zeros_like(self.good_steps))
            grow = good >= self.window
            shrunk = ops.maximum(self.scale / self.factor, self.floor)
            grown = ops.where(grow, self.scale * self.factor, self.scale * 1.0)
            ops.Assign()(self.scale, ops.where(finite, grown, shrunk))
            ops.Assign()(self.good_steps, ops.where(grow, ops.zeros_like(good), good))
        return finite


def make_loss_scale(config: Any, compute_type: str) -> LossScale | None:
    """The loss scale for a PrecisionConfig; None if it asks for none, or the compute type is not float16."""
    if config.loss_scale == "none" or compute_type != "float16":
        return None
    if config.loss_scale == "static":
        return LossScale(config.loss_scale_value or _STATIC)
    return LossScale(config.loss_scale_value or _DYNAMIC, config.scale_factor, config.scale_window, config.min_loss_scale)
