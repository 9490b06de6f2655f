"""The shape of a network, and where it is read from: `config.json` or `bert_config.json` beside the weights."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.config.fields import check_fields, setting
from src.files import read_json_object
from src.formats import tokenizer_files, weights, zoo
from src.log import logger

CONFIG_NAMES = ("config.json", "bert_config.json")
HIDDEN_ACTS = ("gelu", "gelu_tanh", "gelu_new", "relu")
POSITIONS = ("absolute", "sinusoidal", "learned")
_MAX_RELATIVE_POSITION = {"sinusoidal": 64, "learned": 16}
# what no weights tell, or what would silently be BERT-base's
MASK_BIAS = -10000.0  # added to the score of what may not be taken: padding, a forbidden transition; exp gives 0
_NEEDED = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
_OTHERS = {  # settings that only other networks have -> whose they are
    "num_hidden_groups": "ALBERT",
    "inner_group_num": "ALBERT",
    "embedding_size": "ALBERT, ELECTRA and others whose embeddings are narrower than their layers",
    "intra_bottleneck_size": "MobileBERT",
    "conv_kernel_size": "ConvBERT",
    "rotary_value": "RoFormer",
    "relative_attention": "DeBERTa",
    "task_type_vocab_size": "ERNIE",
    "is_decoder": "decoders, which see the text before a token alone",
    "add_cross_attention": "decoders",
    "is_encoder_decoder": "encoder-decoders",
}


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """BERT's hyper-parameters, by the names of Google's bert_config.json; the defaults are BERT-base, Chinese."""

    vocab_size: int = setting(21128, "rows of the word embedding table", minimum=1, maximum=10_000_000)
    hidden_size: int = setting(768, "width of every layer's output", minimum=1, maximum=100_000)
    num_hidden_layers: int = setting(12, "encoder layers", minimum=1, maximum=1000)
    num_attention_heads: int = setting(12, "attention heads; must divide hidden_size", minimum=1)
    intermediate_size: int = setting(3072, "width inside the feed-forward block", minimum=1)
    hidden_act: str = setting("gelu", "gelu is the erf form, gelu_tanh (or gelu_new) its approximation", HIDDEN_ACTS)
    hidden_dropout_prob: float = setting(0.1, "dropout after embeddings, attention and feed-forward", minimum=0, maximum=0.99)
    attention_probs_dropout_prob: float = setting(0.1, "dropout of attention probabilities", minimum=0, maximum=0.99)
    max_position_embeddings: int = setting(512, "longest sequence", minimum=1)
    type_vocab_size: int = setting(2, "segments; 16 in early model-zoo documents, 2 in every published checkpoint", minimum=1)
    initializer_range: float = setting(0.02, "standard deviation of the truncated normal initialiser", above=0)
    layer_norm_eps: float = setting(1e-12, "added to the variance in layer normalisation", above=0)
    position_embedding_type: str = setting(
        "absolute", "absolute: BERT; sinusoidal: NEZHA as published; learned: the model zoo's NEZHA, a table in each layer", POSITIONS
    )
    max_relative_position: int | None = setting(
        None,
        "of NEZHA: distances are clipped to it; default: 64, 16 if learned; 127 in published English models",
        minimum=1,
        maximum=100_000,
    )

    def __post_init__(self):
        check_fields(self, "model.")
        if self.position_embedding_type == "absolute" and self.max_relative_position is not None:
            raise ValueError("model.max_relative_position is for relative positions: give model.position_embedding_type")
        if self.max_relative_position is None:
            object.__setattr__(self, "max_relative_position", _MAX_RELATIVE_POSITION.get(self.position_embedding_type))
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"model.hidden_size={self.hidden_size} is not divisible by model.num_attention_heads={self.num_attention_heads}"
            )


@dataclasses.dataclass(frozen=True)
class WeightsInfo:
    """What lies beside a weights file: the network's shape, labels and settings of its training, the vocabulary; transformers' class
    and its kind of classification."""

    model: dict[str, Any]
    labels: tuple[str, ...]
    trained_with: dict[str, Any]
    vocab_file: str | None
    architecture: str
    problem_type: str | None


def describe_weights(path: Path | str | None, config_file: Path | str | None = None) -> WeightsInfo:
    """Read the configuration that belongs to a weights file or folder, without reading the weights.

    A checkpoint of the model zoo tells its shape itself.

    Args:
        path: what `weights.find` takes, or a folder without any; may be None if config_file is given.
        config_file: a bert_config.json to be read instead of the one beside the weights.

    Returns:
        WeightsInfo; `model`, `labels` and `trained_with` are empty and `vocab_file` None where the files are absent.

    Raises:
        FileNotFoundError: `path` or `config_file` does not exist.
        ValueError: the file is no JSON object, or describes a network that is none of ours; the weights are PaddlePaddle's.
    """
    folder = _find_folder(path) if path else None
    beside = folder and next((folder / name for name in CONFIG_NAMES if (folder / name).is_file()), None)
    own = read_json_object(beside) if beside else {}
    raw = read_json_object(config_file) if config_file else own
    if folder and not raw:
        raw = _describe_zoo(path)
    architectures = own.get("architectures") or []
    if not isinstance(architectures, list) or not all(isinstance(name, str) for name in architectures):
        raise ValueError(f"{beside}: architectures must be a list of names")
    labels, trained_with = own.get("id2label") or {}, own.get("trained_with") or {}
    if not isinstance(labels, dict) or {str(key) for key in labels} != set(map(str, range(len(labels)))):
        raise ValueError(f"{beside}: id2label must map class numbers, from 0 without gaps, to names")
    if not isinstance(trained_with, dict):
        raise ValueError(f"{beside}: trained_with must be an object of settings")
    if all(str(label).startswith("LABEL_") for label in labels.values()):  # Hugging Face's placeholders
        labels = {}
    model = _read_model(raw, config_file or beside) if raw else {}
    vocab = tokenizer_files.find_vocabulary(folder) if folder is not None else None
    return WeightsInfo(
        model=model,
        labels=tuple(str(labels[key]) for key in sorted(labels, key=int)),
        trained_with=trained_with,
        vocab_file=None if vocab is None else str(vocab),
        architecture=architectures[0] if architectures else "",
        problem_type=own.get("problem_type") if isinstance(own.get("problem_type"), str) else None,
    )


def _find_folder(path):
    try:
        found = weights.find(path)
    except FileNotFoundError:
        if not Path(path).is_dir():
            raise
        return Path(path)  # for weights: it has none yet
    return Path(path) if Path(path).is_dir() else found.parent


def _read_model(raw, path):
    """Values of ModelConfig from a configuration in anybody's form."""
    _refuse_others(raw, path)
    known = {field.name for field in dataclasses.fields(ModelConfig)}
    model = {key: value for key, value in raw.items() if key in known} | _describe_positions(path, raw)
    if "exact_hidden_act" in raw:  # Google's programs know one GELU only, the tanh form
        model["hidden_act"] = raw["exact_hidden_act"]
    if model.get("hidden_act") == "gelu_pytorch_tanh":
        model["hidden_act"] = "gelu_tanh"
    if missing := [key for key in _NEEDED if raw.get(key) is None]:
        raise ValueError(f"{path}: {', '.join(missing)} missing: the configuration of a BERT has {', '.join(_NEEDED)}")
    return model


def _refuse_others(raw, path):
    """Raises: ValueError: the configuration is of another network than BERT and NEZHA."""
    if raw.get("model_type", "bert") not in ("bert", "nezha"):
        raise ValueError(f"{path}: model_type={raw['model_type']}: bert and nezha are supported")
    for key, whose in _OTHERS.items():
        value = raw.get(key)
        if value not in (None, False) and not (key == "embedding_size" and value == raw.get("hidden_size")):
            raise ValueError(f"{path}: {key}={str(value).lower()} is of {whose}; bert and nezha are supported")
    classes = raw.get("architectures") or []
    if "model_type" not in raw and classes and not str(classes[0]).startswith(("Bert", "Nezha")):
        raise ValueError(f"{path}: architectures={classes[0]}: without a model_type, classes named Bert… and Nezha… are supported")


def refuse_several_labels(problem_type: str | None, where: Path | str) -> None:
    """Raises: ValueError: the weights give each label a probability of its own, which no task here reads."""
    if problem_type == "multi_label_classification":
        raise ValueError(f"{where}: problem_type={problem_type}: several labels a text are not supported; one of them would be chosen")


def own_description(model: dict[str, Any], labels: Sequence[str], trained_with: dict[str, Any]) -> dict[str, Any]:
    """The content of a config.json beside weights of this program.

    Args:
        model: ModelConfig as a dict. labels: class names in id order. trained_with: settings of the task.
    """
    numbers: dict[str, Any] = {}
    if labels:
        numbers = {"id2label": dict(enumerate(labels)), "label2id": {label: number for number, label in enumerate(labels)}}
    model_type = "bert" if model["position_embedding_type"] == "absolute" else "nezha"
    return {"model_type": model_type, **model, **numbers, "trained_with": trained_with}


def _describe_zoo(path):
    """The network of a checkpoint of the model zoo, which has no configuration beside it; empty for any other."""
    try:
        found = weights.find(path)
    except FileNotFoundError:  # a folder for checkpoints that has none yet
        return {}
    model = zoo.describe(found) if found.suffix == ".ckpt" and found.is_file() else {}
    if model:
        taken = " ".join(f"{key}={model[key]}" for key in ("num_attention_heads", "hidden_act", "layer_norm_eps"))
        logger.info(f"{found}: of the model zoo, its network by its shapes, and {taken}")
    return model


def _describe_positions(path, raw):
    """The positions that a config file means: Hugging Face's NEZHA, the published one's and the model zoo's switches."""
    is_nezha = raw.get("model_type") == "nezha" or raw.get("use_relative_position") is True
    otherwise = "learned" if raw.get("use_relative_positions") is True else "absolute"
    positions = raw.get("position_embedding_type", otherwise)
    if is_nezha and positions == "absolute":  # Hugging Face writes BERT's default into NEZHA's file too
        positions = "sinusoidal"
    if positions not in POSITIONS:
        raise ValueError(f"{path}: position_embedding_type={positions}: {', '.join(POSITIONS)} are supported")
    distance = raw.get("max_relative_position") if positions != "absolute" else None
    return {"position_embedding_type": positions, "max_relative_position": distance}
