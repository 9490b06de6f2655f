"""Rows of tokens and labels from tagged sentences, and entities in characters from the labels of tokens.

Either all word pieces have labels, or only the first of each word, for the whole word. In the former case a word of several characters
that is one [UNK] is split into the tokens of its characters, so that an entity can begin inside it.
"""

import functools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

import numpy as np

from src.tasks.ner.encoding_report import INSIDE, NO_TAGS, NO_TOKENS, OVERLAP, SHORTER, EncodingReport
from src.tasks.ner.sentences import Sentence
from src.tasks.ner.tags import Entity, TagSet
from src.text.tokenization import UNKNOWN, Tokenizer

CHUNK = 1000  # sentences tokenised at once; the tokenizer needs far more memory for each than a row does


def encode_sentences(
    sentences: Sequence[Sentence],
    tokenizer: Tokenizer,
    tag_set: TagSet,
    seq_length: int,
    windows: bool,
    path: Path | str = "<text>",
    tagged_pieces: str = "all",
    training: bool | None = None,
) -> tuple[list[dict[str, Any]], EncodingReport]:
    """All rows that `encode_rows` yields, and the EncodingReport."""
    report = EncodingReport()
    return list(encode_rows(sentences, tokenizer, tag_set, seq_length, windows, report, path, tagged_pieces, training)), report


def encode_rows(
    sentences: Sequence[Sentence],
    tokenizer: Tokenizer,
    tag_set: TagSet,
    seq_length: int,
    windows: bool,
    report: EncodingReport,
    path: Path | str = "<text>",
    tagged_pieces: str = "all",
    training: bool | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield rows for the records, each [CLS] tokens [SEP].

    A row has lists of int: input_ids, token_type_ids, label_ids (-1: no label), starts and ends, which give each token, or its word if
    only first pieces are tagged, in characters of the sentence, end exclusive, 0 at [CLS] and [SEP]; and sentence, its index.

    Args:
        seq_length: maximum length of a row in tokens, at least 3.
        windows: True: a long sentence becomes several rows, which overlap by a quarter and label the part of an entity at their edge
            as a whole one. False: a long sentence is cut, without labels for the rest of a cut entity.
        report: counts what is lost.
        path: named in errors.
        tagged_pieces: the word pieces with a label: all, or the first of each word, so that entities consist of whole words.
        training: True: a sentence without tokens is left out, and labels that cannot express an entity are an error. False: such a
            sentence becomes a row, and such an entity has no label. Default: where there are no windows.

    Raises:
        ValueError: the tag set lacks the type of an entity, or in training cannot express one; or there is no row at all.
    """
    training = not windows if training is None else training
    num_rows, room = 0, seq_length - 2
    encoded = _encode_words(sentences, tokenizer) if tagged_pieces == "first" else _encode(sentences, tokenizer)
    for number, (sentence, (ids, starts, ends, tagged)) in enumerate(zip(sentences, encoded)):
        _check_types(path, sentence, tag_set)
        spans, unaligned = _align(sentence.entities, starts, ends)
        report.unaligned += [(number, entity, reason) for entity, reason in unaligned]
        try:
            labels = _label(tag_set, spans, tagged)
        except ValueError as error:
            if training:
                raise ValueError(f"{path}:{sentence.line}: {error}") from None
            spans, others = _choose_told(tag_set, spans, tagged)
            report.unaligned += [(number, Entity(kind, starts[first], ends[end - 1]), NO_TAGS) for kind, first, end in others]
            labels = _label(tag_set, spans, tagged)
        if not windows:
            _cut(labels, spans, room, report)
        row_starts = [] if training and not ids else _window_starts(len(ids), room) if windows else [0]
        report.num_empty += not row_starts
        if training and len(row_starts) > 1:
            report.num_long += 1
            report.num_windows += len(row_starts)
        for first in row_starts:
            window = slice(first, first + room)
            own = labels[window] if len(row_starts) == 1 else _label_window(tag_set, spans, first, tagged[window])
            input_ids, token_type_ids = tokenizer.join(ids[window], None, seq_length)
            row = {"input_ids": input_ids, "token_type_ids": token_type_ids, "label_ids": [-1, *own, -1]}
            yield row | {"starts": [0, *starts[window], 0], "ends": [0, *ends[window], 0], "sentence": number}
        num_rows += len(row_starts)
    if not num_rows:
        raise ValueError(f"{path}: no sentence has a token")


def _check_types(path, sentence, tag_set):
    for number, entity in enumerate(sentence.entities):
        if entity.type not in tag_set.types:
            line = sentence.entity_lines[number] if sentence.entity_lines else sentence.line
            raise ValueError(f"{path}:{line}: the labels have no tag for {entity.type}; their types: {', '.join(tag_set.types)}")


def find_continuations(tokenizer: Tokenizer) -> set[int]:
    """The ids of word pieces that continue a word."""
    return {number for token, number in tokenizer.vocabulary.items() if token.startswith("##")}


def _encode_words(sentences, tokenizer):
    """For each sentence the ids of its tokens, starts and ends of their words, and whether each is the first in its word."""
    continuations = find_continuations(tokenizer)
    for begin in range(0, len(sentences), CHUNK):
        for ids, offsets in tokenizer.encode_with_offsets([sentence.text for sentence in sentences[begin : begin + CHUNK]]):
            firsts = [token not in continuations for token in ids]
            words = [list(group) for _, group in groupby(zip(accumulate(firsts), offsets), lambda pair: pair[0])]
            starts = [word[0][1][0] for word in words for _ in word]
            ends = [word[-1][1][1] for word in words for _ in word]
            yield ids, starts, ends, firsts


def _encode(sentences, tokenizer):
    """For each sentence the ids, starts and ends of its tokens, and True for each, as all are tagged."""
    unknown, encode_character = tokenizer.vocabulary[UNKNOWN], functools.cache(lambda character: tokenizer.encode([character])[0])
    for begin in range(0, len(sentences), CHUNK):
        texts = [sentence.text for sentence in sentences[begin : begin + CHUNK]]
        for text, (ids, offsets) in zip(texts, tokenizer.encode_with_offsets(texts)):
            if unknown in ids:
                ids, offsets = split_unknown(text, ids, offsets, unknown, encode_character)
            starts, ends = zip(*offsets) if offsets else ((), ())
            yield ids, starts, ends, [True] * len(ids)


def split_unknown(
    text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]], unknown: int, encode_character: Callable[[str], Sequence[int]]
) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids and offsets, with each [UNK] of several characters replaced by their tokens; a character without any joins the previous one."""
    new_ids: list[int] = []
    new_offsets: list[tuple[int, int]] = []
    for token, (start, end) in zip(ids, offsets):
        if token == unknown and end - start > 1:
            num_before = len(new_ids)
            for position in range(start, end):
                pieces = encode_character(text[position])
                new_ids += pieces
                new_offsets += [(position, position + 1)] * len(pieces)
                if not pieces and len(new_ids) > num_before:
                    new_offsets[-1] = (new_offsets[-1][0], position + 1)
        else:
            new_ids.append(token)
            new_offsets.append((start, end))
    return new_ids, new_offsets


def _align(entities, starts, ends):
    """The entities as spans of tokens, and (entity, reason) for those that tokens cannot represent exactly."""
    spans, unaligned, taken = [], [], bytearray(len(starts))
    for entity in sorted(entities, key=lambda entity: entity.start - entity.end):  # longer ones first, else in their order
        first, behind = bisect_right(ends, entity.start), bisect_left(starts, entity.end)
        if first >= behind:
            unaligned.append((entity, NO_TOKENS))
        elif starts[first] < entity.start or ends[behind - 1] > entity.end:
            unaligned.append((entity, INSIDE))
        elif any(taken[first:behind]):
            unaligned.append((entity, OVERLAP))
        else:
            spans.append(Entity(entity.type, first, behind))
            taken[first:behind] = b"\1" * (behind - first)
            if (starts[first], ends[behind - 1]) != (entity.start, entity.end):
                unaligned.append((entity, SHORTER))
    return spans, unaligned


def _cut(labels, spans, room, report):
    """Count what does not fit into `room` tokens, and remove the labels of entities that end after it."""
    cut = [span for span in spans if span.end > room]
    for span in cut:
        labels[span.start : span.end] = [-1] * (span.end - span.start)
    report.num_cut_sentences += len(labels) > room
    report.num_cut_entities += len(cut)


def _stride(window):
    return window - window // 4


def _window_starts(num_tokens, window):
    """The first token of each window; together the windows hold all tokens, and there is one if they fit."""
    return range(0, max(num_tokens - window, 0) + _stride(window), _stride(window))


def _label(tag_set, spans, tagged):
    """Labels of tokens, -1 where they are not tagged; spans count tokens."""
    before = [0, *accumulate(tagged)]  # number of tagged tokens before each token
    inside = [Entity(span.type, before[span.start], before[span.end]) for span in spans]
    labels = iter(tag_set.make_labels(before[-1], [span for span in inside if span.start < span.end]))
    return [next(labels) if is_tagged else -1 for is_tagged in tagged]


def _choose_told(tag_set, spans, tagged):
    """The spans that the tag set can express together, and the others."""
    expressible: list[Entity] = []
    others = []
    for span in sorted(spans, key=lambda span: span.start):
        try:
            _label(tag_set, [*expressible, span], tagged)
            expressible.append(span)
        except ValueError:
            others.append(span)
    return expressible, others


def _label_window(tag_set, spans, first, tagged):
    """Labels of a window of a sentence; the part of an entity at its edge is labelled as an entity if the set has tags for its length."""
    parts = [Entity(span.type, max(span.start - first, 0), min(span.end - first, len(tagged))) for span in spans]
    inside = [(part, span.end - span.start) for part, span in zip(parts, spans) if part.start < part.end]
    try:
        return _label(tag_set, [part for part, _ in inside], tagged)
    except ValueError:
        return _label(tag_set, [part for part, length in inside if part.end - part.start == length], tagged)


def merge_windows(
    sentence_ids: Iterable[int],
    lengths: Sequence[int],
    starts: Sequence[np.ndarray],
    ends: Sequence[np.ndarray],
    values: Sequence[np.ndarray],
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The value of every token, from the first of the windows in which its smaller context, left or right, is largest.

    Args:
        sentence_ids: the sentence of each row; its rows are neighbours, in the order of `encode_sentences`.
        lengths: tokens of each row, [CLS] and [SEP] included.
        starts, ends, values: for each row an int array of at least that length.

    Returns:
        For each sentence (starts, ends, values), int64 arrays over its tokens.

    Source: "max context" of BERT's run_squad.py.
    """
    merged, row = [], 0
    for _, group in groupby(sentence_ids):
        rows = range(row, row := row + len(list(group)))
        stride = _stride(lengths[rows[0]] - 2)
        num_tokens = (len(rows) - 1) * stride + lengths[rows[-1]] - 2
        tokens, most = np.zeros((3, num_tokens), np.int64), np.full(num_tokens, -1)
        for begin, number in zip(range(0, num_tokens, stride or 1), rows):
            count = lengths[number] - 2
            context = np.minimum(np.arange(count), np.arange(count)[::-1])
            window = slice(begin, begin + count)
            better = context > most[window]
            found = [column[number][1 : count + 1] for column in (starts, ends, values)]
            tokens[:, window] = np.where(better, found, tokens[:, window])
            most[window] = np.maximum(context, most[window])
        merged.append(tuple(tokens))
    return merged


def find_entities(tag_set: TagSet, starts: Sequence[int], ends: Sequence[int], label_ids: Sequence[int]) -> list[Entity]:
    """Entities over characters, from the start of the first token to the end of the last, by the labels of a sentence's tokens; tokens
    with label -1 are skipped."""
    tagged = [position for position, label_id in enumerate(label_ids) if label_id >= 0]
    spans = tag_set.find_spans([label_ids[position] for position in tagged])
    return [Entity(name, int(starts[tagged[first]]), int(ends[tagged[behind - 1]])) for name, first, behind in spans]
