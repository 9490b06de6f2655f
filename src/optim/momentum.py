"""Stochastic gradient descent with momentum."""

from mindspore import ops

from src.optim.base import Optimizer

_update = ops.MultitypeFuncGraph("momentum_update")


@_update.register("Tensor", "Number", "Number", "Tensor", "Tensor", "Tensor", "Tensor")
def _update_one(rate, momentum, decay, parameter, moment, gradient, factor):
    new_moment = moment * momentum + gradient * factor + parameter * decay
    new_parameter = parameter - new_moment * rate
    return ops.depend(ops.Assign()(moment, new_moment), ops.Assign()(parameter, new_parameter))


class Momentum(Optimizer):
    """a = momentum a + g + decay p; p -= rate a (coupled decay, as in the model zoo's nn.Momentum)."""

    def __init__(self, parameters, schedule, weight_decay, momentum):
        super().__init__(parameters, schedule, weight_decay)
        self.momentum = momentum
        self.moments = self.make_moments("momentum")

    def apply(self, gradients, factors, rate):
        update = ops.partial(_update, rate, self.momentum)
        return self.hyper_map(update, self.decay_rates, self.parameters, self.moments, gradients, factors)
