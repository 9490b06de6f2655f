"""Named entities: tags, network and loss; files and rows are in inputs.py, the results in results.py."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mindspore import nn

from src.formats import tokenizer_files
from src.log import logger, shorten
from src.models.losses import of_samples
from src.records.files import is_record_file, read_description
from src.tasks import fine_tuning, folds
from src.tasks.defaults import head_flops as head_flops
from src.tasks.defaults import tune as tune
from src.tasks.fine_tuning import cached_rows, check_inputs, describe
from src.tasks.ner import inputs
from src.tasks.ner.network import CrfLoss, Tagger, TaggerScores, TaggingLoss
from src.tasks.ner.options import NerModel, NerOptions
from src.tasks.ner.pointer import Pointer, PointerLoss, PointerScores
from src.tasks.ner.results import report_evaluation, report_predictions, score, tabulate
from src.tasks.ner.sentences import Sentences
from src.tasks.ner.tags import list_labels, list_types, make_tag_set, read_label_file
from src.tasks.splits import wanted_splits
from src.tasks.task import Prepared
from src.text.tokenization import Tokenizer, fingerprint

__all__ = ["INPUTS", "LOSS_PARTS", "PREFIX", "TARGETS", "describe", "for_evaluation", "loss", "network", "prepare"]
__all__ += ["report_evaluation", "report_predictions", "score", "tabulate"]

PREFIX = "ner"
INPUTS = ("input_ids", "input_mask", "token_type_ids")
TARGETS = ("label_ids", "weights")
LOSS_PARTS = ()


def prepare(options: NerOptions) -> Prepared:
    """Read the data; settle the tags and the casing; check that data, vocabulary and network fit.

    Returns:
        Prepared, with labels, vocab_file_path and do_lower_case in its config, and the Sentences of the eval and predict splits in its
        sources.

    Raises:
        ValueError, FileNotFoundError: something is missing or does not fit; the message names it.
    """
    paths = {split: inputs.find(options, split) for split in wanted_splits(options)}
    if "predict" in paths and is_record_file(paths["predict"]):
        raise ValueError(f"{paths['predict']}: holds no texts to predict; give --predict_text_file_path, or tagged text")
    if "eval" in paths and options.assessment_method == "clue_benchmark" and is_record_file(paths["eval"]):
        raise ValueError(f"{paths['eval']}: holds no texts, which --assessment_method clue_benchmark needs; give CLUE's JSON lines")
    config, tokenizer = check_inputs(PREFIX, options, paths.values())
    read = {split: inputs.read(config, split, path) for split, path in paths.items()}
    headers = {split: read_description(path) for split, path in paths.items() if is_record_file(path)}
    config = dataclasses.replace(config, labels=_settle_labels(config, paths, read))
    types = list_types(config.labels)
    tagged = f"scheme={make_tag_set(config.labels).scheme} tagged_pieces={config.tagged_pieces}" if not config.is_pointer else ""
    logger.info(f"task ner {tagged or f'head={config.head}'} types={shorten(types)}")
    fine_tuning.warn_of_case("types", types)
    if config.legacy_metrics and config.labels[0] != "O":
        raise ValueError(f"legacy_metrics: the model zoo's measures take tag 0 for O, here it is {config.labels[0]}")
    sources, rows = {}, {}
    for split, path in paths.items():
        if split in headers:
            check_header(config, tokenizer, path, headers[split])
        sentences = inputs.sentences_of(config, split, path, read.pop(split))
        if config.fold and sentences is not None:
            rows[split] = folds.choose_rows(config, split, path, inputs.find_strata(sentences))
            sentences = Sentences(sentences[number] for number in rows[split])
        sources[split] = sentences
        if split == "train" and sentences is not None:
            inputs.check_overlaps(config, path, sentences)
    width = inputs.count_spans(sources.values(), config.seq_length) if config.is_pointer else 0
    records = {split: _make_records(config, tokenizer, split, path, sources[split], width) for split, path in paths.items()}
    sources.pop("train", None)
    return Prepared(config, records, tokenizer, sources, rows.get("eval", ()))


def _make_records(config, tokenizer, split, path, sentences, width):
    """The RecordSet of a split; tokenised once and kept in {output_dir}/cache."""
    raw_text = split == "predict" and config.predict_text_file_path
    about: tuple[Any, ...] = (PREFIX, config.labels, config.class_filter, config.tagged_pieces, split, raw_text)
    if split == "train" and config.long_documents != "cut":
        about += (config.long_documents,)
    if config.is_pointer:
        about += (config.head, width, is_record_file(path) and inputs.find_record_tags(config, path))
    make_chunks = functools.partial(inputs.make_chunks, config, tokenizer, split, path, sentences, width)
    return cached_rows(config, tokenizer, split, [path], make_chunks, config.seq_length, about)


def network(config: NerModel) -> Tagger | Pointer:
    """Network from token ids to logits [B, S, C], and with a CRF its scores; of a pointer [B, S, C, S]."""
    samples = config.multi_sample_dropout
    if config.is_pointer:
        return Pointer(config.model, config.device, len(config.labels), config.seq_length, samples)
    allowed = make_tag_set(config.labels).allowed() if config.crf_constraints else None
    return Tagger(config.model, config.device, len(config.labels), config.has_lstm, config.has_crf, allowed, samples)


def loss(config: NerOptions) -> nn.Cell:
    """Cross-entropy of tokens; with a CRF, -log p of rows; of a pointer, that of spans."""
    return of_samples(_row_loss(config, config.label_smoothing, config.focal_gamma), config.multi_sample_dropout)


def for_evaluation(config: NerOptions, network: Any) -> tuple[nn.Cell, tuple[str, ...]]:
    """The cell whose outputs are scored, and its input columns; the loss is without smoothing and focus."""
    scores = PointerScores if config.is_pointer else TaggerScores
    return scores(network, _row_loss(config)), (*INPUTS, "label_ids")


def _row_loss(config, *soft):
    if config.is_pointer:
        return PointerLoss()
    return CrfLoss(config.device.unrolled) if config.has_crf else TaggingLoss(*soft)


def _settle_labels(config, paths, read):
    """The tags in id order, from the label file, the weights or the entities of the training file."""
    listed, given = read_label_file(config.label2id_file_path) if config.label2id_file_path else (), config.labels
    if config.is_pointer:
        listed, given = list_types(listed), list_types(given)
    if listed and given and listed != given:
        raise ValueError(f"{config.label2id_file_path}: {shorten(listed)}; the weights were trained with {shorten(given)}")
    if listed or given:
        if config.tag_scheme:
            logger.warning(f"tag_scheme={config.tag_scheme} is ignored: the tags are given by the label file or the weights")
        return listed or given
    if not config.do_train and config.predict_text_file_path and "eval" not in paths:
        raise ValueError("the weights name no tags: give --label2id_file_path")
    split = "train" if "train" in paths else next(iter(paths))
    labels = _find_labels(config, paths[split], read[split])
    if not config.do_train:
        fine_tuning.warn_of_order(labels)
    return labels


def _find_labels(config, path, tagged):
    """The tags of a data file in id order, from its TaggedText or, where that is None, from the header of a record file."""
    if tagged is None:
        labels = inputs.find_record_tags(config, path)
        return list_types(labels) if config.is_pointer else labels
    types = sorted(tagged.sentences.types)
    if not types:
        raise ValueError(f"{path}: no entity in it, nothing to learn")
    return tuple(types) if config.is_pointer else list_labels(types, config.tag_scheme or tagged.scheme or "BIO")


def check_header(config: NerOptions, tokenizer: Tokenizer, path: Path, header: Mapping[str, Any]) -> None:
    """Raise a ValueError if records were made with other tags, vocabulary or tokenizer, by their header; old ones name only the casing."""
    labels = tuple(header.get("labels") or ())
    if labels and (list_types(labels) if config.is_pointer else labels) != config.labels:
        raise ValueError(f"{path}: made with the tags {shorten(labels)}; here they are {shorten(config.labels)}")
    if header.get("vocabulary") and header["vocabulary"] != fingerprint(tokenizer.vocabulary):
        raise ValueError(f"{path}: made with another vocabulary than {config.vocab_file_path}")
    here = tokenizer.description
    before = header.get("tokenizer", here | {"do_lower_case": header.get("do_lower_case", here["do_lower_case"])})
    if before != here:
        key = min(key for key in before | here if before.get(key) != here.get(key))
        raise ValueError(
            f"{path}: made with {key}={json.dumps(before.get(key))}, here it is {json.dumps(here.get(key))}; "
            f"give --do_lower_case, or the vocabulary with the {tokenizer_files.CONFIG} beside it"
        )
