"""Settings of a classifier, and options of run_classifier.py."""

import dataclasses
from typing import Any

from src.config.coercion import coerce
from src.config.fields import setting
from src.config.finetune import FineTunedModel, FineTuneOptions, LabelledOptions
from src.config.model import OF_CHOICES, SEVERAL_LABELS, WeightsInfo
from src.tasks.classifier.data_sets import DATA_SETS, SEPARATOR, parse_columns

ASSESSMENT_METHODS = ("accuracy", "f1", "mcc", "spearman_correlation", "auc")
SEVERAL_LABELS_METHODS = ("micro_f1", "macro_f1", "sample_f1", "subset_accuracy", "mean_average_precision")
NORM_EPS = 1e-5  # added to the variance in the batch normalisation of the cnn head
METRICS = ("accuracy", "precision", "recall", "f1", "mcc", "spearman_correlation", "auc", "eval_loss")
REGRESSION_METRICS = ("spearman_correlation", "pearson_correlation", "eval_loss")
SEVERAL_LABELS_METRICS = (*SEVERAL_LABELS_METHODS, "micro_precision", "micro_recall", "eval_loss")
CHOICE_METRICS = ("accuracy", "eval_loss")
LONG_DOCUMENTS = ("cut", "mean", "max")
PREDICTION_COLUMNS = ("plain", "titles")
HEADS = ("linear", "cnn", "rcnn")
_TASK_OF_CHOICES = "swag"  # of weights of another program; c3 is the same but for names of files
_NOT_OF_CHOICES = ("class_weights", "label2id_file_path", "label_smoothing", "focal_gamma", "packing")


def _has_choices(task_name):
    return task_name in DATA_SETS and DATA_SETS[task_name].choices


@dataclasses.dataclass(frozen=True)
class ClassifierModel(FineTunedModel):
    """A classifier of single texts or pairs, by one label or several, a regression of a score, or multiple choice."""

    # settings that evaluation and prediction take from the training; written into the checkpoint folder
    TRAINED_WITH = (
        *("task_name", "columns", "language", "seq_length", "num_class", "head", "cnn_batch_norm", "long_documents"),
        *("multi_label", "label_separator", "thresholds"),
    )
    UNSAID = {"long_documents": "cut", "multi_label": False, "label_separator": SEPARATOR, "thresholds": ()}

    ZOO_SCRIPT = "run_classifier"

    task_name: str = setting("custom", "data set, which fixes the columns of the files; custom needs --columns", ("custom", *DATA_SETS))
    columns: str | None = setting(
        None,
        "columns of a custom task: text_a=NAME_OR_INDEX[,text_b=…][,label=…], indices from 0; with multi_label several label=… are columns "
        "of 0 and 1, one for each label",
    )
    multi_label: bool = setting(False, "several labels a text, or none: each label has a probability of its own")
    label_separator: str = setting(SEPARATOR, "what separates the labels of a text in their column, unless that holds a JSON list")
    thresholds: tuple[str, ...] = setting(
        (), "probability from which a text has a label, with multi_label: one number for all, LABEL=X for one of them; default: 0.5"
    )
    language: str | None = setting(None, "language of xnli, which chooses rows and training file; default: en")
    num_class: int | None = setting(
        None, "number of classes; default: as many as the task or the training file has; 1 means regression", minimum=1
    )
    head: str = setting(
        "linear", "classification head; linear: a dense layer on [CLS]; cnn: filters over 1 to 4 tokens; rcnn: BiLSTM contexts", HEADS
    )
    cnn_batch_norm: bool = setting(False, "batch normalisation between the filters and the ReLU of the cnn head")
    long_documents: str = setting(
        "cut",
        "single texts longer than seq_length; cut: their end is left out; mean, max: they become several rows, windows that overlap by a "
        "quarter, each trained with the text's label, and a text's probabilities are the mean, or the normalised maximum, of theirs",
        LONG_DOCUMENTS,
    )
    labels: tuple[str, ...] = setting((), "class names in id order; default: those of the task or of the training file, sorted")

    def __post_init__(self):
        super().__post_init__()
        if self.columns and self.task_name != "custom":
            raise ValueError(f"columns={self.columns}: only for task_name=custom; the columns of {self.task_name} are known")
        if self.language and self.task_name != "xnli":
            raise ValueError(f"language={self.language}: only for task_name=xnli, not for {self.task_name}")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels={','.join(self.labels)}: a label is given twice")
        if self.head == "rcnn" and self.model.hidden_size < 2:
            raise ValueError("head=rcnn needs model.hidden_size of at least 2: each direction has half of it")
        if self.cnn_batch_norm and self.head != "cnn":
            raise ValueError(f"cnn_batch_norm=true is for head=cnn, not for head={self.head}")
        self._check_several_labels()
        self._check_choices()
        if self.task_name == "stsb" and self.num_class not in (None, 1):
            raise ValueError(f"num_class={self.num_class}: stsb is a regression, for which num_class is 1")

    def _check_several_labels(self) -> None:
        if not self.multi_label:
            for name in ("label_separator", "thresholds"):
                if getattr(self, name) != getattr(ClassifierModel, name):
                    raise ValueError(f"{name}: only for --multi_label true")
            if self.columns and isinstance(parse_columns(self.columns).label, tuple):
                raise ValueError(f"columns={self.columns}: several columns of labels are for --multi_label true")
        elif self.task_name != "custom":
            raise ValueError(f"multi_label=true: is for task_name=custom; the texts of {self.task_name} have one label each")
        elif self.is_regression:
            raise ValueError("multi_label=true: num_class=1 means a regression, which has no labels")
        elif not self.label_separator.strip(" ") and self.label_separator != " ":
            raise ValueError("label_separator is empty: give what separates the labels of a text, such as --label_separator ';'")

    def _check_choices(self) -> None:
        if not self.has_choices:
            return
        for name in ("labels", "cnn_batch_norm"):
            if getattr(self, name):
                raise ValueError(f"{name}: is not for task_name={self.task_name}, whose questions have choices, no classes")
        if self.num_class not in (None, 1) or self.long_documents != "cut":
            raise ValueError(f"task_name={self.task_name}: num_class and long_documents are not for questions with choices")

    @classmethod
    def take_kind(cls, tree: Any, found: WeightsInfo, where: Any) -> None:
        """Several labels a text if Hugging Face's problem_type says so, choices if the class does; a ValueError if the settings deny it."""
        if tree.get("thresholds") == []:  # of a training's config.yaml, written before they were tuned: those beside the weights count
            del tree["thresholds"]
        if found.problem_type == SEVERAL_LABELS and not coerce(tree.setdefault("multi_label", True), bool, "multi_label", {}):
            raise ValueError(f"multi_label=false: {where} has problem_type={SEVERAL_LABELS}, a probability for each label")
        if found.architecture.endswith(OF_CHOICES):
            name = tree.setdefault("task_name", found.trained_with.get("task_name", _TASK_OF_CHOICES))
            if not _has_choices(name):
                raise ValueError(f"task_name={name}: {where} is a {found.architecture}: --task_name {_TASK_OF_CHOICES} or c3")

    @property
    def is_regression(self) -> bool:
        """Whether the network gives one score per row instead of classes."""
        return (self.num_class == 1 or self.task_name == "stsb") and not self.has_choices

    @property
    def has_choices(self) -> bool:
        """Whether the rows are the choices of questions, of each of which one is right."""
        return _has_choices(self.task_name)


@dataclasses.dataclass(frozen=True)
class ClassifierOptions(ClassifierModel, LabelledOptions, FineTuneOptions):
    """Classification of single texts and pairs, by one label or several, regression of a score, and multiple choice."""

    tune_thresholds: str | None = setting(
        None,
        "choose the thresholds on the development set and keep them with the model; one: for all labels, by micro F1; each: by its own F1",
        ("one", "each"),
    )
    assessment_method: str | None = setting(
        None,
        "measure printed as the result; default: cola mcc, mrpc and qqp f1, stsb spearman_correlation, info auc, multi_label micro_f1, "
        "else accuracy",
        ASSESSMENT_METHODS + SEVERAL_LABELS_METHODS,
    )
    class_weights: tuple[str, ...] = setting(
        (),
        "weight of each class in the training loss, in id order; balanced: inversely proportional to its rows; with multi_label: weight of "
        "a label where a text has it, balanced: rows without it / rows with it",
    )
    fold_groups: str | None = setting(
        None, "column, by name or index, whose equal values mark rows that must be in one fold, such as those of one author"
    )
    output_dir: str = setting("./classifier_finetune", "folder of everything that is written")
    do_test: bool = setting(False, "predict the test set, and measure the predictions by its labels")
    prediction_columns: str = setting(
        "plain",
        "columns of predictions.csv; titles: title, label, prob, pre_label and confident, as bert_multi_gpu has them",
        PREDICTION_COLUMNS,
    )
    label2id_file_path: str | None = setting(
        None, "file of class names, one per line, or JSON: {name: id}, {id: name}, [name, …] or CLUE's labels.json"
    )

    def __post_init__(self):
        super().__post_init__()
        if self.do_test:
            object.__setattr__(self, "do_predict", True)
        if self.fold_groups and not self.folds:
            raise ValueError(f"fold_groups={self.fold_groups}: goes with --folds")
        self._check_measure()
        if self.tune_thresholds and not self.multi_label:
            raise ValueError("tune_thresholds: only for --multi_label true")
        for name in _NOT_OF_CHOICES if self.has_choices else ():
            if getattr(self, name):
                raise ValueError(f"{name}: is not for task_name={self.task_name}, whose questions have choices, no classes")
        if self.is_regression and self.assessment_method not in (None, "spearman_correlation"):
            raise ValueError(f"assessment_method={self.assessment_method}: a regression has spearman_correlation only")
        one_class = not (self.is_regression or self.multi_label or self.has_choices)
        if self.prediction_columns != "plain" and not one_class:
            raise ValueError(f"prediction_columns={self.prediction_columns}: only for texts with one class each")
        if self.do_test and (self.multi_label or self.has_choices):
            raise ValueError("do_test: not for several labels a text and for choices; give the test set as --eval_data_file_path")
        for name in ("class_weights", "label2id_file_path", "label_smoothing", "focal_gamma"):
            if self.is_regression and getattr(self, name):
                raise ValueError(f"{name}: a regression has no classes")

    def _check_measure(self) -> None:
        fitting = SEVERAL_LABELS_METHODS if self.multi_label else ASSESSMENT_METHODS
        if self.assessment_method not in (None, *fitting):
            told = f"multi_label={str(self.multi_label).lower()} has {', '.join(fitting)}"
            raise ValueError(f"assessment_method={self.assessment_method} is not allowed: {told}")
        if self.has_choices and self.assessment_method not in (None, "accuracy"):
            raise ValueError(f"assessment_method={self.assessment_method}: questions with choices have accuracy only")

    def check_run(self) -> None:
        super().check_run()
        if self.tune_thresholds and not (self.do_eval or self.folds and self.do_train):
            raise ValueError(f"tune_thresholds={self.tune_thresholds}: is done on the development set: give --do_eval true")

    @property
    def metrics(self) -> tuple[str, ...]:
        if self.multi_label:
            return SEVERAL_LABELS_METRICS
        if self.has_choices:
            return CHOICE_METRICS
        return REGRESSION_METRICS if self.is_regression else METRICS

    @property
    def measure(self) -> str:
        known = DATA_SETS.get(self.task_name)
        if self.multi_label:
            return self.assessment_method or SEVERAL_LABELS_METHODS[0]
        own = "spearman_correlation" if self.is_regression else known.measure if known else "accuracy"
        return self.assessment_method or own

    @property
    def packs(self) -> bool:
        """As in FineTuneOptions; questions with choices are not packed."""
        return super().packs and not self.has_choices

    @property
    def drops_short_batch(self) -> bool:
        return self.cnn_batch_norm


MODEL, OPTIONS = ClassifierModel, ClassifierOptions
