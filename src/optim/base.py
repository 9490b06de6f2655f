"""What all optimisers share: the parameters, the update count, the schedule, and which parameters decay."""

import mindspore
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

_NO_DECAY = ("bias", "norm")


def decays(name):
    """Whether weight decay applies to a parameter: to all but biases and layer (or batch) normalisation."""
    return not any(part in word for word in name.lower().split(".") for part in _NO_DECAY)


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
        self.hyper_map = ops.HyperMap()

    def make_moments(self, prefix):
        """Zeros shaped as the parameters, named `{prefix}.{parameter}` in checkpoints."""
        return self.parameters.clone(prefix=prefix, init="zeros")

    def bias_corrections(self, beta1, beta2):
        """1 - beta^t for both moments, t counting updates from 1."""
        count = (self.global_step + 1).astype(mindspore.float32)
        return 1.0 - ops.pow(beta1, count), 1.0 - ops.pow(beta2, count)

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
        return ops.depend(rate, ops.depend(self.global_step.add_(1), done))
