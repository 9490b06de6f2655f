"""Serving of questions on texts: windows for the graph, and answers from its logits."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from src.records.record_set import Chunk
from src.tasks.instances import BadInstance, take_texts
from src.tasks.squad.answers import find_answers
from src.tasks.squad.file import Question
from src.tasks.squad.windows import encode_questions
from src.text.tokenization import Tokenizer

PER_TOKEN = (True, True)
_ANSWERS_SHOWN = 3
EXAMPLE = {"question": "Who visited Paris?", "context": "In May, Angela Merkel visited Paris."}  # on the served page
NOT_BLANK = ("question",)  # keys whose text may not be blank


def describe(settings: Mapping[str, Any]) -> tuple[tuple[str, ...], str | None]:
    """The keys of an instance, and the key that a bare text stands for, which is none here."""
    return ("question", "context"), None


def takes_top_k(settings: Mapping[str, Any]) -> bool:
    """Whether results are a choice among several."""
    return True


def check(settings: Mapping[str, Any]) -> None:
    """Raise a ValueError for settings that make decoding impossible."""
    for name in ("doc_stride", "max_query_length", "n_best_size", "max_answer_length"):
        if type(settings.get(name)) is not int or settings[name] < 1:
            raise ValueError(f"{name}={settings.get(name)}: a whole number from 1 is expected")
    if type(settings.get("version_2_with_negative")) is not bool:
        raise ValueError("version_2_with_negative must be true or false")
    if type(settings.get("null_score_diff_threshold")) not in (int, float):
        raise ValueError(f"null_score_diff_threshold={settings.get('null_score_diff_threshold')}: a number is expected")


def shapes(settings: Mapping[str, Any], num_labels: int, rows: int, length: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the graph's outputs by name, for `rows` rows of one length."""
    return {"start_logits": (rows, length), "end_logits": (rows, length)}


def encode(
    description: Any, tokenizer: Tokenizer, instances: list[Any]
) -> tuple[list[tuple[list[int], list[int]]], tuple[list[Question], Chunk]]:
    """Rows of some instances as pairs (input_ids, token_type_ids), several for a long context; and the data that `decode` needs.

    Args:
        description: of the bundle.
    """
    settings = description.settings
    keys, bare = describe(settings)
    texts = take_texts(instances, keys, bare)
    for number, each in enumerate(texts):
        if not each["question"].strip():
            raise BadInstance(number, "is empty", "question")
    questions = [Question(str(number), each["question"], each["context"], None) for number, each in enumerate(texts)]
    lengths = settings["seq_length"], settings["doc_stride"], settings["max_query_length"]
    chunk, _ = encode_questions(questions, tokenizer, *lengths, training=False)
    ends = chunk.lengths.cumsum()
    columns = [chunk.tokens[name] for name in ("input_ids", "token_type_ids")]
    rows = [tuple(column[end - length : end].tolist() for column in columns) for length, end in zip(chunk.lengths, ends)]
    return rows, (questions, chunk)


def decode(
    description: Any, memory: tuple[list[Question], Chunk], outputs: list[tuple[np.ndarray, ...]], top_k: int | None
) -> list[dict[str, Any]]:
    """A dict for each question: answer, start, end, probability, n_best. No answer is "", without start and end.

    Args:
        description: of the bundle.
        outputs: start logits and end logits of each row.
        top_k: length of n_best; None takes a few.
    """
    questions, chunk = memory
    settings = description.settings
    threshold = settings["null_score_diff_threshold"] if settings["version_2_with_negative"] else None
    start_logits, end_logits = zip(*outputs)
    count = settings["n_best_size"] if threshold is None else max(settings["n_best_size"], 2)  # room for "" and the best text
    found = find_answers(questions, chunk, start_logits, end_logits, count, settings["max_answer_length"], threshold)
    results = []
    for question in questions:
        best = []
        for entry, offsets in zip(found.nbest[question.id], found.offsets[question.id]):
            start, end = offsets or (None, None)
            best.append({"text": entry["text"], "start": start, "end": end, "probability": entry["probability"]})
        chosen = next(entry for entry in best if entry["text"] == found.predictions[question.id])
        answer = {"answer": chosen["text"], "start": chosen["start"], "end": chosen["end"], "probability": chosen["probability"]}
        results.append(answer | {"n_best": best[: top_k or _ANSWERS_SHOWN]})
    return results
