"""Settings of a model for sentence embeddings, and options of run_embedding.py."""

import dataclasses
from pathlib import Path

from easydict import EasyDict

from src.config.fields import setting
from src.config.finetune import FineTunedModel, FineTuneOptions
from src.tasks.embed.modules_file import read_modules

POOLINGS = ("mean", "cls")
OBJECTIVES = ("simcse", "multiple_negatives", "cosine")
METRICS = ("spearman_correlation", "pearson_correlation", "eval_loss")


@dataclasses.dataclass(frozen=True)
class EmbedModel(FineTunedModel):
    """A model that gives a vector for each text."""

    # settings that evaluation and prediction take from the training; written into the checkpoint folder
    TRAINED_WITH = ("seq_length", "pooling", "normalize")

    pooling: str = setting(
        "mean", "vector of a text, from the last layer; mean: of all its tokens; cls: of [CLS]; default: that of the weights", POOLINGS
    )
    normalize: bool = setting(True, "scale vectors to length 1, so that their product is their cosine")

    @classmethod
    def complete_from(cls, tree: EasyDict, path: Path | str | None, is_trained: bool) -> None:
        """Fill in also what sentence-transformers keeps beside the weights: pooling and maximum length."""
        super().complete_from(tree, path, is_trained)
        for key, value in read_modules(path).items() if path else ():
            tree.setdefault(key, value)


@dataclasses.dataclass(frozen=True)
class EmbedOptions(EmbedModel, FineTuneOptions):
    """Sentence embeddings: a vector for each text, trained on texts, on pairs, or on pairs with scores."""

    task_name: str = setting(
        "custom", "data; stsb: the files of the STS benchmark or of GLUE; custom: files of your own, see columns", ("custom", "stsb")
    )
    columns: str | None = setting(
        None,
        "columns of a custom task: text_a=NAME_OR_INDEX[,text_b=…][,negative=…][,score=…], indices from 0; default: by usual names in the "
        "header, else a text or a pair in each row",
    )
    objective: str | None = setting(
        None,
        "loss; simcse: the partner of a text is its pair, or without pairs the text itself under other dropout; multiple_negatives: its "
        "pair; both among the other texts of the batch; cosine: the pair's cosine is its score; default: by the columns",
        OBJECTIVES,
    )
    temperature: float = setting(0.05, "divisor of the cosines in simcse and multiple_negatives", above=0)
    largest_score: float | None = setting(
        None, "score that means cosine 1; default: 5 if a score is above 1, as in the STS benchmark, else 1", above=0
    )
    output_dir: str = setting("./embedding_finetune", "folder of everything that is written")

    def __post_init__(self):
        super().__post_init__()
        if self.columns and self.task_name != "custom":
            raise ValueError(f"columns={self.columns}: only for task_name=custom; the columns of {self.task_name} are known")
        for name in ("packing", "r_drop"):
            if value := getattr(self, name):
                raise ValueError(f"{name}={str(value).lower()}: is not for embeddings, whose rows have several texts")

    @property
    def packs(self) -> bool:
        return False

    @property
    def metrics(self) -> tuple[str, ...]:
        return METRICS


MODEL, OPTIONS = EmbedModel, EmbedOptions
