"""Settings of a tagger, and options of run_ner.py."""

import dataclasses
from pathlib import Path
from typing import Any

from easydict import EasyDict

from src.config.coercion import coerce
from src.config.fields import setting
from src.config.finetune import FineTunedModel, FineTuneOptions, LabelledOptions
from src.config.model import WeightsInfo

POINTER = "global_pointer"
QUERY_SIZE = 64  # of a pointer's queries and keys
SPANS_PER_TOKEN = 2  # a pointer finds at most so many entities for each position of a row
_TAGGERS = {(False, False): "softmax", (True, False): "crf", (False, True): "lstm_softmax", (True, True): "lstm_crf"}
_SWITCHES = ("use_crf", "with_lstm")  # what the keys of _TAGGERS are: the older names of the heads
_SOFTMAX = ("softmax", "lstm_softmax")
HEADS = (*_TAGGERS.values(), POINTER)
ASSESSMENT_METHODS = ("entity", "f1", "bf1", "mf1", "clue_benchmark", "accuracy")
METRICS = ("f1", "precision", "recall", "macro_f1", "accuracy", "eval_loss")
_PRINTED = {"mf1": "macro_f1", "clue_benchmark": "macro_f1", "accuracy": "accuracy"}  # assessment method -> its measure, if it is not f1
SCHEMES = ("BIO", "BIOS", "IOE", "BIOE", "BIOES", "BMES")


def settle_head(head: str | None, use_crf: bool | None, with_lstm: bool | None) -> str:
    """The head of a network, one of HEADS, by its name or by the two switches that older settings have.

    Raises:
        ValueError: a switch contradicts the name.
    """
    if head is None:
        return _TAGGERS[bool(use_crf), bool(with_lstm)]
    for name, given, part in zip(_SWITCHES, (use_crf, with_lstm), ("crf", "lstm")):
        if given not in (None, part in head):
            raise ValueError(f"{name}={str(given).lower()} and head={head} contradict each other; give the head alone")
    return head


@dataclasses.dataclass(frozen=True)
class NerModel(FineTunedModel):
    """A tagger of tokens, by softmax or a CRF, with a BiLSTM or without; or a global pointer, which scores every span."""

    # settings that evaluation and prediction take from the training; written into the checkpoint folder
    TRAINED_WITH = ("seq_length", "head", *_SWITCHES, "crf_constraints", "class_filter", "tagged_pieces")
    UNSAID = dict.fromkeys(_SWITCHES)
    OLDER_NAMES = {"head": _SWITCHES}
    ZOO_SCRIPT = "run_ner"
    task_name = "ner"

    head: str | None = setting(
        None,
        "how entities are found; softmax: by a tag for each token; crf: by the tags of a sentence together; lstm_softmax, lstm_crf: the "
        "same above a BiLSTM; global_pointer: by a score for each pair of a first and a last token and each type, so that entities may "
        "overlap; default: softmax",
        HEADS,
    )
    use_crf: bool | None = setting(None, "another name of head: true is crf, or lstm_crf beside with_lstm=true")
    with_lstm: bool | None = setting(None, "another name of head: true is lstm_softmax, or lstm_crf beside use_crf=true")
    crf_constraints: bool = setting(True, "forbid transitions of the CRF that the tag scheme does not allow")
    tagged_pieces: str = setting(
        "all",
        "word pieces that are tagged: all, or only the first of each word, for the whole word; the default without training is that of "
        "the weights, and first for another program's weights that name their tags",
        ("all", "first"),
    )
    class_filter: tuple[str, ...] = setting((), "elements of an MSRA XML file that count as entities, such as NAMEX; default: all")
    labels: tuple[str, ...] = setting((), "tags in id order, or entity types for a global pointer; default: see label2id_file_path")

    def __post_init__(self):
        object.__setattr__(self, "head", settle_head(self.head, self.use_crf, self.with_lstm))
        for name in _SWITCHES:
            object.__setattr__(self, name, None)
        super().__post_init__()
        if self.tagged_pieces == "first" and self.head not in _SOFTMAX:
            raise ValueError(f"tagged_pieces=first: only for the softmax; head={self.head} reads all pieces")
        if self.has_lstm and self.model.hidden_size < 2:
            raise ValueError(f"head={self.head} needs model.hidden_size of at least 2: each direction of the BiLSTM has half of it")

    @classmethod
    def complete_from(cls, tree: EasyDict, path: Path | str | None, is_trained: bool) -> None:
        """As for every task; a head or a switch that YAML or flags give counts before those of the weights."""
        has_head = tree.get("head") is not None
        switches = [name for name in _SWITCHES if tree.get(name) is not None]
        super().complete_from(tree, path, is_trained)
        if has_head:
            for name in set(_SWITCHES).difference(switches):
                tree.pop(name, None)
        elif switches and tree.get("head", POINTER) != POINTER:
            trained = tree.pop("head")
            for name, part in zip(_SWITCHES, ("crf", "lstm")):
                tree.setdefault(name, part in trained)

    @classmethod
    def take_kind(cls, tree: EasyDict, found: WeightsInfo, where: Path | str) -> None:
        """As for every task; a ValueError also for spans where tags are asked for, and the reverse."""
        super().take_kind(tree, found, where)
        given, trained = tree.get("head"), found.trained_with.get("head")
        if None not in (given, trained) and (str(given).lower() == POINTER) != (trained == POINTER):
            raise ValueError(f"head={given}: {where} was trained with head={trained}")

    @classmethod
    def trained_elsewhere(cls, tree: EasyDict) -> dict[str, Any]:
        """tagged_pieces first, as in Hugging Face's run_ner.py; none with a head that this program does not have."""
        switches = [coerce(tree.get(name), bool | None, name, {}) for name in _SWITCHES]
        head = tree.get("head") and str(tree.head).lower()  # not coerced yet
        return {"tagged_pieces": "first"} if settle_head(head, *switches) in _SOFTMAX else {}

    @property
    def has_crf(self) -> bool:
        return self.head in ("crf", "lstm_crf")

    @property
    def has_lstm(self) -> bool:
        return self.head in ("lstm_softmax", "lstm_crf")

    @property
    def is_pointer(self) -> bool:
        """Whether the network scores spans instead of tags."""
        return self.head == POINTER


@dataclasses.dataclass(frozen=True)
class NerOptions(NerModel, LabelledOptions, FineTuneOptions):
    """Named entities: tags of tokens, by softmax or a CRF, with a BiLSTM or without; or a score for every span, by a global pointer."""

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
    drop_overlapping: bool = setting(
        False,
        "train without the entities that overlap a longer one, or as long a one before them; false: refuse more than a few of them, which "
        "only head global_pointer can find",
    )
    predict_text_file_path: str | None = setting(None, "raw text to predict, one sentence per line")
    epoch_num: float = setting(5.0, "passes over the training set", above=0)
    crf_learning_rate: float | None = setting(
        None, "peak learning rate of the CRF's transitions; default: that of the head; often 10 to 100 times the encoder's", above=0
    )
    output_dir: str = setting("./ner_finetune", "folder of everything that is written")

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(name for name in METRICS if name != "accuracy") if self.is_pointer else METRICS

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
        if self.crf_learning_rate and not self.has_crf:
            raise ValueError(f"crf_learning_rate={self.crf_learning_rate}: there is no CRF; --head crf has one")
        if (self.label_smoothing or self.focal_gamma) and self.head not in _SOFTMAX:
            raise ValueError(f"label_smoothing and focal_gamma: only for the softmax; head={self.head} has another loss")
        if self.is_pointer:
            self._check_pointer()

    def _check_pointer(self):
        """Refuse the settings of tags, which a pointer does not have."""
        unfit = {"tag_scheme": self.tag_scheme, "legacy_metrics": self.legacy_metrics, "drop_overlapping": self.drop_overlapping}
        unfit["assessment_method"] = self.assessment_method if self.assessment_method == "accuracy" else None
        for name, value in unfit.items():
            if value:
                raise ValueError(f"{name}={value}: only for heads that tag tokens; head={self.head} scores spans, which may overlap")

    @property
    def rate_factors(self) -> dict[str, float]:
        own = {"crf": self.crf_learning_rate / self.optimizer.learning_rate} if self.crf_learning_rate else {}
        return super().rate_factors | own


MODEL, OPTIONS = NerModel, NerOptions
