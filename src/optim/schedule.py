"""Learning-rate schedules: cells that map the update number (int32 scalar, from 0) to the learning rate (float32 scalar)."""

import mindspore
from mindspore import Tensor, nn, ops


class Schedule(nn.Cell):
    """Linear warm-up, then `polynomial`, `linear`, `noam` or `constant`.

    With s the update number, w warmup_steps, d decay_steps, l learning_rate, e end_learning_rate:
        s < w: l s / w
        polynomial: (l - e) (1 - min(s, d) / d)^power + e, counted from step 0 as the model zoo and Google do
        linear: l (d - s) / (d - w), counted from the end of the warm-up, as Hugging Face does
        noam: l sqrt(w / s); meets the warm-up at its peak (Vaswani et al. 2017, section 5.3)
        constant: l
    With first_step f, s is the update number minus f: the schedule begins there.
    """

    def __init__(
        self,
        kind: str,
        learning_rate: float,
        end_learning_rate: float,
        warmup_steps: int,
        decay_steps: int,
        power: float,
        first_step: int = 0,
    ):
        super().__init__()
        self.first_step = first_step
        self.kind = kind
        self.learning_rate, self.end_learning_rate = learning_rate, end_learning_rate
        self.warmup_steps, self.decay_steps, self.power = warmup_steps, decay_steps, power
        self.linear_steps = max(1, decay_steps - warmup_steps)

    def construct(self, global_step: Tensor) -> Tensor:
        step = (global_step - self.first_step).astype(mindspore.float32) if self.first_step else global_step.astype(mindspore.float32)
        if self.kind == "polynomial":
            left = 1.0 - ops.minimum(step, float(self.decay_steps)) / self.decay_steps
            rate = (self.learning_rate - self.end_learning_rate) * ops.pow(left, self.power) + self.end_learning_rate
        elif self.kind == "linear":
            rate = ops.maximum((self.decay_steps - step) / self.linear_steps, 0.0) * self.learning_rate
        elif self.kind == "noam":
            rate = ops.sqrt(self.warmup_steps / ops.maximum(step, 1.0)) * self.learning_rate
        else:
            rate = ops.ones_like(step) * self.learning_rate
        if self.warmup_steps > 0:
            rate = ops.where(step < self.warmup_steps, step / self.warmup_steps * self.learning_rate, rate)
        return rate
