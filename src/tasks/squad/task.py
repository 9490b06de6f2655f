"""Question answering as a task: data, network and loss; files and rows in inputs.py, results in results.py."""

import dataclasses
from collections.abc import Iterator

from mindspore import nn

from src.log import logger
from src.records.files import is_record_file
from src.records.record_set import Chunk
from src.tasks.defaults import head_flops as head_flops
from src.tasks.defaults import tune as tune
from src.tasks.fine_tuning import cached_rows, check_inputs, describe
from src.tasks.splits import wanted_splits
from src.tasks.squad import inputs
from src.tasks.squad.file import read_squad
from src.tasks.squad.network import SpanFinder, SpanLoss
from src.tasks.squad.options import SquadModel, SquadOptions
from src.tasks.squad.results import report_evaluation, report_predictions, score, tabulate
from src.tasks.task import Prepared

__all__ = ["INPUTS", "LOSS_PARTS", "PREFIX", "TARGETS", "describe", "for_evaluation", "loss", "network", "prepare"]
__all__ += ["report_evaluation", "report_predictions", "score", "tabulate"]

PREFIX = "squad"
INPUTS = ("input_ids", "input_mask", "token_type_ids")
TARGETS = ("start_positions", "end_positions", "weights")
LOSS_PARTS: tuple[str, ...] = ()


def prepare(options: SquadOptions) -> Prepared:
    """Read the questions, decide the casing, and check that data, vocabulary and network fit.

    Returns:
        Prepared.
            config: do_lower_case is filled in; do_predict is false where prediction would only repeat the evaluation.
            sources: the Questions of the eval and predict splits.

    Raises:
        ValueError, FileNotFoundError: naming what is missing or does not fit.
    """
    config = options
    paths = {split: inputs.find(options, split) for split in wanted_splits(options)}
    if config.do_eval and paths.get("predict") == paths["eval"]:
        logger.info(f"{paths['eval']}: evaluation and prediction run once, and leave one predictions.json")
        config = dataclasses.replace(config, do_predict=False)
        del paths["predict"]
    origins = {split: _find_origin(config, split, path) for split, path in paths.items()}
    sources = {split: _read(config, origin) for split, origin in origins.items() if origin and split != "train"}
    if "eval" in paths:
        _check_answers(config, origins["eval"], sources["eval"])
    config, tokenizer = check_inputs(PREFIX, config, paths.values())
    if config.null_score_diff_threshold and not config.version_2_with_negative:
        logger.warning(f"null_score_diff_threshold={config.null_score_diff_threshold} is ignored: every question has an answer")
    rows = {}
    for split, origin in origins.items() if config.fold else ():
        questions = _read(config, origin)
        rows[split] = inputs.choose_rows(config, split, origin, questions)
        sources[split] = [questions[number] for number in rows[split]]
    records = {split: _make_records(config, tokenizer, split, path, origins[split], sources.get(split)) for split, path in paths.items()}
    sources.pop("train", None)
    return Prepared(config, records, tokenizer, sources, rows.get("eval", ()))


def _read(config, path):
    return read_squad(path, config.encoding, config.max_context_chars)


def _find_origin(config, split, path):
    """The file in SQuAD's form that holds a split's texts; None when training on records."""
    return None if split == "train" and is_record_file(path) else inputs.find_questions(config, split)


def _make_records(config, tokenizer, split, path, origin, questions):
    """The RecordSet of a split, kept in {output_dir}/cache; the training questions are read only if it is not there yet."""
    files = [path] if origin in (None, path) else [path, origin]
    lengths = (config.seq_length, config.doc_stride, config.max_query_length)
    about = (PREFIX, config.version_2_with_negative, split == "train")

    def make_chunks() -> Iterator[Chunk]:
        read = _read(config, origin) if origin and questions is None else questions
        return inputs.make_chunks(config, tokenizer, split, path, origin, read)

    return cached_rows(config, tokenizer, split, files, make_chunks, lengths, about)


def network(config: SquadModel) -> nn.Cell:
    """The network from token ids to the logits of an answer's first and last token, [B, S] each."""
    return SpanFinder(config.model, config.device)


def loss(config: SquadOptions) -> nn.Cell:
    """The mean cross-entropy of an answer's first and last token over the positions of the row."""
    return SpanLoss()


def for_evaluation(config: SquadOptions, network: nn.Cell) -> tuple[nn.Cell, tuple[str, ...]]:
    """The cell whose outputs are scored, and its input columns."""
    return network, INPUTS


def _check_answers(config, path, questions):
    """Check that every question to evaluate has an answer, or may have none."""
    for question in questions:
        if question.answers is None:
            raise ValueError(f"{path}: question {question.id} has no answers to compare with; --do_predict true does without them")
        if not question.answers and not config.version_2_with_negative:
            raise ValueError(f"{path}: question {question.id} has no answer; --version_2_with_negative true allows that")
