"""Files, sentences and rows of a run on named entities."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from src.log import logger, shorten
from src.records.files import INPUT_TOKENS, Layout, check_tokens, is_record_file, read_description, read_record_file
from src.records.record_set import Chunk, join_in_chunks
from src.tasks.ner.encoding_report import EncodingReport
from src.tasks.ner.options import NerOptions
from src.tasks.ner.rows import encode_rows, find_continuations
from src.tasks.ner.sentences import Sentences
from src.tasks.ner.span_rows import encode_span_rows, fill_spans
from src.tasks.ner.tagged_text import TaggedText, read_plain, read_tagged
from src.tasks.ner.tags import TagSet, find_overlapping, list_types, make_tag_set, read_label_file
from src.tasks.splits import find_file
from src.text.tables import match_case
from src.text.tokenization import CLS, SEP, Tokenizer

LAYOUT = Layout({**INPUT_TOKENS, "label_ids": "label_ids"}, {}, {})
_FEW = 0.001  # share of entities that may be left out without being asked for
_SHOWN = 3  # of them in a message
_ENDINGS = ("json", "txt", "bio", "bmes", "conll", "xml")
_FILES = tuple(
    (*(f"{name}.{ending}" for ending in _ENDINGS), *others)
    for name, others in (
        ("train", ("example.train", "train.char.bmes", "msra_train_bio.txt")),
        ("dev", ("example.dev", "dev.char.bmes", "msra_test_bio.txt")),
        ("test", ("example.test", "test.char.bmes", "msra_test_bio.txt")),
    )
)


def find(config: NerOptions, split: str) -> Path:
    """The file of a split; for predict, raw text takes precedence."""
    if split == "predict" and config.predict_text_file_path:
        if not Path(config.predict_text_file_path).is_file():
            raise FileNotFoundError(f"{config.predict_text_file_path}: no such file; --predict_text_file_path takes a sentence a line")
        return Path(config.predict_text_file_path)
    return find_file(config, split, _FILES)


def read(config: NerOptions, split: str, path: Path) -> TaggedText | None:
    """The TaggedText of a split's file; None for a record file."""
    if is_record_file(path):
        return None
    if split == "predict" and config.predict_text_file_path:
        return TaggedText(read_plain(path, config.encoding))
    return read_tagged(path, () if split == "predict" else config.class_filter, config.encoding)


def sentences_of(config: NerOptions, split: str, path: Path, read: TaggedText | None) -> Sentences | None:
    """The sentences of a TaggedText, their types spelt as in the labels; None for a record file."""
    if read is None:
        return None
    if split == "predict":
        return read.sentences
    return _name_as_the_labels(path, read.labelled_sentences(path), list_types(config.labels))


def _name_as_the_labels(path, sentences, types):
    """The sentences, with types spelt as in the labels where they differ only in case."""
    known = match_case(sentences.types, types)
    if not known:
        return sentences
    logger.info(f"{path}: types are matched without regard to case: {shorten(f'{name} is {known[name]}' for name in sorted(known))}")
    return sentences.rename_types(known)


def find_strata(sentences: Sentences) -> list[str]:
    """A class for each sentence by which folds are stratified: of the types of its entities the one that is in the fewest sentences."""
    types = [sorted({entity.type for entity in sentence.entities}) for sentence in sentences]
    counts = Counter(kind for kinds in types for kind in kinds)
    return [min(kinds, key=lambda kind: counts[kind]) if kinds else "no entity" for kinds in types]


def check_overlaps(config: NerOptions, path: Path, sentences: Sentences) -> None:
    """Refuse, or with drop_overlapping tell, entities to train on that overlap a longer one, for a head that gives each token one tag.

    Up to _FEW of all entities are always told only: CLUENER's own training file has two in 23,971.
    """
    if config.is_pointer:
        return
    found = [(number, entity) for number, sentence in enumerate(sentences) for entity in find_overlapping(sentence.entities)]
    if not found:
        return
    total = sum(len(sentence.entities) for sentence in sentences)
    told = f"{len(found)} of {total} entities overlap a longer one or one before them, which head={config.head} cannot hold: "
    told += "; ".join(_show(sentences[number], entity) for number, entity in found[:_SHOWN])
    if not config.drop_overlapping and len(found) > total * _FEW:
        raise ValueError(f"{path}: {told}; give --head global_pointer, or --drop_overlapping true to train without them")
    logger.warning(f"{path}: {told}; left out")


def _show(sentence, entity):
    return f"line {sentence.line} {entity.type} {sentence.text[entity.start : entity.end][:40]!r}"


def count_spans(sentences: Iterable[Sentences | None], seq_length: int) -> int:
    """The most entities of a sentence, at least 1; in rows of records, given as None, there is at most one for each token."""
    counts = (max((len(sentence.entities) for sentence in each), default=0) if each is not None else seq_length - 2 for each in sentences)
    return max(1, *counts)


def make_chunks(
    config: NerOptions, tokenizer: Tokenizer, split: str, path: Path, sentences: Sentences | None, width: int = 0
) -> Iterator[Chunk]:
    """The rows of a split, from its sentences or, if they are None, from the records of the file.

    Args:
        width: for a pointer, see `count_spans`.
    """
    if sentences is None:
        yield from _read_records(config, path, tokenizer, width)
        return
    if split == "predict":
        sentences = sentences.without_entities()
    report, training = EncodingReport(), split == "train"
    windows, length = not training or config.long_documents == "windows", config.seq_length
    if config.is_pointer:
        rows = encode_span_rows(sentences, tokenizer, config.labels, width, length, windows, report, path, training)
    else:
        rows = encode_rows(sentences, tokenizer, make_tag_set(config.labels), length, windows, report, path, config.tagged_pieces, training)
    yield from join_in_chunks(rows)
    for line in report.describe(path, sentences):
        logger.info(line)


def _read_records(config, path, tokenizer, width):
    """Yield the rows of a record file, whose tags become spans for a pointer."""
    tag_set = make_tag_set(find_record_tags(config, path) if config.is_pointer else config.labels)
    continuations = find_continuations(tokenizer) if config.tagged_pieces == "first" else ()
    first = 0
    for chunk in read_record_file(path, LAYOUT, config.schema_file_path):
        check_tokens(path, chunk.maxima(), config.model, config.seq_length)
        completed = complete_records(path, chunk, first, tag_set, tokenizer, continuations)
        yield label_spans(completed, tag_set, config.labels, width) if config.is_pointer else completed
        first += len(chunk.lengths)


def find_record_tags(config: NerOptions, path: Path) -> tuple[str, ...]:
    """The tags whose numbers a record file has: those in its description, or of the label file.

    Raises:
        ValueError: there are none.
    """
    labels = read_description(path).get("labels")
    if labels:
        return tuple(labels)
    if not config.label2id_file_path:
        raise ValueError(f"{path}: holds tag numbers only: give --label2id_file_path")
    return read_label_file(config.label2id_file_path)


def label_spans(chunk: Chunk, tag_set: TagSet, types: Sequence[str], width: int) -> Chunk:
    """Completed rows with spans in the place of tags; see `encode_span_rows` for the arguments."""
    tokens = {name: column for name, column in chunk.tokens.items() if name != "label_ids"}
    spans = []
    for row in np.split(chunk.tokens["label_ids"], np.cumsum(chunk.lengths, dtype=np.int64)[:-1]):
        found = tag_set.find_spans(row[1:-1].tolist())
        spans.append(fill_spans([(types.index(kind), first + 1, behind) for kind, first, behind in found], width))
    return Chunk(chunk.lengths, tokens, {**chunk.rows, "label_ids": np.array(spans)})


def complete_records(path: Path, chunk: Chunk, first: int, tag_set: TagSet, tokenizer: Tokenizer, untagged: Collection[int]) -> Chunk:
    """Ready-made rows in the form of `encode_sentences`, with positions instead of characters.

    [CLS], [SEP] and `untagged` tokens have no label, and entities are tagged as `make_labels` tags them.
    """
    ids, labels = chunk.tokens["input_ids"], chunk.tokens["label_ids"].astype(np.int32)
    ends = np.cumsum(chunk.lengths, dtype=np.int64)
    starts = ends - chunk.lengths
    wrong = (ids[starts] != tokenizer.vocabulary[CLS]) | (ids[ends - 1] != tokenizer.vocabulary[SEP]) | (chunk.lengths < 2)
    if wrong.any():
        raise ValueError(f"{path}: row {first + int(wrong.argmax())} does not begin with [CLS] and end with [SEP] of the vocabulary")
    if labels.min() < 0 or labels.max() >= len(tag_set.labels):
        raise ValueError(f"{path}: tag numbers {labels.min()} to {labels.max()}, but there are {len(tag_set.labels)} tags")
    changed, is_tagged = 0, ~np.isin(ids, list(untagged))
    for start, end in zip(starts + 1, ends - 1):
        tagged = np.flatnonzero(is_tagged[start:end]) + start
        found = labels[tagged].tolist()
        made = tag_set.make_labels(len(found), tag_set.find_spans(found))
        changed += sum(map(int.__ne__, found, made))
        labels[tagged] = made
    labels[~is_tagged] = -1
    if changed:
        rows = f"rows {first} to {first + len(starts) - 1}"
        logger.warning(f"{path}: {changed} tags of {rows} are not those that {tag_set.scheme} has for their entities; mended")
    labels[starts] = labels[ends - 1] = -1
    positions = np.arange(len(ids)) - np.repeat(starts, chunk.lengths) - 1
    tokens = {**chunk.tokens, "label_ids": labels, "starts": positions, "ends": positions + 1}
    return Chunk(chunk.lengths, tokens, {"sentence": np.arange(first, first + len(starts))})
