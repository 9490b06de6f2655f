"""Questions of a run: which files, which rows of the records."""

from pathlib import Path

import numpy as np

from src.log import logger
from src.records.files import check_tokens, is_record_file, read_record_file
from src.tasks.splits import find_file
from src.tasks.squad.windows import encode_questions
from src.text.tokenization import Tokenizer

_FILES = (
    ("train-v1.1.json", "cmrc2018_train.json", "cmrc2018_trial.json", "train.json"),
    ("dev-v1.1.json", "cmrc2018_dev.json", "dev.json"),
    ("test.json", "cmrc2018_test.json"),
)
_FILES_OF_VERSION_2 = (("train-v2.0.json", "train.json"), ("dev-v2.0.json", "dev.json"), ("test.json",))
_MOST_DIFFERENT = 0.01  # share of ready-made rows that another tokenizer may have made otherwise


def find(config, split):
    """The data file of a split, in SQuAD's form or records."""
    return find_file(config, split, _FILES_OF_VERSION_2 if config.version_2_with_negative else _FILES)


def find_questions(config, split):
    """The file in SQuAD's form that a split's texts stand in: its data file, or --eval_json_path where that is records.

    Raises:
        ValueError: records without it, or two different files for one evaluation.
    """
    path, told = find(config, split), config.eval_json_path
    if not is_record_file(path):
        if split == "eval" and told and not (Path(told).exists() and path.samefile(told)):
            raise ValueError(f"--eval_json_path {told} and the development data {path} are two files of questions: give one of them")
        return path
    if not told or split == "predict" and path != find(config, "eval"):
        flag = "--predict_data_file_path takes SQuAD's form" if told else "give --eval_json_path, the file that they were made of"
        raise ValueError(f"{path}: records hold no texts; {flag}")
    if not Path(told).is_file():
        raise FileNotFoundError(f"{told}: no such file; --eval_json_path takes the development data in SQuAD's form")
    return Path(told)


def make_chunks(config, split, path, source, questions):
    """The rows of a split for `cached_records`.

    Args:
        path: the data file of the split. source, questions: the file in SQuAD's form and what it holds; None of records to train on.
    """
    if questions is None:
        yield from _read_training_rows(config, path)
        return
    tokenizer = Tokenizer(config.vocab_file_path, config.do_lower_case)
    lengths = config.seq_length, config.doc_stride, config.max_query_length
    rows, losses = encode_questions(questions, tokenizer, *lengths, split == "train", config.version_2_with_negative, source)
    logger.info(f"{split} {source}: {len(questions)} questions, {len(rows.lengths)} rows")
    for line in losses.report(source, len(questions)):
        logger.warning(line)
    if path != source:
        _compare(config, path, source, rows)
    yield rows


def _read_training_rows(config, path):
    first = 0
    for chunk in read_record_file(path, "squad", config.schema_file_path):
        check_tokens(path, chunk.maxima(), config.model, config.seq_length)
        starts, ends = chunk.rows["start_positions"], chunk.rows["end_positions"]
        wrong = (starts < 0) | (ends < starts) | (ends >= chunk.lengths)
        if wrong.any():
            row = int(wrong.argmax())
            told = f"an answer from token {starts[row]} to {ends[row]} of {chunk.lengths[row]}"
            raise ValueError(f"{path}: row {first + row} has {told}")
        first += len(starts)
        yield chunk


def _compare(config, path, source, rows):
    """Check that records to evaluate are the rows that `source` gives; those of a few that differ are taken from `source`.

    Raises:
        ValueError: they are others.
    """
    made = np.split(rows.tokens["input_ids"], np.cumsum(rows.lengths)[:-1])
    found = []
    for chunk in read_record_file(path, "squad_windows", config.schema_file_path):
        found += np.split(chunk.tokens["input_ids"], np.cumsum(chunk.lengths)[:-1])
    settings = "made with another vocabulary, casing, seq_length, doc_stride or max_query_length?"
    if len(found) != len(made):
        raise ValueError(f"{path}: {len(found)} rows, but {source} gives {len(made)}; {settings}")
    different = [number for number, pair in enumerate(zip(found, made)) if not np.array_equal(*pair)]
    if len(different) > _MOST_DIFFERENT * len(made):
        raise ValueError(f"{path}: {len(different)} of {len(made)} rows, first {different[0]}, are not those of {source}; {settings}")
    if different:
        logger.warning(f"{path}: {len(different)} of {len(made)} rows, first {different[0]}, differ; those of {source} are taken")
