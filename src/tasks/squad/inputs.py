"""The data of a run on questions: its files, and the rows made from them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from src.log import logger
from src.records.files import INPUT_TOKENS, Layout, check_tokens, is_record_file, read_record_file
from src.records.record_set import Chunk
from src.tasks import folds
from src.tasks.splits import find_file
from src.tasks.squad.file import Question
from src.tasks.squad.options import SquadOptions
from src.tasks.squad.windows import encode_questions
from src.text.tokenization import Tokenizer

_TRAINING_LAYOUT = Layout(INPUT_TOKENS, {name: name for name in ("start_positions", "end_positions")}, {})
_WINDOWS_LAYOUT = Layout(INPUT_TOKENS, {}, {})  # for evaluation
_FILES = (
    ("train-v1.1.json", "cmrc2018_train.json", "cmrc2018_trial.json", "train.json"),
    ("dev-v1.1.json", "cmrc2018_dev.json", "dev.json"),
    ("test.json", "cmrc2018_test.json"),
)
_FILES_OF_VERSION_2 = (("train-v2.0.json", "train.json"), ("dev-v2.0.json", "dev.json"), ("test.json",))
_MOST_DIFFERENT = 0.01  # share of ready-made rows that may differ, as another tokenizer may treat rare characters otherwise


def find(config: SquadOptions, split: str) -> Path:
    """The data file of a split: records, or in SQuAD's form."""
    return find_file(config, split, _FILES_OF_VERSION_2 if config.version_2_with_negative else _FILES)


def find_questions(config: SquadOptions, split: str) -> Path:
    """The file in SQuAD's form that holds a split's texts: its data file or, if that is records, --eval_json_path.

    Raises:
        ValueError: records without --eval_json_path, or two different files for one evaluation.
        FileNotFoundError: --eval_json_path does not exist.
    """
    path, json_path = find(config, split), config.eval_json_path
    if not is_record_file(path):
        if split == "eval" and json_path and not (Path(json_path).exists() and path.samefile(json_path)):
            raise ValueError(f"--eval_json_path {json_path} and the development data {path} are two files of questions: give one of them")
        return path
    if not json_path or split == "predict" and path != find(config, "eval"):
        flag = "--predict_data_file_path takes SQuAD's form" if json_path else "give --eval_json_path, the file that they were made from"
        raise ValueError(f"{path}: records hold no texts; {flag}")
    if not Path(json_path).is_file():
        raise FileNotFoundError(f"{json_path}: no such file; --eval_json_path takes the development data in SQuAD's form")
    return Path(json_path)


def choose_rows(config: SquadOptions, split: str, path: Path, questions: list[Question]) -> list[int]:
    """The numbers of the questions of a split, see `folds.choose_rows`; the questions on one text are in one fold."""
    strata = ["with answers" if question.answers else "without answers" for question in questions]
    return folds.choose_rows(config, split, path, strata, [question.context or "" for question in questions])


def make_chunks(
    config: SquadOptions, tokenizer: Tokenizer, split: str, path: Path, source: Path | None, questions: list[Question] | None
) -> Iterator[Chunk]:
    """Yield the rows of a split for `cached_records`.

    Args:
        path: the data file of the split.
        source, questions: the file in SQuAD's form and its content; None when training on records.
    """
    if source is None or questions is None:
        yield from _read_training_rows(config, path)
        return
    lengths = config.seq_length, config.doc_stride, config.max_query_length
    rows, report = encode_questions(questions, tokenizer, *lengths, split == "train", config.version_2_with_negative, source)
    logger.info(f"{split} {source}: {len(questions)} questions, {len(rows.lengths)} rows")
    for line in report.describe(source, len(questions)):
        logger.warning(line)
    if path != source:
        _compare(config, path, source, rows)
    yield rows


def _read_training_rows(config, path):
    first = 0
    for chunk in read_record_file(path, _TRAINING_LAYOUT, config.schema_file_path):
        check_tokens(path, chunk.maxima(), config.model, config.seq_length)
        starts, ends = chunk.rows["start_positions"], chunk.rows["end_positions"]
        wrong = (starts < 0) | (ends < starts) | (ends >= chunk.lengths)
        if wrong.any():
            row = int(wrong.argmax())
            span = f"token {starts[row]} to {ends[row]} of {chunk.lengths[row]}"
            raise ValueError(f"{path}: row {first + row} has an answer from {span}")
        first += len(starts)
        yield chunk


def _compare(config, path, source, rows):
    """Check that records to evaluate equal the rows made from `source`; if a few differ, those rows are used.

    Raises:
        ValueError: too many rows differ.
    """
    made = np.split(rows.tokens["input_ids"], np.cumsum(rows.lengths)[:-1])
    found = []
    for chunk in read_record_file(path, _WINDOWS_LAYOUT, config.schema_file_path):
        found += np.split(chunk.tokens["input_ids"], np.cumsum(chunk.lengths)[:-1])
    settings = "made with another vocabulary, casing, seq_length, doc_stride or max_query_length?"
    if len(found) != len(made):
        raise ValueError(f"{path}: {len(found)} rows, but {source} gives {len(made)}; {settings}")
    different = [number for number, pair in enumerate(zip(found, made)) if not np.array_equal(*pair)]
    if len(different) > _MOST_DIFFERENT * len(made):
        raise ValueError(f"{path}: {len(different)} of {len(made)} rows, first {different[0]}, are not those of {source}; {settings}")
    if different:
        logger.warning(f"{path}: {len(different)} of {len(made)} rows, first {different[0]}, differ; those of {source} are taken")
