"""Weights as Hugging Face stores them: safetensors, one file or shards with an index, or pytorch_model.bin."""

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, deserialize, safe_open

from src.formats import names, torch_pickle

_CANDIDATES = ("model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin")
_TYPES = {"BF16": "<u2", "F16": "<f2", "F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}


def find(folder):
    """The weights file or shard index of a Hugging Face folder; None if it has none."""
    return next((Path(folder) / name for name in _CANDIDATES if (Path(folder) / name).is_file()), None)


def read(path):
    """Weights by our parameter names.

    Args:
        path: a folder, a .safetensors, .bin or .pt file, or a shard index.

    Returns:
        dict of our parameter name -> NumPy array; names that we have no parameter for are kept as they are.

    Raises:
        FileNotFoundError: no weights there. ValueError: damaged, truncated, empty or contradicting files.
    """
    path = Path(path)
    if path.is_dir():
        found = find(path)
        if found is None:
            raise FileNotFoundError(f"{path}: no weights in this folder; looked for {', '.join(_CANDIDATES)}")
        path = found
    weights = {}
    for file in _read_index(path) if path.name.endswith(".index.json") else [path]:
        for name, array in _read_file(file).items():
            ours = names.from_huggingface(name)
            if ours is None:
                continue
            if ours in weights:
                raise ValueError(f"{file}: parameter {name} occurs twice")
            weights[ours] = array
    if not weights:
        raise ValueError(f"{path}: no weights in it")
    return weights


def _read_file(path):
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix != ".safetensors":
        return torch_pickle.read(path)
    try:
        with safe_open(path, "numpy") as file:
            names_found = list(file.keys())
            if all(file.get_slice(name).get_dtype() != "BF16" for name in names_found):
                return {name: file.get_tensor(name) for name in names_found}
        return {name: _from_bytes(**tensor) for name, tensor in deserialize(path.read_bytes())}
    except (SafetensorError, TypeError, LookupError, AttributeError, OSError) as error:
        raise ValueError(f"{path}: not a readable safetensors file: {error}") from None


def _from_bytes(dtype, shape, data):
    """A tensor of a file that holds bfloat16, which NumPy lacks: it comes as float32."""
    flat = np.frombuffer(data, _TYPES[dtype])
    if dtype == "BF16":
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    return flat.reshape(shape)


def _read_index(path):
    """The shard files that an index names, checked to lie beside it."""
    try:
        shards = json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()
        shards = sorted({str(shard) for shard in shards})
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path}: not a shard index: an object with weight_map is expected") from None
    for shard in shards:
        if Path(shard).name != shard or shard in ("", ".."):
            raise ValueError(f"{path}: shard {shard} does not lie beside the index")
    return [path.parent / shard for shard in shards]


def to_float32(weights):
    """The same weights with floating-point arrays as float32, the type of all parameters."""
    return {name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in weights.items()}
