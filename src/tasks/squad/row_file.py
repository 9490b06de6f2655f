"""Rows of Python objects as a file for a training: questions in SQuAD's form, from flat rows as Hugging Face's data sets have them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.files import write_text

ENDING = ".json"


def write(path: Path | str, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of question, context and answers, which are lists {"text": […], "answer_start": […]} or a list of dicts of them.

    Without an id a row has its number; without an answer its question has none (SQuAD 2.0).

    Raises:
        ValueError: a row has no question, context or answers, or not as many starts of answers as texts.
    """
    paragraphs = [{"context": row.get("context"), "qas": [_ask(number, row)]} for number, row in enumerate(rows)]
    write_text(path, json.dumps({"data": [{"title": "rows", "paragraphs": paragraphs}]}, ensure_ascii=False) + "\n")


def _ask(number, row):
    """A question with its answers."""
    answers = row.get("answers")
    if isinstance(answers, dict) and {"text", "answer_start"} <= answers.keys():
        texts, starts = answers["text"], answers["answer_start"]
        if len(texts) != len(starts):
            raise ValueError(f"rows[{number}]: answers has {len(texts)} values in text and {len(starts)} in answer_start")
        answers = [{"text": text, "answer_start": start} for text, start in zip(texts, starts)]
    if not isinstance(row.get("question"), str) or not isinstance(row.get("context"), str) or not isinstance(answers, list):
        raise ValueError(f"rows[{number}]: question, context and answers are expected; it has {', '.join(row)}")
    key = number if row.get("id") is None else row["id"]
    found = {"id": str(key), "question": row["question"], "answers": answers}
    return found if answers else found | {"is_impossible": True}
