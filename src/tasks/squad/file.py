"""Question files in SQuAD's form: SQuAD 1.1 and 2.0, CMRC 2018, and users' own in the same form.

{"data": [{"paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text", "answer_start"}], "is_impossible"}]}]}]}
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src import encodings
from src.files import read_bytes
from src.text.lines import settle_encoding

MAX_CONTEXT_CHARS = 1_000_000  # by default; a book, far beyond any data set
_NAMES = {list: "a list", str: "a string", int: "a whole number", bool: "a boolean"}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the file.

    start: index of its first character in the context; -1 in CMRC 2018 where the context lacks it; None where the file has none.
    """

    text: str
    start: int | None


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a file; text and context are None where the file lacks them.

    answers: empty where SQuAD 2.0 has none; None where the file gives no answers, which is a question to predict.
    is_impossible: SQuAD 2.0's mark of a question that its context does not answer.
    """

    id: str
    text: str | None
    context: str | None
    answers: tuple[Answer, ...] | None
    is_impossible: bool = False


def read_json(path: Path | str, encoding: str | None = None) -> Any:
    """Parse a JSON file, plain or gzip.

    Args:
        encoding: from `check_encoding`; a byte order mark takes precedence.

    Raises:
        OSError: it cannot be read. ValueError: damaged gzip, in another encoding, or not JSON.
    """
    raw = read_bytes(path)
    encoding = settle_encoding(path, raw, encoding)
    try:
        return json.loads(encodings.to_utf8(raw, encoding))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not JSON: {encodings.explain(raw, encoding, error.reason)}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from None


def read_squad(path: Path | str, encoding: str | None = None, max_context_chars: int | None = None) -> list[Question]:
    """The questions of a file, in its order; `encoding` as in `read_json`.

    Args:
        max_context_chars: length of the longest context or question; None for any.

    Raises:
        OSError: it cannot be read. ValueError: another form, two questions with one id, an answer that starts after the end of its
            context, a context that is too long, a text that is not Unicode, or no question at all; one line with path and location.
    """
    questions, seen = [], set()
    for i, article in enumerate(_take(read_json(path, encoding), "data", list, path)):
        for j, paragraph in enumerate(_take(article, "paragraphs", list, f"{path}: data[{i}]")):
            location = f"{path}: data[{i}].paragraphs[{j}]"
            given = _take(paragraph, "qas", list, location)
            context = _take(paragraph, "context", str, location, optional=True)
            _check_length(context, "context", max_context_chars, location)
            for k, fields in enumerate(given):
                question = _read_question(fields, context, path, f"{location}.qas[{k}]")
                _check_length(question.text, "question", max_context_chars, f"{location}.qas[{k}]")
                if question.id in seen:
                    raise ValueError(f"{path}: two questions have the id {question.id}")
                seen.add(question.id)
                questions.append(question)
    if not questions:
        raise ValueError(f"{path}: no questions")
    return questions


def _check_length(text, name, limit, location):
    if text is not None and limit is not None and len(text) > limit:
        raise ValueError(f"{location}: a {name} of {len(text)} characters, more than {limit}; --max_context_chars raises this limit")


def _take(owner, key, kind, location, optional=False):
    """The value of a key, checked to be of this type; None where it is optional and absent."""
    if optional and isinstance(owner, dict) and key not in owner:
        return None
    value = owner.get(key) if isinstance(owner, dict) else None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f'{location}: "{key}" is missing or not {_NAMES[kind]}; expected SQuAD\'s form')
    if kind is str:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            fault = f"half of a surrogate pair, \\u{ord(value[error.start]):04x}, at character {error.start}"
            raise ValueError(f'{location}: "{key}" is not Unicode text: {fault}') from None
    return value


def _read_question(fields, context, path, location):
    key = _take(fields, "id", str, location)
    location = f"{path}: question {key}"
    text = _take(fields, "question", str, location, optional=True)
    answers = _take(fields, "answers", list, location, optional=True)
    is_impossible = _take(fields, "is_impossible", bool, location, optional=True) or False
    if answers is not None or is_impossible:
        answers = tuple(_read_answer(answer, context, location) for answer in answers or ())
    return Question(key, text, context, answers, is_impossible)


def _read_answer(fields, context, location):
    text = _take(fields, "text", str, location)
    start = _take(fields, "answer_start", int, location, optional=True)
    if start is not None and context is not None and start > len(context):
        raise ValueError(f"{location}: an answer starts at {start}, but its context ends at {len(context)}")
    return Answer(text, start)
