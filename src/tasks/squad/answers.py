"""Answers from the logits of a question's windows: the best spans of its context, and how likely it is that there is no answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from src.records.record_set import Chunk
from src.tasks.squad.file import Question


@dataclass(frozen=True)
class Answers:
    """The answers to all questions that have rows; every field is a dict by question id.

    Args:
        predictions: the text of the answer; "" means no answer.
        nbest: list of dicts by falling score, which is start_logit + end_logit: text, probability (softmax over the list),
            start_logit, end_logit.
        null_odds: score of no answer minus the score of the best text.
        non_null: the best text, whatever the odds.
        offsets: (start, end) in the characters of the context for each entry of nbest, end exclusive; None for "".

    In a context without tokens the best text is "", with score 0.
    """

    predictions: dict[str, str] = field(default_factory=dict)
    nbest: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    null_odds: dict[str, float] = field(default_factory=dict)
    non_null: dict[str, str] = field(default_factory=dict)
    offsets: dict[str, list[tuple[int, int] | None]] = field(default_factory=dict)


class _Spans(NamedTuple):
    """The spans of a context of T tokens, by their first token and their length from 1 to L tokens.

    Args:
        starts, ends: lists of int [T], characters of the tokens.
        windows: int64 [T], the window that gives the logits of the spans from this token.
        start_logits: float64 [T].
        end_logits: float64 [T, L]; -inf for spans that end outside the window.
    """

    starts: list[int]
    ends: list[int]
    windows: np.ndarray
    start_logits: np.ndarray
    end_logits: np.ndarray


def find_answers(
    questions: Sequence[Question],
    records: Chunk,
    start_logits: Sequence[np.ndarray],
    end_logits: Sequence[np.ndarray],
    n_best_size: int,
    max_answer_length: int,
    null_threshold: float | None = None,
) -> Answers:
    """The best answers to the questions, by the rules of SQuAD 1.1 or, with a threshold, of SQuAD 2.0.

    An answer is any span of context tokens inside the window that gives its first token the most context. Its text is the context's,
    unchanged, from the first token to the last; spans with equal texts are one answer, with the logits of the best. Among equal
    scores the earlier window comes first, then the higher start_logit, then the earlier token; no answer comes last.

    Google's order is the same, but Google's spans begin at one of the n_best_size best starts of a window and end at one of its
    n_best_size best ends, and its texts are put together from tokens, so that they may begin or end elsewhere.

    Args:
        records: the rows of `encode_questions` with training=False.
        start_logits, end_logits: a float array for each row, at least as long as the row.
        n_best_size: texts in a list of best answers, at least 1.
        max_answer_length: tokens of an answer, at least 1.
        null_threshold: where null_odds are above it, the prediction is "". The list of best answers then has "" at its rank or at the
            end, with the logits of [CLS] in the window where their sum is lowest. None: every question has an answer.

    Returns:
        Answers. In a context without tokens the only best answer is "", with logits 0 if there is no threshold.

    Raises:
        FloatingPointError: a logit of a row is not finite.

    Source: write_predictions of BERT's run_squad.py.
    """
    answers = Answers()
    numbers = np.asarray(records.rows["question"])
    row_starts = np.cumsum(records.lengths, dtype=np.int64) - records.lengths
    borders = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    assert len(borders) - 1 == len(np.unique(numbers)), "the rows of a question are not neighbours"
    for begin, end in pairwise(borders):
        rows, question = range(begin, end), questions[numbers[begin]]
        logits = [np.array([values[row][: records.lengths[row]] for values in (start_logits, end_logits)], np.float64) for row in rows]
        if not all(np.isfinite(pair).all() for pair in logits):
            raise FloatingPointError(f"question {question.id}: a logit is not finite")
        null = min((tuple(pair[:, 0].tolist()) for pair in logits), key=sum)
        offsets, best = _choose(question.context, _find_spans(records, row_starts, rows, logits, max_answer_length), n_best_size)
        _add(answers, question.id, offsets, best, null, n_best_size, null_threshold)
    return answers


def _add(answers, key, offsets, best, null, n_best_size, null_threshold):
    """Store the answers to a question; null: logits of no answer."""
    text, (start_logit, end_logit) = next(iter(best.items()), ("", (0.0, 0.0)))
    odds = null[0] + null[1] - start_logit - end_logit
    is_null = null_threshold is not None and odds > null_threshold
    answers.predictions[key] = "" if is_null else text
    answers.nbest[key] = _list_best(best, None if null_threshold is None else null, n_best_size)
    answers.offsets[key] = [offsets.get(entry["text"]) for entry in answers.nbest[key]]
    answers.null_odds[key] = odds
    answers.non_null[key] = text


def _find_spans(records, row_starts, rows, logits, max_answer_length):
    """The _Spans of a context from its rows; logits: float64 [2, length] for each row.

    A token's context in a window is the smaller number of tokens on its two sides, plus a hundredth of the window's length; among
    windows with equal context the first one counts.
    """
    context_starts = records.rows["context_start"][rows.start : rows.stop].tolist()
    window_starts = records.rows["window_start"][rows.start : rows.stop].tolist()
    counts = [pair.shape[1] - start - 1 for pair, start in zip(logits, context_starts)]
    num_tokens = window_starts[-1] + counts[-1]
    longest = max(1, min(max_answer_length, max(counts)))
    characters = np.zeros((2, num_tokens), np.int64)
    windows = np.zeros(num_tokens, np.int64)
    most = np.full(num_tokens, -1.0)
    start_logits = np.zeros(num_tokens)
    end_logits = np.zeros((num_tokens, longest))
    for number, (row, begin, first, count) in enumerate(zip(rows, context_starts, window_starts, counts)):
        stored = slice(row_starts[row] + begin, row_starts[row] + begin + count)
        window = slice(first, first + count)
        characters[:, window] = records.tokens["starts"][stored], records.tokens["ends"][stored]
        left = np.arange(count)
        context = np.minimum(left, left[::-1]) + 0.01 * count
        better = context > most[window]
        most[window][better] = context[better]
        windows[window][better] = number
        starting, ending = logits[number][:, begin : begin + count]
        start_logits[window][better] = starting[better]
        padded = np.concatenate([ending, np.full(longest, -np.inf)])
        end_logits[window][better] = sliding_window_view(padded, longest)[:count][better]
    starts, ends = characters.tolist()
    return _Spans(starts, ends, windows, start_logits, end_logits)


def _choose(context, spans, n_best_size):
    """The best texts by falling score, as two dicts: text -> (start, end) in the context, and text -> (start_logit, end_logit)."""
    offsets: dict[str, tuple[int, int]] = {}
    best: dict[str, tuple[float, float]] = {}
    for first, last, start_logit, end_logit in _rank(spans, 2 * n_best_size):
        start, end = spans.starts[first], spans.ends[last]
        offsets.setdefault(context[start:end], (start, end))
        best.setdefault(context[start:end], (start_logit, end_logit))
        if len(best) == n_best_size:
            break
    return offsets, best


def _rank(spans: _Spans, count: int) -> Iterator[tuple[int, int, float, float]]:
    """Yield (first token, last token, start_logit, end_logit) of all spans by falling score; only batches from `count` up are sorted."""
    scores = (spans.start_logits[:, None] + spans.end_logits).ravel()
    total, num_done = np.count_nonzero(scores > -np.inf), 0
    while num_done < total:
        count = min(count, total)
        found = np.flatnonzero(scores >= np.partition(scores, len(scores) - count)[len(scores) - count])
        tokens, more = np.divmod(found, spans.end_logits.shape[1])
        start_logits, end_logits = spans.start_logits[tokens], spans.end_logits.ravel()[found]
        order = np.lexsort((tokens, -start_logits, spans.windows[tokens], -scores[found]))[num_done:]
        yield from zip(*(values[order].tolist() for values in (tokens, tokens + more, start_logits, end_logits)))
        num_done, count = len(found), 4 * count


def _list_best(best, null, n_best_size):
    """The entries of `Answers.nbest`; null: logits of no answer, or None."""
    entries = list(best.items())
    if null is not None:
        rank = sum(sum(logits) >= sum(null) for logits in best.values())
        entries = [*entries[:rank], ("", null), *entries[rank:]][: max(n_best_size, rank + 1)]
    elif not entries:
        entries = [("", (0.0, 0.0))]
    scores = np.array([sum(logits) for _, logits in entries])
    shares = np.exp(scores - scores.max())
    return [
        {"text": text, "probability": probability, "start_logit": start_logit, "end_logit": end_logit}
        for (text, (start_logit, end_logit)), probability in zip(entries, (shares / shares.sum()).tolist())
    ]
