"""Question answering: windows of texts, network, loss; files and rows in inputs.py, results in squad_results.py."""

import dataclasses

from src.log import logger
from src.records.files import is_record_file
from src.tasks import fine_tuning
from src.tasks.fine_tuning import cached_rows, check_inputs
from src.tasks.splits import wanted_splits
from src.tasks.squad import inputs
from src.tasks.squad.file import read_squad
from src.tasks.squad.network import SpanFinder, SpanLoss
from src.tasks.squad.results import report_evaluation, report_predictions, score
from src.tasks.task import Prepared

__all__ = ["INPUTS", "LOSS_PARTS", "NAME", "TARGETS", "describe", "for_evaluation", "loss", "network", "prepare"]
__all__ += ["report_evaluation", "report_predictions", "score"]

NAME = "squad"
INPUTS = ("input_ids", "input_mask", "token_type_ids")
TARGETS = ("start_positions", "end_positions", "weights")
LOSS_PARTS = ()


def prepare(options):
    """Read the questions; settle the casing; check that data, vocabulary and network fit.

    Returns:
        Prepared. config: with vocab_file_path and do_lower_case filled in; do_predict is false where prediction would only repeat the
        evaluation. sources: the Questions of the eval and predict splits.

    Raises:
        ValueError, FileNotFoundError: naming what is missing or does not fit.
    """
    config, paths = options, {split: inputs.find(options, split) for split in wanted_splits(options)}
    if "eval" in paths and paths.get("predict") == paths["eval"]:
        logger.info(f"{paths['eval']}: evaluation and prediction run once, and leave one predictions.json")
        config = dataclasses.replace(config, do_predict=False)
        del paths["predict"]
    origins = {split: _find_origin(config, split, path) for split, path in paths.items()}
    sources = {split: read_squad(origin) for split, origin in origins.items() if origin and split != "train"}
    if "eval" in paths:
        _check_answers(config, origins["eval"], sources["eval"])
    config = check_inputs(NAME, config, paths.values())
    if config.null_score_diff_threshold and not config.version_2_with_negative:
        logger.warning(f"null_score_diff_threshold={config.null_score_diff_threshold} is ignored: every question has an answer")
    records = {split: _make_records(config, split, path, origins[split], sources.get(split)) for split, path in paths.items()}
    return Prepared(config, records, sources)


def _find_origin(config, split, path):
    """The file in SQuAD's form that a split's texts stand in; None of records to train on."""
    return None if split == "train" and is_record_file(path) else inputs.find_questions(config, split)


def _make_records(config, split, path, origin, questions):
    """The RecordSet of a split; tokenised once and kept in {output_dir}/cache. The questions of the train split are read if need be."""
    files = [path] if origin in (None, path) else [path, origin]
    lengths = (config.seq_length, config.doc_stride, config.max_query_length)
    about = (NAME, config.version_2_with_negative, split == "train")

    def make_chunks():
        return inputs.make_chunks(config, split, path, origin, read_squad(origin) if origin and questions is None else questions)

    return cached_rows(config, split, files, make_chunks, lengths, about)


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
