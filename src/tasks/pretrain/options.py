"""Settings of a pretrained network, and options of run_pretrain.py and pretrain_eval.py, by the model zoo's names."""

import dataclasses
from pathlib import Path
from typing import Any

from easydict import EasyDict

from src.config.fields import setting
from src.config.model import describe_weights, find_vocabulary_size
from src.config.trainable import TrainingOptions
from src.config.training import SCHEDULE_SETTINGS, WEIGHT_FORMS, ModelOptions, OptimizerConfig, PrecisionConfig, RunOptions
from src.formats import weights
from src.log import logger
from src.ranks import find_rank_info
from src.tasks.pretrain import extension
from src.tasks.pretrain.objectives import DEFAULT, OBJECTIVE_HELP, OBJECTIVES
from src.tasks.pretrain.sources import parse_sources
from src.text.tokenization import Tokenizer

NETWORKS = ("base", "nezha", "large", "large_boost", "tiny")
_NETWORK_FILES = {"base": "bert_base", "nezha": "nezha_zoo", "large": "bert_large", "large_boost": "bert_large", "tiny": "bert_tiny"}
_DEFAULT_FOLDER = "./ckpt_0"
MASK_UNITS = ("token", "word", "ngram", "span")
MASK_UNIT_HELP = (
    "what is masked together: a token; a whole word; 1 to 4 words, as MacBERT; or a span of words of geometric length, as SpanBERT"
)
SIMILAR_HELP = "file of similar words that replace masked words instead of [MASK], as MacBERT: in each line a word and those similar to it"
_FOLDER = Path(__file__).resolve().parents[3] / "configs/networks"

# The model zoo's values for pretraining (its config.py): the defaults for each optimiser.
_POLYNOMIAL: dict[str, Any] = {"schedule": "polynomial", "learning_rate": 3e-5, "warmup_steps": 10000}
_CLIP: dict[str, Any] = {"clip": "per_parameter"}
_FIRST_SCALE: dict[str, Any] = {"loss_scale_value": 65536.0}
OPTIMIZER_DEFAULTS: dict[str, dict[str, Any]] = {
    "Lamb": {**_POLYNOMIAL, "end_learning_rate": 1e-10, "power": 10.0, "weight_decay": 0.01},
    "AdamWeightDecay": {**_POLYNOMIAL, "end_learning_rate": 0.0, "power": 5.0, "weight_decay": 1e-5},
    "Momentum": {"schedule": "constant", "learning_rate": 2e-5, "warmup_steps": 0, "weight_decay": 0.0},
}


@dataclasses.dataclass(frozen=True)
class PretrainModel(ModelOptions):
    """A pretrained network, with its heads for masked tokens and the relation of two parts of a row."""

    ZOO_SCRIPT = "run_pretrain"
    TRAINED_WITH = ("objective",)
    UNSAID = {"objective": DEFAULT}

    bert_network: str = setting(
        "base", "network from configs/networks: base, large and tiny are BERT; nezha is the model zoo's, and large_boost is large", NETWORKS
    )
    objective: str = setting(DEFAULT, f"{OBJECTIVE_HELP}; default: that of the weights to start from", tuple(OBJECTIVES))
    bert_config_file: str | None = setting(
        None, "file with the network's shape, instead of --bert_network; default: the one beside the weights"
    )
    vocab_file_path: str | None = setting(
        None, "vocabulary of the records; it is checked, sets model.vocab_size and is kept with checkpoints"
    )
    seq_length: int | None = setting(None, "maximum length of a row in tokens; default: as in the records", minimum=5)
    max_predictions_per_seq: int | None = setting(None, "masked positions in a row; default: as in the records", minimum=1)

    def __post_init__(self):
        super().__post_init__()
        if self.seq_length is not None:
            self.check_length("seq_length", self.seq_length)

    @classmethod
    def complete_from(cls, tree: EasyDict, path: Path | str | None, is_trained: bool) -> None:
        """Fill in the parts of the network's shape that are not given, from the weights or the network that bert_network names."""
        config_file = tree.get("bert_config_file")
        found = describe_weights(path, config_file) if path or config_file else None
        if path and found:
            tree.setdefault("vocab_file_path", found.vocab_file)
            if found.objective:
                tree.setdefault("objective", found.objective)
            if not found.model and "bert_network" not in tree and not tree.get("model"):
                weights.find(path)  # raises if there are none
                raise ValueError(f"{path}: no config.json or bert_config.json beside it; give --bert_config_file or --bert_network")
            if found.model and "bert_network" in tree:
                logger.warning(f"bert_network={tree.bert_network} is ignored: {config_file or path} tells the network's shape")
        if not found or not found.model:
            name = str(tree.get("bert_network", cls.bert_network)).lower()
            if name == "large_boost":
                logger.warning("bert_network=large_boost: the network of large; fast_gelu, its approximation for Ascend, is gelu here")
            found = describe_weights(None, _FOLDER / f"{_NETWORK_FILES.get(name, 'bert_base')}.json")
        tree.model = {**found.model, **_vocabulary_size(tree, path), **tree.get("model", {})}


def check_similar_words(path: str | None, unit: str | None) -> None:
    """Raise a ValueError if a file of similar words is given for what are no whole words of their own."""
    if path and unit not in ("word", "ngram"):
        raise ValueError(f"similar_words={path}: needs mask_unit word or ngram, not {unit or 'the default'}: a word replaces a word")


def _vocabulary_size(tree, path_of_weights):
    """model.vocab_size for a network without initial weights: the size of the vocabulary."""
    size = None if path_of_weights else find_vocabulary_size(tree.get("vocab_file_path"))
    return {} if size is None else {"vocab_size": size}


@dataclasses.dataclass(frozen=True)
class _PretrainingOptions(PretrainModel, RunOptions):
    """Settings that training and evaluation of a pretrained network share."""

    bucket_list: tuple[int, ...] = setting((), "up to four lengths that batches are padded to; default: seq_length only", minimum=1)
    eval_batch_size: int = setting(32, "rows in an evaluation step; does not change results", minimum=1)
    eval_data_dir: str | None = setting(None, "records to evaluate on: a folder or a file")
    schema_file_path: str | None = setting(None, "schema JSON of TFRecord files")
    num_samples: int | None = setting(None, "number of rows of each source to use; default: all", minimum=1)
    cache_dir: str | None = setting(None, "folder for the index of the records; default: cache in the output folder")

    def __post_init__(self):
        super().__post_init__()
        if self.seq_length is not None and self.bucket_list and max(self.bucket_list) != self.seq_length:
            raise ValueError(f"bucket_list={self.bucket_list}: the largest must equal seq_length={self.seq_length}")

    @property
    def extend_vocabulary(self) -> str | None:
        """What is added to the vocabulary of the weights, a setting of trainings."""
        return None

    def open_vocabulary(self) -> tuple[Tokenizer | None, dict[int, list[int]]]:
        """The tokenizer of the records, None if it is not known; and the pieces of each new token, of which an evaluation has none."""
        return extension.open_vocabulary(self.vocab_file_path, None, None)


@dataclasses.dataclass(frozen=True)
class PretrainOptions(_PretrainingOptions, TrainingOptions):
    """Pretraining: masked language model, with next sentences, their order, or alone."""

    EVALUATIONS = "--train_with_eval true"
    STAGED = (
        *("data_dir", "num_samples", "schema_file_path", "seq_length", "max_predictions_per_seq", "bucket_list", "packing"),
        *("masking", "masked_lm_prob", "mask_unit", "similar_words"),
        *("train_batch_size", "accumulation_steps", "train_steps", "train_data_shuffle"),
        *("eval_data_dir", "eval_batch_size", "eval_steps", "eval_epochs", "eval_samples"),
        *("save_checkpoint_steps", "log_steps", "data_sink_steps"),
        *(f"optimizer.{name}" for name in SCHEDULE_SETTINGS),
    )
    refuses_used_folder = True
    skip_steps = 0  # no setting here, but in pretraining an alias of log_steps

    distribute: bool = setting(False, "whether several devices train; follows from how the process was started")
    device_num: int = setting(1, "number of devices; follows from how the process was started", minimum=1)
    save_checkpoint_steps: int = setting(1000, "updates between checkpoints", minimum=1)
    train_batch_size: int = setting(16, "rows in a step on each device", minimum=1)
    epoch_num: float = setting(1.0, "passes over the data, unless train_steps is given", above=0)
    output_dir: str = setting(_DEFAULT_FOLDER, "folder of checkpoints, log.jsonl and config.yaml; the launchers give each rank its own")
    overwrite: bool = setting(False, "remove an earlier training's checkpoints from the folder; false: refuse to start there")
    enable_data_sink: bool = setting(True, "feed the device several steps at a time; not on the CPU")
    extend_vocabulary: str | None = setting(
        None, "words to add to the vocabulary of the weights: a file, one a line; or auto:N, the N tokens that vocab_file_path has more"
    )
    data_dir: str | None = setting(
        None, "records to train on: a folder or a file, MindRecord or TFRecord; or several, such as wiki,news or wiki:0.7,news:0.3"
    )
    masking: str = setting(
        "static", "which tokens are masked; static: as in the records; dynamic: new ones in each epoch", ("static", "dynamic")
    )
    masked_lm_prob: float = setting(0.15, "share of the tokens that dynamic masking masks", above=0, maximum=1)
    mask_unit: str | None = setting(None, f"{MASK_UNIT_HELP}; for dynamic masking; default: as in the records", MASK_UNITS)
    similar_words: str | None = setting(None, f"{SIMILAR_HELP}; for dynamic masking")
    train_with_eval: bool = setting(False, "evaluate on eval_data_dir during training")
    eval_steps: int | None = setting(
        None, "updates between evaluations; default: as many as eval_samples rows make, unless eval_epochs is given", minimum=1
    )
    eval_samples: int = setting(300000, "rows trained on between evaluations", minimum=1)
    optimizer: OptimizerConfig = setting(
        OptimizerConfig(**_CLIP, **OPTIMIZER_DEFAULTS["Lamb"]), "optimiser, schedule, clipping; the model zoo's values"
    )
    precision: PrecisionConfig = setting(PrecisionConfig(**_FIRST_SCALE), "compute type and loss scale")
    stage_schedule: str = setting(
        "run",
        "with stages in the YAML file; run: one schedule of the learning rate over all of them; stage: each has its own",
        ("run", "stage"),
    )

    def check_run(self) -> None:
        super().check_run()
        if self.mask_unit:
            check_similar_words(self.similar_words, self.mask_unit)
        if not self.data_dir:
            raise ValueError("no data: give --data_dir, a folder or file of records (python -m src.build_records makes them)")
        parse_sources(self.data_dir)
        if self.train_with_eval and not self.eval_data_dir:
            raise ValueError("train_with_eval=true: give --eval_data_dir")
        rank_info = find_rank_info()
        if self.distribute and rank_info.launcher is None:
            how = "start it by scripts/run_distributed_pretrain_*.sh, python -m src.launch.local, mpirun or msrun"
            raise ValueError(f"distribute=true, but this process was started alone; {how} (docs/distributed.md)")
        if self.device_num not in (1, rank_info.world_size):
            raise ValueError(f"device_num={self.device_num}, but the processes that train together are {rank_info.world_size}")

    @classmethod
    def complete(cls, tree: EasyDict) -> None:
        """Fill in also the model zoo's values for the chosen optimiser."""
        is_size_given = "vocab_size" in tree.get("model", {})
        given = tree.get("vocab_file_path")
        super().complete(tree)
        words = tree.get("extend_vocabulary")
        path = tree.get("load_pretrain_checkpoint_path")
        if words or (path and given):
            tokenizer, new_tokens = extension.open_vocabulary(given, words, path)
            if tokenizer and new_tokens and not is_size_given:
                tree.model.vocab_size = max(tree.model.vocab_size, len(tokenizer.tokens))
        if not tree.get("output_dir"):
            tree.pop("output_dir", None)  # the model zoo's launchers give an empty one
        given = tree.get("optimizer", {})
        name = next((name for name in OPTIMIZER_DEFAULTS if name.lower() == str(given.get("name", "Lamb")).lower()), "AdamWeightDecay")
        defaults = OPTIMIZER_DEFAULTS[name] | ({"warmup_steps": None} if "warmup_proportion" in given else {})
        tree.optimizer = {**_CLIP, **defaults, **given}
        tree.precision = {**_FIRST_SCALE, **tree.get("precision", {})}

    def open_vocabulary(self) -> tuple[Tokenizer | None, dict[int, list[int]]]:
        return extension.open_vocabulary(self.vocab_file_path, self.extend_vocabulary, self.load_pretrain_checkpoint_path)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the run reads."""
        return ("train", "eval") if self.train_with_eval else ("train",)

    @property
    def checkpoint_dir(self) -> str:
        """The folder where this run writes and looks for checkpoints."""
        return self.output_dir

    @property
    def asks_for_evaluations(self) -> bool:
        return self.train_with_eval

    @property
    def evaluate_every(self) -> int | None:
        if self.eval_epochs or not self.train_with_eval:
            return None
        rows = self.train_batch_size * self.device.world_size * self.accumulation_steps
        return self.eval_steps or max(1, self.eval_samples // rows)

    @property
    def metrics(self) -> tuple[str, ...]:
        return OBJECTIVES[self.objective].metrics


@dataclasses.dataclass(frozen=True)
class PretrainEvalOptions(_PretrainingOptions):
    """Evaluation of a pretrained network: masked language model, and the relation of two parts of a row."""

    splits = ("eval",)
    BATCH_SIZES = ("eval_batch_size",)

    load_pretrain_checkpoint_path: str = setting(
        _DEFAULT_FOLDER, f"weights to evaluate: {WEIGHT_FORMS}; in a folder of checkpoints see use_best"
    )
    output_dir: str = setting("./pretrain_eval", "folder of eval_results.json and log.jsonl")

    def check_run(self) -> None:
        if not self.eval_data_dir:
            raise ValueError("no data: give --eval_data_dir, a folder or file of records")

    @classmethod
    def complete(cls, tree: EasyDict) -> None:
        tree.setdefault("load_pretrain_checkpoint_path", cls.load_pretrain_checkpoint_path)
        super().complete(tree)


MODEL, OPTIONS = PretrainModel, PretrainOptions
