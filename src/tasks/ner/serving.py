"""Windows of tokens for the graph from texts, and entities from their logits, those of tags or of spans."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from src.tasks.instances import take_texts
from src.tasks.ner.encoding_report import EncodingReport
from src.tasks.ner.options import HEADS, POINTER, SPANS_PER_TOKEN, settle_head
from src.tasks.ner.rows import encode_sentences, find_entities, merge_windows
from src.tasks.ner.sentences import Sentence
from src.tasks.ner.span_rows import encode_span_rows, find_span_entities
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
    for name in ("use_crf", "with_lstm"):
        if type(settings.get(name, False)) is not bool:
            raise ValueError(f"{name} must be true or false")
    if _head(settings) not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}")
    if settings.get("tagged_pieces", "all") not in ("all", "first"):
        raise ValueError("tagged_pieces must be all or first")


def shapes(settings: Mapping[str, Any], num_labels: int, rows: int, length: int) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the graph's outputs, for a number of rows of one length."""
    if _head(settings) == POINTER:
        return {"logits": (rows, length, num_labels, length)}
    crf = {"transitions": (num_labels, num_labels), "start": (num_labels,), "end": (num_labels,)} if "crf" in _head(settings) else {}
    return {"logits": (rows, length, num_labels), **crf}


def encode(
    description: Any, tokenizer: Tokenizer, instances: list[Any]
) -> tuple[list[tuple[list[int], list[int]]], tuple[list[Sentence], list[dict[str, Any]]]]:
    """Rows (input_ids, token_type_ids), several overlapping ones for a long text, and the sentences and rows that `decode` needs."""
    sentences = [Sentence(each["text"], (), 1) for each in take_texts(instances, *describe(description.settings))]
    settings, labels = description.settings, description.labels
    length, pieces = settings["seq_length"], settings.get("tagged_pieces", "all")
    if _head(settings) == POINTER:
        rows = list(encode_span_rows(sentences, tokenizer, labels, 0, length, windows=True, report=EncodingReport()))
    else:
        rows, _ = encode_sentences(sentences, tokenizer, make_tag_set(labels), length, windows=True, tagged_pieces=pieces)
    return [(row["input_ids"], row["token_type_ids"]) for row in rows], (sentences, rows)


def decode(
    description: Any, memory: tuple[list[Sentence], list[dict[str, Any]]], outputs: list[tuple[np.ndarray, ...]], top_k: int | None
) -> list[dict[str, Any]]:
    """For each text: text and entities (type, start, end, text) in characters, end exclusive."""
    sentences, rows = memory
    starts = [np.array(row["starts"]) for row in rows]
    ends = [np.array(row["ends"]) for row in rows]
    numbers, lengths = [row["sentence"] for row in rows], [len(row["input_ids"]) for row in rows]
    if _head(description.settings) == POINTER:
        spans = [find_spans(arrays[0][:, :, :length]) for arrays, length in zip(outputs, lengths)]
        by_sentence = find_span_entities(description.labels, numbers, lengths, starts, ends, spans)
    else:
        tags = [np.where(np.array(row["label_ids"]) < 0, -1, np.pad(_tag(*arrays), 1)) for row, arrays in zip(rows, outputs)]
        tag_set, merged = make_tag_set(description.labels), merge_windows(numbers, lengths, starts, ends, tags)
        by_sentence = [find_entities(tag_set, *(column.tolist() for column in tokens)) for tokens in merged]
    results = []
    for sentence, found in zip(sentences, by_sentence):
        entities = [{"type": kind, "start": start, "end": end, "text": sentence.text[start:end]} for kind, start, end in found]
        results.append({"text": sentence.text, "entities": entities})
    return results


def _head(settings):
    """The head of a bundle, one of HEADS; older bundles name it by two switches."""
    return settings["head"] if "head" in settings else settle_head(None, settings.get("use_crf"), settings.get("with_lstm"))


def find_spans(scores: np.ndarray) -> np.ndarray:
    """The spans whose score is above 0: float32 [S, C, S], first token, type, last token -> int64 [K, 3], type, first and last token.

    Of more than SPANS_PER_TOKEN for each token, the best ones.
    """
    most = SPANS_PER_TOKEN * len(scores)
    found = np.argwhere(scores > 0)
    if len(found) > most:
        found = found[np.argsort(-scores[tuple(found.T)], kind="stable")[:most]]
    return found[:, [1, 0, 2]]


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
