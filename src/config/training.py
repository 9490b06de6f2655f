"""Settings that every training script shares: optimiser, precision, device."""

import dataclasses
from collections.abc import Collection, Iterator
from typing import Any, ClassVar

from easydict import EasyDict

from src.config.coercion import coerce
from src.config.fields import check_fields, setting
from src.config.model import ModelConfig
from src.log import logger

OPTIMIZERS = ("Lamb", "AdamWeightDecay", "AdamW", "Momentum")
SCHEDULES = ("polynomial", "linear", "noam", "constant")
CLIPS = ("global_norm", "per_parameter", "none")
WEIGHT_FORMS = "a folder, a TensorFlow prefix (bert_model.ckpt), or a .ckpt (the model zoo's too), .safetensors, .bin or .pt"
ASCEND_CHIPS = ("910A", "910B", "A3")
COMPUTE_TYPES = ("auto", "float32", "float16", "bfloat16")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser, learning-rate schedule and gradient clipping; the defaults are the model zoo's for fine-tuning."""

    name: str = setting("Lamb", "AdamWeightDecay has no bias correction (Google's), AdamW has it (PyTorch's)", OPTIMIZERS)
    learning_rate: float = setting(2e-5, "peak learning rate", above=0)
    end_learning_rate: float = setting(1e-10, "learning rate after decay_steps (polynomial)", minimum=0)
    schedule: str = setting(
        "polynomial",
        "polynomial counts its decay from step 0 (model zoo, Google), linear from the end of the warm-up; noam falls with 1 / sqrt(step)",
        SCHEDULES,
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

    # what nothing reads where a setting has a value
    UNREAD = {
        ("name", "Momentum"): ("beta1", "beta2", "eps"),
        ("schedule", "linear"): ("end_learning_rate", "power"),
        ("schedule", "noam"): ("end_learning_rate", "power", "decay_steps"),
        ("schedule", "constant"): ("end_learning_rate", "power", "decay_steps"),
        ("clip", "none"): ("clip_norm",),
    }

    def find_unread(self, given: Collection[str]) -> Iterator[tuple[str, str, Any]]:
        """Of settings that are given, those that have no effect beside the others: (name, the other, its value)."""
        for (other, value), names in self.UNREAD.items():
            if getattr(self, other) == value:
                yield from ((name, other, value) for name in names if name in given)
        if "momentum" in given and self.name != "Momentum":
            yield "momentum", "name", self.name
        if "warmup_proportion" in given and self.warmup_steps is not None:
            yield "warmup_proportion", "warmup_steps", self.warmup_steps

    def __post_init__(self):
        if self.name == "AdamWeightDecayDynamicLR":  # the model zoo's older name
            object.__setattr__(self, "name", "AdamWeightDecay")
        check_fields(self, "optimizer.")
        if self.schedule == "noam" and not (self.warmup_steps or self.warmup_steps is None and self.warmup_proportion):
            raise ValueError("optimizer.schedule=noam needs a warm-up: its rate is defined by it")


@dataclasses.dataclass(frozen=True)
class PrecisionConfig:
    """Type of the matrix products and the loss scale; parameters, softmax, normalisation and losses stay float32."""

    compute_type: str = setting("auto", "auto: float16 on Ascend and GPU, float32 on CPU", COMPUTE_TYPES)
    loss_scale: str = setting("dynamic", "inactive when compute_type is float32", ("dynamic", "static", "none"))
    loss_scale_value: float | None = setting(None, "static, or first dynamic, loss scale; default: 128, or 2^32", minimum=1)
    scale_factor: float = setting(2.0, "divides the scale on overflow, multiplies it after scale_window good steps", above=1)
    scale_window: int = setting(1000, "good steps before the scale grows", minimum=1)
    min_loss_scale: float = setting(1.0, "the scale never falls below", above=0)
    max_skipped_steps: int = setting(50, "updates skipped for overflow in a row after which training stops and says where", minimum=1)

    def __post_init__(self):
        check_fields(self, "precision.")


@dataclasses.dataclass(frozen=True)
class DeviceSettings:
    """What follows from the device; made by `src.train.runtime.settings` alone and carried in the config."""

    target: str = "CPU"
    compute_type: str = "float32"
    composed_ops: bool = True  # plain ops where the device's fused kernels are slow or wrong: src/models/layers.py
    aclnn: bool = False  # the forms of src/models/ascend.py, and updates of parameters in groups: src/optim/base.py
    flash_attention: bool = False  # where the positions are absolute: FlashAttention of src/models/ascend.py
    native_library: str | None = None  # compiled kernels of src/models/native.cpp, where there is a compiler
    length_multiple: int = 1  # chosen bucket lengths are rounded up to it
    data_sink: bool = False  # whether the framework feeds the device several steps at a time
    hashed_dropout: bool = True  # Dropout that follows from the step's number, where no kernel of native.cpp does it; else the framework's
    recompute: str = "none"  # layers in the backward pass: "layer" by RecomputedLayer of src/models/bert.py, "framework" by Cell.recompute
    saturates: bool = False  # overflow leaves the largest number, and 0 for NaN: src/train/overflow_status.py
    unrolled: bool = False  # every step of the CRF and the BiLSTM stands in the graph, where a loop would wait for the host at each turn
    jit_level: str = "O0"  # of Ascend's compiler
    allow_tf32: bool = False  # matrix products of float32 with factors rounded to 10 bits of mantissa
    rank: int = 0  # of this process among those that train together
    world_size: int = 1  # number of those processes
    simulated: bool = False  # a dry run: nothing is computed, and the other ranks are not there

    @property
    def writes(self) -> bool:
        """Whether this process writes results: one of all ranks does."""
        return self.rank == 0


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """What every script that runs a network has: device, network, seed."""

    device_target: str = setting("auto", "auto takes Ascend, else GPU, else CPU", ("auto", "Ascend", "GPU", "CPU"))
    device_id: int = setting(0, "device to run on", minimum=0)
    ascend_chip: str | None = setting(
        None, "on Ascend, where the framework does not tell it (a dry run); default: as it tells", ASCEND_CHIPS
    )
    vocab_file_path: str | None = setting(None, "vocabulary; default: vocab.txt beside the weights")
    bert_config_file: str | None = setting(None, "network shape; default: config.json or bert_config.json beside the weights")
    bucket_list: tuple[int, ...] = setting((), "lengths that batches are padded to, four at most; default: chosen from the data", minimum=1)
    seed: int = setting(1, "of initial weights, data order and dropout", minimum=0, maximum=2**32 - 1)
    use_recompute: bool = setting(False, "keep only the inputs of layers for the backward pass and compute the rest again: less memory")
    batch_in_tokens: bool = setting(False, "the batch sizes that are given count tokens, seq_length of them a row")
    use_flash_attention: bool = setting(True, "on Ascend, in float16 and bfloat16, with absolute positions: attention in one kernel")
    jit_level: str = setting("O0", "of Ascend's compiler: O0 launches kernel by kernel, O1 fuses small ones before", ("O0", "O1"))
    allow_tf32: bool = setting(False, "on a GPU: float32 matrix products in TF32, faster and less exact")
    model: ModelConfig = setting(ModelConfig(), "network shape; default: as described beside the weights")
    precision: PrecisionConfig = setting(PrecisionConfig(), "compute type and loss scale")
    device: DeviceSettings = dataclasses.field(default=DeviceSettings(), metadata={"derived": True})

    def __post_init__(self):
        check_fields(self)
        if self.batch_in_tokens:
            raise ValueError("batch_in_tokens=true: batch sizes are rows here; RunOptions.count_rows makes rows of tokens")
        if len(self.bucket_list) > 4 or self.bucket_list != tuple(sorted(set(self.bucket_list))):
            raise ValueError(f"bucket_list={','.join(map(str, self.bucket_list))}: four lengths at most, in ascending order, are expected")

    def check_run(self) -> None:
        """Raise a ValueError where the settings do not say what a run shall do, and on which files."""

    BATCH_SIZES: ClassVar[tuple[str, ...]] = ("train_batch_size", "eval_batch_size")  # the settings that batch_in_tokens is for

    @classmethod
    def count_rows(cls, tree: EasyDict) -> None:
        """Make rows of the batch sizes in `tree` where batch_in_tokens says that they are tokens.

        From here on they are rows, in config.yaml too: nothing divides them twice.

        Raises:
            ValueError: seq_length is not known, or no row fits in.
        """
        if not coerce(tree.pop("batch_in_tokens", False), bool, "batch_in_tokens", {}):
            return
        length = coerce(tree.get("seq_length", getattr(cls, "seq_length", None)), int | None, "seq_length", {})
        if not length or length < 0:
            raise ValueError("batch_in_tokens=true: give --seq_length, the tokens of a row")
        told = []
        for key in cls.BATCH_SIZES:
            if key not in tree:
                told.append(f"{key}={getattr(cls, key)} rows, the default")
                continue
            tokens = coerce(tree[key], int, key, {"minimum": 1})
            if tokens < length:
                raise ValueError(f"{key}={tokens}: batch_in_tokens=true counts tokens, and a row has seq_length={length} of them")
            tree[key] = tokens // length
            told.append(f"{key}={tree[key]} rows, {tokens} tokens by seq_length={length}")
        logger.info(f"batch_in_tokens=true: {'; '.join(told)}")

    def check_length(self, key: str, length: int) -> None:
        """Raise a ValueError that names `key` where the network has no positions for `length` tokens."""
        if self.model.position_embedding_type == "absolute" and length > self.model.max_position_embeddings:
            raise ValueError(f"{key}={length} is above model.max_position_embeddings={self.model.max_position_embeddings}")
