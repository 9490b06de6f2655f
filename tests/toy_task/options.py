import dataclasses

from src.config.fields import setting
from src.config.finetune import FineTunedModel, FineTuneOptions


@dataclasses.dataclass(frozen=True)
class ToyModel(FineTunedModel):
    """A network that tells whether a text is kind."""

    TRAINED_WITH = ("seq_length",)
    task_name = "toy"


@dataclasses.dataclass(frozen=True)
class ToyOptions(ToyModel, FineTuneOptions):
    """Whether a text is kind."""

    output_dir: str = setting("./toy_finetune", "folder of everything that is written")


MODEL, OPTIONS = ToyModel, ToyOptions
