"""What all optimisers share: the parameters, the update count, the schedule, and which parameters decay."""

import mindspore
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from src.optim.groups import Groups, order, sum_squares

_NO_DECAY = ("bias", "norm")
assign = ops.Assign()


def decays(name):
    """Whether weight decay applies to a parameter: to all but biases and layer (or batch) normalisation."""
    return not any(part in word for word in name.lower().split(".") for part in _NO_DECAY)


def logarithm(beta):
    """log(beta) as a float32 constant."""
    return Tensor(np.log(np.float64(beta)), mindspore.float32)


def _hand_on(parameter, value):
    """The new value of a group, which `finish` keeps after the updates of all."""
    return value


def _whole_norm(x):
    """The norm of one parameter's tensor: []."""
    return ops.sqrt((x * x).sum(0).sum())  # one reduction over all is 4 times slower on the CPU


def _row_norms(x):
    """The norm of each row of a group's tensor: [n, 1]."""
    return ops.sqrt(sum_squares(x)).reshape((-1, 1))


class Optimizer(nn.Cell):
    """Base of the optimisers; a subclass defines `apply(gradients, factors, rate)`.

    Subclasses map one small function over all parameters with HyperMap: a Python loop over them compiles ten times
    slower.

    Args:
        parameters: list of float32 Parameters.
        schedule: Schedule.
        weight_decay: decoupled decay of the parameters that `decays` names.
        grouped: whether parameters of one size are updated as one tensor: see Groups, whose order `self.parameters` then has.
    """

    MOMENTS = ()  # their names in checkpoints

    def __init__(self, parameters, schedule, weight_decay, grouped=False):
        super().__init__(auto_prefix=False)
        groups = order(parameters, lambda parameter: decays(parameter.name)) if grouped else [[parameter] for parameter in parameters]
        self.groups = Groups(groups) if grouped else None
        self.parameters = ParameterTuple([parameter for group in groups for parameter in group])
        self.schedule = schedule
        self.decaying = tuple(decays(group[0].name) for group in groups)
        self.decay_rates = tuple(weight_decay if decaying else 0.0 for decaying in self.decaying)
        self.global_step = Parameter(Tensor(0, mindspore.int32), name="global_step", requires_grad=False)
        self.one_step, self.e = Tensor(1, mindspore.int32), Tensor(np.e, mindspore.float32)
        self.store = assign if self.groups is None else _hand_on
        self.norm = _whole_norm if self.groups is None else _row_norms
        self.hyper_map = ops.HyperMap()

    def make_moments(self, prefix):
        """Zeros shaped as the parameters, named `{prefix}.{parameter}` in checkpoints."""
        return self.parameters.clone(prefix=prefix, init="zeros") if self.groups is None else self.groups.zeros(prefix)

    def states(self, gradients, *moments):
        """Parameters and moments in the form of the gradients.

        Groups wait for the gradients: where nothing else keeps it, the framework orders what needs no gradient, such as moment * beta,
        before the forward pass.
        """
        if self.groups is None:
            return self.parameters, *moments
        return self.groups.stack_parameters(ops.depend(self.parameters, gradients)), *[ops.depend(each, gradients) for each in moments]

    def finish(self, updated):
        """What the updates of all have returned by `store`, when it is kept."""
        return updated if self.groups is None else self.groups.write_back(self.parameters, updated)

    def split_state(self, arrays):
        """NumPy arrays of a TrainStep's parameters as a checkpoint has them: moments of one parameter each."""
        return arrays if self.groups is None else self.groups.split(arrays, self.MOMENTS)

    def join_state(self, arrays):
        """The other way round."""
        return arrays if self.groups is None else self.groups.join(arrays, self.MOMENTS)

    def moment_weight(self, log_beta):
        """1 - beta^t: the sum of a moment's weights after t updates.

        By the series of 1 - exp(x) while beta^t is near 1, where the difference would cancel in float32. Takes the
        logarithm, which tells 0.999 from the nearest float32 where beta itself could not.
        """
        x = (self.global_step + 1).astype(mindspore.float32) * log_beta
        series = ops.zeros_like(x)
        for power in range(9, 0, -1):
            series = (series + 1.0) * x / power
        return ops.where(x > -0.5, -series, 1.0 - ops.pow(self.e, x))  # the CPU's exp is off by 5e-6

    def construct(self, gradients, factors):
        """Update every parameter once.

        Args:
            gradients: tuple of float32 tensors, as the parameters; or as the groups.
            factors: tuple of float32 scalars, or [n, 1] for the rows of a group; gradient i counts as gradients[i] * factors[i]
                (loss scale and clipping).

        Returns:
            float32 scalar, the learning rate used.
        """
        rate = self.schedule(self.global_step)
        done = self.apply(gradients, factors, rate)
        return ops.depend(rate, ops.AssignAdd()(self.global_step, ops.depend(self.one_step, done)))
