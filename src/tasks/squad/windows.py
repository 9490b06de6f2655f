"""Questions and their contexts as rows of tokens: one row for each window of the context.

The windows are those of Google's run_squad.py. The labels are the tokens that contain the answer's characters; Google starts from
the answer's whole words and narrows them to the pieces that spell it, where it finds them.

Columns by token: input_ids; token_type_ids, 1 from the window on; except in training also starts and ends, the characters of the
window's tokens in the context, end exclusive, 0 elsewhere.
Columns by row: question, its number; context_start, the position of the window's first token in the row; window_start, its index in
the context; start_positions and end_positions, the positions of the answer's first and last token in the row: 0 where there is no
answer or the window does not hold all of it, -1 where there is no label.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.log import shorten
from src.records.record_set import Chunk
from src.tasks.squad.file import Question
from src.text.tokenization import CLS, SEP, Tokenizer

_CHUNK, _CHARS = 1000, 1 << 20  # texts and their characters tokenised at once; the tokenizer holds far more for each than its tokens
_SHOWN = 5  # ids named in a line of the report
_NO_ANSWER = (-1, -1)  # tokens outside every window


@dataclass
class WindowsReport:
    """What encoding lost or could not express.

    Args:
        num_moved: answers that are not at their answer_start and were found elsewhere in the context.
        not_located: ids of questions without an answer that is found in the context, on characters that have tokens.
        split_answers: ids of questions whose answer no window contains whole.
        cut_questions: ids of questions longer than max_query_length.
        no_tokens: ids of questions whose context has no token.
    """

    num_moved: int = 0
    not_located: list[str] = field(default_factory=list)
    split_answers: list[str] = field(default_factory=list)
    cut_questions: list[str] = field(default_factory=list)
    no_tokens: list[str] = field(default_factory=list)

    def describe(self, path: Path | str, total: int) -> list[str]:
        """Lines for the log: counts, out of `total` questions, and the first few ids."""
        lines = []
        if self.num_moved:
            lines.append(f"{path}: {self.num_moved} answers are not at answer_start; the nearest occurrence of their text is taken")
        for ids, fault in (
            (self.not_located, "have answers, but none is in the context; excluded from training and from the loss"),
            (self.split_answers, "have an answer that is whole in no window; labelled as having none"),
            (self.cut_questions, "are longer than max_query_length tokens, and cut"),
            (self.no_tokens, "have a context without tokens"),
        ):
            if ids:
                lines.append(f"{path}: {len(ids)} of {total} questions {fault}: {shorten(ids, _SHOWN)}")
        return lines


class _Tokens(NamedTuple):
    """The tokens of a text, int32 [tokens] each: ids, and the characters where each token begins and ends."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


class _Row(NamedTuple):
    """A window of a context, the tokens from `begin` to `end`; number and ids of its question; the answer's positions in the row."""

    number: int
    query: np.ndarray
    context: _Tokens
    begin: int
    end: int
    start_position: int
    end_position: int


def encode_questions(
    questions: Sequence[Question],
    tokenizer: Tokenizer,
    seq_length: int,
    doc_stride: int,
    max_query_length: int,
    training: bool,
    version_2: bool = False,
    path: Path | str = "<json>",
) -> tuple[Chunk, WindowsReport]:
    """Encode questions as rows, each [CLS] question [SEP] window [SEP].

    The question is cut to max_query_length tokens; the window gets the remaining room. Windows begin at the context's token 0,
    doc_stride, 2 * doc_stride … (or one after another, if a window is shorter) until one reaches the end; no tokens make one window.

    Args:
        seq_length: longest row in tokens, more than max_query_length + 3.
        training: leave out questions without a label, and the columns that only evaluation needs.
        version_2: whether a question may have no answer, as in SQuAD 2.0.
        path: named in errors.

    Returns:
        Chunk of the int columns above, in which the rows of a question are neighbours and in order; WindowsReport.

    Raises:
        ValueError: a question without a text, a context or a required answer; no room for a window; no row.

    Source: convert_examples_to_features of BERT's run_squad.py.
    """
    _check_lengths(seq_length, doc_stride, max_query_length)
    _check_questions(questions, training, version_2, path)
    texts = list(dict.fromkeys(question.context for question in questions))
    contexts = dict(zip(texts, _encode(texts, tokenizer)))
    rows: list[_Row] = []
    report = WindowsReport()
    for number, (question, query) in enumerate(zip(questions, _encode_queries(questions, tokenizer, max_query_length, report))):
        context = contexts[question.context]
        if not len(context.ids):
            report.no_tokens.append(question.id)
        answer = _find_answer(question, context, version_2, report)
        if answer is None and training:
            continue
        windows = _make_rows(number, query, context, answer, seq_length - len(query) - 3, doc_stride)
        if answer not in (None, _NO_ANSWER) and not any(row.end_position for row in windows):
            report.split_answers.append(question.id)
        rows += windows
    if not rows:
        raise ValueError(f"{path}: no question has an answer that is in its context")
    return _join(rows, tokenizer, with_offsets=not training), report


def _check_lengths(seq_length, doc_stride, max_query_length):
    if doc_stride < 1 or max_query_length < 1 or seq_length < max_query_length + 4:
        lengths = f"seq_length={seq_length}, max_query_length={max_query_length}, doc_stride={doc_stride}"
        raise ValueError(f"{lengths}: seq_length must exceed max_query_length + 3, and the others must be at least 1")


def _check_questions(questions, training, version_2, path):
    for question in questions:
        if question.text is None or question.context is None:
            raise ValueError(f'{path}: question {question.id}: "{"question" if question.text is None else "context"}" is missing')
        if training and question.answers is None:
            raise ValueError(f'{path}: question {question.id}: "answers" is missing; training needs them')
        if training and not question.answers and not version_2:
            raise ValueError(f"{path}: question {question.id} has no answers; --version_2_with_negative true trains on that too")


def _encode(texts, tokenizer):
    """The _Tokens of each text."""
    for some in _group(texts):
        for ids, offsets in tokenizer.encode_with_offsets(some):
            starts, ends = np.array(offsets, np.int32).reshape(-1, 2).T
            yield _Tokens(np.array(ids, np.int32), starts, ends)


def _group(texts):
    """Yield lists of neighbouring texts that are tokenised at once."""
    some: list[str] = []
    num_chars = 0
    for text in texts:
        if some and (len(some) == _CHUNK or num_chars + len(text) > _CHARS):
            yield some
            some, num_chars = [], 0
        some.append(text)
        num_chars += len(text)
    if some:
        yield some


def _encode_queries(questions, tokenizer, max_length, report):
    """The ids of each question, cut to max_length."""
    for begin in range(0, len(questions), _CHUNK):
        some = questions[begin : begin + _CHUNK]
        for question, ids in zip(some, tokenizer.encode([question.text for question in some])):
            if len(ids) > max_length:
                report.cut_questions.append(question.id)
            yield np.array(ids[:max_length], np.int32)


def _find_answer(question, context, version_2, report):
    """The first and last token of the first answer that can be located, or _NO_ANSWER; None means no label."""
    if version_2 and (question.is_impossible or question.answers == ()):
        return _NO_ANSWER
    for answer in question.answers or ():
        start, end, moved = _locate(answer, question.context)
        first, last = int(context.ends.searchsorted(start, "right")), int(context.starts.searchsorted(end)) - 1
        if first <= last:
            report.num_moved += moved
            return first, last
    if question.answers:
        report.not_located.append(question.id)
    return None


def _locate(answer, context):
    """(start, end, moved): the answer's characters without surrounding white space, and whether they are not at its `start`.

    The end is 0 where the context does not contain the answer.
    """
    text = answer.text.strip()
    if not text:
        return 0, 0, True
    expected = (answer.start or 0) + len(answer.text) - len(answer.text.lstrip())
    if answer.start is not None and answer.start >= 0 and context.startswith(text, expected):
        return expected, expected + len(text), False
    before = context.rfind(text, 0, max(expected, 0) + len(text))
    after = context.find(text, max(expected, 0))
    start = min((found for found in (before, after) if found >= 0), key=lambda found: abs(found - expected), default=None)
    return (0, 0, True) if start is None else (start, start + len(text), True)


def _make_rows(number, query, context, answer, room, stride):
    """The _Row of each window of a question."""
    rows, count, step = [], len(context.ids), min(room, stride)
    context_start = len(query) + 2
    for begin in range(0, max(count - room, 0) + step, step):
        end = min(begin + room, count)
        if answer is None:
            positions = -1, -1
        elif begin <= answer[0] and answer[1] < end:
            positions = answer[0] - begin + context_start, answer[1] - begin + context_start
        else:
            positions = 0, 0
        rows.append(_Row(number, query, context, begin, end, *positions))
    return rows


def _join(rows, tokenizer, with_offsets):
    cls = np.array([tokenizer.vocabulary[CLS]], np.int32)
    sep = np.array([tokenizer.vocabulary[SEP]], np.int32)
    context_starts = np.array([len(row.query) + 2 for row in rows])
    window_lengths = np.array([row.end - row.begin + 1 for row in rows])  # with the last [SEP]
    lengths = (context_starts + window_lengths).astype(np.int32)
    types = np.repeat(np.tile(np.array([0, 1], np.int32), len(rows)), np.stack([context_starts, window_lengths], axis=1).ravel())
    ids = [piece for row in rows for piece in (cls, row.query, sep, row.context.ids[row.begin : row.end], sep)]
    tokens = {"input_ids": np.concatenate(ids), "token_type_ids": types}
    if with_offsets:
        zeros = np.zeros(context_starts.max(), np.int32)
        for name in ("starts", "ends"):
            windows = (getattr(row.context, name)[row.begin : row.end] for row in rows)
            pieces = [piece for start, window in zip(context_starts, windows) for piece in (zeros[:start], window, zeros[:1])]
            tokens[name] = np.concatenate(pieces)
    numbers = {
        "question": [row.number for row in rows],
        "context_start": context_starts,
        "window_start": [row.begin for row in rows],
        "start_positions": [row.start_position for row in rows],
        "end_positions": [row.end_position for row in rows],
    }
    return Chunk(lengths, tokens, {name: np.array(values) for name, values in numbers.items()})
