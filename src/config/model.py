"""The shape of a network, and how it is read from `config.json` or `bert_config.json` beside the weights."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.config.fields import check_fields, setting
from src.files import read_json_object
from src.formats import tokenizer_files, vocabulary, weights, zoo
from src.log import logger

CONFIG_NAMES = ("config.json", "bert_config.json")
HIDDEN_ACTS = ("gelu", "gelu_tanh", "gelu_new", "relu")
POSITIONS = ("absolute", "sinusoidal", "learned")
_MAX_RELATIVE_POSITION = {"sinusoidal": 64, "learned": 16}
OF_CHOICES = "ForMultipleChoice"  # end of the name of Hugging Face's classes that score the choices of a question
SEVERAL_LABELS = "multi_label_classification"  # Hugging Face's problem_type of networks that give each label a probability of its own
MASK_BIAS = -10000.0  # added to the scores of padding and forbidden transitions, whose exp is then 0
# required in a configuration: the weights do not determine them, and a default would silently be BERT-base's
_NEEDED = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
_OTHERS = {  # setting that only other networks have -> those networks
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
    """BERT's hyper-parameters, under the names of Google's bert_config.json; the defaults are those of BERT-base, Chinese."""

    vocab_size: int = setting(21128, "rows of the word embedding table", minimum=1, maximum=10_000_000)
    hidden_size: int = setting(768, "width of every layer's output", minimum=1, maximum=100_000)
    num_hidden_layers: int = setting(12, "encoder layers", minimum=1, maximum=1000)
    num_attention_heads: int = setting(12, "attention heads; the number must divide hidden_size", minimum=1)
    intermediate_size: int = setting(3072, "width inside the feed-forward block", minimum=1)
    hidden_act: str = setting(
        "gelu", "activation of the feed-forward block; gelu is the erf form, gelu_tanh (or gelu_new) its approximation", HIDDEN_ACTS
    )
    hidden_dropout_prob: float = setting(0.1, "dropout after embeddings, attention and feed-forward", minimum=0, maximum=0.99)
    attention_probs_dropout_prob: float = setting(0.1, "dropout of attention probabilities", minimum=0, maximum=0.99)
    max_position_embeddings: int = setting(512, "maximum length of a sequence in tokens", minimum=1)
    type_vocab_size: int = setting(
        2, "number of segment types; 2 in all published checkpoints, 16 in early documents of the model zoo", minimum=1
    )
    initializer_range: float = setting(0.02, "standard deviation of the truncated normal initialiser", above=0)
    layer_norm_eps: float = setting(1e-12, "added to the variance in layer normalisation", above=0)
    position_embedding_type: str = setting(
        "absolute", "absolute: BERT; sinusoidal: NEZHA as published; learned: the model zoo's NEZHA, a table in each layer", POSITIONS
    )
    max_relative_position: int | None = setting(
        None,
        "distance to which NEZHA clips relative positions; default: 64, or 16 if learned; published English models have 127",
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
    """The files beside the weights: shape, labels, settings of the training, vocabulary; Hugging Face's class and problem type.

    `objective` is that of a pretraining if it is not the default. It is kept with the settings of the training, but is no setting of a
    fine-tuning, which the weights may be used for.
    """

    model: dict[str, Any]
    labels: tuple[str, ...]
    trained_with: dict[str, Any]
    vocab_file: str | None
    architecture: str
    problem_type: str | None
    objective: str | None = None


def describe_weights(path: Path | str | None, config_file: Path | str | None = None) -> WeightsInfo:
    """Read the configuration that belongs to a weights file or folder, without reading the weights.

    The shape of a model zoo checkpoint follows from its arrays.

    Args:
        path: see `weights.find`; also a folder without weights, or None if config_file is given.
        config_file: a bert_config.json to read instead of the one beside the weights.

    Returns:
        WeightsInfo; `model`, `labels` and `trained_with` are empty and `vocab_file` None where the files are absent.

    Raises:
        FileNotFoundError: `path` or `config_file` does not exist.
        ValueError: the file is no JSON object or describes an unsupported network, or the weights are PaddlePaddle's.
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
    vocab = vocabulary.find_vocabulary(folder) if folder is not None else None
    return WeightsInfo(
        model=model,
        labels=tuple(str(labels[key]) for key in sorted(labels, key=int)),
        trained_with={key: value for key, value in trained_with.items() if key != "objective"},
        vocab_file=None if vocab is None else str(vocab),
        architecture=architectures[0] if architectures else "",
        problem_type=own.get("problem_type") if isinstance(own.get("problem_type"), str) else None,
        objective=trained_with.get("objective"),
    )


def find_own_vocabulary(path: Path | str) -> Path | None:
    """The vocabulary beside weights, see `describe_weights`; None if there is none."""
    return vocabulary.find_vocabulary(_find_folder(path))


def find_vocabulary_size(path: Path | str | None) -> int | None:
    """The rows of an embedding that a vocabulary needs; None if there is no such file."""
    if not path or not Path(path).is_file():
        return None
    return vocabulary.count_ids(tokenizer_files.read_tokenizer_files(path).vocabulary)


def _find_folder(path):
    try:
        found = weights.find(path)
    except FileNotFoundError:
        if not Path(path).is_dir():
            raise
        return Path(path)  # no weights in it yet
    return Path(path) if Path(path).is_dir() else found.parent


def _read_model(raw, path):
    """Values of ModelConfig from a configuration in any supported form."""
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
    """Raise a ValueError if the configuration describes a network other than BERT and NEZHA."""
    if raw.get("model_type", "bert") not in ("bert", "nezha"):
        raise ValueError(f"{path}: model_type={raw['model_type']}: bert and nezha are supported")
    for key, whose in _OTHERS.items():
        value = raw.get(key)
        if value not in (None, False) and not (key == "embedding_size" and value == raw.get("hidden_size")):
            raise ValueError(f"{path}: {key}={str(value).lower()} belongs to {whose}; bert and nezha are supported")
    classes = raw.get("architectures") or []
    if "model_type" not in raw and classes and not str(classes[0]).startswith(("Bert", "Nezha")):
        raise ValueError(f"{path}: architectures={classes[0]}: without a model_type, classes named Bert… and Nezha… are supported")


def refuse_several_labels(problem_type: str | None, where: Path | str) -> None:
    """Raise a ValueError if the weights give each label a probability of its own, where one of them would be chosen."""
    if problem_type == SEVERAL_LABELS:
        raise ValueError(f"{where}: problem_type={problem_type}: several labels a text are for run_classifier.py --multi_label true")


def own_description(model: dict[str, Any], labels: Sequence[str], trained_with: dict[str, Any], choices: bool = False) -> dict[str, Any]:
    """The content of the config.json that this program writes beside weights.

    Args:
        model: ModelConfig as a dict.
        labels: class names in id order.
        trained_with: settings of the task.
        choices: whether the network scores the choices of questions, which Hugging Face's file tells by the name of a class alone.
    """
    numbers: dict[str, Any] = {}
    if labels:
        numbers = {"id2label": dict(enumerate(labels)), "label2id": {label: number for number, label in enumerate(labels)}}
    model_type = "bert" if model["position_embedding_type"] == "absolute" else "nezha"
    kind: dict[str, Any] = {"problem_type": SEVERAL_LABELS} if trained_with.get("multi_label") else {}
    if choices:
        kind["architectures"] = [model_type.capitalize() + OF_CHOICES]
    return {"model_type": model_type, **model, **numbers, **kind, "trained_with": trained_with}


def _describe_zoo(path):
    """The shape of a model zoo checkpoint, which has no configuration beside it; empty for any other file."""
    try:
        found = weights.find(path)
    except FileNotFoundError:  # a checkpoint folder that is still empty
        return {}
    model = zoo.describe(found) if found.suffix == ".ckpt" and found.is_file() else {}
    if model:
        taken = " ".join(f"{key}={model[key]}" for key in ("num_attention_heads", "hidden_act", "layer_norm_eps"))
        logger.info(f"{found}: of the model zoo, its network by its shapes, and {taken}")
    return model


def _describe_positions(path, raw):
    """The kind of positions in a config file, by Hugging Face's key or the switches of published NEZHA and of the model zoo."""
    is_nezha = raw.get("model_type") == "nezha" or raw.get("use_relative_position") is True
    otherwise = "learned" if raw.get("use_relative_positions") is True else "absolute"
    positions = raw.get("position_embedding_type", otherwise)
    if is_nezha and positions == "absolute":  # Hugging Face writes BERT's default into NEZHA's file too
        positions = "sinusoidal"
    if positions not in POSITIONS:
        raise ValueError(f"{path}: position_embedding_type={positions}: {', '.join(POSITIONS)} are supported")
    distance = raw.get("max_relative_position") if positions != "absolute" else None
    return {"position_embedding_type": positions, "max_relative_position": distance}
