"""Classification of texts and pairs by one label or several, regression of a score, multiple choice: data, network and loss."""

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from mindspore import nn

from src.log import logger, shorten
from src.models.losses import ChoiceLoss, ClassificationLoss, MultiLabelLoss, RegressionLoss, of_samples
from src.records.files import INPUT_TOKENS, Layout, check_tokens, is_record_file, read_record_file
from src.records.record_set import join_in_chunks
from src.tasks import fine_tuning, folds
from src.tasks.classifier import label_lists
from src.tasks.classifier.choices import Questions, encode_choices, find_parts
from src.tasks.classifier.data_sets import make_data_set
from src.tasks.classifier.examples import Example, Examples
from src.tasks.classifier.fold_groups import read_groups
from src.tasks.classifier.kinds import make_kind
from src.tasks.classifier.label_ids import parse_score
from src.tasks.classifier.network import Classifier
from src.tasks.classifier.options import ClassifierModel, ClassifierOptions
from src.tasks.classifier.results import report_evaluation, report_predictions, score, tabulate, tune
from src.tasks.classifier.rows import collect_labels, encode_documents, encode_examples
from src.tasks.classifier.table import Table, find_data_set, find_table
from src.tasks.fine_tuning import cached_rows, check_inputs
from src.tasks.label_file import read_labels
from src.tasks.splits import wanted_splits
from src.tasks.task import Description, Prepared
from src.text.tokenization import Tokenizer

__all__ = ["INPUTS", "LOSS_PARTS", "PREFIX", "TARGETS", "describe", "for_evaluation", "loss", "network", "prepare"]
__all__ += ["report_evaluation", "report_predictions", "score", "tabulate", "tune"]

PREFIX = "classifier"
INPUTS = ("input_ids", "input_mask", "token_type_ids")
TARGETS = ("label_ids", "weights")
LOSS_PARTS = ()
LAYOUT = Layout(INPUT_TOKENS, {"label_ids": "label_ids"}, {})
_EXAMPLES_SHOWN = 3


def prepare(options: ClassifierOptions) -> Prepared:
    """Read the data; settle the labels, the casing and the class weights; check that data, vocabulary and network fit.

    Returns:
        Prepared, with labels, num_class, vocab_file_path, do_lower_case and class_weights in its config, and the Examples of the
        predict split in its sources.

    Raises:
        ValueError, FileNotFoundError: something is missing or does not fit; the message names it.
    """
    paths = {split: find_table(options, split) for split in wanted_splits(options)}
    config, tokenizer = check_inputs(PREFIX, options, paths.values())
    tables = {split: Table(path, config, split != "predict") for split, path in paths.items()}
    has_classes = not (config.is_regression or config.has_choices)
    config = _settle_labels(config, tables) if has_classes else dataclasses.replace(config, num_class=1, labels=())
    make_kind(config)  # raises if the thresholds do not fit the labels
    if config.cnn_batch_norm and config.device.world_size > 1:
        logger.warning("cnn_batch_norm=true: each rank normalises by its own rows; the averages that rank 0 has seen are saved")
    if config.do_test:
        tables["predict"].check_labels(config.labels)
    rows = {split: _choose_rows(config, split, table) for split, table in tables.items()} if config.fold else {}
    for split, numbers in rows.items():
        tables[split].keep(numbers)
    records: dict[str, Any] = {split: _make_records(config, tokenizer, split, table) for split, table in tables.items()}
    if "train" in records and config.has_choices:
        records["train"] = Questions(records["train"])
    if "train" in records and has_classes:
        config = _settle_class_weights(config, records["train"].rows["label_ids"])
    sources = {"predict": tables["predict"].examples} if "predict" in tables else {}
    return Prepared(config, records, tokenizer, sources, rows.get("eval", ()))


def _choose_rows(config, split, table):
    """The numbers of the examples that one fold trains on or holds out."""
    if split == "predict":
        return range(len(table.examples))
    groups = None
    if config.fold_groups:
        groups = read_groups(table.path, find_data_set(config), config.fold_groups, table.texts, config.encoding)
    elif config.has_choices:
        groups = list(table.texts.text_a)  # questions on one text stay together
    if config.is_regression:
        labelled = zip(table.examples.labels, table.examples.lines)
        strata = folds.bin_scores([parse_score(table.path, label, line) for label, line in labelled], config.folds)
    elif config.has_choices:
        strata = [""] * len(table.texts)  # the number of the right choice is no class
    elif config.multi_label:
        strata = label_lists.choose_strata(table.examples.labels, config.folds)
    else:
        strata = list(table.examples.labels)
    return folds.choose_rows(config, split, table.path, strata, groups)


def _make_records(config, tokenizer, split, table):
    """The RecordSet of a split; tokenised once and kept in {output_dir}/cache."""
    task: tuple[Any, ...] = (config.task_name, config.columns, config.language, config.is_regression, config.labels)
    if config.long_documents != "cut":
        task += ("windows",)
    if config.multi_label:
        task += ("label lists", config.label_separator)
    files = find_parts(table.path) if config.has_choices else [table.path]
    make_chunks = functools.partial(_make_chunks, config, tokenizer, split, table)
    return cached_rows(config, tokenizer, split, files, make_chunks, config.seq_length, task, split == "predict")


def network(config: ClassifierModel) -> Classifier:
    """Network from token ids to logits [B, C], or to the scores [B, 1] of a regression or of choices."""
    assert config.num_class is not None  # settled by prepare
    return Classifier(config.model, config.device, config.num_class, config.head, config.cnn_batch_norm, config.multi_sample_dropout)


def loss(config: ClassifierOptions) -> nn.Cell:
    """Cross-entropy on those logits, binary for each of several labels, or squared error of the scores."""
    if config.has_choices:
        return of_samples(ChoiceLoss(), config.multi_sample_dropout)
    if config.is_regression:
        return of_samples(RegressionLoss(), config.multi_sample_dropout)
    of_labels = MultiLabelLoss if config.multi_label else ClassificationLoss
    soft = of_labels(tuple(map(float, config.class_weights)), config.label_smoothing, config.focal_gamma)
    return of_samples(soft, config.multi_sample_dropout)


def head_flops(prepared: Prepared) -> float | None:
    """FLOPs of the head's matrix products for a row, forward: too few to count; None of choices, of which a question has several rows."""
    return None if prepared.config.has_choices else 0.0


def describe(prepared: Prepared) -> Description:
    """What is written beside a checkpoint."""
    described = fine_tuning.describe(prepared)
    if described.labels:
        return described
    # LABEL_0 is Hugging Face's name for the score of a regression or of a choice
    return described._replace(labels=("LABEL_0",), choices=prepared.config.has_choices)


def for_evaluation(config: ClassifierOptions, network: Classifier) -> tuple[nn.Cell, tuple[str, ...]]:
    """The cell whose outputs are scored, and its input columns."""
    return network, INPUTS


def _settle_labels(config, tables):
    listed = read_labels(config.label2id_file_path) if config.label2id_file_path else ()
    if listed and config.labels and listed != config.labels:
        raise ValueError(f"{config.label2id_file_path}: {shorten(listed)}; given, or of the weights, are {shorten(config.labels)}")
    labels = config.labels or listed or _find_labels(config, tables)
    if not (config.labels or listed or config.do_train):
        fine_tuning.warn_of_order(labels)
    if config.num_class not in (None, len(labels)):
        raise ValueError(f"num_class={config.num_class}, but the labels are {len(labels)}: {shorten(labels)}")
    if len(labels) < 2:
        raise ValueError(f"{next(iter(tables.values())).path}: one label only, {labels}: nothing to tell apart")
    logger.info(f"task {config.task_name} labels={shorten(labels)}")
    fine_tuning.warn_of_case("labels", labels)
    if config.multi_label:
        label_lists.warn_of_separator(labels)
    if {"-1", "0", "1", "2"} == set(labels):
        logger.warning(
            "-1 is a class as 0, 1 and 2 are; where it means that annotators did not agree (SNLI of Hugging Face), remove its rows"
        )
    for name, metric in (("assessment_method", config.measure), ("best_metric", config.best_metric)):
        if metric == "auc" and len(labels) > 2:
            raise ValueError(f"{name}=auc: is for two classes, here are {len(labels)}")
    return dataclasses.replace(config, labels=labels, num_class=len(labels))


def _find_labels(config, tables):
    """The task's label names, else those of the training file (without training, of the evaluation file)."""
    table = tables.get("train") or next(iter(tables.values()))
    if not is_record_file(table.path):
        known = find_data_set(config).labels
        return known or collect_labels((table if table.with_labels else Table(table.path, config, True)).texts)
    known = () if config.task_name == "custom" else make_data_set(config.task_name, None, config.language).labels
    if not known and config.num_class is None:
        raise ValueError(f"{table.path}: holds label numbers only: give --num_class")
    return known or tuple(str(number) for number in range(config.num_class))


def _settle_class_weights(config, label_ids):
    """Log the class balance, and settle the weight of each class if `class_weights` is given."""
    counts = label_ids.sum(0) if config.multi_label else np.bincount(label_ids, minlength=config.num_class)
    shares = (f"{label}={count} ({count / len(label_ids):.1%})" for label, count in zip(config.labels, counts))
    logger.info(f"training classes: {shorten(shares)}")
    if config.class_weights == ("balanced",) and config.multi_label:
        weights = np.maximum(len(label_ids) - counts, 1) / np.maximum(counts, 1)
    elif config.class_weights == ("balanced",):
        weights = counts.sum() / (len(counts) * np.maximum(counts, 1))
    else:
        weights = [_parse_weight(text) for text in config.class_weights]
        if len(weights) not in (0, len(counts)):
            raise ValueError(f"class_weights: {len(weights)} given, the classes are {len(counts)}: {shorten(config.labels)}")
        if weights and not any(weight and count for weight, count in zip(weights, counts)):
            raise ValueError(f"class_weights={','.join(config.class_weights)}: every training row would weigh 0")
    return dataclasses.replace(config, class_weights=tuple(f"{weight:.9g}" for weight in weights))


def _parse_weight(text):
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise ValueError(f"class_weights: {text} is not allowed; expected the one word balanced, or a number from 0 for each class")
    return weight


def _make_chunks(config, tokenizer, split, table):
    path, examples = table.path, table.examples
    if examples is None:
        if config.multi_label or config.has_choices:
            raise ValueError(f"{path}: records have one label a row and no choices; give the texts that they were made from")
        if config.long_documents != "cut":
            raise ValueError(
                f"{path}: long_documents={config.long_documents}: records are cut already; give the texts that they were made from"
            )
        for chunk in read_record_file(path, LAYOUT, config.schema_file_path):
            _check_chunk(config, path, chunk)
            yield chunk
        return
    if split == "predict":
        examples = examples.without_labels()
    if examples.text_b is not None and config.model.type_vocab_size < 2:
        raise ValueError(f"{path}: holds pairs of texts, which need two segments, but model.type_vocab_size=1")
    if config.has_choices:
        rows = encode_choices(examples, tokenizer, config.seq_length)
    else:
        encode = encode_examples if config.long_documents == "cut" else encode_documents
        rows = encode(path, examples, tokenizer, None if config.is_regression else config.labels, config.seq_length)
    num_rows = 0
    for chunk in join_in_chunks(_show_first(split, examples, rows, tokenizer)):
        num_rows += len(chunk.lengths)
        yield chunk
    if config.long_documents != "cut":
        logger.info(f"{path}: {len(examples)} texts in {num_rows} rows, nothing cut (long_documents={config.long_documents})")


def _show_first(split: str, examples: Examples, rows: Iterator[dict[str, Any]], tokenizer: Tokenizer) -> Iterator[dict[str, Any]]:
    """Pass the rows on, and show the first few."""
    for number, row in enumerate(rows):
        if number < _EXAMPLES_SHOWN:
            _show_example(split, examples[row.get("document", row.get("question", number))], row, tokenizer)
        yield row


def _show_example(split: str, example: Example, row: dict[str, Any], tokenizer: Tokenizer) -> None:
    """Log a row as text, tokens, ids, mask and label, where most mistakes can be seen."""
    fields = {
        "text": example.text_a if example.text_b is None else f"{example.text_a} ||| {example.text_b}",
        "tokens": " ".join(tokenizer.tokens[number] for number in row["input_ids"]),
        "ids": " ".join(map(str, row["input_ids"])),
        "mask": " ".join("1" for _ in row["input_ids"]),
        "label": f"{example.label} (id {row['label_ids']})",
    }
    logger.info(f"{split} example line={example.line}" + "".join(f"\n  {name}: {value}" for name, value in fields.items()))


def _check_chunk(config, path, chunk):
    """Raise a ValueError if the ids, lengths or labels of ready-made records do not fit the network."""
    check_tokens(path, chunk.maxima(), config.model, config.seq_length)
    labels = chunk.rows["label_ids"]
    if config.is_regression:
        if not np.isfinite(labels).all():
            raise ValueError(f"{path}: a score in label_ids is not finite")
    elif labels.dtype.kind == "f" or labels.min() < 0 or labels.max() >= len(config.labels):
        raise ValueError(f"{path}: label ids {labels.min()} to {labels.max()}, num_class={len(config.labels)}")
