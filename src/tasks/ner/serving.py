"""Windows of tokens for the graph from texts, and entities from their logits."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from src.tasks.instances import take_texts
from src.tasks.ner.rows import encode_sentences, find_entities, merge_windows
from src.tasks.ner.sentences import Sentence
from src.tasks.ner.tags import make_tag_set
from src.text.tokenization import Tokenizer

PER_TOKEN = (True, None, None, None)  # logits have values per token; a CRF's parameters belong to no row
EXAMPLE = {"text": "Angela Merkel visited Paris in May."}  # on the served page
NOT_BLANK: tuple[str, ...] = ()  # keys whose text may not be blank


def describe(settings: Mapping[str, Any]) -> tuple[tuple[str, ...], str | None]:
    """The keys of an instance, and the key that a bare text stands for."""
    return ("text",), "text"


def takes_top_k(settings: Mapping[str, Any]) -> bool:
    """Whether a result is a choice among several labels."""
    return False


def check(settings: Mapping[str, Any]) -> None:
    """Raise a ValueError for settings that make decoding impossible."""
    if type(settings.get("use_crf", False)) is not bool:
        raise ValueError("use_crf must be true or false")
    if settings.get("tagged_pieces", "all") not in ("all", "first"):
        raise ValueError("tagged_pieces must be all or first")


def shapes(settings: Mapping[str, Any], num_labels: int, rows: int, length: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the graph's outputs, for a number of rows of one length."""
    crf = {"transitions": (num_labels, num_labels), "start": (num_labels,), "end": (num_labels,)} if settings.get("use_crf") else {}
    return {"logits": (rows, length, num_labels), **crf}


def encode(
    description: Any, tokenizer: Tokenizer, instances: list[Any]
) -> tuple[list[tuple[list[int], list[int]]], tuple[list[Sentence], list[dict[str, Any]]]]:
    """Rows (input_ids, token_type_ids), several overlapping ones for a long text, and the sentences and rows that `decode` needs."""
    sentences = [Sentence(each["text"], (), 1) for each in take_texts(instances, *describe(description.settings))]
    settings, tag_set = description.settings, make_tag_set(description.labels)
    pieces = settings.get("tagged_pieces", "all")
    rows, _ = encode_sentences(sentences, tokenizer, tag_set, settings["seq_length"], windows=True, tagged_pieces=pieces)
    return [(row["input_ids"], row["token_type_ids"]) for row in rows], (sentences, rows)


def decode(
    description: Any, memory: tuple[list[Sentence], list[dict[str, Any]]], outputs: list[tuple[np.ndarray, ...]], top_k: int | None
) -> list[dict[str, Any]]:
    """For each text: text and entities (type, start, end, text) in characters, end exclusive."""
    sentences, rows = memory
    tags = [np.where(np.array(row["label_ids"]) < 0, -1, np.pad(_tag(*arrays), 1)) for row, arrays in zip(rows, outputs)]
    starts = [np.array(row["starts"]) for row in rows]
    ends = [np.array(row["ends"]) for row in rows]
    merged = merge_windows([row["sentence"] for row in rows], [len(row["input_ids"]) for row in rows], starts, ends, tags)
    tag_set = make_tag_set(description.labels)
    results = []
    for sentence, tokens in zip(sentences, merged):
        found = find_entities(tag_set, *(column.tolist() for column in tokens))
        entities = [{"type": kind, "start": start, "end": end, "text": sentence.text[start:end]} for kind, start, end in found]
        results.append({"text": sentence.text, "entities": entities})
    return results


def _tag(logits, *crf):
    """Tags of the tokens between [CLS] and [SEP]: float32 [length, C] -> int [length - 2]."""
    emissions = logits[1:-1]
    return find_best_path(emissions, *crf) if crf and len(emissions) else emissions.argmax(-1)


def find_best_path(emissions: np.ndarray, transitions: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The most probable tags of a sequence (Viterbi 1967): float [T, C], [C, C] from -> to, [C], [C] -> int [T]."""
    score, pointers = emissions[0] + start, []
    for now in emissions[1:]:
        ways = score[:, None] + transitions  # [from, to]
        pointers.append(ways.argmax(0))
        score = ways.max(0) + now
    path = [int((score + end).argmax())]
    for origins in reversed(pointers):
        path.append(int(origins[path[-1]]))
    return np.array(path[::-1])
