"""Rows for the graph from texts and pairs, and classes or scores from its logits."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from src.tasks.instances import BadInstance, take_texts
from src.text.tokenization import Tokenizer

PER_TOKEN = (False,)  # for each output of the graph, whether it has one value per token
EXAMPLE = {  # on the served page
    "text_a": "a gripping, funny and very human film",
    "text_b": "a film that is worth seeing",
    "choices": "again\nonly on a rainy day",
}
NOT_BLANK = ("choices",)  # keys whose text may not be blank


def describe(settings: Mapping[str, Any]) -> tuple[tuple[str, ...], str | None]:
    """The keys of an instance, and the key that a bare text stands for."""
    if settings.get("choices"):
        return ("text_a", "text_b", "choices"), None
    return (("text_a", "text_b"), None) if settings.get("pairs") else (("text_a",), "text_a")


def takes_top_k(settings: Mapping[str, Any]) -> bool:
    """Whether a result is a choice among several labels."""
    return not (settings.get("regression") or settings.get("choices"))


def check(settings: Mapping[str, Any]) -> None:
    """Raise a ValueError for settings that make decoding impossible."""
    for name in ("regression", "pairs", "multi_label", "choices"):
        if type(settings.get(name, False)) is not bool:
            raise ValueError(f"{name} must be true or false")
    if settings.get("multi_label"):
        thresholds = settings.get("thresholds")
        if not isinstance(thresholds, list) or not all(type(each) in (int, float) and 0 <= each <= 1 for each in thresholds):
            raise ValueError("thresholds must be a list of numbers from 0 to 1, one for each label")


def shapes(settings: Mapping[str, Any], num_labels: int, rows: int, length: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the graph's outputs, for a number of rows of one length."""
    return {"logits": (rows, 1 if settings.get("regression") or settings.get("choices") else num_labels)}


def encode(
    description: Any, tokenizer: Tokenizer, instances: list[Any]
) -> tuple[list[tuple[list[int], list[int]]], list[list[str]] | None]:
    """Rows (input_ids, token_type_ids), and for `decode` the choices of each instance, which stand in lines of their own; else None."""
    texts = take_texts(instances, *describe(description.settings))
    if description.settings.get("choices"):
        return _encode_choices(tokenizer, texts, description.settings["seq_length"])
    first = tokenizer.encode([each["text_a"] for each in texts])
    second = tokenizer.encode([each["text_b"] for each in texts]) if description.settings.get("pairs") else [None] * len(texts)
    return [tokenizer.join(a, b, description.settings["seq_length"]) for a, b in zip(first, second)], None


def _encode_choices(tokenizer, texts, seq_length):
    choices = [[line.strip() for line in each["choices"].split("\n") if line.strip()] for each in texts]
    for number, lines in enumerate(choices):
        if len(lines) < 2:
            raise BadInstance(number, "two choices at least are needed, each in a line of its own", "choices")
    seconds = iter(tokenizer.encode([f"{each['text_b']} {line}" for each, lines in zip(texts, choices) for line in lines]))
    first = tokenizer.encode([each["text_a"] for each in texts])
    return [tokenizer.join(a, next(seconds), seq_length) for a, lines in zip(first, choices) for _ in lines], choices


def decode(description: Any, memory: Any, outputs: list[tuple[np.ndarray, ...]], top_k: int | None) -> list[dict[str, Any]]:
    """For each row's logits [C]: label, probability and probabilities (of the top_k most probable); score in a regression.

    Of several labels a text: labels, those whose probability reaches their threshold, and probabilities. Of choices: choice, the number of
    the most probable one, its text and probability, and probabilities.
    """
    if memory is not None:
        logits = iter(float(logits[0]) for (logits,) in outputs)
        return [_pick(lines, np.array([next(logits) for _ in lines])) for lines in memory]
    if description.settings.get("regression"):
        return [{"score": float(logits[0])} for (logits,) in outputs]
    if description.settings.get("multi_label"):
        return [_choose(description.labels, description.settings["thresholds"], logits, top_k) for (logits,) in outputs]
    return [_decide(description.labels, logits, top_k) for (logits,) in outputs]


def _to_shares(logits):
    shares = np.exp(logits.astype(np.float64) - logits.max())
    return shares / shares.sum()


def _pick(lines, logits):
    shares = _to_shares(logits)
    best = int(shares.argmax())
    return {"choice": best, "text": lines[best], "probability": float(shares[best]), "probabilities": shares.tolist()}


def _decide(labels, logits, top_k):
    shares = _to_shares(logits)
    best = int(shares.argmax())
    return {"label": labels[best], "probability": float(shares[best]), "probabilities": _name(labels, shares, top_k)}


def _choose(labels, thresholds, logits, top_k):
    shares = np.exp(-np.logaddexp(0, -logits.astype(np.float64)))  # the sigmoid, without overflow
    chosen = [label for label, share, threshold in zip(labels, shares, thresholds, strict=True) if share >= threshold]
    return {"labels": chosen, "probabilities": _name(labels, shares, top_k)}


def _name(labels, shares, top_k):
    order = np.argsort(-shares, kind="stable") if top_k else range(len(labels))
    return {labels[number]: float(shares[number]) for number in list(order)[: top_k or None]}
