"""Question answering: windows of texts, network, loss; files and rows in inputs.py, results in squad_results.py."""

import dataclasses

from src.log import logger
from src.records.files import is_record_file
from src.tasks import fine_tuning
from src.tasks.fine_tuning import cached_rows, check_inputs
from src.tasks.splits import wanted_splits
from src.tasks.squad import inputs
from src.tasks.squad.network import SpanFinder, SpanLoss
from src.tasks.squad.results import report_evaluation, report_predictions, score

__all__ = [
    "INPUTS",
    "LOSS_PARTS",
    "NAME",
    "TARGETS",
    "dataset",
    "describe",
    "for_evaluation",
    "loss",
    "network",
    "prepare",
    "report_evaluation",
    "report_predictions",
    "score",
]

NAME = "squad"
INPUTS = ("input_ids", "input_mask", "token_type_ids")
TARGETS = ("start_positions", "end_positions", "weights")
LOSS_PARTS = ()


def prepare(config):
    """Settle the casing; check that data, vocabulary and network fit.

    Returns:
        config with vocab_file_path and do_lower_case filled in.

    Raises:
        ValueError, FileNotFoundError: naming what is missing or does not fit.
    """
    paths = {split: inputs.find(config, split) for split in wanted_splits(config)}
    if "eval" in paths and paths.get("predict") == paths["eval"]:
        logger.info(f"{paths['eval']}: evaluation and prediction run once, and leave one predictions.json")
        config = dataclasses.replace(config, do_predict=False)
        del paths["predict"]
    if "eval" in paths:
        _check_answers(config, inputs.find_questions(config, "eval"), inputs.read(config, "eval"))
    config = check_inputs(NAME, config, paths.values())
    if config.null_score_diff_threshold and not config.version_2_with_negative:
        logger.warning(f"null_score_diff_threshold={config.null_score_diff_threshold} is ignored: every question has an answer")
    for split in paths:
        dataset(config, split)
    return config


def dataset(config, split):
    """The RecordSet of a split; tokenised once and kept in {output_dir}/cache."""
    files = [inputs.find(config, split)]
    if split != "train" and is_record_file(files[0]):
        files.append(inputs.find_questions(config, split))
    lengths = (config.seq_length, config.doc_stride, config.max_query_length)
    about = (NAME, config.version_2_with_negative, split == "train")
    return cached_rows(config, split, files, lambda: inputs.make_chunks(config, split), lengths, about)


def network(config):
    """Network from token ids to the logits of an answer's first and last token, [B, S] each."""
    return SpanFinder(config.model, config.device)


def loss(config):
    """Cross-entropy of both over the places of the row."""
    return SpanLoss()


def describe(config):
    """What goes beside a checkpoint, see `fine_tuning.describe`; no labels."""
    return fine_tuning.describe(config, ())


def for_evaluation(config, network):
    """The cell whose outputs are scored, and its input columns."""
    return network, INPUTS


def _check_answers(config, path, questions):
    """A question to evaluate must have an answer, or be allowed to have none."""
    for question in questions:
        if question.answers is None:
            raise ValueError(f"{path}: question {question.id} has no answers to compare with; --do_predict true does without them")
        if not question.answers and not config.version_2_with_negative:
            raise ValueError(f"{path}: question {question.id} has no answer; --version_2_with_negative true allows that")
