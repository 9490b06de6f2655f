"""Rows for the graph from texts and pairs, and classes or scores from its logits."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from src.tasks.instances import take_texts
from src.text.tokenization import Tokenizer

PER_TOKEN = (False,)  # for each output of the graph, whether it has one value per token
EXAMPLE = {"text_a": "a gripping, funny and very human film", "text_b": "a film that is worth seeing"}  # on the served page
NOT_BLANK: tuple[str, ...] = ()  # keys whose text may not be blank


def describe(settings: Mapping[str, Any]) -> tuple[tuple[str, ...], str | None]:
    """The keys of an instance, and the key that a bare text stands for."""
    return (("text_a", "text_b"), None) if settings.get("pairs") else (("text_a",), "text_a")


def takes_top_k(settings: Mapping[str, Any]) -> bool:
    """Whether a result is a choice among several labels."""
    return not settings.get("regression")


def check(settings: Mapping[str, Any]) -> None:
    """Raise a ValueError for settings that make decoding impossible."""
    for name in ("regression", "pairs", "multi_label"):
        if type(settings.get(name, False)) is not bool:
            raise ValueError(f"{name} must be true or false")
    if settings.get("multi_label"):
        thresholds = settings.get("thresholds")
        if not isinstance(thresholds, list) or not all(type(each) in (int, float) and 0 <= each <= 1 for each in thresholds):
            raise ValueError("thresholds must be a list of numbers from 0 to 1, one for each label")


def shapes(settings: Mapping[str, Any], num_labels: int, rows: int, length: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the graph's outputs, for a number of rows of one length."""
    return {"logits": (rows, 1 if settings.get("regression") else num_labels)}


def encode(description: Any, tokenizer: Tokenizer, instances: list[Any]) -> tuple[list[tuple[list[int], list[int]]], None]:
    """Rows (input_ids, token_type_ids), and None: `decode` needs nothing else."""
    texts = take_texts(instances, *describe(description.settings))
    first = tokenizer.encode([each["text_a"] for each in texts])
    second = tokenizer.encode([each["text_b"] for each in texts]) if description.settings.get("pairs") else [None] * len(texts)
    return [tokenizer.join(a, b, description.settings["seq_length"]) for a, b in zip(first, second)], None


def decode(description: Any, memory: None, outputs: list[tuple[np.ndarray, ...]], top_k: int | None) -> list[dict[str, Any]]:
    """For each row's logits [C]: label, probability and probabilities (of the top_k most probable); score in a regression.

    Of several labels a text: labels, those whose probability reaches their threshold, and probabilities.
    """
    if description.settings.get("regression"):
        return [{"score": float(logits[0])} for (logits,) in outputs]
    if description.settings.get("multi_label"):
        return [_choose(description.labels, description.settings["thresholds"], logits, top_k) for (logits,) in outputs]
    return [_decide(description.labels, logits, top_k) for (logits,) in outputs]


def _decide(labels, logits, top_k):
    shares = np.exp(logits.astype(np.float64) - logits.max())
    shares /= shares.sum()
    best = int(shares.argmax())
    return {"label": labels[best], "probability": float(shares[best]), "probabilities": _name(labels, shares, top_k)}


def _choose(labels, thresholds, logits, top_k):
    shares = np.exp(-np.logaddexp(0, -logits.astype(np.float64)))  # the sigmoid, without overflow
    chosen = [label for label, share, threshold in zip(labels, shares, thresholds, strict=True) if share >= threshold]
    return {"labels": chosen, "probabilities": _name(labels, shares, top_k)}


def _name(labels, shares, top_k):
    order = np.argsort(-shares, kind="stable") if top_k else range(len(labels))
    return {labels[number]: float(shares[number]) for number in list(order)[: top_k or None]}
