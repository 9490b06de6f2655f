"""Settings that every training has: rows, updates, checkpoints, optimiser."""

import dataclasses
from typing import ClassVar

from src.config.fields import setting
from src.config.training import WEIGHT_FORMS, OptimizerConfig, RunOptions


@dataclasses.dataclass(frozen=True)
class TrainingOptions(RunOptions):
    """What src/train/loop.py asks for, whether a network is pretrained or fine-tuned."""

    WEIGHTS: ClassVar[str] = "load_pretrain_checkpoint_path"  # the setting that names the weights to start from
    refuses_used_folder: ClassVar[bool] = False  # start no new training in a folder with checkpoints; False: set them aside

    epoch_num: float = setting(3.0, "passes over the training set, unless train_steps is given", above=0)
    train_steps: int = setting(-1, "updates of the whole run; -1: as epoch_num says", minimum=-1)
    train_batch_size: int = setting(32, "rows of a training step on each device", minimum=1)
    eval_batch_size: int = setting(32, "rows of an evaluation step on each device; results do not depend on it", minimum=1)
    accumulation_steps: int = setting(1, "micro-batches whose gradients make one update", minimum=1)
    allreduce_post_accumulation: bool = setting(True, "sum gradients over ranks once an update; false: after each micro-batch")
    train_data_shuffle: bool = setting(True, "new order of the training rows each epoch")
    load_pretrain_checkpoint_path: str | None = setting(None, f"weights to start from: {WEIGHT_FORMS}")
    enable_save_ckpt: bool = setting(True, "save checkpoints")
    save_checkpoint_steps: int | None = setting(None, "updates between checkpoints; default: one an epoch", minimum=1)
    save_checkpoint_num: int = setting(1, "newest checkpoints kept", minimum=1)
    resume: bool = setting(False, "continue from the newest checkpoint in the folder, also in the middle of an epoch")
    overwrite: bool = setting(False, "remove the checkpoints of an earlier training in the folder; false: keep them in earlier-N there")
    enable_data_sink: bool = setting(False, "feed the device several steps at a time, in batches of one length; the CPU cannot")
    data_sink_steps: int = setting(1, "steps fed at a time, times accumulation_steps", minimum=1)
    log_steps: int = setting(10, "updates between step lines", minimum=1)
    optimizer: OptimizerConfig = setting(OptimizerConfig(), "optimiser, schedule, clipping")

    def __post_init__(self):
        super().__post_init__()
        if self.train_steps == 0:
            raise ValueError("train_steps=0: there is nothing to do; -1 means as epoch_num says")
        if self.resume and not self.enable_save_ckpt:
            raise ValueError("resume=true needs enable_save_ckpt=true")
        if self.enable_data_sink and len(self.bucket_list) > 1 and self.device.data_sink:
            raise ValueError("bucket_list: enable_data_sink=true takes batches of one length; give one length, or --enable_data_sink false")

    @property
    def train_updates(self) -> int | None:
        """Updates of the whole run; None: as epoch_num says."""
        return self.train_steps if self.train_steps > 0 else None

    @property
    def evaluate_every(self) -> int | None:
        """Updates between evaluations during training; None for none."""
        return None

    @property
    def drops_short_batch(self) -> bool:
        """Whether the rows behind an epoch's last whole batch are left out, as filler rows would disturb batch statistics."""
        return False
