"""Multiple choice: questions from files in the forms of C3 and SWAG, a row for each choice, and batches of whole questions.

An Example of this form has as text_a what a question is about, as text_b a JSON list with a second text for each choice, and as label the
number of the right one from 0.
"""

import dataclasses
import json
import re
from array import array
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from src.log import logger
from src.records.plan import Batch
from src.records.record_set import RecordSet
from src.tasks.classifier.examples import Examples
from src.text.columns import TextColumn
from src.text.json_rows import parse_values
from src.text.lines import iterate_lines
from src.text.tables import check_escapes, check_widths, iterate_rows, read_text, refuse_nul
from src.text.tokenization import Tokenizer

_ARRAYS = re.compile(r"\s*\[\s*\[")  # how a file in C3's form begins
_ENDING = re.compile(r"ending(\d+)")
_CHUNK = 250  # questions tokenised at once
_PART = re.compile(r"((?:.*-)?)m(-[^/]*)")  # C3's files have two parts each: m for texts of one voice, d for dialogues


def find_parts(path: Path) -> list[Path]:
    """A file, and the dialogues beside it if it is the other part of C3's, such as d-train.json of m-train.json."""
    match = _PART.fullmatch(path.name)
    other = path.with_name(f"{match[1]}d{match[2]}") if match else path
    return [path, other] if other != path and other.is_file() else [path]


def read_choices(path: Path, with_labels: bool, encoding: str | None = None) -> Examples:
    """The questions of a file, of both parts if C3 has it in two.

    C3's form: an array of [[sentences of the text], [{"question", "choice": [choices], "answer": one of them}, …], id]. SWAG's: a table or
    JSON lines with sent1, sent2 (the beginning of each ending), ending0, ending1, …, and label, the number of the right one.

    Args:
        with_labels: whether a question without an answer is an error.

    Raises:
        FileNotFoundError, ValueError: no such file, another form, fewer than two choices, or no right one; with file and line.
    """
    parts = find_parts(path)
    if len(parts) > 1:
        logger.info(f"{path}: read together with {parts[1].name}")
    texts, choices, labels, lines, ids = TextColumn(), TextColumn(), TextColumn(), array("q"), TextColumn()
    for part in parts:
        for line, text, seconds, label, key in _read(part, encoding):
            if len(seconds) < 2:
                raise ValueError(f"{part}:{line}: a question with {len(seconds)} choice: two at least are needed")
            if with_labels and not label:
                raise ValueError(f"{part}:{line}: a question without an answer")
            texts.append(text)
            choices.append(json.dumps(seconds, ensure_ascii=False))
            labels.append(label)
            lines.append(line)
            ids.append(key)
    if not texts:
        raise ValueError(f"{path}: no question in it")
    return Examples(texts, choices, labels, lines, ids)


def _read(path, encoding):
    """Yield (line, text, second text of each choice, label or "", id or "") of each question."""
    text = read_text(path, encoding)
    refuse_nul(path, text)
    if _ARRAYS.match(text):
        for line, raw, value in parse_values(path, enumerate(iterate_lines(text), 1)):
            try:
                questions = list(_read_document(value))
                if "\\u" in raw:
                    check_escapes(part for about, seconds, *_ in questions for part in (about, *seconds))
            except ValueError as error:
                raise ValueError(f"{path}:{line}: {error}") from None
            for question in questions:
                yield line, *question
    else:
        yield from _read_endings(path, iterate_rows(path, None, encoding))


def _read_document(value):
    """Yield (text, second texts, label, id) of each question about one of C3's documents."""
    if not isinstance(value, list) or len(value) < 2 or not _are_texts(value[0]) or not isinstance(value[1], list):
        raise ValueError("a document [[sentences], [questions], id] is expected")
    for question in value[1]:
        if (
            not isinstance(question, dict)
            or not isinstance(asked := question.get("question"), str)
            or not _are_texts(question.get("choice"))
        ):
            raise ValueError('a question {"question": text, "choice": [texts], "answer": text} is expected')
        choices: list[str] = question["choice"]
        answer, key = question.get("answer"), question.get("id")
        if answer not in (None, "", *choices):
            raise ValueError(f"the answer {str(answer)[:80]!r} is none of the choices {', '.join(map(repr, choices))[:200]}")
        label = str(choices.index(answer)) if answer else ""
        yield "\n".join(value[0]), [f"{asked} {choice}" for choice in choices], label, "" if key is None else str(key)


def _are_texts(values):
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _read_endings(path, rows):
    start, first = next(rows)
    header = [(field or "").strip() for field in first]
    endings = sorted((name for name in header if _ENDING.fullmatch(name)), key=lambda name: int(name[len("ending") :]))
    if not {"sent1", "sent2"}.issubset(header) or not endings:
        told = f"C3's array of documents, or a header with sent1, sent2, ending0, ending1, … and label is expected, found {header}"
        raise ValueError(f"{path}:{start or 1}: {told[:300]}")
    rows = check_widths(path, chain([(start, first)], rows), len(header), header=True)
    next(rows)
    for line, fields in rows:
        row = dict(zip(header, fields))
        if row["sent1"] is None or row["sent2"] is None:
            raise ValueError(f"{path}:{line}: a text is missing or null")
        filled = [name for name in endings if row[name]]
        if filled != endings[: len(filled)]:
            raise ValueError(f"{path}:{line}: {filled[-1]} follows an empty ending, so that label may number the endings in two ways")
        seconds = [f"{row['sent2']} {row[name]}".strip() for name in filled]
        label = (row.get("label") or "").strip()
        label = "" if label == "-1" else label  # of Hugging Face's test set
        if label and not (label.isdecimal() and int(label) < len(seconds)):
            raise ValueError(f"{path}:{line}: label {label[:80]!r}: the number of one of {len(seconds)} endings, from 0, is expected")
        yield line, row["sent1"], seconds, label and str(int(label)), row.get("id") or ""


def encode_choices(examples: Examples, tokenizer: Tokenizer, seq_length: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each choice, those of a question one after the other: input_ids, token_type_ids, question, and label_ids.

    `question` is the number of its Example, label_ids the number of the question's right choice, -1 where it is not known.
    """
    for begin in range(0, len(examples), _CHUNK):
        some = examples[begin : begin + _CHUNK]
        seconds = [json.loads(each.text_b or "[]") for each in some]
        tokens = iter(tokenizer.encode([text for texts in seconds for text in texts]))
        for number, (each, first, texts) in enumerate(zip(some, tokenizer.encode([each.text_a for each in some]), seconds), begin):
            for _ in texts:
                input_ids, token_type_ids = tokenizer.join(first, next(tokens), seq_length)
                label_id = -1 if each.label is None else int(each.label)
                yield {"input_ids": input_ids, "token_type_ids": token_type_ids, "label_ids": label_id, "question": number}


class Questions:
    """Rows of choices, for a training whose batches consist of whole questions.

    A batch of B questions has B * N rows, where N is the largest number of choices: missing ones are copies of the first. Its label_ids are
    int8 [B, N]: 1 for the right choice, 0 for others, -1 for missing ones.
    """

    def __init__(self, records: RecordSet) -> None:
        self.records, self.key = records, records.key
        self._starts = np.flatnonzero(np.diff(records.rows["question"], prepend=-1))
        self._counts = np.diff(self._starts, append=len(records.lengths))
        self.lengths = np.maximum.reduceat(records.lengths, self._starts)

    def column(self, name: str, batch: Batch) -> np.ndarray:
        """One column of a Batch of questions, as by `RecordSet.column`."""
        numbers = np.arange(self._counts.max())
        is_there = numbers < self._counts[batch.row_ids, None]  # [B, N]
        if name == "label_ids":
            right = self.records.rows["label_ids"][self._starts[batch.row_ids]]
            return np.where(is_there, numbers == right[:, None], -1).astype(np.int8)
        row_ids = self._starts[batch.row_ids, None] + numbers * is_there
        return self.records.column(name, dataclasses.replace(batch, row_ids=row_ids.ravel()))


def to_matrix(values: np.ndarray, questions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values of choices by question, [questions, N], -inf where one has fewer than N; and the number of each question's first row."""
    starts = np.flatnonzero(np.diff(questions, prepend=-1))
    counts = np.diff(starts, append=len(questions))
    matrix = np.full((len(starts), counts.max()), -np.inf)
    matrix[np.arange(counts.max()) < counts[:, None]] = values
    return matrix, starts
