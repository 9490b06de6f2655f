"""Files of questions in SQuAD's form: SQuAD 1.1 and 2.0, CMRC 2018 and what users make like them.

{"data": [{"paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text", "answer_start"}], "is_impossible"}]}]}]}
"""

import json
from dataclasses import dataclass

from src.files import read_bytes

_NAMES = {list: "list", str: "string", int: "whole number", bool: "boolean"}


@dataclass(frozen=True, slots=True)
class Answer:
    """text; start: its first character in the context as the file tells, -1 in CMRC 2018 where it stands nowhere; None: not told."""

    text: str
    start: int | None


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a file; text and context are None where the file has none.

    answers: tuple of Answer, empty in SQuAD 2.0 where there is none; None where nothing is told: a question to predict.
    is_impossible: what SQuAD 2.0 says of a question that its context does not answer.
    """

    id: str
    text: str | None
    context: str | None
    answers: tuple | None
    is_impossible: bool = False


def read_json(path):
    """A parsed file, plain or gzip.

    Raises:
        OSError: it cannot be read. ValueError: damaged gzip, or no JSON.
    """
    data = read_bytes(path)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: no JSON: {error}") from None


def read_squad(path):
    """The questions of a file, in its order.

    Returns:
        list of Question.

    Raises:
        OSError: it cannot be read. ValueError: another form, two questions of one id, an answer that starts behind its context, a
            text that is no Unicode, no question at all; in one line with path and place.
    """
    questions, seen = [], set()
    for i, article in enumerate(_take(read_json(path), "data", list, path)):
        for j, paragraph in enumerate(_take(article, "paragraphs", list, f"{path}: data[{i}]")):
            place = f"{path}: data[{i}].paragraphs[{j}]"
            given = _take(paragraph, "qas", list, place)
            context = _take(paragraph, "context", str, place, optional=True)
            for k, fields in enumerate(given):
                question = _read_question(fields, context, path, f"{place}.qas[{k}]")
                if question.id in seen:
                    raise ValueError(f"{path}: two questions have the id {question.id}")
                seen.add(question.id)
                questions.append(question)
    if not questions:
        raise ValueError(f"{path}: no questions")
    return questions


def _take(owner, key, kind, place, optional=False):
    """A value of this kind; None where it is optional and absent."""
    if optional and isinstance(owner, dict) and key not in owner:
        return None
    value = owner.get(key) if isinstance(owner, dict) else None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f'{place}: "{key}" is missing or no {_NAMES[kind]}; expected SQuAD\'s form')
    if kind is str:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            fault = f"half of a surrogate pair, \\u{ord(value[error.start]):04x}, at character {error.start}"
            raise ValueError(f'{place}: "{key}" is no Unicode text: {fault}') from None
    return value


def _read_question(fields, context, path, place):
    key = _take(fields, "id", str, place)
    place = f"{path}: question {key}"
    text = _take(fields, "question", str, place, optional=True)
    answers = _take(fields, "answers", list, place, optional=True)
    is_impossible = _take(fields, "is_impossible", bool, place, optional=True) or False
    if answers is not None or is_impossible:
        answers = tuple(_read_answer(answer, context, place) for answer in answers or ())
    return Question(key, text, context, answers, is_impossible)


def _read_answer(fields, context, place):
    text = _take(fields, "text", str, place)
    start = _take(fields, "answer_start", int, place, optional=True)
    if start is not None and context is not None and start > len(context):
        raise ValueError(f"{place}: an answer starts at {start}, but its context ends at {len(context)}")
    return Answer(text, start)
