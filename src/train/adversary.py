"""Adversarial training: gradients at word embeddings that are moved to where the loss is larger."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mindspore import Tensor, nn, ops

from src.optim.base import Optimizer

_TABLE = "bert.embeddings.word.weight"
_SMALLEST = 1e-30  # of a norm

_add = ops.MultitypeFuncGraph("add_gradient")


@_add.register("Tensor", "Tensor")
def _add_one(gradient, other):
    return gradient + other


@dataclass(frozen=True)
class Attack:
    """How the embeddings are moved: `steps` steps of length `step_size`, at most `epsilon` away; lengths are norms over the table."""

    epsilon: float
    steps: int
    step_size: float


def make_attack(config: Any) -> Attack | None:
    """The Attack that RegularisedOptions ask for; None for none. That of FGM is one step as long as it may be."""
    if config.adversarial is None:
        return None
    if config.adversarial == "fgm":
        return Attack(config.adversarial_epsilon, 1, config.adversarial_epsilon)
    return Attack(config.adversarial_epsilon, config.adversarial_steps, config.adversarial_step_size)


def _norm(x):
    """The norm of a table: []."""
    return ops.sqrt((x * x).sum(0).sum())  # one reduction over both axes is 4 times slower on the CPU


class Adversary(nn.Cell):
    """A gradient function that adds to the gradients at the weights those at the end of an attack.

    With E the table of word embeddings, L the loss of a (micro-)batch, the same dropout in all passes where DeviceSettings.hashed_dropout
    is set, and r = 0 at the beginning:
        r <- r + step_size g / |g|, where g = dL(E + r)/dE
        r <- r min(1, epsilon / |r|)
    after `steps` of which the gradients are those of L(E) + L(E + r). The loss that is reported is L(E). The table is E again afterwards,
    to the last bit. Ranks move it alike: g is summed over them.

    Source: FGM: Miyato et al. 2017, "Adversarial Training Methods for Semi-Supervised Text Classification", section 3; PGD: Madry et al.
    2018, "Towards Deep Learning Models Resistant to Adversarial Attacks", section 2.1, with normalised gradients.

    Args:
        value_and_gradients: (scale, columns of the batch) -> values and gradients; the sum of both is scaled by `scale`.
        all_reduce: sums a tensor over ranks; None for a single rank.

    Raises:
        ValueError: the network has no trained word embeddings.
    """

    def __init__(self, value_and_gradients: Callable, optimizer: Optimizer, attack: Attack, all_reduce: nn.Cell | None = None):
        super().__init__(auto_prefix=False)
        names = [parameter.name for parameter in optimizer.parameters]
        if _TABLE not in names:
            raise ValueError(f"adversarial training moves {_TABLE}, which is not trained here")
        self.value_and_gradients, self.attack, self.all_reduce = value_and_gradients, attack, all_reduce
        self.index = names.index(_TABLE)
        self.table = optimizer.parameters[self.index]
        self.epsilon, self.steps, self.step_size = attack.epsilon, attack.steps, attack.step_size
        self.write = optimizer.write
        self.hyper_map = ops.HyperMap()

    def construct(self, scale: Tensor, *batch: Tensor) -> tuple:
        values, gradients = self.value_and_gradients(scale, *batch)
        start = ops.depend(self.table * 1.0, gradients)  # a copy, from which the table is restored
        moved = ops.zeros_like(start)
        attacked = gradients
        for _ in range(self.steps):
            moved = self.move(moved, attacked[self.index])
            written = self.write(self.table, start + moved)
            _, attacked = self.value_and_gradients(scale, *ops.depend(batch, written))
        restored = self.write(self.table, ops.depend(start, attacked))
        return values, ops.depend(self.hyper_map(_add, gradients, attacked), restored)

    def move(self, moved: Tensor, gradient: Tensor) -> Tensor:
        """The next r from the last one and the gradient there."""
        if self.all_reduce is not None:
            gradient = self.all_reduce(gradient)
        step = gradient * (self.step_size / ops.maximum(_norm(gradient), _SMALLEST))
        if self.steps == 1:
            return step  # no longer than epsilon
        moved = moved + step
        return moved * ops.minimum(self.epsilon / ops.maximum(_norm(moved), _SMALLEST), 1.0)
