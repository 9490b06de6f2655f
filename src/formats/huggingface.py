"""Weights as Hugging Face stores them: safetensors, one file or shards with an index, or pytorch_model.bin."""

import json
from pathlib import Path

from src.formats import safetensors_file, torch_pickle
from src.log import shorten

_SHOWN = 4  # names in a message
CANDIDATES = ("model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin")

_MOST_NAME_BYTES = 255  # of a file, on usual systems


def find(folder):
    """The weights file or shard index of a Hugging Face folder; None if it has none."""
    return next((Path(folder) / name for name in CANDIDATES if (Path(folder) / name).is_file()), None)


def read(path):
    """The tensors of a file, or of all files of a shard index, by their names there.

    Args:
        path: a .safetensors, .bin or .pt file, or a shard index.

    Raises:
        FileNotFoundError: a file is absent. ValueError: damaged, truncated, empty or contradicting files.
    """
    path = Path(path)
    if not path.name.endswith(".index.json"):
        tensors = _read_file(path)
    else:
        tensors, places = {}, _read_index(path)
        for shard in sorted(set(places.values())):
            found = _read_file(path.parent / shard)
            if absent := sorted(name for name, place in places.items() if place == shard and name not in found):
                raise ValueError(f"{path}: {shard} lacks {shorten(absent, _SHOWN)}, which the index says it has")
            if twice := sorted(found.keys() & tensors.keys()):
                raise ValueError(f"{path.parent / shard}: parameter {twice[0]} occurs twice")
            tensors |= found
    if not tensors:
        raise ValueError(f"{path}: no weights in it")
    return tensors


def _read_file(path):
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return (safetensors_file if path.suffix == ".safetensors" else torch_pickle).read(path)


def _read_index(path):
    """Name of a tensor -> the shard file that an index says it is in, checked to lie beside it."""
    try:
        places = {name: str(shard) for name, shard in json.loads(path.read_text(encoding="utf-8"))["weight_map"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{path}: not a shard index: an object with weight_map is expected") from None
    for shard in set(places.values()):
        if Path(shard).name != shard or shard in ("", "..") or len(shard.encode(errors="replace")) > _MOST_NAME_BYTES:
            raise ValueError(f"{path}: shard {shard[:_MOST_NAME_BYTES]} does not lie beside the index")
    return places
