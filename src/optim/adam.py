"""Adam with decoupled weight decay, in Google's form and in PyTorch's."""

from collections.abc import Callable, Sequence
from typing import Any

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, ops

from src.kernels.ops import make_update
from src.optim.base import Optimizer, logarithm, same_rate
from src.optim.schedule import Schedule

_update_native = ops.MultitypeFuncGraph("adam_update_native")
_update_rows = ops.MultitypeFuncGraph("adam_update_rows")
_update = ops.MultitypeFuncGraph("adam_update")


@_update.register("Function", "Tensor", "Number", "Number", "Tensor", "Tensor", "Number", "Tensor", "Tensor", "Tensor", "Tensor", "Tensor")
def _update_one(apply, eps, beta1, beta2, decay_factor, rate, decay, parameter, moment1, moment2, gradient, factor):
    return apply(parameter, moment1, moment2, rate, beta1, beta2, eps, decay * decay_factor, gradient * factor)


@_update_native.register(*["Function"] * 2, *["Tensor"] * 5, "Bool", *["Tensor"] * 5)
def _update_native_one(adam, lamb, weight1, weight2, constants, rate, decay, adapts, parameter, moment1, moment2, gradient, factor):
    update = lamb if adapts else adam
    return update(parameter, moment1, moment2, gradient, factor, rate, weight1, weight2, decay, constants)


def adam_step(
    write: Callable,
    weight1: Tensor | float,
    weight2: Tensor | float,
    beta1: float,
    beta2: float,
    eps: float,
    moment1: Tensor,
    moment2: Tensor,
    gradient: Tensor,
) -> tuple[Tensor, Tensor]:
    """Update the moments by `write`; returns m' / weight1 / (sqrt(v' / weight2) + eps), and a value that depends on the updates."""
    new_moment1 = moment1 * beta1 + gradient * (1.0 - beta1)
    new_moment2 = moment2 * beta2 + gradient * gradient * (1.0 - beta2)
    step = new_moment1 / weight1 / (ops.sqrt(new_moment2 / weight2) + eps)
    return step, ops.depend(write(moment1, new_moment1), write(moment2, new_moment2))


@_update_rows.register(*["Function"] * 2, *["Number"] * 5, "Tensor", "Number", *["Tensor"] * 5)
@_update_rows.register(*["Function"] * 2, *["Tensor"] * 2, *["Number"] * 3, "Tensor", "Number", *["Tensor"] * 5)
def _update_rows_one(store, write, weight1, weight2, beta1, beta2, eps, rate, decay, parameter, moment1, moment2, gradient, factor):
    step, done = adam_step(write, weight1, weight2, beta1, beta2, eps, moment1, moment2, gradient * factor)
    if decay > 0.0:
        step = step + parameter * decay
    return ops.depend(store(parameter, parameter - step * rate), done)


class AdamMoments(Optimizer):
    """Base of the optimisers with Adam's moments: m and v, running means of gradient and squared gradient, of rates beta1 and beta2.

    Args:
        eps: added to the root of v.
        native_library: DeviceSettings.native_library; its kernels update a parameter in one pass over memory.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        schedule: Schedule,
        weight_decay: float,
        beta1: float,
        beta2: float,
        eps: float,
        grouped: bool = False,
        rate_factor: Callable[[str], float] = same_rate,
        native_library: str | None = None,
    ):
        super().__init__(parameters, schedule, weight_decay, grouped, rate_factor)
        self.native = False
        if native_library is not None and not grouped:
            self.native = True
            self.adam, self.lamb = make_update(native_library, "adam", 3, 7), make_update(native_library, "lamb", 3, 7)
            self.one = Tensor(1.0, mindspore.float32)
            self.constants = Tensor([beta1, 1.0 - beta1, beta2, 1.0 - beta2, eps], mindspore.float32)
            self.none_adapts = tuple(False for _ in self.decaying)
            self.decay_tensors = tuple(Tensor(rate, mindspore.float32) for rate in self.decay_rates)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps
        self.logs = logarithm(beta1), logarithm(beta2)
        self.used_logs = logarithm(np.float32(beta1)), logarithm(np.float32(beta2))  # beta as the framework's kernels know it, in float32
        self.moments1 = self.make_moments(self.MOMENTS[0])
        self.moments2 = self.make_moments(self.MOMENTS[1])

    def update_native(
        self,
        gradients: tuple[Tensor, ...],
        factors: tuple[Tensor, ...],
        rate: Tensor,
        weight1: Tensor,
        weight2: Tensor,
        adapting: tuple[bool, ...],
    ) -> tuple:
        """The update in kernels of optimizers.cpp: LAMB's for the parameters that are `adapting`, Adam's for the others."""
        update = ops.partial(_update_native, self.adam, self.lamb, weight1, weight2, self.constants)
        states = self.parameters, self.moments1, self.moments2
        return self.hyper_map(update, self.rates(rate), self.decay_tensors, adapting, *states, gradients, factors)


class AdamWeightDecay(AdamMoments):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= rate (m / (sqrt(v) + eps) + decay p).

    No bias correction, as BERT was trained. Source: google-research/bert, optimization.py.

    Without native kernels the framework's primitive of the same name is used; groups take plain ops. The primitive's moments are to be
    divided by d1, d2 = `divisors()` first. With d = sqrt(d2), that is done by rate d / d1, eps d and decay d1 / d:
        rate d/d1 (m / (sqrt(v) + eps d) + decay d1/d p) = rate (m/d1 / (sqrt(v)/d + eps) + decay p)
    """

    MOMENTS = ("adam_m", "adam_v")

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.primitive = ops.AdamWeightDecay()

    def divisors(self) -> tuple[Tensor, Tensor]:
        """The divisors of the primitive's moments: 1 but for the primitive's 1 - beta, which is off by 1e-5 for 0.999."""
        weight1, weight2 = self.moment_weight(self.used_logs[0]), self.moment_weight(self.used_logs[1])
        return weight1 / self.moment_weight(self.logs[0]), weight2 / self.moment_weight(self.logs[1])

    def weights(self) -> tuple[Tensor | float, Tensor | float]:
        """The divisors of the moments in `adam_step`."""
        return 1.0, 1.0

    def apply(self, gradients: tuple[Tensor, ...], factors: tuple[Tensor, ...], rate: Tensor) -> tuple:
        if self.groups is not None:
            weight1, weight2 = self.weights()
            update = ops.partial(_update_rows, self.store, self.write, weight1, weight2, self.beta1, self.beta2, self.eps)
            states = self.states(gradients, self.moments1, self.moments2)
            return self.finish(self.hyper_map(update, self.rates(rate), self.decay_rates, *states, gradients, factors))
        if self.native:
            weight1, weight2 = self.weights()
            return self.update_native(gradients, factors, rate, self.one * weight1, self.one * weight2, self.none_adapts)
        divisor1, divisor2 = self.divisors()
        root2 = ops.sqrt(divisor2)
        rates, eps, decay_factor = self.rates(rate * root2 / divisor1), self.eps * root2, divisor1 / root2
        update = ops.partial(_update, self.primitive, eps, self.beta1, self.beta2, decay_factor)
        return self.hyper_map(update, rates, self.decay_rates, self.parameters, self.moments1, self.moments2, gradients, factors)


class AdamW(AdamWeightDecay):
    """AdamWeightDecay with bias-corrected moments: m / (1 - b1^t), v / (1 - b2^t).

    Source: Loshchilov and Hutter 2017, algorithm 2; torch.optim.AdamW.
    """

    MOMENTS = ("adamw_m", "adamw_v")  # others than AdamWeightDecay, whose moments it cannot resume with

    def weights(self) -> tuple[Tensor | float, Tensor | float]:
        return self.moment_weight(self.logs[0]), self.moment_weight(self.logs[1])

    def divisors(self) -> tuple[Tensor, Tensor]:
        return self.moment_weight(self.used_logs[0]), self.moment_weight(self.used_logs[1])
