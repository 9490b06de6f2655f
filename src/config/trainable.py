"""Settings that every training has: optimiser, rows, updates, checkpoints."""

import dataclasses
from importlib.util import find_spec
from typing import Any, ClassVar

from src.config.fields import setting
from src.config.training import WEIGHT_FORMS, ModelOptions, OptimizerConfig, RunOptions

TRACKERS = {"tensorboard": "tensorboardX", "swanlab": "swanlab", "wandb": "wandb"}  # program -> package


@dataclasses.dataclass(frozen=True)
class UpdateOptions(ModelOptions):
    """What an update of a network computes, which its memory depends on; no files and no number of updates."""

    load_pretrain_checkpoint_path: str | None = setting(None, f"weights to start from: {WEIGHT_FORMS}")
    accumulation_steps: int = setting(1, "micro-batches that make one update", minimum=1)
    optimizer: OptimizerConfig = setting(OptimizerConfig(), "optimiser, schedule, clipping")

    @property
    def frozen_parts(self) -> tuple[str, ...]:
        """The parts of the network that are not trained; this and what follows are settings of fine-tuning."""
        return ()

    @property
    def rate_factors(self) -> dict[str, float]:
        """Part of the network -> its learning rate divided by optimizer.learning_rate; 1 for other parts."""
        return {}

    @property
    def adversarial(self) -> str | None:
        """How word embeddings are moved to raise the loss, if they are."""
        return None

    @property
    def r_drop(self) -> float | None:
        """The weight of the divergence of two predictions of each row, if two are made."""
        return None

    @property
    def ema(self) -> float | None:
        """The decay of a moving average of the weights, if there is one."""
        return None


@dataclasses.dataclass(frozen=True)
class Stage:
    """One of the trainings, one after the other, that a recipe with `stages` describes: src/config/stages.py.

    Attributes:
        number, count: this one from 1, and how many there are.
        first_update, updates: updates of the stages before it, and of all stages.
        own_schedule: whether the learning rate's schedule begins anew with it.
        later: (rows of one rank, seq_length) of each stage after it.
        recipe: the settings of all stages, as in config.yaml.
    """

    number: int
    count: int
    first_update: int
    updates: int
    own_schedule: bool
    later: tuple[tuple[int, int | None], ...]
    recipe: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class TrainingOptions(UpdateOptions, RunOptions):
    """Settings that src/train/loop.py needs, in pretraining and in fine-tuning."""

    STAGED: ClassVar[tuple[str, ...]] = ()  # settings that may differ between the stages of a recipe; none: there are no stages

    EVALUATIONS: ClassVar[str] = "--eval_steps or --eval_epochs"  # the flags that ask for evaluations during training
    refuses_used_folder: ClassVar[bool] = False  # True: start no new training in a folder with checkpoints; False: set those aside

    epoch_num: float = setting(3.0, "passes over the training set, unless train_steps is given", above=0)
    train_steps: int = setting(-1, "updates of the whole run; -1: as many as epoch_num needs", minimum=-1)
    train_batch_size: int = setting(32, "rows in a training step on each device", minimum=1)
    eval_batch_size: int = setting(32, "rows in an evaluation step on each device; does not change results", minimum=1)
    allreduce_post_accumulation: bool = setting(True, "sum gradients over ranks once per update; false: after each micro-batch")
    train_data_shuffle: bool = setting(True, "shuffle the training rows in each epoch")
    enable_save_ckpt: bool = setting(True, "save checkpoints")
    save_checkpoint_steps: int | None = setting(None, "updates between checkpoints; default: one checkpoint per epoch", minimum=1)
    save_checkpoint_num: int = setting(1, "number of newest checkpoints to keep", minimum=1)
    resume: bool = setting(False, "continue from the newest checkpoint in the folder, even in the middle of an epoch")
    overwrite: bool = setting(
        False, "remove an earlier training's checkpoints from the folder; false: move them to its subfolder earlier-N"
    )
    enable_data_sink: bool = setting(False, "feed the device several steps at a time, in batches of one length; not on the CPU")
    data_sink_steps: int = setting(1, "updates fed at a time; each is accumulation_steps steps", minimum=1)
    log_steps: int = setting(10, "updates between step lines", minimum=1)
    log_format: str = setting(
        "plain", "form of the step lines; zoo: as the model zoo's scripts print them; paddle: as PaddlePaddle's", ("plain", "zoo", "paddle")
    )
    eval_steps: int | None = setting(
        None, "updates between evaluations of the development set during training; default: none, unless eval_epochs is given", minimum=1
    )
    eval_epochs: float | None = setting(None, "the same in passes over the training set, such as 1 or 0.5", above=0)
    best_metric: str | None = setting(
        None,
        "measure by which the best checkpoint of these evaluations is kept; a loss or perplexity is best where lowest; default: the "
        "one printed as the result",
    )
    early_stopping: int | None = setting(None, "end the training after this many evaluations in a row without a better score", minimum=1)
    track: str | None = setting(
        None, "program that shows the training, besides log.jsonl and figures: its library must be installed", (*TRACKERS,)
    )
    stage: Stage | None = dataclasses.field(default=None, metadata={"derived": True})

    def __post_init__(self):
        super().__post_init__()
        if self.train_steps == 0:
            raise ValueError("train_steps=0: there is nothing to do; -1 means as many as epoch_num needs")
        if self.resume and not self.enable_save_ckpt:
            raise ValueError("resume=true needs enable_save_ckpt=true")
        if self.eval_steps and self.eval_epochs:
            raise ValueError(f"eval_steps={self.eval_steps} and eval_epochs={self.eval_epochs:g}: give one of them")
        if self.early_stopping and not self.asks_for_evaluations:
            raise ValueError(
                f"early_stopping={self.early_stopping} counts evaluations during training, and there are none: give {self.EVALUATIONS}"
            )
        if self.best_metric not in (None, *self.metrics):
            raise ValueError(f"best_metric={self.best_metric} is not allowed: this task has {', '.join(self.metrics)}")
        if self.enable_data_sink and len(self.bucket_list) > 1 and self.device.data_sink:
            raise ValueError("bucket_list: enable_data_sink=true takes batches of one length; give one length, or --enable_data_sink false")

    def check_run(self) -> None:
        if self.track and not find_spec(TRACKERS[self.track]):
            package = TRACKERS[self.track]
            raise ValueError(f"track={self.track}: the package {package} is not installed: pip install {package}")

    @property
    def train_updates(self) -> int | None:
        """Updates of the whole run; None: as many as epoch_num needs."""
        return self.train_steps if self.train_steps > 0 else None

    @property
    def asks_for_evaluations(self) -> bool:
        """Whether the settings ask for evaluations during training."""
        return bool(self.eval_steps or self.eval_epochs)

    @property
    def evaluates(self) -> bool:
        """Whether this run evaluates during training."""
        return self.asks_for_evaluations

    @property
    def evaluate_every(self) -> int | None:
        """Updates between evaluations during training; None if there are none, or `eval_epochs` says when they are."""
        return self.eval_steps

    @property
    def metrics(self) -> tuple[str, ...]:
        """The measures that best_metric may name."""
        return ("eval_loss",)

    @property
    def measure(self) -> str:
        """The measure that is printed as the result."""
        return self.metrics[0]

    @property
    def drops_short_batch(self) -> bool:
        """Whether the rows after an epoch's last whole batch are left out, because filler rows would disturb batch statistics."""
        return False
