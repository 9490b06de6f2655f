"""Weights as Hugging Face stores them: safetensors, one file or shards with an index, or pytorch_model.bin."""

import json
from pathlib import Path

import numpy as np

from src.formats import safetensors_file, torch_pickle
from src.log import shorten

_SHOWN = 4  # tensor names in a message
CANDIDATES = ("model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin")

_MAX_NAME_BYTES = 255  # of a file name, on usual systems


def find(folder: Path | str) -> Path | None:
    """The weights file or shard index of a Hugging Face folder; None if it has none."""
    return next((Path(folder) / name for name in CANDIDATES if (Path(folder) / name).is_file()), None)


def read(path: Path | str) -> dict[str, np.ndarray]:
    """The tensors of a file, or of all files of a shard index, under their names there.

    Args:
        path: a .safetensors, .bin or .pt file, or a shard index.

    Raises:
        FileNotFoundError: a file is absent. ValueError: damaged, truncated, empty or contradicting files.
    """
    path = Path(path)
    if not path.name.endswith(".index.json"):
        tensors = _read_file(path)
    else:
        tensors = {}
        shards = _read_index(path)
        for shard in sorted(set(shards.values())):
            found = _read_file(path.parent / shard)
            if absent := sorted(name for name, other in shards.items() if other == shard and name not in found):
                raise ValueError(f"{path}: {shard} lacks {shorten(absent, _SHOWN)}, which the index says it has")
            if twice := sorted(found.keys() & tensors.keys()):
                raise ValueError(f"{path.parent / shard}: parameter {twice[0]} occurs twice")
            tensors |= found
    if not tensors:
        raise ValueError(f"{path}: no weights in it")
    return tensors


def _read_file(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return safetensors_file.read(path) if path.suffix == ".safetensors" else torch_pickle.read(path)


def _read_index(path: Path) -> dict[str, str]:
    """Name of a tensor -> the name of its shard file, which must lie beside the index."""
    try:
        shards = {name: str(shard) for name, shard in json.loads(path.read_text(encoding="utf-8"))["weight_map"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError(f"{path}: not a shard index: an object with weight_map is expected") from None
    for shard in set(shards.values()):
        if Path(shard).name != shard or shard in ("", "..") or len(shard.encode(errors="replace")) > _MAX_NAME_BYTES:
            raise ValueError(f"{path}: shard {shard[:_MAX_NAME_BYTES]} does not lie beside the index")
    return shards
