"""Settings of a classifier, and options of run_classifier.py."""

import dataclasses

from src.config.fields import setting
from src.config.finetune import FineTunedModel, FineTuneOptions, LabelledOptions
from src.tasks.classifier.data_sets import DATA_SETS

ASSESSMENT_METHODS = ("accuracy", "f1", "mcc", "spearman_correlation", "auc")
NORM_EPS = 1e-5  # added to the variance in the batch normalisation of the cnn head
METRICS = ("accuracy", "precision", "recall", "f1", "mcc", "spearman_correlation", "auc", "eval_loss")
REGRESSION_METRICS = ("spearman_correlation", "pearson_correlation", "eval_loss")
LONG_DOCUMENTS = ("cut", "mean", "max")
HEADS = ("linear", "cnn", "rcnn")


@dataclasses.dataclass(frozen=True)
class ClassifierModel(FineTunedModel):
    """A classifier of single texts or pairs, or a regression of a score."""

    # settings that evaluation and prediction take from the training; written into the checkpoint folder
    TRAINED_WITH = ("task_name", "columns", "language", "seq_length", "num_class", "head", "cnn_batch_norm", "long_documents")
    UNSAID = {"long_documents": "cut"}

    task_name: str = setting("custom", "data set, which fixes the columns of the files; custom needs --columns", ("custom", *DATA_SETS))
    columns: str | None = setting(None, "columns of a custom task: text_a=NAME_OR_INDEX[,text_b=…][,label=…], indices from 0")
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
        if self.task_name == "stsb" and self.num_class not in (None, 1):
            raise ValueError(f"num_class={self.num_class}: stsb is a regression, for which num_class is 1")

    @property
    def is_regression(self) -> bool:
        """Whether the network gives one score per row instead of classes."""
        return self.num_class == 1 or self.task_name == "stsb"


@dataclasses.dataclass(frozen=True)
class ClassifierOptions(ClassifierModel, LabelledOptions, FineTuneOptions):
    """Classification of single texts and pairs, and regression of a score."""

    assessment_method: str | None = setting(
        None,
        "measure printed as the result; default: cola mcc, mrpc and qqp f1, stsb spearman_correlation, info auc, else accuracy",
        ASSESSMENT_METHODS,
    )
    class_weights: tuple[str, ...] = setting(
        (), "weight of each class in the training loss, in id order; balanced: inversely proportional to its rows"
    )
    fold_groups: str | None = setting(
        None, "column, by name or index, whose equal values mark rows that must be in one fold, such as those of one author"
    )
    output_dir: str = setting("./classifier_finetune", "folder of everything that is written")
    label2id_file_path: str | None = setting(
        None, "file of class names, one per line, or JSON: {name: id}, {id: name}, [name, …] or CLUE's labels.json"
    )

    def __post_init__(self):
        super().__post_init__()
        if self.fold_groups and not self.folds:
            raise ValueError(f"fold_groups={self.fold_groups}: goes with --folds")
        if self.is_regression and self.assessment_method not in (None, "spearman_correlation"):
            raise ValueError(f"assessment_method={self.assessment_method}: a regression has spearman_correlation only")
        for name in ("class_weights", "label2id_file_path", "label_smoothing", "focal_gamma"):
            if self.is_regression and getattr(self, name):
                raise ValueError(f"{name}: a regression has no classes")

    @property
    def metrics(self) -> tuple[str, ...]:
        return REGRESSION_METRICS if self.is_regression else METRICS

    @property
    def measure(self) -> str:
        known = DATA_SETS.get(self.task_name)
        own = "spearman_correlation" if self.is_regression else known.measure if known else "accuracy"
        return self.assessment_method or own

    @property
    def drops_short_batch(self) -> bool:
        return self.cnn_batch_norm


MODEL, OPTIONS = ClassifierModel, ClassifierOptions
