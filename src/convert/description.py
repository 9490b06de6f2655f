"""The files beside weights: the configuration in each system's format, the vocabulary, the tokenizer's settings."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from src.config import loader
from src.config.model import OF_CHOICES, ModelConfig, describe_weights, own_description
from src.convert.parameters import has_plain_head
from src.files import read_json_object, write_text
from src.formats import tokenizer_files
from src.formats.vocabulary import number_tokens
from src.formats.zoo import EPS as ZOOS_EPS
from src.text.tokenization import Tokenizer

_GOOGLES = (
    *("attention_probs_dropout_prob", "hidden_act", "hidden_dropout_prob", "hidden_size", "initializer_range", "intermediate_size"),
    *("max_position_embeddings", "num_attention_heads", "num_hidden_layers", "type_vocab_size", "vocab_size", "layer_norm_eps"),
)
_CONFIG_NAMES = {"huggingface": "config.json", "mindspore": "config.json", "tensorflow": "bert_config.json"}
READ_BESIDE = ("config.json", "bert_config.json", "vocab.txt", *tokenizer_files.BESIDE)  # by one program or another
_GOOGLES_EPS = 1e-12


@dataclasses.dataclass(frozen=True)
class Description:
    """The information that goes with weights.

    Attributes:
        labels: class names or tags in the order of their ids.
        trained_with: settings of a fine-tuned task, or the objective of a pretraining.
        architecture: Hugging Face's class that wrote the weights, or empty.
        problem_type: Hugging Face's kind of classification.
        vocabulary: content of vocab.txt, None if there is none.
        tokenizer: content of tokenizer_config.json.
        warnings: lines of text for the user.
    """

    model: ModelConfig
    labels: tuple[str, ...]
    trained_with: dict[str, Any]
    architecture: str
    problem_type: str | None
    vocabulary: bytes | None
    tokenizer: dict[str, Any]
    warnings: tuple[str, ...]


def read_description(path: Path | str, config_file: Path | str | None = None, vocab_file: Path | str | None = None) -> Description:
    """The Description from the files beside weights.

    Args:
        path: see `weights.find`.
        config_file, vocab_file: replace those beside the weights.

    Raises:
        FileNotFoundError: a given file is absent.
        ValueError: no configuration, or one of another kind of network.
    """
    found = describe_weights(path, config_file)
    if not found.model:
        raise ValueError(f"{path}: no config.json or bert_config.json beside it; give --bert_config_file")
    model = loader.build(ModelConfig, found.model, "model.")
    vocabulary, tokenizer, warnings = _read_vocabulary(vocab_file or found.vocab_file, model)
    trained_with = found.trained_with | ({"objective": found.objective} if found.objective else {})
    return Description(model, found.labels, trained_with, found.architecture, found.problem_type, vocabulary, tokenizer, warnings)


def _read_vocabulary(path, model):
    """Content of vocab.txt (with added tokens, or made from tokenizer.json, if needed) and of tokenizer_config.json; warnings."""
    if not path:
        return None, {}, ("no vocab.txt or tokenizer.json beside the weights; --vocab_file_path names one",)
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; it should be a vocabulary with one token per line")
    config = Path(path).with_name(tokenizer_files.CONFIG)
    theirs = read_json_object(config) if config.is_file() else {}
    try:
        tokenizer = Tokenizer(path)
    except ValueError as error:
        if Path(path).suffix == ".json":
            raise
        return Path(path).read_bytes(), theirs, (str(error),)
    warnings = list(tokenizer.notes)
    if (size := len(tokenizer.tokens)) != model.vocab_size:
        which = "the last ones have no embedding" if size > model.vocab_size else "the last embeddings have no token"
        warnings.append(f"{path}: {size} tokens, and vocab_size={model.vocab_size}: {which}")
    is_whole = Path(path).suffix != ".json" and number_tokens(path)[0] == tokenizer.vocabulary
    content = Path(path).read_bytes() if is_whole else "".join(f"{token}\n" for token in tokenizer.tokens).encode()
    return content, ({} if tokenizer.is_generic else theirs) | tokenizer.description, tuple(warnings)


def list_files(target: str, description: Description) -> list[str]:
    """Names of the files written by `write_description`."""
    files = [_CONFIG_NAMES[target]]
    files += ["vocab.txt"] if description.vocabulary is not None else []
    return files + ([tokenizer_files.CONFIG] if description.tokenizer else [])


def write_description(folder: Path | str, target: str, description: Description, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the configuration in the target's format, and the vocabulary unchanged, beside the converted weights.

    Args:
        target: huggingface, tensorflow or mindspore.
        arrays: our name -> array.
    """
    if target == "huggingface":
        config = _to_huggingface(description, arrays)
    else:
        config = _to_tensorflow(description) if target == "tensorflow" else _to_mindspore(description)
    folder = Path(folder)
    write_text(folder / _CONFIG_NAMES[target], json.dumps(config, ensure_ascii=False, indent=2) + "\n")
    if description.vocabulary is not None:
        (folder / "vocab.txt").write_bytes(description.vocabulary)
    if description.tokenizer:
        write_text(folder / tokenizer_files.CONFIG, json.dumps(description.tokenizer, ensure_ascii=False, indent=2) + "\n")


def _to_mindspore(description):
    config = own_description(dataclasses.asdict(description.model), description.labels, description.trained_with)
    theirs = {"architectures": [description.architecture], "problem_type": description.problem_type}
    return config | {key: value for key, value in theirs.items() if value not in (None, [""])}


def _to_huggingface(description, arrays):
    """The settings of transformers' BertConfig or NezhaConfig, and others, which those keep as attributes."""
    config = _to_mindspore(description)
    model = description.model
    config["architectures"] = [choose_architecture(description, arrays)]
    if model.hidden_act == "gelu_tanh":
        config["hidden_act"] = "gelu_new"
    if model.position_embedding_type == "absolute":
        del config["max_relative_position"]
    else:
        del config["position_embedding_type"]
    if "head.dense.bias" in arrays and not description.labels:
        config["num_labels"] = len(arrays["head.dense.bias"])
    return config if description.trained_with else {key: value for key, value in config.items() if key != "trained_with"}


def choose_architecture(description: Description, arrays: Mapping[str, np.ndarray]) -> str:
    """The transformers class that has exactly these parameters."""
    prefix = "Bert" if description.model.position_embedding_type == "absolute" else "Nezha"
    has = {part: any(name.startswith(part) for name in arrays) for part in ("masked_lm", "next_sentence", "head.span")}
    tagger = "TokenClassification" in description.architecture or "bert.pooler.weight" not in arrays
    tagger = tagger or any(name.startswith("head.crf.") for name in arrays)
    if description.architecture == prefix + OF_CHOICES and has_plain_head(arrays) and len(arrays["head.dense.bias"]) == 1:
        return description.architecture
    if has_plain_head(arrays):
        return f"{prefix}ForTokenClassification" if tagger else f"{prefix}ForSequenceClassification"
    if has["head.span"]:
        return f"{prefix}ForQuestionAnswering"
    if has["masked_lm"]:
        return f"{prefix}ForPreTraining" if has["next_sentence"] else f"{prefix}ForMaskedLM"
    return f"{prefix}ForNextSentencePrediction" if has["next_sentence"] else f"{prefix}Model"


def _to_tensorflow(description):
    """Google's bert_config.json, with settings that this program needs to read it back and Google's programs ignore."""
    ours = _to_mindspore(description)
    config = {key: ours[key] for key in _GOOGLES}
    if description.model.hidden_act in ("gelu_tanh", "gelu_new"):  # Google's programs know both as gelu
        config |= {"hidden_act": "gelu", "exact_hidden_act": description.model.hidden_act}
    if description.model.position_embedding_type == "sinusoidal":
        config |= {"use_relative_position": True, "max_relative_position": description.model.max_relative_position}
    others = {key: ours[key] for key in ("id2label", "label2id", "trained_with", "architectures", "problem_type") if ours.get(key)}
    return config | others


def find_changed_class(source: str, description: Description, arrays: Mapping[str, np.ndarray]) -> list[str]:
    """A warning if the transformers class had to be guessed or changes in the conversion."""
    chosen = choose_architecture(description, arrays)
    if source != "mindspore" and not description.architecture and chosen.endswith("ForSequenceClassification"):
        return ["taken for a classifier of texts; a tagger with a pooler has parameters of the same names"]
    if description.architecture in ("", chosen):
        return []
    return [f"{description.architecture} becomes {chosen}: what these do alike is converted"]


def find_departures(source: str, target: str, model: ModelConfig) -> list[str]:
    """Warnings on computations in which the source's or target's programs differ from this network.

    Args:
        source: kind of Weights.
        target: huggingface, tensorflow or mindspore.
    """
    departures = []
    if source == "zoo" and (model.hidden_act == "gelu" or model.layer_norm_eps != ZOOS_EPS):
        departures.append(
            f"the model zoo computes gelu by tanh, and normalises with an epsilon of {ZOOS_EPS:g}; the configuration says otherwise"
        )
    if target == "tensorflow" and model.hidden_act == "gelu":
        departures.append("Google's programs compute gelu by tanh, which differs from this network's by up to 5e-4 for each value")
    if target == "tensorflow" and model.layer_norm_eps != _GOOGLES_EPS:
        departures.append(f"Google's programs normalise with an epsilon of {_GOOGLES_EPS:g}, this network with {model.layer_norm_eps:g}")
    return departures
