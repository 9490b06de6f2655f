"""Rows for the graph from texts, and their vectors."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from src.records.vectors import KEY, to_floats
from src.tasks.embed.options import POOLINGS
from src.tasks.instances import BadInstance, take_texts
from src.text.tokenization import Tokenizer

PER_TOKEN = (False,)  # for each output of the graph, whether it has one value per token
EXAMPLE = {"text": "A man is playing a large flute."}  # on the served page
NOT_BLANK = ("text",)  # keys whose text may not be blank


def describe(settings: Mapping[str, Any]) -> tuple[tuple[str, ...], str | None]:
    """The keys of an instance, and the key that a bare text stands for."""
    return ("text",), "text"


def takes_top_k(settings: Mapping[str, Any]) -> bool:
    """Whether a result is a choice among several: no."""
    return False


def check(settings: Mapping[str, Any]) -> None:
    """Raise a ValueError for settings that do not describe vectors."""
    if settings.get("pooling") not in POOLINGS:
        raise ValueError(f"pooling={settings.get('pooling')}: {' or '.join(POOLINGS)} is expected")
    if type(settings.get("normalize")) is not bool:
        raise ValueError("normalize must be true or false")
    if type(settings.get("dimensions")) is not int:
        raise ValueError(f"dimensions={settings.get('dimensions')}: a whole number is expected")


def shapes(settings: Mapping[str, Any], num_labels: int, rows: int, length: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the graph's outputs, for a number of rows of one length."""
    return {"embeddings": (rows, settings["dimensions"])}


def encode(description: Any, tokenizer: Tokenizer, instances: list[Any]) -> tuple[list[tuple[list[int], list[int]]], None]:
    """Rows (input_ids, token_type_ids), and None: `decode` needs nothing else.

    Raises:
        BadInstance: also a text without a token, which has no meaning to be a vector of.
    """
    texts = take_texts(instances, *describe(description.settings))
    encoded = tokenizer.encode([each["text"] for each in texts])
    for number, ids in enumerate(encoded):
        if not ids:
            raise BadInstance(number, "is empty: a text with at least one token is expected", "text")
    return [tokenizer.join(ids, None, description.settings["seq_length"]) for ids in encoded], None


def decode(description: Any, memory: None, outputs: list[tuple[np.ndarray, ...]], top_k: int | None) -> list[dict[str, Any]]:
    """The vector of each row."""
    return [{KEY: to_floats(vector)} for (vector,) in outputs]
