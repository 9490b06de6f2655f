"""Rows for the graph from texts with [MASK] or from sentences to be scored, and candidates or likelihoods from its outputs."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from src.tasks.instances import BadInstance, take_texts
from src.text.tokenization import MASK, Tokenizer

PER_TOKEN = (False, False, False)  # for each output of the graph, whether it has one value per token
INPUTS = ("masked_lm_positions", "masked_lm_ids")  # of the graph, besides those of every encoder
EXAMPLE = {"text": "The [MASK] sat on the mat.", "sentence": "The cat sat on the mat."}  # on the served page
NOT_BLANK = ("text", "sentence")  # keys whose text may not be blank
_SHOWN = 5  # candidates

Row = tuple[list[int], list[int], tuple[list[int], list[int]]]  # input_ids, token_type_ids, the values of INPUTS


class Memory(NamedTuple):
    """What `decode` needs: the token of each id, and of each instance its text and the positions or the ids of its tokens."""

    tokens: list[str]
    texts: list[str]
    numbers: list[list[int]]


def describe(settings: Mapping[str, Any]) -> tuple[tuple[str, ...], str | None]:
    """The keys of an instance, and the key that a bare text stands for."""
    key = "sentence" if settings.get("score_sentences") else "text"
    return (key,), key


def takes_top_k(settings: Mapping[str, Any]) -> bool:
    """Whether a result is a choice among several tokens."""
    return not settings.get("score_sentences")


def check(settings: Mapping[str, Any]) -> None:
    """Raise a ValueError for settings that make decoding impossible."""
    if type(settings.get("candidates")) is not int or settings["candidates"] < 1:
        raise ValueError(f"candidates={settings.get('candidates')}: a whole number from 1 is expected")
    if type(settings.get("score_sentences")) is not bool:
        raise ValueError("score_sentences must be true or false")


def shapes(settings: Mapping[str, Any], num_labels: int, rows: int, length: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the graph's outputs, for a number of rows of one length with one position each."""
    count = settings["candidates"]
    return {"top_log_probs": (rows, 1, count), "top_ids": (rows, 1, count), "log_probs": (rows, 1)}


def encode(description: Any, tokenizer: Tokenizer, instances: list[Any]) -> tuple[list[Row], Memory]:
    """Rows of some instances: one for each text, or one for each token of a sentence; and what `decode` needs.

    Raises:
        BadInstance: also a text without [MASK] or with one beyond seq_length tokens; a sentence with [MASK], too long, or without a token.
    """
    (key,), bare = describe(description.settings)
    texts = [each[key] for each in take_texts(instances, (key,), bare)]
    encode_one = _mask_tokens if description.settings["score_sentences"] else _find_masks
    rows: list[Row] = []
    numbers = []
    for number, text in enumerate(texts):
        some, known = encode_one(number, text, tokenizer, description.settings["seq_length"])
        rows += some
        numbers.append(known)
    return rows, Memory(tokenizer.tokens, texts, numbers)


def _find_masks(number: int, text: str, tokenizer: Tokenizer, seq_length: int) -> tuple[list[Row], list[int]]:
    """The row of a text with [MASK]s, and their positions in it."""
    first, *others = tokenizer.encode(text.split(MASK))
    if not others:
        raise BadInstance(number, f"has no {MASK}, the place of a word to be found", "text")
    ids = first + [each for part in others for each in (tokenizer.vocabulary[MASK], *part)]
    lengths = np.cumsum([len(first), *(1 + len(part) for part in others[:-1])])
    positions = [int(length) + 1 for length in lengths]  # after [CLS]
    if positions[-1] > seq_length - 2:
        raise BadInstance(number, f"its last {MASK} is token {positions[-1]}, beyond the {seq_length - 2} that seq_length allows", "text")
    return [(*tokenizer.join(ids, None, seq_length), (positions, [0] * len(positions)))], positions


def _mask_tokens(number: int, text: str, tokenizer: Tokenizer, seq_length: int) -> tuple[list[Row], list[int]]:
    """For each token of a sentence a row in which it is masked; and the ids of all tokens."""
    if MASK in text:
        raise BadInstance(number, f"has {MASK}: a whole sentence is expected", "sentence")
    (ids,) = tokenizer.encode([text])
    if not 0 < len(ids) <= seq_length - 2:
        raise BadInstance(number, f"has {len(ids)} tokens; 1 to {seq_length - 2} can be scored", "sentence")
    row, types = tokenizer.join(ids, None, seq_length)
    mask = [tokenizer.vocabulary[MASK]]
    positions = range(1, len(ids) + 1)  # after [CLS]
    return [(row[:each] + mask + row[each + 1 :], types, ([each], [row[each]])) for each in positions], ids


def decode(description: Any, memory: Memory, outputs: list[tuple[np.ndarray, ...]], top_k: int | None) -> list[dict[str, Any]]:
    """For each text the candidates of its [MASK]s; for each sentence its pseudo-log-likelihood."""
    if not description.settings["score_sentences"]:
        return [
            _fill(memory.tokens, text, positions, best[: len(positions)], ids[: len(positions)], top_k or _SHOWN)
            for text, positions, (best, ids, _) in zip(memory.texts, memory.numbers, outputs)
        ]
    results, begin = [], 0
    for ids in memory.numbers:
        log_probs = [float(asked[0]) for _, _, asked in outputs[begin : begin + len(ids)]]
        begin += len(ids)
        results.append(_score([memory.tokens[each] for each in ids], log_probs))
    return results


def _score(tokens: Sequence[str], log_probs: Sequence[float]) -> dict[str, Any]:
    total = math.fsum(log_probs)
    shown = [{"token": token, "probability": math.exp(value)} for token, value in zip(tokens, log_probs)]
    return {"log_likelihood": total, "perplexity": math.exp(min(-total / len(tokens), 700.0)), "tokens": shown}


def _fill(tokens: list[str], text: str, positions: list[int], best: np.ndarray, ids: np.ndarray, top_k: int) -> dict[str, Any]:
    """The result for a text; best, ids: float32 [masks, candidates]."""
    choices = []
    for row, values in zip(ids.astype(int), best):  # a table of words may have rows without a token
        choices.append([(tokens[each], float(value)) for each, value in zip(row, values) if each < len(tokens)][:top_k])
    masks = [[{"token": token, "probability": math.exp(value)} for token, value in some] for some in choices]
    before, *parts = text.split(MASK)
    for part, ((token, _), *_) in zip(parts, choices):
        before = (before.rstrip() + token[2:] if token.startswith("##") else before + token) + part
    words = []
    for _, group in groupby(enumerate(positions), lambda pair: pair[1] - pair[0]):  # neighbours have equal differences
        numbers = [number for number, _ in group]
        if len(numbers) > 1:
            found = _join(choices[numbers[0] : numbers[-1] + 1], top_k)
            words.append({"first": numbers[0], "masks": len(numbers), "candidates": found})
    return {"filled": before, "masks": masks, "words": words}


def _join(choices: Sequence[Sequence[tuple[str, float]]], top_k: int) -> list[dict[str, Any]]:
    """The most probable texts of one token from each list, by the sum of their log-probabilities."""
    texts = [("", 0.0)]
    for some in choices:
        longer = [(append_token(text, token), total + value) for text, total in texts for token, value in some]
        texts = sorted(longer, key=lambda pair: -pair[1])[:top_k]
    return [{"word": text, "probability": math.exp(total)} for text, total in texts]


def append_token(text: str, token: str) -> str:
    """A text and its next token: word pieces join, and only words of letters that need it are parted by a space."""
    if token.startswith("##"):
        return text + token[2:]
    return f"{text} {token}" if text and text[-1].isascii() and token[:1].isascii() else text + token
