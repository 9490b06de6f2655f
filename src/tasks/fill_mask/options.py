"""Options of an export for masked words; nothing is trained."""

import dataclasses
from typing import ClassVar

from easydict import EasyDict

from src.config.fields import setting
from src.config.model import ModelConfig, describe_weights
from src.config.training import WEIGHT_FORMS, RunOptions
from src.formats import weights

_LONGEST = 512


@dataclasses.dataclass(frozen=True)
class FillMaskOptions(RunOptions):
    """Masked words: the most probable tokens for each [MASK] of a text, or the likelihood of a whole sentence."""

    TRAINED: ClassVar[str] = "load_pretrain_checkpoint_path"  # the setting that names weights of this task
    enable_data_sink = False

    load_pretrain_checkpoint_path: str | None = setting(None, f"pretrained weights with their masked-LM head: {WEIGHT_FORMS}")
    seq_length: int = setting(
        _LONGEST, "maximum length of a text in tokens; default: 512, or as many as the network has positions for", minimum=4
    )
    candidates: int = setting(100, "tokens that the graph gives for each [MASK], and so the most that top_k can ask for", minimum=1)
    score_sentences: bool = setting(
        False, "answer with the pseudo-log-likelihood of a sentence, each of whose tokens is masked by itself, instead of filling masks"
    )

    def __post_init__(self):
        super().__post_init__()
        self.check_length("seq_length", self.seq_length)

    @property
    def num_candidates(self) -> int:
        """`candidates`, or as many as there are words."""
        return min(self.candidates, self.model.vocab_size)

    @classmethod
    def complete(cls, tree: EasyDict) -> None:
        """Fill in the network's shape, the vocabulary and the length from the files beside the weights."""
        path, config_file = tree.get(cls.TRAINED), tree.get("bert_config_file")
        found = describe_weights(path, config_file)
        if not found.model and not tree.get("model"):
            weights.find(path)  # raises if there are none
            raise ValueError(f"{path}: no config.json or bert_config.json beside it; give --bert_config_file")
        tree.model = {**found.model, **tree.get("model", {})}
        tree.setdefault("vocab_file_path", found.vocab_file)
        if tree.model.get("position_embedding_type", "absolute") == "absolute":
            tree.setdefault("seq_length", min(_LONGEST, tree.model.get("max_position_embeddings", ModelConfig.max_position_embeddings)))


OPTIONS = FillMaskOptions
