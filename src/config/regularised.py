"""Settings of fine-tuning with little data: learning rates by part of the network, and regularisers. All are off by default."""

import dataclasses

from src.config.fields import setting
from src.config.parts import expand_parts, layer_factors
from src.config.trainable import UpdateOptions

ATTACKS = ("fgm", "pgd")


@dataclasses.dataclass(frozen=True)
class RegularisedOptions(UpdateOptions):
    """Settings that all fine-tuning scripts have besides those of every training; docs/regularisers.md has the formulas."""

    layerwise_decay: float = setting(
        1.0, "factor of the learning rate of each layer to that of the layer above; the embeddings come below layer 0", above=0, maximum=1
    )
    head_learning_rate: float | None = setting(None, "peak learning rate of the head; default: optimizer.learning_rate", above=0)
    freeze: tuple[str, ...] = setting((), "parts that are not trained, such as embeddings,layers.0-5: also layers.N and pooler")
    adversarial: str | None = setting(
        None, "train also on word embeddings that are moved to raise the loss; fgm: in one step, pgd: in several", ATTACKS
    )
    adversarial_epsilon: float = setting(1.0, "distance to which the word embeddings are moved, as the norm over the table", above=0)
    adversarial_steps: int = setting(3, "steps of pgd, each of which takes another forward and backward pass", minimum=1)
    adversarial_step_size: float = setting(0.3, "length of a step of pgd", above=0)
    r_drop: float | None = setting(
        None, "weight of the divergence of two predictions of each row, made with different dropout (R-Drop)", above=0
    )
    ema: float | None = setting(
        None, "decay of a moving average of the weights, which evaluation and export use, such as 0.999", above=0, maximum=0.999999
    )

    def __post_init__(self):
        super().__post_init__()
        frozen = self.frozen_parts
        if self.adversarial and "embeddings" in frozen:
            raise ValueError(f"adversarial={self.adversarial}: moves the word embeddings by their gradient; freeze=embeddings gives none")
        for name in ("adversarial_steps", "adversarial_step_size", "adversarial_epsilon"):
            kinds = ATTACKS if name == "adversarial_epsilon" else ("pgd",)
            if self.adversarial not in kinds and getattr(self, name) != getattr(RegularisedOptions, name):
                raise ValueError(f"{name}={getattr(self, name)}: only for --adversarial {' or '.join(kinds)}")
        if self.r_drop and not (self.model.hidden_dropout_prob or self.model.attention_probs_dropout_prob):
            raise ValueError(f"r_drop={self.r_drop}: the network has no dropout, in which its two predictions differ")

    @property
    def frozen_parts(self) -> tuple[str, ...]:
        """The parts that are not trained, each layer by itself."""
        return expand_parts(self.freeze, self.model.num_hidden_layers)

    @property
    def rate_factors(self) -> dict[str, float]:
        """Part of the network -> its learning rate divided by optimizer.learning_rate."""
        base = self.optimizer.learning_rate
        head = (self.head_learning_rate or base) / base
        return {**layer_factors(self.layerwise_decay, self.model.num_hidden_layers), "head": head, "crf": head}
