"""Settings of a tagger, and options of run_ner.py."""

import dataclasses
from typing import Any

from easydict import EasyDict

from src.config.coercion import coerce
from src.config.fields import setting
from src.config.finetune import FineTunedModel, FineTuneOptions, LabelledOptions

ASSESSMENT_METHODS = ("entity", "f1", "bf1", "mf1", "clue_benchmark", "accuracy")
METRICS = ("f1", "precision", "recall", "macro_f1", "accuracy", "eval_loss")
_PRINTED = {"mf1": "macro_f1", "clue_benchmark": "macro_f1", "accuracy": "accuracy"}  # assessment method -> its measure, if it is not f1
SCHEMES = ("BIO", "BIOS", "IOE", "BIOE", "BIOES", "BMES")


@dataclasses.dataclass(frozen=True)
class NerModel(FineTunedModel):
    """A tagger of tokens: with softmax, a CRF, or a BiLSTM and a CRF."""

    # settings that evaluation and prediction take from the training; written into the checkpoint folder
    TRAINED_WITH = ("seq_length", "use_crf", "with_lstm", "crf_constraints", "class_filter", "tagged_pieces")
    task_name = "ner"

    use_crf: bool = setting(False, "score the tags of a sentence together, with a CRF")
    with_lstm: bool = setting(False, "add a BiLSTM between encoder and tags")
    crf_constraints: bool = setting(True, "forbid transitions of the CRF that the tag scheme does not allow")
    tagged_pieces: str = setting(
        "all",
        "word pieces that are tagged: all, or only the first of each word, for the whole word; the default without training is that of "
        "the weights, and first for another program's weights that name their tags",
        ("all", "first"),
    )
    class_filter: tuple[str, ...] = setting((), "elements of an MSRA XML file that count as entities, such as NAMEX; default: all")
    labels: tuple[str, ...] = setting((), "tags in id order; default: see label2id_file_path")

    def __post_init__(self):
        super().__post_init__()
        if self.use_crf and self.tagged_pieces == "first":
            raise ValueError("tagged_pieces=first: only for the softmax; a CRF (use_crf) tags all pieces")
        if self.with_lstm and self.model.hidden_size < 2:
            raise ValueError("with_lstm needs model.hidden_size of at least 2: each direction has half of it")

    @classmethod
    def trained_elsewhere(cls, tree: EasyDict) -> dict[str, Any]:
        """tagged_pieces first, as in Hugging Face's run_ner.py; none with a CRF, which that program does not have."""
        return {} if coerce(tree.get("use_crf", False), bool, "use_crf", {}) else {"tagged_pieces": "first"}


@dataclasses.dataclass(frozen=True)
class NerOptions(NerModel, LabelledOptions, FineTuneOptions):
    """Named entities: tags of tokens, with softmax, a CRF, or a BiLSTM and a CRF."""

    assessment_method: str = setting(
        "entity",
        "result to print; entity: scores of exact spans, with a line for each type; f1 (or BF1): their precision, recall and F1; mf1: "
        "the mean F1 of the types; clue_benchmark: writes ner_predict.json and scores it; accuracy: of tokens",
        ASSESSMENT_METHODS,
    )
    legacy_metrics: bool = setting(
        False, "print the model zoo's measure of that name instead, which counts padding and compares texts, not spans"
    )
    label2id_file_path: str | None = setting(
        None,
        "file of entity types (tags in the model zoo's order) or tags, one per line, or JSON {tag: id}; default: the training file's",
    )
    tag_scheme: str | None = setting(None, "scheme of the tags if no label file lists them; default: the data's own, else BIO", SCHEMES)
    long_documents: str = setting(
        "cut",
        "sentences longer than seq_length in training; cut: their end is left out; windows: they become several rows, which overlap by a "
        "quarter, as in evaluation",
        ("cut", "windows"),
    )
    predict_text_file_path: str | None = setting(None, "raw text to predict, one sentence per line")
    epoch_num: float = setting(5.0, "passes over the training set", above=0)
    crf_learning_rate: float | None = setting(
        None, "peak learning rate of the CRF's transitions; default: that of the head; often 10 to 100 times the encoder's", above=0
    )
    output_dir: str = setting("./ner_finetune", "folder of everything that is written")

    @property
    def metrics(self) -> tuple[str, ...]:
        return METRICS

    @property
    def measure(self) -> str:
        return _PRINTED.get(self.assessment_method, "f1")

    def check_run(self) -> None:
        super().check_run()
        if self.predict_text_file_path and not self.do_predict:
            raise ValueError("predict_text_file_path goes with --do_predict true")

    def __post_init__(self):
        super().__post_init__()
        if self.predict_text_file_path and self.predict_data_file_path:
            raise ValueError("predict_text_file_path and predict_data_file_path: give one of them")
        if self.legacy_metrics and self.assessment_method == "entity":
            raise ValueError("legacy_metrics: only for --assessment_method bf1, mf1, clue_benchmark or accuracy, the model zoo's")
        if self.crf_learning_rate and not self.use_crf:
            raise ValueError(f"crf_learning_rate={self.crf_learning_rate}: there is no CRF; --use_crf true adds one")
        if self.use_crf and (self.label_smoothing or self.focal_gamma):
            raise ValueError("label_smoothing and focal_gamma: only for the softmax; a CRF (use_crf) scores whole rows")

    @property
    def rate_factors(self) -> dict[str, float]:
        own = {"crf": self.crf_learning_rate / self.optimizer.learning_rate} if self.crf_learning_rate else {}
        return super().rate_factors | own


MODEL, OPTIONS = NerModel, NerOptions
