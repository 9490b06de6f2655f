"""Settings of a model for questions, and options of run_squad.py."""

import dataclasses
from typing import Any

from easydict import EasyDict

from src.config.fields import setting
from src.config.finetune import FineTunedModel, FineTuneOptions
from src.config.training import OptimizerConfig
from src.tasks.squad.file import MAX_CONTEXT_CHARS

LANGUAGES = ("en", "zh")
METRICS = ("f1", "exact_match", "eval_loss")
_SPECIAL_TOKENS = 3  # [CLS] question [SEP] window [SEP]

# The model zoo's values for this task (its squad yaml)
_POLYNOMIAL: dict[str, Any] = {"learning_rate": 1e-4, "end_learning_rate": 1e-11, "power": 5.0}
_WEIGHT_DECAY = 1e-3  # for AdamWeightDecay, under its newer and its older name


@dataclasses.dataclass(frozen=True)
class SquadModel(FineTunedModel):
    """A model that finds the span of a text that answers a question, and how its answer is chosen."""

    # settings that evaluation and prediction take from the training; written into the checkpoint folder
    TRAINED_WITH = ("seq_length", "doc_stride", "max_query_length", "version_2_with_negative", "language")
    task_name = "squad"

    seq_length: int = setting(384, "maximum length of a row in tokens; a longer text becomes several rows, windows of it", minimum=8)
    doc_stride: int = setting(128, "tokens between the starts of two neighbouring windows of a text", minimum=1)
    max_query_length: int = setting(64, "maximum length of a question in tokens; longer ones are cut", minimum=1)
    version_2_with_negative: bool = setting(False, "questions may have no answer (SQuAD 2.0)")
    null_score_diff_threshold: float = setting(0.0, "give no answer if its score exceeds the best answer's by more than this")
    n_best_size: int = setting(20, "number of answers to each question in nbest_predictions.json", minimum=1)
    max_answer_length: int = setting(30, "maximum length of an answer in tokens", minimum=1)
    language: str = setting("en", "language, which chooses the measures: SQuAD's for en, CMRC 2018's for zh", LANGUAGES)

    def __post_init__(self):
        super().__post_init__()
        window = self.seq_length - self.max_query_length - _SPECIAL_TOKENS
        lengths = f"seq_length={self.seq_length} and max_query_length={self.max_query_length}"
        if window < 2:
            raise ValueError(f"{lengths} leave no room for a text: [CLS], two [SEP] and a window stand beside the question")
        if self.doc_stride >= window:
            raise ValueError(f"doc_stride={self.doc_stride}: {lengths} leave windows of {window} tokens; the stride must be smaller")
        if self.version_2_with_negative and self.language == "zh":
            raise ValueError(
                "language=zh: the measure of CMRC 2018 knows no questions without answers; version_2_with_negative must be false"
            )
        if self.model.type_vocab_size < 2:
            raise ValueError(f"model.type_vocab_size={self.model.type_vocab_size}: question and text need two segments")


@dataclasses.dataclass(frozen=True)
class SquadOptions(SquadModel, FineTuneOptions):
    """Question answering: the span of a text that answers a question (SQuAD 1.1 and 2.0, CMRC 2018)."""

    eval_json_path: str | None = setting(
        None, "questions and answers in SQuAD's form; for evaluation on records the file that they were made from"
    )
    max_context_chars: int = setting(
        MAX_CONTEXT_CHARS, "maximum length of a text in characters, each of which takes about 150 bytes of memory", minimum=1
    )
    output_dir: str = setting("./squad_finetune", "folder of everything that is written")
    optimizer: OptimizerConfig = setting(OptimizerConfig(**_POLYNOMIAL), "optimiser, schedule, clipping; the model zoo's values")

    def __post_init__(self):
        super().__post_init__()
        if not self.eval_data_file_path:  # Google's and NVIDIA's run_squad.py score the file that they predict
            own = None if self.data_dir else self.predict_data_file_path
            object.__setattr__(self, "eval_data_file_path", self.eval_json_path or own)

    @property
    def metrics(self) -> tuple[str, ...]:
        return METRICS

    @classmethod
    def complete(cls, tree: EasyDict) -> None:
        """Fill in also the model zoo's values for the chosen optimiser."""
        super().complete(tree)
        given = tree.get("optimizer", {})
        is_adam = str(given.get("name")).lower().startswith("adamweightdecay")
        tree.optimizer = {**_POLYNOMIAL, **({"weight_decay": _WEIGHT_DECAY} if is_adam else {}), **given}


MODEL, OPTIONS = SquadModel, SquadOptions
