"""Options of run_classifier.py."""

import dataclasses

from src.config.fields import setting
from src.config.training import DeviceSettings, FineTuneOptions

TASKS = ("custom", "cola", "sst2")
ASSESSMENT_METHODS = ("accuracy", "f1", "mcc", "spearman_correlation", "auc")


@dataclasses.dataclass(frozen=True)
class ClassifierOptions(FineTuneOptions):
    """Classification of single texts and pairs."""

    task_name: str = setting("custom", "which columns the files have; custom goes with --columns", TASKS)
    columns: str | None = setting(None, "for custom: text_a=NAME_OR_INDEX[,text_b=…][,label=…], indices from 0")
    assessment_method: str = setting("accuracy", "measure printed as the result", ASSESSMENT_METHODS)
    num_class: int | None = setting(None, "number of classes; default: those of the task or of the training file", minimum=1)
    output_dir: str = setting("./classifier_finetune", "folder of everything that is written")
    labels: tuple[str, ...] = setting((), "class names in id order; default: those of the task or of the training file, sorted")
    device: DeviceSettings = dataclasses.field(default=DeviceSettings(), metadata={"derived": True})
