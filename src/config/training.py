"""Settings that tasks share: optimiser, precision, device; those of a model, and those of a run."""

import dataclasses
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, ClassVar

from easydict import EasyDict

from src.config.coercion import coerce
from src.config.fields import check_fields, setting
from src.config.model import ModelConfig
from src.log import logger

OPTIMIZERS = ("Lamb", "AdamWeightDecay", "AdamW", "Momentum")
SCHEDULES = ("polynomial", "linear", "noam", "constant")
SCHEDULE_SETTINGS = ("learning_rate", "end_learning_rate", "schedule", "power", "warmup_steps", "warmup_proportion", "decay_steps")
CLIPS = ("global_norm", "per_parameter", "none")
WEIGHT_FORMS = "a folder, a TensorFlow prefix (bert_model.ckpt), or a .ckpt (the model zoo's too), .safetensors, .bin or .pt"
ASCEND_CHIPS = ("910A", "910B", "A3")
COMPUTE_TYPES = ("auto", "float32", "float16", "bfloat16")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Optimiser, learning-rate schedule and gradient clipping; the defaults are the model zoo's for fine-tuning."""

    name: str = setting("Lamb", "optimiser; AdamWeightDecay (Google's) has no bias correction, AdamW (PyTorch's) has", OPTIMIZERS)
    learning_rate: float = setting(2e-5, "peak learning rate", above=0)
    end_learning_rate: float = setting(1e-10, "learning rate from decay_steps on (polynomial only)", minimum=0)
    schedule: str = setting(
        "polynomial",
        "polynomial decays from step 0 (model zoo, Google), linear from the end of the warm-up; noam falls with 1 / sqrt(step)",
        SCHEDULES,
    )
    power: float = setting(1.0, "exponent of the polynomial", above=0)
    warmup_steps: int | None = setting(None, "steps of linear warm-up; default: warmup_proportion of all steps", minimum=0)
    warmup_proportion: float = setting(0.1, "share of all steps used for warm-up", minimum=0, maximum=1)
    decay_steps: int | None = setting(None, "step at which end_learning_rate is reached; default: the last step", minimum=1)
    weight_decay: float = setting(0.01, "decoupled decay of all weights except biases and layer normalisation", minimum=0)
    beta1: float = setting(0.9, "decay of the first moment", minimum=0, maximum=0.999999)
    beta2: float = setting(0.999, "decay of the second moment", minimum=0, maximum=0.999999)
    eps: float = setting(1e-6, "added to the square root of the second moment", above=0)
    momentum: float = setting(0.9, "momentum of the Momentum optimiser", minimum=0, maximum=0.999999)
    clip: str = setting(
        "global_norm",
        "gradient clipping; global_norm: by one norm over all gradients; per_parameter: by each one's own norm (model zoo)",
        CLIPS,
    )
    clip_norm: float = setting(1.0, "norm above which gradients are scaled down to it", above=0)

    # (setting, value) -> settings that then have no effect
    UNREAD = {
        ("name", "Momentum"): ("beta1", "beta2", "eps"),
        ("schedule", "linear"): ("end_learning_rate", "power"),
        ("schedule", "noam"): ("end_learning_rate", "power", "decay_steps"),
        ("schedule", "constant"): ("end_learning_rate", "power", "decay_steps"),
        ("clip", "none"): ("clip_norm",),
    }

    def find_unread(self, given: Collection[str]) -> Iterator[tuple[str, str, Any]]:
        """The given settings without effect, each with the setting that rules it out and its value: (name, other name, other value)."""
        for (other, value), names in self.UNREAD.items():
            if getattr(self, other) == value:
                yield from ((name, other, value) for name in names if name in given)
        if "momentum" in given and self.name != "Momentum":
            yield "momentum", "name", self.name
        if "warmup_proportion" in given and self.warmup_steps is not None:
            yield "warmup_proportion", "warmup_steps", self.warmup_steps

    def __post_init__(self):
        if self.name in ("AdamWeightDecayDynamicLR", "AdamWerigtDecayDynamicLR"):  # the model zoo's older name, also as it spells it
            object.__setattr__(self, "name", "AdamWeightDecay")
        check_fields(self, "optimizer.")
        if self.schedule == "noam" and not (self.warmup_steps or self.warmup_steps is None and self.warmup_proportion):
            raise ValueError("optimizer.schedule=noam needs a warm-up, which defines its rate")


@dataclasses.dataclass(frozen=True)
class PrecisionConfig:
    """Type of the matrix products, and the loss scale; parameters, softmax, normalisation and losses are always float32."""

    compute_type: str = setting("auto", "type of the matrix products; auto: float16 on Ascend and GPU, float32 on CPU", COMPUTE_TYPES)
    loss_scale: str = setting("dynamic", "how the loss is scaled; not at all when compute_type is float32", ("dynamic", "static", "none"))
    loss_scale_value: float | None = setting(None, "static or first dynamic loss scale; default: 128 if static, 2^32 if dynamic", minimum=1)
    scale_factor: float = setting(2.0, "divisor of the scale on overflow, and its factor after scale_window good steps", above=1)
    scale_window: int = setting(1000, "steps without overflow before the scale grows", minimum=1)
    min_loss_scale: float = setting(1.0, "lower limit of the scale", above=0)
    max_skipped_steps: int = setting(
        50, "consecutive updates skipped for overflow after which training stops and reports where it arose", minimum=1
    )

    def __post_init__(self):
        check_fields(self, "precision.")


@dataclasses.dataclass(frozen=True)
class DeviceSettings:
    """Settings that follow from the device; `settings` of devices.py and of src/train/runtime.py make them, and the config carries them."""

    target: str = "CPU"
    compute_type: str = "float32"
    composed_ops: bool = True  # plain ops where the device's fused kernels are slow or wrong: src/models/layers.py
    aclnn: bool = False  # Ascend's variants in src/models/ascend.py, and grouped parameter updates in src/optim/base.py
    flash_attention: bool = False  # FlashAttention of src/models/ascend.py, for absolute positions
    native_library: str | None = None  # compiled kernels of src/kernels/native.py, if there is a compiler
    float32_library: str | None = None  # the same if its linear layers and attention are used: src/models/native_layers.py
    bfloat16_library: str | None = None  # the same if they multiply in bfloat16; compute_type is float32 then, as all tensors are
    length_multiple: int = 1  # chosen bucket lengths are rounded up to multiples of this
    data_sink: bool = False  # whether the framework feeds the device several steps at a time
    hashed_dropout: bool = True  # without native.cpp: Dropout derived from the step's number; False: the framework's
    recompute: str = "none"  # of layers in the backward pass: "layer" is RecomputedLayer of src/models/bert.py, "framework" Cell.recompute
    saturates: bool = False  # overflow gives the largest number, and 0 instead of NaN: src/train/overflow_status.py
    unrolled: bool = False  # every step of the CRF and the BiLSTM is in the graph; a loop would wait for the host in each iteration
    jit_level: str = "O0"  # optimisation level of Ascend's compiler
    allow_tf32: bool = False  # float32 matrix products whose factors are rounded to 10 bits of mantissa
    chip: str | None = None  # its name, by which devices.py knows its peak; None on a CPU
    rank: int = 0  # this process among those that train together
    world_size: int = 1  # number of those processes
    simulated: bool = False  # a dry run: nothing is computed, and there are no other ranks

    @property
    def product_type(self) -> str:
        """The type of the factors of matrix products: the setting precision.compute_type, resolved."""
        return "bfloat16" if self.bfloat16_library else self.compute_type

    @property
    def writes(self) -> bool:
        """Whether this process writes results; only rank 0 does."""
        return self.rank == 0


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """What a model is, how its answers are read, and on which device it computes; a run is not needed for that."""

    device_target: str = setting("auto", "device; auto takes an Ascend, else a GPU, else the CPU", ("auto", "Ascend", "GPU", "CPU"))
    device_id: int = setting(0, "number of the device", minimum=0)
    ascend_chip: str | None = setting(
        None, "Ascend chip, for dry runs, in which the framework does not report it; default: the one reported", ASCEND_CHIPS
    )
    vocab_file_path: str | None = setting(None, "vocabulary; default: vocab.txt beside the weights")
    bert_config_file: str | None = setting(
        None, "file with the network's shape; default: config.json or bert_config.json beside the weights"
    )
    use_best: bool = setting(True, "of a folder of checkpoints take the best one, if training kept it; false: the newest")
    use_flash_attention: bool = setting(
        True, "compute attention in one kernel: on Ascend, in float16 and bfloat16, with absolute positions"
    )
    jit_level: str = setting("O0", "level of Ascend's compiler: O0 launches each kernel by itself, O1 fuses small ones first", ("O0", "O1"))
    allow_tf32: bool = setting(False, "compute float32 matrix products in TF32 on a GPU: faster and less exact")
    seq_length: int | None = setting(None, "maximum length of a row in tokens", minimum=1)
    model: ModelConfig = setting(ModelConfig(), "network shape; default: from the configuration beside the weights")
    precision: PrecisionConfig = setting(PrecisionConfig(), "compute type and loss scale")
    device: DeviceSettings = dataclasses.field(default=DeviceSettings(), metadata={"derived": True})

    ZOO_SCRIPT: ClassVar[str] = ""  # the model zoo's name of the run script, as its settings files have it
    TRAINED_WITH: ClassVar[tuple[str, ...]] = ()  # settings of the training that results depend on; they are kept beside the weights
    UNSAID: ClassVar[dict[str, Any]] = {}  # values of these settings with which they are not written
    OLDER_NAMES: ClassVar[dict[str, tuple[str, ...]]] = {}  # setting -> settings of a YAML file that a flag for it outweighs too

    def __post_init__(self):
        check_fields(self)

    @classmethod
    def complete_from(cls, tree: EasyDict, path: Path | str | None, is_trained: bool) -> None:
        """Fill in what YAML and flags leave open, from the files beside weights.

        Args:
            tree: the settings of YAML and flags.
            path: the weights, see `weights.find`; None if there are none.
            is_trained: whether they are trained for the task, so that also their labels and the settings of their training count.
        """

    @classmethod
    def find_weights(cls, tree: EasyDict) -> tuple[Path | str | None, bool]:
        """The weights that the run begins with, None if they are random, and whether they are trained for the task."""
        return tree.get("load_pretrain_checkpoint_path"), False

    @classmethod
    def complete(cls, tree: EasyDict) -> None:
        """Fill in what YAML and flags leave open, from the weights that the run begins with, if there are any."""
        cls.complete_from(tree, *cls.find_weights(tree))

    def trained_settings(self) -> dict[str, Any]:
        """The settings that evaluation and prediction need, by name."""
        settings = {key: getattr(self, key) for key in self.TRAINED_WITH}
        return {key: value for key, value in settings.items() if key not in self.UNSAID or value != self.UNSAID[key]}

    def check_length(self, key: str, length: int) -> None:
        """Raise a ValueError that names `key` if the network has no positions for `length` tokens."""
        if self.model.position_embedding_type == "absolute" and length > self.model.max_position_embeddings:
            raise ValueError(f"{key}={length} is above model.max_position_embeddings={self.model.max_position_embeddings}")

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of classes or tags in id order, a setting of the tasks that have any."""
        return ()

    @property
    def do_lower_case(self) -> bool | None:
        """Whether text is lower-cased, a setting of fine-tuning; None: as the files beside the vocabulary say."""
        return None

    @property
    def multi_sample_dropout(self) -> int:
        """Predictions of each row in training, a setting of runs."""
        return 1

    @property
    def max_text_mb(self) -> int | None:
        """The largest size of a text that is unpacked, a setting of commands that read texts."""
        return None

    @property
    def use_recompute(self) -> bool:
        """Whether the backward pass recomputes the layers, a setting of runs."""
        return False

    @property
    def enable_data_sink(self) -> bool:
        """Whether the device is fed several steps at a time, a setting of trainings."""
        return False


@dataclasses.dataclass(frozen=True)
class RunOptions(ModelOptions):
    """Settings of every script that runs a network over data."""

    bucket_list: tuple[int, ...] = setting((), "up to four lengths that batches are padded to; default: chosen from the data", minimum=1)
    packing: bool | None = setting(
        None,
        "let several rows stand in one row of the network, apart from each other; default: in fine-tuning, unless bucket_list has several "
        "lengths or r_drop is given",
    )
    seed: int = setting(1, "seed of initial weights, data order and dropout", minimum=0, maximum=2**32 - 1)
    use_recompute: bool = setting(False, "save memory: keep only the layers' inputs for the backward pass and recompute the rest")
    batch_in_tokens: bool = setting(False, "batch sizes are given in tokens, seq_length of which make a row")

    BATCH_SIZES: ClassVar[tuple[str, ...]] = ("train_batch_size", "eval_batch_size")  # the settings that batch_in_tokens converts

    def __post_init__(self):
        super().__post_init__()
        if self.batch_in_tokens:
            raise ValueError("batch_in_tokens=true: batch sizes are rows here; RunOptions.count_rows converts tokens to rows")
        if len(self.bucket_list) > 4 or self.bucket_list != tuple(sorted(set(self.bucket_list))):
            raise ValueError(f"bucket_list={','.join(map(str, self.bucket_list))}: expected up to four lengths in ascending order")
        if self.packing and len(self.bucket_list) > 1:
            raise ValueError(f"bucket_list={','.join(map(str, self.bucket_list))}: packing=true takes one length")

    @property
    def packs(self) -> bool:
        """Whether several rows stand in one row of the network: src/records/packing.py."""
        return bool(self.packing)

    def check_run(self) -> None:
        """Raise a ValueError if the settings do not say what the run does, and on which files."""

    @classmethod
    def count_rows(cls, tree: EasyDict) -> None:
        """Convert the batch sizes in `tree` from tokens to rows if batch_in_tokens is set, which is then removed.

        Afterwards they are rows, in config.yaml too, so that nothing divides them twice.

        Raises:
            ValueError: seq_length is unknown, or a batch size is less than one row.
        """
        if not coerce(tree.pop("batch_in_tokens", False), bool, "batch_in_tokens", {}):
            return
        length = coerce(tree.get("seq_length", cls.seq_length), int | None, "seq_length", {})
        if not length or length < 0:
            raise ValueError("batch_in_tokens=true: give --seq_length, the tokens of a row")
        sizes = []
        for key in cls.BATCH_SIZES:
            if key not in tree:
                sizes.append(f"{key}={getattr(cls, key)} rows, the default")
                continue
            tokens = coerce(tree[key], int, key, {"minimum": 1})
            if tokens < length:
                raise ValueError(f"{key}={tokens}: batch_in_tokens=true counts tokens, and a row has seq_length={length} of them")
            tree[key] = tokens // length
            sizes.append(f"{key}={tree[key]} rows, {tokens} tokens by seq_length={length}")
        logger.info(f"batch_in_tokens=true: {'; '.join(sizes)}")
