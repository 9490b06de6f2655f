"""Stochastic gradient descent with momentum."""

from collections.abc import Callable, Sequence

from mindspore import Parameter, Tensor, ops

from src.optim.base import Optimizer, same_rate
from src.optim.schedule import Schedule

_update = ops.MultitypeFuncGraph("momentum_update")


@_update.register("Function", "Function", "Number", "Tensor", "Number", "Tensor", "Tensor", "Tensor", "Tensor")
def _update_one(store, write, momentum, rate, decay, parameter, moment, gradient, factor):
    new_moment = moment * momentum + gradient * factor + parameter * decay
    return ops.depend(store(parameter, parameter - new_moment * rate), write(moment, new_moment))


class Momentum(Optimizer):
    """a = momentum a + g + decay p; p -= rate a (coupled decay, as in the model zoo's nn.Momentum)."""

    MOMENTS = ("momentum",)

    def __init__(
        self,
        parameters: Sequence[Parameter],
        schedule: Schedule,
        weight_decay: float,
        momentum: float,
        grouped: bool = False,
        rate_factor: Callable[[str], float] = same_rate,
    ):
        super().__init__(parameters, schedule, weight_decay, grouped, rate_factor)
        self.momentum = momentum
        self.moments = self.make_moments(*self.MOMENTS)

    def apply(self, gradients: tuple[Tensor, ...], factors: tuple[Tensor, ...], rate: Tensor) -> tuple:
        update = ops.partial(_update, self.store, self.write, self.momentum)
        states = self.states(gradients, self.moments)
        return self.finish(self.hyper_map(update, self.rates(rate), self.decay_rates, *states, gradients, factors))
