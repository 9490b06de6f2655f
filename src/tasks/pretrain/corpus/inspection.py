"""Pretraining records as text: ours, Google's and the model zoo's, MindRecord or TFRecord."""

import glob
import os
from collections.abc import Mapping, Sequence

import mindspore.dataset as ds
import numpy as np

from src.formats.vocabulary import list_tokens
from src.records import files
from src.records.mindrecord import read_description
from src.records.mindrecord_format import count_rows
from src.records.tfrecord import check_length, check_tfrecord
from src.tasks.pretrain.objectives import DEFAULT, OBJECTIVES, Objective
from src.text.tokenization import fingerprint, read_vocabulary

_COLUMNS = ("input_ids", "input_mask", "segment_ids", "masked_lm_positions", "masked_lm_ids", "masked_lm_weights")
_LABELS = {"next_sentence": ("the actual next", "random"), "sentence_order": ("as in the text", "swapped")}  # what 0 and 1 say


def print_records(path: str, vocab_file: str, count: int) -> None:
    """Print the first `count` records of a file, or of its first shard.

    Raises:
        FileNotFoundError: no such file. ValueError: not such records, damaged, or made with another vocabulary.
    """
    path = _find(path)
    vocabulary = read_vocabulary(vocab_file)
    tokens = list_tokens(vocabulary)
    objective = OBJECTIVES.get(files.read_description(path).get("objective", DEFAULT), OBJECTIVES[DEFAULT])
    for number, row in enumerate(_read(path, vocabulary, vocab_file, count, objective)):
        largest = max(row["input_ids"].max(), row["masked_lm_ids"].max())
        if largest >= len(tokens):
            raise ValueError(f"{path}: token id {largest} is not in {vocab_file}, which has {len(tokens)} tokens")
        print(f"record {number}\n{describe_record(row, tokens, objective)}\n")


def describe_record(row: Mapping[str, np.ndarray], tokens: Sequence[str], objective: Objective) -> str:
    """Lines of text that show a record.

    Args:
        row: name -> array, as stored.
        tokens: the vocabulary.
        objective: what the record was made for.
    """
    length = np.count_nonzero(row["input_mask"])
    ids, segments = row["input_ids"][:length], row["segment_ids"][:length]
    real = row["masked_lm_weights"] > 0
    pairs = zip(row["masked_lm_positions"][real], row["masked_lm_ids"][real])
    shown = (0, 1) if objective.pair else (0,)
    lines = [f"segment {segment}: {' '.join(tokens[number] for number in ids[segments == segment])}" for segment in shown]
    lines.append(f"masked: {' '.join(f'{position}={tokens[number]}' for position, number in pairs)}")
    if objective.pair:
        label = int(row["next_sentence_labels"][0])
        lines.append(f"{objective.pair}_label: {label} ({_LABELS[objective.pair][label != 0]})")
    if "word_continues" in row:
        lines.append(f"word_continues: {' '.join(map(str, np.flatnonzero(row['word_continues'])))}")
    lines.append(f"tokens: {length} of {len(row['input_ids'])}")
    return "\n".join(f"  {line}" for line in lines)


def _find(path):
    names = [str(path), *sorted(glob.glob(f"{glob.escape(path)}-?????-of-?????"))]
    for name in filter(os.path.isfile, names):
        return name
    raise FileNotFoundError(f"{path}: no such file")


def _read(path, vocabulary, vocab_file, count, objective):
    """The first `count` rows as dicts of one-dimensional arrays."""
    with open(path, "rb") as file:
        is_tfrecord = check_length(file.read(12)) is not None
    if not is_tfrecord and read_description(path).get("vocabulary", fingerprint(vocabulary)) != fingerprint(vocabulary):
        raise ValueError(f"{path}: made with another vocabulary than {vocab_file}")
    if not is_tfrecord and not count_rows(path):  # on which the framework aborts
        raise ValueError(f"{path}: the index {path}.db has no rows")
    try:
        if is_tfrecord:
            dataset = ds.TFRecordDataset(path, shuffle=False, num_samples=count)
        else:
            dataset = ds.MindDataset([path], shuffle=False, num_samples=count)
        rows = list(dataset.create_dict_iterator(num_epochs=1, output_numpy=True))
    except RuntimeError:
        if is_tfrecord:
            _check_frames(path)
        raise ValueError(f"{path}: damaged, not readable as records") from None
    columns = (*_COLUMNS, "next_sentence_labels") if objective.pair else _COLUMNS
    missing = [name for name in columns if rows and name not in rows[0]]
    if missing or not rows:
        raise ValueError(f"{path}: not pretraining records: {'no column ' + ', '.join(missing) if missing else 'empty'}")
    return [{name: value.reshape(-1) for name, value in row.items()} for row in rows]


def _check_frames(path):
    try:
        check_tfrecord(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
