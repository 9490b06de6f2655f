"""Adam with decoupled weight decay, in Google's form and in PyTorch's."""

import mindspore
from mindspore import Tensor, ops

from src.optim.base import Optimizer

_update = ops.MultitypeFuncGraph("adam_update")


@_update.register("Function", "Tensor", "Tensor", "Number", "Number", "Tensor", "Number", "Tensor", "Tensor", "Tensor", "Tensor", "Tensor")
def _update_one(apply, rate, eps, beta1, beta2, decay_factor, decay, parameter, moment1, moment2, gradient, factor):
    return apply(parameter, moment1, moment2, rate, beta1, beta2, eps, decay * decay_factor, gradient * factor)


class AdamWeightDecay(Optimizer):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= rate (m / (sqrt(v) + eps) + decay p).

    No bias correction, as BERT was trained. Source: google-research/bert, optimization.py. The framework's primitive
    of the same name does it in one pass over memory on every device.
    """

    def __init__(self, parameters, schedule, weight_decay, beta1, beta2, eps):
        super().__init__(parameters, schedule, weight_decay)
        self.beta1, self.beta2 = beta1, beta2
        self.eps, self.one = Tensor(eps, mindspore.float32), Tensor(1.0, mindspore.float32)
        self.moments1 = self.make_moments("adam_m")
        self.moments2 = self.make_moments("adam_v")
        self.primitive = ops.AdamWeightDecay()

    def scalars(self, rate):
        """Learning rate, epsilon and factor of the decay that the primitive gets in this update."""
        return rate, self.eps, self.one

    def apply(self, gradients, factors, rate):
        rate, eps, decay_factor = self.scalars(rate)
        update = ops.partial(_update, self.primitive, rate, eps, self.beta1, self.beta2, decay_factor)
        return self.hyper_map(update, self.decay_rates, self.parameters, self.moments1, self.moments2, gradients, factors)


class AdamW(AdamWeightDecay):
    """AdamWeightDecay with bias-corrected moments: m / (1 - b1^t), v / (1 - b2^t).

    With c1 and c2 the two corrections and c = sqrt(c2), the same primitive computes it from rate c / c1, eps c and
    decay c1 / c:  rate c/c1 (m / (sqrt(v) + eps c) + decay c1/c p) = rate (m/c1 / (sqrt(v)/c + eps) + decay p).
    Source: Loshchilov and Hutter 2017, algorithm 2; torch.optim.AdamW.
    """

    def scalars(self, rate):
        correction1, correction2 = self.bias_corrections(self.beta1, self.beta2)
        root = ops.sqrt(correction2)
        return rate * root / correction1, self.eps * root, correction1 / root
