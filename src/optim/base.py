"""What all optimisers share: the parameters, the update count, the schedule, and which parameters decay."""

import mindspore
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

_NO_DECAY = ("bias", "norm")


def decays(name):
    """Whether weight decay applies to a parameter: to all but biases and layer (or batch) normalisation."""
    return not any(part in word for word in name.lower().split(".") for part in _NO_DECAY)


def logarithm(beta):
    """log(beta) as a float32 constant."""
    return Tensor(np.log(np.float64(beta)), mindspore.float32)


class Optimizer(nn.Cell):
    """Base of the optimisers; a subclass defines `apply(gradients, factors, rate)`.

    Subclasses map one small function over all parameters with HyperMap: a Python loop over them compiles ten times
    slower.

    Args:
        parameters: list of float32 Parameters.
        schedule: Schedule.
        weight_decay: decoupled decay of the parameters that `decays` names.
    """

    def __init__(self, parameters, schedule, weight_decay):
        super().__init__(auto_prefix=False)
        self.parameters = ParameterTuple(parameters)
        self.schedule = schedule
        self.decay_rates = tuple(weight_decay if decays(parameter.name) else 0.0 for parameter in parameters)
        self.global_step = Parameter(Tensor(0, mindspore.int32), name="global_step", requires_grad=False)
        self.one_step, self.e = Tensor(1, mindspore.int32), Tensor(np.e, mindspore.float32)
        self.hyper_map = ops.HyperMap()

    def make_moments(self, prefix):
        """Zeros shaped as the parameters, named `{prefix}.{parameter}` in checkpoints."""
        return self.parameters.clone(prefix=prefix, init="zeros")

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
            gradients: tuple of float32 tensors, as the parameters.
            factors: tuple of float32 scalars; gradient i counts as gradients[i] * factors[i] (loss scale and clipping).

        Returns:
            float32 scalar, the learning rate used.
        """
        rate = self.schedule(self.global_step)
        done = self.apply(gradients, factors, rate)
        return ops.depend(rate, ops.AssignAdd()(self.global_step, ops.depend(self.one_step, done)))
