"""Questions and their contexts as rows of tokens for the records: one row for each window of the context.

The windows are those of Google's run_squad.py. The labels are the tokens that the answer's characters lie in; Google starts from
its whole words and narrows them to the pieces that spell the answer, where there are such.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from src.log import shorten
from src.records.record_set import Chunk
from src.text.tokenization import CLS, SEP

_CHUNK = 1000  # texts that the tokenizer takes at once; what it holds for each is far larger than the tokens
_SHOWN = 5  # ids that a report names
_NO_ANSWER = (-1, -1)  # tokens that no window has


@dataclass
class Losses:
    """What the rows do not tell as the file does.

    Args:
        num_moved: answers that do not stand at their answer_start, and are taken from elsewhere in the context.
        not_located: ids of questions of whose answers none stands in the context, on characters that have tokens.
        split_answers: ids of questions whose answer no window has all of.
        cut_questions: ids of questions longer than max_query_length.
        no_tokens: ids of questions whose context has no token.
    """

    num_moved: int = 0
    not_located: list = field(default_factory=list)
    split_answers: list = field(default_factory=list)
    cut_questions: list = field(default_factory=list)
    no_tokens: list = field(default_factory=list)

    def report(self, path, total):
        """Lines for the log: counts, of `total` questions, and the first few ids."""
        lines = []
        if self.num_moved:
            lines.append(f"{path}: {self.num_moved} answers do not stand at answer_start; the nearest place of their text is taken")
        for ids, fault in (
            (self.not_located, "have answers, but none stands in the context; neither trained on nor part of the loss"),
            (self.split_answers, "have an answer that no window has all of; labelled as having none"),
            (self.cut_questions, "are longer than max_query_length tokens, and cut"),
            (self.no_tokens, "have a context without tokens"),
        ):
            if ids:
                lines.append(f"{path}: {len(ids)} of {total} questions {fault}: {shorten(ids, _SHOWN)}")
        return lines


class _Tokens(NamedTuple):
    """Of a text, int32 [tokens]: ids, and the characters where each token begins and ends."""

    ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


class _Row(NamedTuple):
    """Number, ids of the question; tokens of its context, of which the window goes from `begin` to `end`; places of the answer."""

    number: int
    query: np.ndarray
    context: _Tokens
    begin: int
    end: int
    start_position: int
    end_position: int


def encode_questions(questions, tokenizer, seq_length, doc_stride, max_query_length, training, version_2=False, path="<json>"):
    """Rows, each [CLS] question [SEP] window [SEP], and Losses.

    The question is cut to max_query_length tokens; the window takes what room is left. Windows begin at the context's token 0,
    doc_stride, 2 * doc_stride and so on (or side by side, where a window is shorter than that) until one reaches the end. A context
    without tokens has one window.

    Args:
        questions: list of Question.
        tokenizer: Tokenizer.
        seq_length: longest row in tokens, more than max_query_length + 3.
        training: whether questions without a label are left out, and the columns that only evaluation needs.
        version_2: whether a question may have no answer, as in SQuAD 2.0.
        path: named in errors.

    Returns:
        Chunk of int columns. tokens: input_ids; token_type_ids, 1 from the window on; but in training also starts and ends of
        the window's tokens in the characters of the context, end exclusive, 0 elsewhere. rows: question, its number;
        context_start, the place of the window's first token in the row; window_start, its place in the context;
        start_positions and end_positions, the places of the answer's first and last token in the row: 0 where there is no
        answer or the window has not all of it, -1 where there is no label. Rows of a question are neighbours, in order.
        Losses.

    Raises:
        ValueError: a question without a text, a context or, where one is needed, an answer; no room for a window; no row.

    Source: convert_examples_to_features of BERT's run_squad.py.
    """
    if doc_stride < 1 or max_query_length < 1 or seq_length < max_query_length + 4:
        lengths = f"seq_length={seq_length}, max_query_length={max_query_length}, doc_stride={doc_stride}"
        raise ValueError(f"{lengths}: seq_length must exceed max_query_length + 3, and the others must be at least 1")
    _check(questions, training, version_2, path)
    texts = list(dict.fromkeys(question.context for question in questions))
    contexts = dict(zip(texts, _encode(texts, tokenizer)))
    rows, losses = [], Losses()
    for number, (question, query) in enumerate(zip(questions, _encode_queries(questions, tokenizer))):
        context = contexts[question.context]
        if len(query) > max_query_length:
            losses.cut_questions.append(question.id)
            query = query[:max_query_length]
        if not len(context.ids):
            losses.no_tokens.append(question.id)
        answer = _find_answer(question, context, version_2, losses)
        if answer is None and training:
            continue
        windows = _make_rows(number, query, context, answer, seq_length - len(query) - 3, doc_stride)
        if answer not in (None, _NO_ANSWER) and not any(row.end_position for row in windows):
            losses.split_answers.append(question.id)
        rows += windows
    if not rows:
        raise ValueError(f"{path}: no question has an answer that stands in its context")
    return _join(rows, tokenizer, with_offsets=not training), losses


def _check(questions, training, version_2, path):
    for question in questions:
        if question.text is None or question.context is None:
            raise ValueError(f'{path}: question {question.id}: "{"question" if question.text is None else "context"}" is missing')
        if training and question.answers is None:
            raise ValueError(f'{path}: question {question.id}: "answers" is missing; training needs them')
        if training and not question.answers and not version_2:
            raise ValueError(f"{path}: question {question.id} has no answers; --version_2_with_negative true trains on that too")


def _encode(texts, tokenizer):
    """The _Tokens of each text."""
    for begin in range(0, len(texts), _CHUNK):
        for ids, offsets in tokenizer.encode_with_offsets(texts[begin : begin + _CHUNK]):
            starts, ends = np.array(offsets, np.int32).reshape(-1, 2).T
            yield _Tokens(np.array(ids, np.int32), starts, ends)


def _encode_queries(questions, tokenizer):
    for begin in range(0, len(questions), _CHUNK):
        for ids in tokenizer.encode([question.text for question in questions[begin : begin + _CHUNK]]):
            yield np.array(ids, np.int32)


def _find_answer(question, context, version_2, losses):
    """The first and the last token of the first answer that can be located, or _NO_ANSWER; None: no label."""
    if version_2 and (question.is_impossible or question.answers == ()):
        return _NO_ANSWER
    for answer in question.answers or ():
        start, end, moved = _locate(answer, question.context)
        first, last = context.ends.searchsorted(start, "right"), context.starts.searchsorted(end) - 1
        if first <= last:
            losses.num_moved += moved
            return int(first), int(last)
    if question.answers:
        losses.not_located.append(question.id)
    return None


def _locate(answer, context):
    """The characters of an answer, (start, end, whether they are not where it says); end 0 if it stands nowhere.

    White space around it is left out.
    """
    text = answer.text.strip()
    if not text:
        return 0, 0, True
    said = (answer.start or 0) + len(answer.text) - len(answer.text.lstrip())
    if answer.start is not None and answer.start >= 0 and context.startswith(text, said):
        return said, said + len(text), False
    places = context.rfind(text, 0, max(said, 0) + len(text)), context.find(text, max(said, 0))
    start = min((place for place in places if place >= 0), key=lambda place: abs(place - said), default=None)
    return (0, 0, True) if start is None else (start, start + len(text), True)


def _make_rows(number, query, context, answer, room, stride):
    """The _Row of each window of a question."""
    rows, count, step, context_start = [], len(context.ids), min(room, stride), len(query) + 2
    for begin in range(0, max(count - room, 0) + step, step):
        end = min(begin + room, count)
        if answer is None:
            places = -1, -1
        elif begin <= answer[0] and answer[1] < end:
            places = answer[0] - begin + context_start, answer[1] - begin + context_start
        else:
            places = 0, 0
        rows.append(_Row(number, query, context, begin, end, *places))
    return rows


def _join(rows, tokenizer, with_offsets):
    cls, sep = (np.array([tokenizer.vocabulary[token]], np.int32) for token in (CLS, SEP))
    context_starts = np.array([len(row.query) + 2 for row in rows])
    behind = np.array([row.end - row.begin + 1 for row in rows])  # tokens from the window on
    lengths = (context_starts + behind).astype(np.int32)
    types = np.repeat(np.tile(np.array([0, 1], np.int32), len(rows)), np.stack([context_starts, behind], axis=1).ravel())
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
