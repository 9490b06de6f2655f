"""LAMB: Adam with the step of each parameter scaled to the norm of the parameter."""

from mindspore import Tensor, ops

from src.optim.adam import AdamMoments, adam_step

_update = ops.MultitypeFuncGraph("lamb_update")


@_update.register(*["Function"] * 3, *["Tensor"] * 2, *["Number"] * 3, "Tensor", "Number", "Bool", *["Tensor"] * 5)
def _update_one(
    norm, store, write, weight1, weight2, beta1, beta2, eps, rate, decay, adapts, parameter, moment1, moment2, gradient, factor
):
    step, done = adam_step(write, weight1, weight2, beta1, beta2, eps, moment1, moment2, gradient * factor)
    if adapts:
        step = step + parameter * decay
        step = step * _trust_ratio(norm(parameter), norm(step))
    return ops.depend(store(parameter, parameter - step * rate), done)


def _trust_ratio(parameter_norm, step_norm):
    """|p| / |u|, or 1 where either norm is 0."""
    both = ops.logical_and(parameter_norm > 0.0, step_norm > 0.0)
    return ops.where(both, parameter_norm / ops.maximum(step_norm, 1e-30), ops.ones_like(step_norm))


class Lamb(AdamMoments):
    """u = m' / (sqrt(v') + eps) + decay p with bias-corrected m', v'; p -= rate |p| / |u| u.

    The ratio |p| / |u| is 1 where either norm is 0, and for biases and normalisation, which do not decay either.
    Source: You et al. 2019, algorithm 2; the exclusion follows Google's and NVIDIA's BERT.
    """

    MOMENTS = ("lamb_m", "lamb_v")

    def apply(self, gradients: tuple[Tensor, ...], factors: tuple[Tensor, ...], rate: Tensor) -> tuple:
        log1, log2 = self.logs if self.native else self.used_logs
        weight1, weight2 = self.moment_weight(log1), self.moment_weight(log2)
        if self.native:
            return self.update_native(gradients, factors, rate, weight1, weight2, self.decaying)
        update = ops.partial(_update, self.norm, self.store, self.write, weight1, weight2, self.beta1, self.beta2, self.eps)
        states = self.states(gradients, self.moments1, self.moments2)
        return self.finish(self.hyper_map(update, self.rates(rate), self.decay_rates, self.decaying, *states, gradients, factors))
