import dataclasses

from src.config.fields import setting
from src.config.finetune import FineTuneOptions


@dataclasses.dataclass(frozen=True)
class ToyOptions(FineTuneOptions):
    """Whether a text is kind."""

    TRAINED_WITH = ("seq_length",)
    task_name = "toy"
    output_dir: str = setting("./toy_finetune", "folder of everything that is written")


OPTIONS = ToyOptions
