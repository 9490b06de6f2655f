"""Files, sentences and rows of a run on named entities."""

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from src.log import logger, shorten
from src.records.files import INPUT_TOKENS, Layout, check_tokens, is_record_file, read_record_file
from src.records.record_set import Chunk, join_in_chunks
from src.tasks.ner.encoding_report import EncodingReport
from src.tasks.ner.options import NerOptions
from src.tasks.ner.rows import encode_rows, find_continuations
from src.tasks.ner.sentences import Sentences
from src.tasks.ner.tagged_text import TaggedText, read_plain, read_tagged
from src.tasks.ner.tags import TagSet, make_tag_set
from src.tasks.splits import find_file
from src.text.tables import match_case
from src.text.tokenization import CLS, SEP, Tokenizer

LAYOUT = Layout({**INPUT_TOKENS, "label_ids": "label_ids"}, {}, {})
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
    return _name_as_the_labels(path, read.labelled_sentences(path), make_tag_set(config.labels).types)


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


def make_chunks(config: NerOptions, tokenizer: Tokenizer, split: str, path: Path, sentences: Sentences | None) -> Iterator[Chunk]:
    """The rows of a split, from its sentences or, if they are None, from the records of the file."""
    tag_set = make_tag_set(config.labels)
    if sentences is None:
        first = 0
        for chunk in read_record_file(path, LAYOUT, config.schema_file_path):
            check_tokens(path, chunk.maxima(), config.model, config.seq_length)
            continuations = find_continuations(tokenizer) if config.tagged_pieces == "first" else ()
            yield complete_records(path, chunk, first, tag_set, tokenizer, continuations)
            first += len(chunk.lengths)
        return
    if split == "predict":
        sentences = sentences.without_entities()
    report, training = EncodingReport(), split == "train"
    windows = not training or config.long_documents == "windows"
    pieces = config.tagged_pieces
    yield from join_in_chunks(encode_rows(sentences, tokenizer, tag_set, config.seq_length, windows, report, path, pieces, training))
    for line in report.describe(path, sentences):
        logger.info(line)


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
