"""Options of run_classifier.py."""

import dataclasses

from src.config.fields import setting
from src.config.training import DeviceSettings, FineTuneOptions

TASKS = ("custom", "cola", "sst2", "mrpc", "stsb", "mnli", "xnli", "tnews", "news", "info", "chnsenticorp")
ASSESSMENT_METHODS = ("accuracy", "f1", "mcc", "spearman_correlation", "auc")
HEADS = ("linear", "cnn", "rcnn")
_OWN_METHODS = {"cola": "mcc", "mrpc": "f1", "stsb": "spearman_correlation", "info": "auc"}


@dataclasses.dataclass(frozen=True)
class ClassifierOptions(FineTuneOptions):
    """Classification of single texts and pairs, and regression of a score."""

    task_name: str = setting("custom", "which columns the files have; custom goes with --columns", TASKS)
    columns: str | None = setting(None, "for custom: text_a=NAME_OR_INDEX[,text_b=…][,label=…], indices from 0")
    language: str = setting("en", "of xnli: which rows and which training file are taken")
    assessment_method: str | None = setting(
        None,
        "measure printed as the result; default: cola mcc, mrpc f1, stsb spearman_correlation, info auc, else accuracy",
        ASSESSMENT_METHODS,
    )
    num_class: int | None = setting(None, "classes; default: those of the task or of the training file; 1 is regression", minimum=1)
    head: str = setting("linear", "linear: dense on [CLS]; cnn: filters over 1 to 4 tokens; rcnn: BiLSTM contexts", HEADS)
    cnn_batch_norm: bool = setting(False, "batch normalisation between the filters of cnn and ReLU")
    class_weights: tuple[str, ...] = setting((), "weight of each class in the training loss, in id order; balanced: inverse to its rows")
    output_dir: str = setting("./classifier_finetune", "folder of everything that is written")
    labels: tuple[str, ...] = setting((), "class names in id order; default: those of the task or of the training file, sorted")
    device: DeviceSettings = dataclasses.field(default=DeviceSettings(), metadata={"derived": True})

    def __post_init__(self):
        super().__post_init__()
        if self.cnn_batch_norm and self.head != "cnn":
            raise ValueError(f"cnn_batch_norm=true is for head=cnn, not for head={self.head}")
        if self.task_name == "stsb" and self.num_class not in (None, 1):
            raise ValueError(f"num_class={self.num_class}: stsb is a regression, which has 1")
        if self.is_regression and self.assessment_method not in (None, "spearman_correlation"):
            raise ValueError(f"assessment_method={self.assessment_method}: a regression has spearman_correlation only")
        if self.is_regression and self.class_weights:
            raise ValueError("class_weights: a regression has no classes")

    @property
    def is_regression(self):
        """Whether the network gives one score a row instead of classes."""
        return self.num_class == 1 or self.task_name == "stsb"

    @property
    def measure(self):
        """The measure that is printed as the result."""
        own = "spearman_correlation" if self.is_regression else _OWN_METHODS.get(self.task_name, "accuracy")
        return self.assessment_method or own

    @property
    def drops_short_batch(self):
        return self.cnn_batch_norm
