"""Settings of a model for masked words; nothing is trained."""

import dataclasses
from pathlib import Path

from easydict import EasyDict

from src.config.fields import setting
from src.config.finetune import FineTunedModel
from src.config.model import ModelConfig

_LONGEST = 512


@dataclasses.dataclass(frozen=True)
class FillMaskModel(FineTunedModel):
    """Masked words: the most probable tokens for each [MASK] of a text, or the likelihood of a whole sentence."""

    seq_length: int = setting(
        _LONGEST, "maximum length of a text in tokens; default: 512, or as many as the network has positions for", minimum=4
    )
    candidates: int = setting(100, "tokens that the graph gives for each [MASK], and so the most that top_k can ask for", minimum=1)
    score_sentences: bool = setting(
        False, "answer with the pseudo-log-likelihood of a sentence, each of whose tokens is masked by itself, instead of filling masks"
    )

    @property
    def num_candidates(self) -> int:
        """`candidates`, or as many as there are words."""
        return min(self.candidates, self.model.vocab_size)

    @classmethod
    def complete_from(cls, tree: EasyDict, path: Path | str | None, is_trained: bool) -> None:
        """Fill in also the maximum length, by the positions of the network."""
        super().complete_from(tree, path, is_trained)
        if tree.model.get("position_embedding_type", "absolute") == "absolute":
            tree.setdefault("seq_length", min(_LONGEST, tree.model.get("max_position_embeddings", ModelConfig.max_position_embeddings)))


MODEL = OPTIONS = FillMaskModel
