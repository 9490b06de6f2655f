"""What sentence-transformers keeps beside an encoder: modules.json, the pooling's config.json, sentence_bert_config.json."""

import json
from pathlib import Path
from typing import Any

from src.files import read_json_object
from src.text.tables import read_text

_LENGTH_FILE = "sentence_bert_config.json"
_POOLINGS = {"mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls"}
_KNOWN = ("Transformer", "Pooling", "Normalize")


def read_modules(path: Path | str) -> dict[str, Any]:
    """The settings `pooling` and `seq_length` of an encoder, as far as the files beside its weights tell them.

    Args:
        path: the weights or their folder.

    Raises:
        ValueError: a module or a pooling that is not supported here, whose vectors would be others.
    """
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    found: dict[str, Any] = {}
    if (folder / "modules.json").is_file():
        found |= _read_pooling(folder / "modules.json")
    if (folder / _LENGTH_FILE).is_file():
        length = read_json_object(folder / _LENGTH_FILE).get("max_seq_length")
        found |= {"seq_length": length} if type(length) is int else {}
    return found


def _read_pooling(path):
    try:
        modules = json.loads(read_text(path))
        kinds = [(str(module["type"]).split(".")[-1], path.parent / str(module["path"])) for module in modules]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: a list of sentence-transformers' modules is expected: {error}") from None
    for kind, _ in kinds:
        if kind not in _KNOWN:
            raise ValueError(f"{path}: the module {kind} is not supported; {', '.join(_KNOWN)} are")
    folder = next((folder for kind, folder in kinds if kind == "Pooling"), None)
    return {} if folder is None else {"pooling": _find_mode(folder / "config.json")}


def _find_mode(path):
    config = read_json_object(path)
    prefix = "pooling_mode_"
    modes = [str(config.get("pooling_mode"))] if "pooling_mode" in config else []
    modes += [key.removeprefix(prefix) for key, value in config.items() if key.startswith(prefix) and value is True]
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        raise ValueError(f"{path}: pooling {' and '.join(modes) or 'of no kind'} is not supported; mean and cls are")
    return _POOLINGS[modes[0]]
