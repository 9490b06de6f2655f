"""Settings that every training script shares: optimiser, precision, device, fine-tuning."""

import dataclasses

from src.config.fields import check_fields, setting
from src.config.model import ModelConfig

OPTIMIZERS = ("Lamb", "AdamWeightDecay", "AdamW", "Momentum")
SCHEDULES = ("polynomial", "linear", "constant")
CLIPS = ("global_norm", "per_parameter", "none")
COMPUTE_TYPES = ("auto", "float32", "float16", "bfloat16")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser, learning-rate schedule and gradient clipping; the defaults are the model zoo's for fine-tuning."""

    name: str = setting("Lamb", "AdamWeightDecay has no bias correction (Google's), AdamW has it (PyTorch's)", OPTIMIZERS)
    learning_rate: float = setting(2e-5, "peak learning rate", above=0)
    end_learning_rate: float = setting(1e-10, "learning rate after decay_steps (polynomial)", minimum=0)
    schedule: str = setting(
        "polynomial", "polynomial counts its decay from step 0 (model zoo, Google), linear from the end of the warm-up", SCHEDULES
    )
    power: float = setting(1.0, "exponent of the polynomial", above=0)
    warmup_steps: int | None = setting(None, "steps of linear warm-up; default: warmup_proportion of all", minimum=0)
    warmup_proportion: float = setting(0.1, "share of all steps used for warm-up", minimum=0, maximum=1)
    decay_steps: int | None = setting(None, "step at which end_learning_rate is reached; default: the last one", minimum=1)
    weight_decay: float = setting(0.01, "decoupled decay of all weights but biases and layer normalisation", minimum=0)
    beta1: float = setting(0.9, "decay of the first moment", minimum=0, maximum=0.999999)
    beta2: float = setting(0.999, "decay of the second moment", minimum=0, maximum=0.999999)
    eps: float = setting(1e-6, "added to the root of the second moment", above=0)
    momentum: float = setting(0.9, "of the Momentum optimiser", minimum=0, maximum=0.999999)
    clip: str = setting("global_norm", "global_norm: one norm over all gradients; per_parameter: one each (model zoo)", CLIPS)
    clip_norm: float = setting(1.0, "largest norm that is left alone", above=0)

    def __post_init__(self):
        check_fields(self, "optimizer.")


@dataclasses.dataclass(frozen=True)
class PrecisionConfig:
    """Type of the matrix products and the loss scale; parameters, softmax, normalisation and losses stay float32."""

    compute_type: str = setting("auto", "auto: float16 on Ascend and GPU, float32 on CPU", COMPUTE_TYPES)
    loss_scale: str = setting("dynamic", "inactive when compute_type is float32", ("dynamic", "static", "none"))
    loss_scale_value: float | None = setting(None, "static, or first dynamic, loss scale; default: 128, or 2^32", minimum=1)
    scale_factor: float = setting(2.0, "divides the scale on overflow, multiplies it after scale_window good steps", above=1)
    scale_window: int = setting(1000, "good steps before the scale grows", minimum=1)
    min_loss_scale: float = setting(1.0, "the scale never falls below", above=0)

    def __post_init__(self):
        check_fields(self, "precision.")


@dataclasses.dataclass(frozen=True)
class DeviceSettings:
    """What follows from the device; made by `src.train.runtime.settings` alone and carried in the config."""

    target: str = "CPU"
    compute_type: str = "float32"
    composed_ops: bool = True  # plain ops where the device's fused kernels are slow or wrong: src/models/layers.py
    native_library: str | None = None  # compiled kernels of src/models/native.cpp, where there is a compiler
    length_multiple: int = 1  # chosen bucket lengths are rounded up to it


def run_folder(folder, seed):
    """The folder of one of several runs."""
    return f"{folder}/seed-{seed}"


@dataclasses.dataclass(frozen=True)
class FineTuneOptions:
    """Flags that all fine-tuning scripts share, by the model zoo's names where it had them."""

    device_target: str = setting("auto", "auto takes Ascend, else GPU, else CPU", ("auto", "Ascend", "GPU", "CPU"))
    device_id: int = setting(0, "device to run on", minimum=0)
    do_train: bool = setting(False, "fine-tune on the training set")
    do_eval: bool = setting(False, "evaluate on the development set")
    do_predict: bool = setting(False, "predict the test set")
    epoch_num: float = setting(3.0, "passes over the training set", above=0)
    train_batch_size: int = setting(32, "rows of a training step", minimum=1)
    eval_batch_size: int = setting(32, "rows per evaluation step; results do not depend on it", minimum=1)
    accumulation_steps: int = setting(1, "micro-batches whose gradients make one update", minimum=1)
    seq_length: int = setting(128, "longest input in tokens; longer ones are cut", minimum=4)
    bucket_list: tuple[int, ...] = setting((), "lengths that batches are padded to, four at most; default: chosen from the data", minimum=1)
    train_data_shuffle: bool = setting(True, "new order of the training rows each epoch")
    eval_data_shuffle: bool = setting(False, "accepted; results do not depend on the order")
    vocab_file_path: str | None = setting(None, "vocabulary; default: vocab.txt beside the weights")
    do_lower_case: bool | None = setting(None, "lower-case, strip accents; default: as tokenizer_config.json says, else by the vocabulary")
    bert_config_file: str | None = setting(None, "network shape; default: config.json or bert_config.json beside the weights")
    load_pretrain_checkpoint_path: str | None = setting(None, "weights to start from: a folder, .ckpt, .safetensors, .bin or .pt")
    load_finetune_checkpoint_path: str | None = setting(None, "fine-tuned weights to evaluate; default: the newest in the output folder")
    save_finetune_checkpoint_path: str | None = setting(None, "folder of checkpoints; default: {output_dir}/ckpt")
    save_checkpoint_steps: int | None = setting(None, "updates between checkpoints; default: one an epoch", minimum=1)
    save_checkpoint_num: int = setting(1, "newest checkpoints kept", minimum=1)
    resume: bool = setting(False, "go on from the newest checkpoint in the output folder, mid-epoch too")
    train_data_file_path: str | None = setting(None, "training data")
    eval_data_file_path: str | None = setting(None, "development data")
    predict_data_file_path: str | None = setting(None, "rows to predict; default: the test file in data_dir, else the development data")
    data_dir: str | None = setting(None, "folder with the task's usual file names")
    schema_file_path: str | None = setting(None, "schema JSON of a TFRecord file")
    dataset_format: str = setting("mindrecord", "of ready-made records; recognised by content", ("mindrecord", "tfrecord"))
    seed: int = setting(1, "of initial weights, data order and dropout", minimum=0, maximum=2**32 - 1)
    seeds: tuple[int, ...] = setting(
        (), "several runs, each in {output_dir}/seed-N; reports mean and maximum", minimum=0, maximum=2**32 - 1
    )
    log_steps: int = setting(10, "updates between step lines", minimum=1)
    model: ModelConfig = setting(ModelConfig(), "network shape; default: as described beside the weights")
    optimizer: OptimizerConfig = setting(OptimizerConfig(), "optimiser, schedule, clipping")
    precision: PrecisionConfig = setting(PrecisionConfig(), "compute type and loss scale")

    def __post_init__(self):
        check_fields(self)
        if not (self.do_train or self.do_eval or self.do_predict):
            raise ValueError("nothing to do: give --do_train true, --do_eval true or --do_predict true")
        if self.model.position_embedding_type == "absolute" and self.seq_length > self.model.max_position_embeddings:
            raise ValueError(f"seq_length={self.seq_length} is above model.max_position_embeddings={self.model.max_position_embeddings}")
        if self.bucket_list != tuple(sorted(set(self.bucket_list))):
            raise ValueError(f"bucket_list={self.bucket_list}: lengths in ascending order are expected")
        if len(self.bucket_list) > 4 or (self.bucket_list and max(self.bucket_list) != self.seq_length):
            raise ValueError(f"bucket_list={self.bucket_list}: four lengths at most, the largest equal to seq_length={self.seq_length}")

        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds={','.join(map(str, self.seeds))}: a seed stands there twice")

    def for_seed(self, seed):
        """The options of one of several runs: its own seed and its own folders."""
        checkpoints = self.save_finetune_checkpoint_path
        checkpoints = checkpoints and run_folder(checkpoints, seed)
        folders = {"output_dir": run_folder(self.output_dir, seed), "save_finetune_checkpoint_path": checkpoints}
        return dataclasses.replace(self, seed=seed, seeds=(), **folders)

    @property
    def drops_short_batch(self):
        """Whether training leaves out the rows behind an epoch's last whole batch: filler would disturb batch statistics."""
        return False

    @property
    def checkpoint_dir(self):
        """Folder that this run's checkpoints are written to and looked for in."""
        return self.save_finetune_checkpoint_path or f"{self.output_dir}/ckpt"
