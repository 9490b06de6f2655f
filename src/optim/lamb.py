"""LAMB: Adam whose step is scaled, parameter by parameter, to the norm of the parameter."""

import numpy as np
from mindspore import ops

from src.optim.base import Optimizer, decays, logarithm

_update = ops.MultitypeFuncGraph("lamb_update")


@_update.register(*["Tensor"] * 3, *["Number"] * 4, "Bool", *["Tensor"] * 5)
def _update_one(rate, correction1, correction2, beta1, beta2, eps, decay, adapts, parameter, moment1, moment2, gradient, factor):
    gradient = gradient * factor
    new_moment1 = moment1 * beta1 + gradient * (1.0 - beta1)
    new_moment2 = moment2 * beta2 + gradient * gradient * (1.0 - beta2)
    step = new_moment1 / correction1 / (ops.sqrt(new_moment2 / correction2) + eps)
    if adapts:
        step = step + parameter * decay
        step = step * _trust_ratio(parameter, step)
    new_parameter = parameter - step * rate
    done = ops.depend(ops.Assign()(moment1, new_moment1), ops.Assign()(moment2, new_moment2))
    return ops.depend(done, ops.Assign()(parameter, new_parameter))


def _trust_ratio(parameter, step):
    """|p| / |u|, or 1 where one of them is 0."""
    parameter_norm = ops.sqrt((parameter * parameter).sum(0).sum())  # one reduction over all is 4 times slower on the CPU
    step_norm = ops.sqrt((step * step).sum(0).sum())
    both = ops.logical_and(parameter_norm > 0.0, step_norm > 0.0)
    return ops.where(both, parameter_norm / ops.maximum(step_norm, 1e-30), ops.ones_like(step_norm))


class Lamb(Optimizer):
    """u = m' / (sqrt(v') + eps) + decay p with bias-corrected m', v'; p -= rate |p| / |u| u.

    The ratio is 1 where either norm is 0, and for biases and normalisation, which do not decay either.
    Source: You et al. 2019, algorithm 2; the exclusion follows Google's and NVIDIA's BERT.
    """

    def __init__(self, parameters, schedule, weight_decay, beta1, beta2, eps):
        super().__init__(parameters, schedule, weight_decay)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps
        self.logs = logarithm(np.float32(beta1)), logarithm(np.float32(beta2))  # as 1 - beta is computed
        self.adapts = tuple(decays(parameter.name) for parameter in parameters)
        self.moments1 = self.make_moments("lamb_m")
        self.moments2 = self.make_moments("lamb_v")

    def apply(self, gradients, factors, rate):
        correction1, correction2 = self.moment_weight(self.logs[0]), self.moment_weight(self.logs[1])
        update = ops.partial(_update, rate, correction1, correction2, self.beta1, self.beta2, self.eps)
        return self.hyper_map(update, self.decay_rates, self.adapts, self.parameters, self.moments1, self.moments2, gradients, factors)
