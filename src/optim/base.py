"""The base of all optimisers: parameters, number of updates, schedule, and which parameters decay."""

from collections.abc import Callable, Sequence

import mindspore
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from src.optim.groups import Groups, find_groups, sum_squares
from src.optim.schedule import Schedule

_NO_DECAY = ("bias", "norm")
assign = ops.Assign()
_times = ops.MultitypeFuncGraph("times")
_same = ops.MultitypeFuncGraph("same")


@_times.register("Tensor", "Number")
def _times_one(rate, factor):
    return rate * factor


@_same.register("Tensor", "Number")
def _same_one(rate, factor):
    return rate


def decays(name: str) -> bool:
    """Whether weight decay applies to the parameter of this name: to all but biases and layer (or batch) normalisation."""
    return not any(part in word for word in name.lower().split(".") for part in _NO_DECAY)


def same_rate(name: str) -> float:
    """The factor of a learning rate that is the same for all parameters."""
    return 1.0


def logarithm(beta: float | np.float32) -> Tensor:
    """log(beta) as a float32 constant."""
    return Tensor(np.log(np.float64(beta)), mindspore.float32)


def _hand_on(parameter, value):
    """The new value of a group, which `finish` stores after all updates."""
    return value


def _whole_norm(x):
    """The norm of one parameter's tensor: []."""
    return ops.sqrt((x * x).sum(0).sum())  # one reduction over all is 4 times slower on the CPU


def _row_norms(x):
    """The norm of each row of a group's tensor: [n, 1]."""
    return ops.sqrt(sum_squares(x)).reshape((-1, 1))


class Optimizer(nn.Cell):
    """Base of the optimisers; a subclass defines `apply(gradients, factors, rate)`.

    Subclasses map one small function over all parameters with HyperMap: a Python loop over them compiles ten times slower.

    Args:
        parameters: float32.
        weight_decay: decay of the parameters for which `decays` is true.
        grouped: whether parameters of one size are updated as one tensor; `self.parameters` is then in the order of the groups.
        rate_factor: maps a parameter's name to its learning rate divided by the schedule's.
    """

    MOMENTS: tuple[str, ...] = ()  # prefixes of the moments' names in checkpoints

    def __init__(
        self,
        parameters: Sequence[Parameter],
        schedule: Schedule,
        weight_decay: float,
        grouped: bool = False,
        rate_factor: Callable[[str], float] = same_rate,
    ):
        super().__init__(auto_prefix=False)

        def kind(parameter: Parameter) -> tuple[bool, float]:
            return decays(parameter.name), rate_factor(parameter.name)

        groups = find_groups(parameters, kind) if grouped else [[parameter] for parameter in parameters]
        self.groups = Groups(groups) if grouped else None
        self.parameters = ParameterTuple([parameter for group in groups for parameter in group])
        self.schedule = schedule
        self.decaying = tuple(decays(group[0].name) for group in groups)
        self.decay_rates = tuple(weight_decay if decaying else 0.0 for decaying in self.decaying)
        self.rate_factors = tuple(float(rate_factor(group[0].name)) for group in groups)
        self.one_rate = set(self.rate_factors) == {1.0}
        self.global_step = Parameter(Tensor(0, mindspore.int32), name="global_step", requires_grad=False)
        self.one_step, self.e = Tensor(1, mindspore.int32), Tensor(np.e, mindspore.float32)
        self.store = assign if self.groups is None else _hand_on
        self.write = assign if self.groups is None else self.groups.copy  # of a moment
        self.norm = _whole_norm if self.groups is None else _row_norms
        self.hyper_map = ops.HyperMap()

    def make_moments(self, prefix: str) -> ParameterTuple:
        """Zeros in the shapes of the parameters, named `{prefix}.{parameter}` in checkpoints."""
        return self.parameters.clone(prefix=prefix, init="zeros") if self.groups is None else self.groups.zeros(prefix)

    def rates(self, rate: Tensor) -> tuple[Tensor, ...]:
        """The learning rate of each parameter, or group, if the schedule's is `rate`."""
        return self.hyper_map(ops.partial(_same if self.one_rate else _times, rate), self.rate_factors)

    def states(self, gradients: tuple[Tensor, ...], *moments: ParameterTuple) -> tuple:
        """Parameters and moments in the form of the gradients: one tensor a parameter, or a group.

        Groups wait for the gradients. Otherwise the framework computes what does not depend on them, such as moment * beta, before
        the forward pass, and keeps it.
        """
        if self.groups is None:
            return self.parameters, *moments
        return self.groups.stack_parameters(ops.depend(self.parameters, gradients)), *[ops.depend(each, gradients) for each in moments]

    def finish(self, updated: tuple) -> tuple:
        """Store the new values that the updates of groups have returned; of single parameters they are stored already."""
        return updated if self.groups is None else self.groups.write_back(self.parameters, updated)

    def split_state(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """NumPy arrays of a TrainStep's parameters by name, as in a checkpoint: moments of one parameter each."""
        return arrays if self.groups is None else self.groups.split(arrays, self.MOMENTS)

    def join_state(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The inverse of `split_state`."""
        return arrays if self.groups is None else self.groups.join(arrays, self.MOMENTS)

    def moment_weight(self, log_beta: Tensor) -> Tensor:
        """1 - beta^t: the sum of a moment's weights after t updates.

        While beta^t is near 1, the difference would cancel in float32, and the series of 1 - exp(x) is summed instead. The argument is
        the logarithm because beta itself, such as 0.999, is rounded in float32.
        """
        x = (self.global_step + 1).astype(mindspore.float32) * log_beta
        series = ops.zeros_like(x)
        for power in range(9, 0, -1):
            series = (series + 1.0) * x / power
        return ops.where(x > -0.5, -series, 1.0 - ops.pow(self.e, x))  # the CPU's exp is off by 5e-6

    def construct(self, gradients: tuple[Tensor, ...], factors: tuple[Tensor, ...]) -> Tensor:
        """Update every parameter once.

        Args:
            gradients: float32, one a parameter, or one a group.
            factors: float32 scalars, or [n, 1] for the rows of a group; gradient i counts as gradients[i] * factors[i] (loss scale
                and clipping).

        Returns:
            float32 scalar, the learning rate used.
        """
        rate = self.schedule(self.global_step)
        done = self.apply(gradients, factors, rate)
        return ops.depend(rate, ops.AssignAdd()(self.global_step, ops.depend(self.one_step, done)))
