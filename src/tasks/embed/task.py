"""Sentence embeddings as a task: data, network and loss; texts in texts.py, their rows in rows.py, results in results.py."""

import dataclasses
from pathlib import Path

from mindspore import nn

from src.log import logger
from src.records.files import is_record_file
from src.tasks import folds
from src.tasks.defaults import tune as tune
from src.tasks.embed.network import ContrastiveLoss, CosineLoss, Embedder
from src.tasks.embed.options import EmbedModel, EmbedOptions
from src.tasks.embed.results import report_evaluation, report_predictions, score, tabulate
from src.tasks.embed.rows import TextRows, make_chunks
from src.tasks.embed.texts import Texts, read_texts
from src.tasks.fine_tuning import cached_rows, check_inputs, describe
from src.tasks.splits import find_file, wanted_splits
from src.tasks.task import Prepared
from src.text.tokenization import Tokenizer

__all__ = ["INPUTS", "LOSS_PARTS", "PREFIX", "TARGETS", "describe", "for_evaluation", "loss", "network", "prepare"]
__all__ += ["report_evaluation", "report_predictions", "score", "tabulate"]

PREFIX = "embed"
INPUTS = ("input_ids", "input_mask", "token_type_ids")
TARGETS = ("scores", "weights")
LOSS_PARTS: tuple[str, ...] = ()
_FILES = {
    "stsb": (("train.tsv", "sts-train.csv"), ("dev.tsv", "sts-dev.csv"), ("test.tsv", "sts-test.csv")),
    "custom": tuple(tuple(f"{split}.{ending}" for ending in ("tsv", "csv", "jsonl", "txt")) for split in ("train", "dev", "test")),
}
_LARGEST_SCORES = (1.0, 5.0)  # usual scales begin at 0


def prepare(options: EmbedOptions) -> Prepared:
    """Read the texts; settle the objective, the casing and the scale of the scores; check that data, vocabulary and network fit.

    Returns:
        Prepared, with objective, largest_score and do_lower_case in its config, and the Texts of the predict split in its sources.

    Raises:
        ValueError, FileNotFoundError: something is missing or does not fit; the message names it.
    """
    paths = {split: find_file(options, split, _FILES[options.task_name]) for split in wanted_splits(options)}
    for path in paths.values():
        if is_record_file(path):
            raise ValueError(f"{path}: records are not read for embeddings; give the texts")
    texts = {split: read_texts(path, options.task_name, options.columns, options.encoding) for split, path in paths.items()}
    config, tokenizer = check_inputs(PREFIX, options, paths.values())
    if "train" in texts:
        config = _settle_objective(config, paths["train"], texts["train"])
    if "eval" in texts:
        _need_scores(paths["eval"], texts["eval"], "evaluation")
    config = _settle_scale(config, paths, texts)
    chosen: dict[str, list[int]] = {}
    for split, some in texts.items() if config.fold else ():
        strata = ["text"] * len(some) if some.scores is None else folds.bin_scores(some.scores, config.folds or 1)
        chosen[split] = folds.choose_rows(config, split, paths[split], strata)
        texts[split] = some.choose(chosen[split])
    records = {split: _make_records(config, tokenizer, split, paths[split], some) for split, some in texts.items()}
    sources = {"predict": texts["predict"]} if "predict" in texts else {}
    return Prepared(config, records, tokenizer, sources, chosen.get("eval", ()))


def _need_scores(path: Path, texts: Texts, what: str) -> None:
    if len(texts.texts) < 2 or texts.scores is None:
        raise ValueError(f"{path}: {what} needs pairs with a score: columns text_a, text_b and score")


def _settle_objective(config: EmbedOptions, path: Path, texts: Texts) -> EmbedOptions:
    """The objective that the settings name or the columns suggest, which must fit the columns."""
    count = len(texts.texts)
    suggested = "simcse" if count == 1 else "multiple_negatives" if texts.scores is None or count == 3 else "cosine"
    objective = config.objective or suggested
    if objective == "cosine":
        _need_scores(path, texts, "objective=cosine")
        if count == 3:
            raise ValueError(f"{path}: objective=cosine takes pairs, and here are negatives: simcse and multiple_negatives take them")
    elif objective == "multiple_negatives" and count == 1:
        raise ValueError(f"{path}: objective=multiple_negatives needs pairs: a column text_b beside text_a; simcse does without")
    elif config.train_batch_size < 2:
        raise ValueError(f"train_batch_size={config.train_batch_size}: objective={objective} compares the rows of a batch, 2 at least")
    elif texts.scores is not None and count > 1:
        logger.warning(f"{path}: the scores are ignored: objective={objective} takes every pair for a good one")
    if count == 1 and not (config.model.hidden_dropout_prob or config.model.attention_probs_dropout_prob):
        raise ValueError("objective=simcse on single texts: the network has no dropout, in which the two vectors of a text differ")
    logger.info(f"objective={objective} texts_of_a_row={count}")
    return dataclasses.replace(config, objective=objective)


def _settle_scale(config: EmbedOptions, paths: dict[str, Path], texts: dict[str, Texts]) -> EmbedOptions:
    """largest_score, by the scores if the settings do not say it; no score in use may be above it."""
    used = {split: some for split, some in texts.items() if split == "eval" or split == "train" and config.objective == "cosine"}
    largest = config.largest_score
    if largest is None:
        scores = [max(map(abs, some.scores or (0.0,))) for some in used.values()]
        largest = _LARGEST_SCORES[max(scores, default=0.0) > _LARGEST_SCORES[0]]
        logger.info(f"largest_score={largest:g}")
    for split, some in used.items():
        for line, value in zip(some.lines, some.scores or ()):
            if abs(value) > largest:
                raise ValueError(f"{paths[split]}:{line}: the score {value:g} is above largest_score={largest:g}")
    return dataclasses.replace(config, largest_score=largest)


def _make_records(config: EmbedOptions, tokenizer: Tokenizer, split: str, path: Path, texts: Texts) -> TextRows:
    """The rows of a split; tokenised once and kept in {output_dir}/cache. Only training knows negatives."""
    some = texts if split == "train" and config.objective != "cosine" else dataclasses.replace(texts, texts=texts.texts[:2])
    twice = split == "train" and len(some.texts) == 1
    assert config.largest_score is not None  # settled by prepare
    about = (PREFIX, config.seq_length, config.task_name, config.columns, len(some.texts), twice)
    records = cached_rows(config, tokenizer, split, [path], lambda: make_chunks(some, tokenizer, config.seq_length, twice), *about)
    return TextRows(records, config.largest_score)


def network(config: EmbedModel) -> Embedder:
    """The network from token ids [B, S] or [B, K, S] to vectors [B, H] or [B, K, H]."""
    return Embedder(config.model, config.device, config.pooling, config.normalize)


def loss(config: EmbedOptions) -> nn.Cell:
    """The loss of the objective on those vectors."""
    return CosineLoss() if config.objective == "cosine" else ContrastiveLoss(config.temperature)


def head_flops(prepared: Prepared) -> None:
    """None: a row is several texts, and only the length of the longest is known of it."""


def for_evaluation(config: EmbedOptions, network: Embedder) -> tuple[nn.Cell, tuple[str, ...]]:
    """The cell whose outputs are scored, and its input columns."""
    return network, INPUTS
