"""One training step, the same for every network and task.

Scale the loss, differentiate, sum over ranks, unscale, check for overflow, clip, update. With accumulation, the first N - 1 of N
micro-batches only add to the gradient. Unscaling and clipping are one factor per gradient, which the optimiser applies when it reads
the gradient, without a pass over memory of its own.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.kernels.ops import make_kernel
from src.optim.base import Optimizer
from src.train.adversary import Adversary, Attack
from src.train.loss_scale import LossScale
from src.train.overflow_status import OverflowStatus
from src.train.weight_average import WeightAverage

_square_sum = ops.MultitypeFuncGraph("square_sum")
_shrink = ops.MultitypeFuncGraph("shrink")
_constant = ops.MultitypeFuncGraph("constant")
_add_weighted = ops.MultitypeFuncGraph("add_weighted")
_clear = ops.MultitypeFuncGraph("clear")


@_square_sum.register("Tensor")
def _square_sum_one(gradient):
    return (gradient * gradient).sum(0).sum()  # one reduction over all axes is 4 times slower on the CPU


@_shrink.register("Tensor", "Number", "Tensor")
def _shrink_one(factor, clip_norm, square):
    """factor * min(1, clip_norm / norm), where norm is that of the gradients times `factor`."""
    return factor * (clip_norm / ops.maximum(ops.sqrt(square) * factor, clip_norm))


@_constant.register("Tensor", "Tensor")
def _constant_one(factor, gradient):
    return factor


@_add_weighted.register("Tensor", "Tensor", "Tensor")
def _add_weighted_one(weight, buffer, gradient):
    return ops.AssignAdd()(buffer, gradient * weight)


@_clear.register("Tensor")
def _clear_one(buffer):
    return ops.Assign()(buffer, ops.zeros_like(buffer))


class TrainStep(nn.Cell):
    """The step that `mindspore.Model` runs for every batch.

    Args:
        network: WithLoss; (dropout_key, columns of the batch) -> weighted loss sum, sum of weights, parts of the loss sum.
        clip: "global_norm", "per_parameter" or "none".
        clip_norm: largest norm that is not clipped.
        accumulation_steps: micro-batches per update.
        world_size: ranks that share each global batch.
        reduce_late: whether to sum gradients over ranks once per update instead of after each micro-batch.
        seed: determines dropout, together with the number of the micro-batch.
        status: for a chip that saturates, where gradients are always finite; None elsewhere. It is used only with a loss scale.
        attack: adversarial training, see Adversary; None for none.
        average: a moving average of the optimiser's parameters; None for none.
        native_library: DeviceSettings.native_library.
    """

    def __init__(
        self,
        network: nn.Cell,
        optimizer: Optimizer,
        loss_scale: LossScale | None = None,
        clip: str = "none",
        clip_norm: float = 1.0,
        accumulation_steps: int = 1,
        world_size: int = 1,
        reduce_late: bool = True,
        seed: int = 0,
        status: OverflowStatus | None = None,
        attack: Attack | None = None,
        average: WeightAverage | None = None,
        native_library: str | None = None,
    ):
        super().__init__(auto_prefix=False)
        self.network, self.optimizer, self.loss_scale = network, optimizer, loss_scale
        self.status = status if loss_scale is not None else None
        self.clip, self.clip_norm, self.groups = clip, clip_norm, optimizer.groups
        self.accumulation_steps, self.world_size = accumulation_steps, world_size
        self.reduce_late = reduce_late and accumulation_steps > 1
        self.value_and_gradients = ops.value_and_grad(self.forward, None, optimizer.parameters, has_aux=True)
        self.seed = Tensor(np.array([seed], np.uint32).view(np.int32))
        self.skipped = Parameter(Tensor(0, mindspore.int32), name="skipped_steps", requires_grad=False)
        if loss_scale is not None:
            count = len(optimizer.parameters)
            self.overflowed = Parameter(Tensor(np.zeros(count, np.bool_)), name="overflowed", requires_grad=False)
        if world_size > 1:
            self.all_reduce = ops.AllReduce()
            self.stack = ops.Stack()
        if attack is not None:
            self.value_and_gradients = Adversary(self.value_and_gradients, optimizer, attack, self.all_reduce if world_size > 1 else None)
        self.average = average
        if accumulation_steps > 1:
            self.buffers = optimizer.make_moments("accumulated")
            self.weight_buffer = Parameter(Tensor(0.0, mindspore.float32), name="accumulated_weight", requires_grad=False)
            self.micro_step = Parameter(Tensor(0, mindspore.int32), name="accumulated_steps", requires_grad=False)
            if self.status is not None:
                self.overflow_buffer = Parameter(Tensor(0.0, mindspore.float32), name="accumulated_overflows", requires_grad=False)
        if world_size > 1:
            reduced = self.buffers if self.reduce_late else optimizer.parameters
            self.reduce_gradients = nn.DistributedGradReducer(reduced, mean=False, degree=world_size)
        self.square_sum = make_kernel(native_library, "square_sum", lambda x: [], lambda x: x) if native_library else None
        self.hyper_map = ops.HyperMap()
        self.set_train()

    def forward(self, scale: Tensor, *batch: Tensor) -> tuple:
        """The number to differentiate, scale * loss sum / weight; then the loss sums and the weight."""
        loss_sum, weight, *parts = self.network(self.dropout_key(), *batch)
        if self.world_size > 1:
            weight = ops.stop_gradient(self.all_reduce(weight))
        return loss_sum * (scale / ops.maximum(weight, 1e-6)), (loss_sum, *parts), weight

    def construct(self, *batch: Tensor) -> tuple[Tensor, ...]:
        """Train on one (micro-)batch.

        Returns:
            float32 scalars loss (of this batch, weighted mean) and learning rate, float32 loss scale, int32 skipped
            updates so far, then the parts of the loss, if any. The learning rate is 0 if there was no update.
        """
        scale, overflows = self.scale_value(), Tensor(0.0, mindspore.float32)
        if self.status is not None:
            batch = self.status.clear(batch)
        (_, loss_sums, weight), gradients = self.value_and_gradients(scale, *batch)
        if self.status is not None:
            overflows = self.status.read(gradients)
            gradients = ops.depend(gradients, overflows)  # the register is read before sums over ranks, squares and updates
        if self.world_size > 1:
            if not self.reduce_late:
                gradients = self.reduce_gradients(gradients)
            loss_sums = self.all_reduce(self.stack(loss_sums))
        if self.groups is not None:
            gradients = self.groups.stack(gradients)
        loss, *parts = [loss_sum / ops.maximum(weight, 1e-6) for loss_sum in loss_sums]
        if self.accumulation_steps == 1:
            rate = self.update(gradients, 1.0 / scale, overflows)
        else:
            rate = self.accumulate(gradients, weight, scale, overflows)
        return loss, rate, scale, self.skipped * 1, *parts

    def scale_value(self) -> Tensor:
        """The loss scale as a new tensor, not a reference to the parameter, which this step may change."""
        if self.loss_scale is None:
            return Tensor(1.0, mindspore.float32)
        return self.loss_scale.scale * 1.0

    def dropout_key(self) -> Tensor:
        """The key of every Dropout in this step: the seed, and the number of this micro-batch among all so far."""
        number = self.optimizer.global_step + self.skipped
        if self.accumulation_steps > 1:
            number = number * self.accumulation_steps + self.micro_step
        return ops.stop_gradient(ops.concat((self.seed, number.reshape((1,)))))

    def accumulate(self, gradients: tuple[Tensor, ...], weight: Tensor, scale: Tensor, overflows: Tensor) -> Tensor:
        """Add this micro-batch's gradients, times its weight, to the buffers; after the last one, update."""
        rate = Tensor(0.0, mindspore.float32)
        added = self.hyper_map(ops.partial(_add_weighted, weight), self.buffers, gradients)
        self.weight_buffer = ops.depend(self.weight_buffer, added) + weight
        if self.status is not None:
            self.overflow_buffer += overflows
        self.micro_step += 1
        if self.micro_step >= self.accumulation_steps:
            gradients = self.buffers
            if self.world_size > 1 and self.reduce_late:
                gradients = self.reduce_gradients(gradients)
            if self.status is not None:
                overflows = self.overflow_buffer * 1.0
            rate = self.update(gradients, 1.0 / (scale * ops.maximum(self.weight_buffer, 1e-6)), overflows)
            cleared = self.hyper_map(_clear, ops.depend(self.buffers, rate))
            self.weight_buffer = ops.depend(self.weight_buffer, cleared) * 0.0
            if self.status is not None:
                self.overflow_buffer = ops.depend(self.overflow_buffer, rate) * 0.0
            self.micro_step *= 0
        return rate

    def update(self, gradients: tuple[Tensor, ...], factor: Tensor, overflows: Tensor) -> Tensor:
        """Clip and apply gradients[i] * factor, unless one of them is not finite or a saturating chip reports overflow."""
        squares = ()
        if self.clip != "none" or (self.loss_scale is not None and self.status is None):
            squares = self.square_sums(gradients)
        factors = self.clip_factors(gradients, squares, factor)
        if self.loss_scale is None:
            return self.apply(gradients, factors)
        finite = self.is_finite(squares, overflows)
        rate = Tensor(0.0, mindspore.float32)
        if finite:
            rate = self.apply(gradients, factors)
        else:
            self.skipped += 1
            if self.status is None:
                self.overflowed = ops.logical_not(ops.isfinite(ops.stack(squares) if self.groups is None else squares))
        return ops.depend(rate, self.loss_scale(finite))

    def apply(self, gradients: tuple[Tensor, ...], factors: tuple[Tensor, ...]) -> Tensor:
        """Update the parameters, and their average; returns the learning rate."""
        rate = self.optimizer(gradients, factors)
        return rate if self.average is None else self.average(rate)

    def is_finite(self, squares: tuple[Tensor, ...] | Tensor, overflows: Tensor) -> Tensor:
        """Whether no gradient has overflowed on any rank: bool scalar."""
        if self.status is None:
            return ops.isfinite(self.total(squares))
        if self.world_size > 1:
            overflows = self.all_reduce(overflows)  # saturated gradients carry no infinity to other ranks
        return overflows == 0.0

    def square_sums(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...] | Tensor:
        """The sum of squares of each gradient: a tuple of scalars; with groups, [P]."""
        if self.groups is not None:
            return self.groups.square_sums(gradients)
        if self.square_sum is None:
            return self.hyper_map(_square_sum, gradients)
        return self.hyper_map(self.square_sum, gradients)

    def total(self, squares: Any) -> Tensor:
        """The sum of squares of all gradients, from `square_sums`."""
        return ops.addn(squares) if self.groups is None else squares.sum()

    def clip_factors(self, gradients: tuple[Tensor, ...], squares: tuple[Tensor, ...] | Tensor, factor: Tensor) -> tuple[Tensor, ...]:
        """The factor of each gradient: `factor`, times clip_norm / norm where the norm is larger than clip_norm."""
        if self.groups is not None:
            if self.clip != "none":
                factor = _shrink(factor, self.clip_norm, squares if self.clip == "per_parameter" else self.total(squares))
            return self.groups.spread(factor)
        if self.clip == "per_parameter":
            return self.hyper_map(ops.partial(_shrink, factor, self.clip_norm), squares)
        if self.clip == "global_norm":
            factor = _shrink(factor, self.clip_norm, ops.addn(squares))
        return self.hyper_map(ops.partial(_constant, factor), gradients)

    def averages_used(self) -> AbstractContextManager[None]:
        """A context in which the network has the averages for parameters, if there are any."""
        return nullcontext() if self.average is None else self.average.used()

    def split_state(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """NumPy arrays of this cell's parameters by name, as in a checkpoint."""
        arrays = self.optimizer.split_state(arrays)
        return arrays if self.average is None else self.average.split_state(arrays)

    def join_state(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inverse of `split_state`."""
        arrays = arrays if self.average is None else self.average.join_state(arrays)
        return self.optimizer.join_state(arrays)
