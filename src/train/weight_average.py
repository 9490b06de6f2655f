"""A moving average of the weights, which evaluation and export use instead of the last weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from mindspore import Tensor, nn, ops

from src.optim.base import Optimizer

_AVERAGE, _TRAINED = "average.", "trained."
_move = ops.MultitypeFuncGraph("move_average")
_swap = ops.MultitypeFuncGraph("swap_with_average")


@_move.register("Function", "Number", "Tensor", "Tensor")
def _move_one(write, share, average, parameter):
    return write(average, average + (parameter - average) * share)


@_swap.register("Function", "Tensor", "Tensor")
def _swap_one(write, average, parameter):
    before = parameter * 1.0
    written = write(parameter, ops.depend(average, before) * 1.0)
    return write(average, ops.depend(before, written))


class _Swap(nn.Cell):
    """Exchanges parameters and averages."""

    def __init__(self, owner: "WeightAverage"):
        super().__init__(auto_prefix=False)
        self.parameters, self.averages, self.write = owner.parameters, owner.averages, owner.write
        self.hyper_map = ops.HyperMap()

    def construct(self) -> Tensor:
        return self.hyper_map(ops.partial(_swap, self.write), self.averages, self.parameters)


class WeightAverage(nn.Cell):
    """a <- decay a + (1 - decay) p after each update, for every trained parameter p; a begins as the parameter before the first update.

    A checkpoint has the averages under the names of the parameters, so that all that reads weights gets them, and the parameters
    themselves as `trained.{name}`.
    Source: Polyak and Juditsky 1992, "Acceleration of Stochastic Approximation by Averaging"; as in TensorFlow's
    ExponentialMovingAverage.

    Args:
        decay: below 1.

    Args of construct:
        done: depends on the update.

    Returns:
        done, which then depends on the averages too.
    """

    def __init__(self, optimizer: Optimizer, decay: float):
        super().__init__(auto_prefix=False)
        self.parameters, self.write = optimizer.parameters, optimizer.write
        self.averages = self.parameters.clone(prefix=_AVERAGE.rstrip("."), init="same")
        for average in self.averages:
            average.requires_grad = False
        self.share = 1.0 - decay
        self.hyper_map = ops.HyperMap()
        self.names = [parameter.name for parameter in self.parameters]
        self.swap = _Swap(self)

    def construct(self, done: Tensor) -> Tensor:
        move = ops.partial(_move, self.write, self.share)
        return ops.depend(done, self.hyper_map(move, self.averages, ops.depend(self.parameters, done)))

    @contextmanager
    def used(self) -> Iterator[None]:
        """A context in which the network has the averages for parameters."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def split_state(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """NumPy arrays of a TrainStep's parameters by name, as in a checkpoint."""
        arrays = dict(arrays)
        for name in self.names:
            arrays[_TRAINED + name], arrays[name] = arrays[name], arrays.pop(_AVERAGE + name)
        return arrays

    def join_state(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inverse of `split_state`; what is not there is left out."""
        arrays = dict(arrays)
        for name in self.names:
            if _TRAINED + name in arrays and name in arrays:
                arrays[_AVERAGE + name], arrays[name] = arrays[name], arrays.pop(_TRAINED + name)
        return arrays
