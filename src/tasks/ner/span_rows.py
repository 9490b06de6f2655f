"""Rows of tokens and labelled spans for a pointer from sentences, and entities in characters from the spans of rows.

Spans may overlap. A row has a matrix of spans, each type, first and last position in the row, filled up with -1.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from src.tasks.ner.encoding_report import EncodingReport
from src.tasks.ner.rows import align, check_types, encode_pieces, stride_of, window_starts
from src.tasks.ner.sentences import Sentence
from src.tasks.ner.tags import Entity
from src.text.tokenization import Tokenizer

NO_WINDOW = "in no window whole"


def encode_span_rows(
    sentences: Sequence[Sentence],
    tokenizer: Tokenizer,
    types: Sequence[str],
    width: int,
    seq_length: int,
    windows: bool,
    report: EncodingReport,
    path: Path | str = "<text>",
    training: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield rows as `encode_rows` of rows.py does, with all pieces, but label_ids are spans: int32 [width, 3].

    Args:
        types: entity types in id order.
        width: the most entities of a sentence.
        windows: True: a long sentence becomes several rows, each with the entities that are whole in it. False: it is cut, and so are the
            entities that do not end before.
        training: True: a sentence without tokens is left out.

    Raises:
        ValueError: the types lack that of an entity; or there is no row at all.
    """
    num_rows, room = 0, seq_length - 2
    numbers = {name: number for number, name in enumerate(types)}
    for number, (sentence, (ids, starts, ends, _)) in enumerate(zip(sentences, encode_pieces(sentences, tokenizer))):
        check_types(path, sentence, types)
        spans, unaligned = align(sentence.entities, starts, ends, overlapping=True)
        row_starts = [] if training and not ids else window_starts(len(ids), room) if windows else [0]
        lost = [span for span in spans if not any(first <= span.start and span.end <= first + room for first in row_starts)]
        if windows:
            unaligned += [(Entity(span.type, starts[span.start], ends[span.end - 1]), NO_WINDOW) for span in lost]
        else:
            report.num_cut_sentences += len(ids) > room
            report.num_cut_entities += len(lost)
        report.unaligned += [(number, entity, reason) for entity, reason in unaligned]
        report.num_empty += not row_starts
        if training and len(row_starts) > 1:
            report.num_long += 1
            report.num_windows += len(row_starts)
        for first in row_starts:
            window = slice(first, first + room)
            input_ids, token_type_ids = tokenizer.join(ids[window], None, seq_length)
            inside = {span for span in spans if first <= span.start and span.end <= first + room}
            found = sorted((numbers[span.type], span.start - first + 1, span.end - first) for span in inside)
            row = {"input_ids": input_ids, "token_type_ids": token_type_ids, "label_ids": fill_spans(found, width)}
            yield row | {"starts": [0, *starts[window], 0], "ends": [0, *ends[window], 0], "sentence": number}
        num_rows += len(row_starts)
    if not num_rows:
        raise ValueError(f"{path}: no sentence has a token")


def fill_spans(spans: Collection[tuple[int, int, int]], width: int) -> np.ndarray:
    """Spans (type, first, last) as int32 [width, 3], filled up with -1."""
    filled = np.full((width, 3), -1, np.int32)
    if spans:
        filled[: len(spans)] = list(spans)
    return filled


def find_span_entities(
    types: Sequence[str],
    sentence_ids: Iterable[int],
    lengths: Sequence[int],
    starts: Sequence[np.ndarray],
    ends: Sequence[np.ndarray],
    spans: Sequence[np.ndarray],
) -> list[list[Entity]]:
    """The entities of each sentence in characters, sorted by start and end.

    Of the windows that hold a span as a whole, the first of those in which its smaller context, left or right, is largest decides.

    Args:
        types: entity types in id order.
        sentence_ids: the sentence of each row; its rows are neighbours, in the order of `encode_span_rows`.
        lengths: tokens of each row, [CLS] and [SEP] included.
        starts, ends: for each row the characters of its tokens.
        spans: for each row type, first and last position of the spans found, int [K, 3]; those of type -1 are none.
    """
    found, row = [], 0
    for _, group in groupby(sentence_ids):
        rows = range(row, row := row + len(list(group)))
        stride = stride_of(int(lengths[rows[0]]) - 2)
        windows = [(stride * number, int(lengths[each]) - 2) for number, each in enumerate(rows)]  # first token, tokens
        entities = set()
        for number, each in enumerate(rows):
            for kind, first, last in spans[each].tolist():
                if kind >= 0 and _find_window(windows, windows[number][0] + first - 1, windows[number][0] + last - 1) == number:
                    entities.add(Entity(types[kind], int(starts[each][first]), int(ends[each][last])))
        found.append(sorted(entities, key=lambda entity: (entity.start, entity.end, entity.type)))
    return found


def _find_window(windows, first, last):
    """The number of the window with the most context for a span of the sentence's tokens; one that lacks a part of it has less than 0."""
    contexts = [min(first - begin, begin + count - 1 - last) for begin, count in windows]
    return contexts.index(max(contexts))
