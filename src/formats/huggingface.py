"""Weights as Hugging Face stores them: safetensors, one file or shards with an index, or pytorch_model.bin."""

import json
from pathlib import Path

from src.formats import safetensors_file, torch_pickle

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
    tensors = {}
    for file in _read_index(path) if path.name.endswith(".index.json") else [path]:
        for name, array in _read_file(file).items():
            if name in tensors:
                raise ValueError(f"{file}: parameter {name} occurs twice")
            tensors[name] = array
    if not tensors:
        raise ValueError(f"{path}: no weights in it")
    return tensors


def _read_file(path):
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return (safetensors_file if path.suffix == ".safetensors" else torch_pickle).read(path)


def _read_index(path):
    """The shard files that an index names, checked to lie beside it."""
    try:
        shards = json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()
        shards = sorted({str(shard) for shard in shards})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{path}: not a shard index: an object with weight_map is expected") from None
    for shard in shards:
        if Path(shard).name != shard or shard in ("", "..") or len(shard.encode(errors="replace")) > _MOST_NAME_BYTES:
            raise ValueError(f"{path}: shard {shard[:_MOST_NAME_BYTES]} does not lie beside the index")
    return [path.parent / shard for shard in shards]
