"""Stochastic gradient descent with momentum."""

from mindspore import ops

from src.optim.base import Optimizer

_update = ops.MultitypeFuncGraph("momentum_update")


@_update.register("Function", "Tensor", "Number", "Number", "Tensor", "Tensor", "Tensor", "Tensor")
def _update_one(store, rate, momentum, decay, parameter, moment, gradient, factor):
    new_moment = moment * momentum + gradient * factor + parameter * decay
    return ops.depend(store(parameter, parameter - new_moment * rate), ops.Assign()(moment, new_moment))


class Momentum(Optimizer):
    """a = momentum a + g + decay p; p -= rate a (coupled decay, as in the model zoo's nn.Momentum)."""

    MOMENTS = ("momentum",)

    def __init__(self, parameters, schedule, weight_decay, momentum, grouped=False):
        super().__init__(parameters, schedule, weight_decay, grouped)
        self.momentum = momentum
        self.moments = self.make_moments(*self.MOMENTS)

    def apply(self, gradients, factors, rate):
        update = ops.partial(_update, self.store, rate, self.momentum)
        states = self.states(gradients, self.moments)
        return self.finish(self.hyper_map(update, self.decay_rates, *states, gradients, factors))
