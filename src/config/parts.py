"""The parts of a fine-tuned network: their names, which of them are trained, and at which learning rate."""

import re
from collections.abc import Sequence

_LAYERS = re.compile(r"layers\.(\d+)(?:-(\d+))?")
_SINGLE = ("embeddings", "pooler")


def find_part(name: str) -> str:
    """The part of a parameter by its name: embeddings, layers.0 and so on, pooler, head, or crf, which is a part of the head."""
    if not name.startswith("bert."):
        return "crf" if name.startswith("head.crf.") else "head"
    words = name.split(".")
    return f"layers.{words[3]}" if words[1] == "encoder" else words[1]


def expand_parts(listed: Sequence[str], num_layers: int) -> tuple[str, ...]:
    """The parts that `freeze` lists, with ranges of layers, such as layers.0-5, written out.

    Raises:
        ValueError: a name that is none, or a layer that the network does not have.
    """
    parts: list[str] = []
    for text in listed:
        match = _LAYERS.fullmatch(text)
        if not match and text not in _SINGLE:
            raise ValueError(f"freeze={text}: no such part; expected embeddings, layers.N, layers.M-N or pooler")
        if not match:
            parts.append(text)
            continue
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last:
            raise ValueError(f"freeze={text}: the first layer comes after the last one")
        if last >= num_layers:
            raise ValueError(f"freeze={text}: no layer {last}; the network has layers.0 to layers.{num_layers - 1}")
        parts += [f"layers.{number}" for number in range(first, last + 1)]
    return tuple(dict.fromkeys(parts))


def layer_factors(decay: float, num_layers: int) -> dict[str, float]:
    """Part of the encoder -> the factor of its learning rate: 1 for the top layer, `decay` times that of the layer above for each other.

    The embeddings come below the lowest layer. The pooler has the factor 1.
    Source: Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?", section 5.3.3.
    """
    factors = {f"layers.{number}": decay ** (num_layers - 1 - number) for number in range(num_layers)}
    return {"embeddings": decay**num_layers, **factors, "pooler": 1.0}
