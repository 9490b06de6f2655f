"""What a network is pretrained for: masked tokens, with or without the relation of two parts of a row."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Objective:
    """An objective, one of OBJECTIVES.

    Attributes:
        name: value of the setting `objective`.
        pair: what the head on the pooler predicts, as its loss and accuracy are called; None: a row has one part, the network no pooler.
        label_one: what label 1 says of the two parts, as its share in the statistics is called.
    """

    name: str
    pair: str | None = None
    label_one: str = ""

    @property
    def losses(self) -> tuple[str, ...]:
        """The names of the parts of the loss."""
        return ("masked_lm_loss",) if self.pair is None else ("masked_lm_loss", f"{self.pair}_loss")

    @property
    def metrics(self) -> tuple[str, ...]:
        """The measures of an evaluation."""
        of_pair = () if self.pair is None else (f"{self.pair}_loss", f"{self.pair}_accuracy")
        return ("masked_lm_loss", "masked_lm_accuracy", *of_pair, "perplexity")


DEFAULT = "mlm_nsp"
OBJECTIVES = {
    each.name: each
    for each in (Objective(DEFAULT, "next_sentence", "random_next"), Objective("mlm"), Objective("mlm_sop", "sentence_order", "swapped"))
}
OBJECTIVE_HELP = (
    "what is learned; mlm_nsp: masked tokens and the next sentence, as BERT; mlm: masked tokens of one text alone, as RoBERTa; mlm_sop: "
    "masked tokens and the order of two parts, as ALBERT"
)
