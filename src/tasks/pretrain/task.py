"""Pretraining as a task, masked language model with or without a relation of two parts of a row: data, network, loss, score."""

import dataclasses
import json
from pathlib import Path

import numpy as np
from mindspore import nn

from src.files import make_folder
from src.log import logger, progress, shorten
from src.records.files import INPUT_TOKENS, Layout, check_tokens, find_record_files, is_mindrecord, read_description, read_record_file
from src.records.record_set import cached_records, fingerprint_file, make_key
from src.tasks.defaults import tune as tune
from src.tasks.pretrain.masks import check_runs, make_masking
from src.tasks.pretrain.measures import pretraining_metrics
from src.tasks.pretrain.network import (
    MaskedLanguageModel,
    MaskedLmLoss,
    MaskedLmScores,
    Pretraining,
    PretrainingLoss,
    PretrainingScores,
)
from src.tasks.pretrain.objectives import DEFAULT, OBJECTIVES
from src.tasks.pretrain.options import PretrainEvalOptions, PretrainModel, PretrainOptions
from src.tasks.pretrain.rows import PretrainRows
from src.tasks.pretrain.similar_words import read_similar_words
from src.tasks.task import Description, Prepared
from src.text.tokenization import UNKNOWN, fingerprint

PREFIX = "checkpoint_bert"
INPUTS = ("input_ids", "input_mask", "token_type_ids", "masked_lm_positions")
TARGETS = ("masked_lm_ids", "masked_lm_weights", "next_sentence_labels", "rows_per_token", "weights")
LOSS_PARTS = OBJECTIVES[DEFAULT].losses
_SCORED = (*INPUTS, "masked_lm_ids", "masked_lm_weights", "next_sentence_labels")
_LABELS = "next_sentence_labels"  # of every objective with a pair, as in the records of Google's and ALBERT's programs
LAYOUT = Layout(
    {**INPUT_TOKENS, "word_continues": "word_continues"},
    {"next_sentence_labels": "next_sentence_labels"},
    {name: name for name in ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")},
    optional=("word_continues",),
)
_ALIKE = ("vocabulary", "tokenizer", "objective", "mask_unit")  # equal in all records of a split
_FOLDER_FLAGS = {"train": "data_dir", "eval": "eval_data_dir"}


def prepare(config: PretrainOptions | PretrainEvalOptions) -> Prepared:
    """Read the records, decide the lengths that depend on them, and check that records, vocabulary and network fit.

    Returns:
        Prepared, whose config has seq_length and bucket_list filled in, and whose sources are the headers of the records.

    Raises:
        ValueError, FileNotFoundError: naming what is missing or does not fit.
    """
    make_folder(config.output_dir)
    tokenizer, new_tokens = config.open_vocabulary()
    if tokenizer:
        size = len(tokenizer.tokens)
        if size > config.model.vocab_size:
            raise ValueError(f"{config.vocab_file_path}: {size} tokens do not fit model.vocab_size={config.model.vocab_size}")
    if config.schema_file_path and not Path(config.schema_file_path).is_file():
        raise FileNotFoundError(f"{config.schema_file_path}: no such file; --schema_file_path takes the schema JSON of TFRecord files")
    if "train" in config.splits:
        _check_training(config)
    paths = {split: find_record_files(getattr(config, _FOLDER_FLAGS[split])) for split in config.splits}
    headers = {split: _read_header(found) for split, found in paths.items()}
    found = {split: _find_records(config, tokenizer, split, paths[split], headers[split]) for split in config.splits}
    longest = max(int(rows.lengths.max()) for rows in found.values())
    multiple = config.device.length_multiple
    seq_length = config.seq_length or min(-(-longest // multiple) * multiple, max(longest, config.model.max_position_embeddings))
    config.check_length("seq_length", seq_length)
    if config.bucket_list:
        config.check_length("bucket_list", max(config.bucket_list))
        if max(config.bucket_list) < longest:
            raise ValueError(f"bucket_list={','.join(map(str, config.bucket_list))}: the longest row has {longest} tokens")
    if "train" in found:
        _check_batch(config, len(found["train"].lengths))
    config = dataclasses.replace(config, seq_length=seq_length, bucket_list=config.bucket_list or (seq_length,))
    if new_tokens:
        _tell_extension(tokenizer, new_tokens)
    return Prepared(config, found, tokenizer, headers, new_tokens=new_tokens)


def _tell_extension(tokenizer, new_tokens):
    """Log how many tokens are new, and how many pieces they replace; warn of those that were [UNK] before."""
    pieces = sum(map(len, new_tokens.values())) / len(new_tokens)
    logger.info(
        f"vocabulary: {len(new_tokens)} new tokens, {len(tokenizer.tokens)} in all; the rows of each begin as the mean of its "
        f"{pieces:.2f} pieces in the weights' vocabulary"
    )
    unknown = [tokenizer.tokens[token] for token, pieces in new_tokens.items() if tokenizer.vocabulary[UNKNOWN] in pieces]
    if unknown:
        logger.warning(f"{len(unknown)} new tokens were {UNKNOWN}, as which they begin: {shorten(unknown, 4)}")


def _check_batch(config, num_rows):
    needed = config.train_batch_size * config.device.world_size
    if num_rows < needed:
        raise ValueError(f"train_batch_size={config.train_batch_size}: a step has {needed} rows, {config.data_dir} has {num_rows}")


def _check_training(config):
    if config.masking == "dynamic" and not config.vocab_file_path:
        raise ValueError("masking=dynamic: give --vocab_file_path, which names [MASK] and the special tokens")
    if config.masking == "static" and config.masked_lm_prob != type(config).masked_lm_prob:
        logger.warning(f"masked_lm_prob={config.masked_lm_prob} is ignored: it applies only to masking=dynamic")
    for name in ("mask_unit", "similar_words"):
        if config.masking == "static" and (value := getattr(config, name)):
            logger.warning(f"{name}={value} is ignored: it applies only to masking=dynamic")
    for name in ("eval_steps", "eval_epochs"):
        if (value := getattr(config, name)) and not config.train_with_eval:
            logger.warning(f"{name}={value:g} is ignored: train_with_eval is false")


def _find_records(config, tokenizer, split, paths, header):
    """The rows of a split, read once and kept in the cache folder, memory-mapped."""
    about = (*map(fingerprint_file, paths), config.num_samples)
    if config.objective != DEFAULT:
        about += (config.objective,)
    if config.schema_file_path and all(map(is_mindrecord, paths)):
        logger.warning(f"schema_file_path={config.schema_file_path} is ignored: it applies only to TFRecord files")
    elif config.schema_file_path:
        about += (fingerprint_file(config.schema_file_path),)
    cache = Path(config.cache_dir or f"{config.output_dir}/cache") / f"{split}-{make_key('pretraining', *about)}"
    _check_objective(config, split, header)
    if tokenizer and header.get("vocabulary") not in (None, fingerprint(tokenizer.vocabulary)):
        raise ValueError(f"{getattr(config, _FOLDER_FLAGS[split])}: made with another vocabulary than {_name_vocabulary(config)}")
    found = cached_records(cache, lambda: _read(config, paths))
    _check_rows(config, split, found)
    if split == "eval" or config.masking == "static":
        return PretrainRows(found)
    return PretrainRows(found, _make_masking(config, tokenizer, header, found), config.seed)


def _check_objective(config, split, header):
    """Refuse records whose header names another objective; those of other programs have none, and serve each whose columns they have."""
    made_for = header.get("objective")
    if made_for not in (None, config.objective):
        path = getattr(config, _FOLDER_FLAGS[split])
        raise ValueError(f"objective={config.objective}: {path} was made for --objective {made_for}: give that, or make other records")


def _make_masking(config, tokenizer, header, found):
    """The Masking of masks that are drawn in each epoch."""
    path, width = config.data_dir, found.rows["masked_lm_positions"].shape[1]
    unit = config.mask_unit or header.get("mask_unit")
    if unit not in (None, "token") and "word_continues" not in found.tokens:
        raise ValueError(f"mask_unit={unit}: {path} does not mark words; python -m src.build_records --mask_unit {unit} does")
    check_runs(unit, width, f"{path}: max_predictions_per_seq")
    wanted = round(config.masked_lm_prob * int(found.lengths.max()))
    if wanted > width:
        logger.warning(f"masked_lm_prob={config.masked_lm_prob}: {wanted} tokens of the longest row, but {path} has room for {width} masks")
    similar = None
    if config.similar_words:
        similar = read_similar_words(config.similar_words, tokenizer)
        logger.info(f"{config.similar_words}: {similar.tell()}")
    return make_masking(config.vocab_file_path, tokenizer.vocabulary, config.masked_lm_prob, width, unit, similar)


def _name_vocabulary(config):
    return f"{config.vocab_file_path} extended by {config.extend_vocabulary}" if config.extend_vocabulary else config.vocab_file_path


def network(config: PretrainModel) -> nn.Cell:
    """The network from token ids and masked positions to the logits of its heads."""
    kind = Pretraining if OBJECTIVES[config.objective].pair else MaskedLanguageModel
    return kind(config.model, config.device)


def loss(config: PretrainOptions | PretrainEvalOptions) -> nn.Cell:
    """Masked-LM cross-entropy, plus that of the pair if the objective has one."""
    kind = PretrainingLoss if OBJECTIVES[config.objective].pair else MaskedLmLoss
    return kind(config.device.aclnn)


def list_targets(config: PretrainOptions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """TARGETS and LOSS_PARTS of the objective."""
    objective = OBJECTIVES[config.objective]
    return TARGETS if objective.pair else tuple(name for name in TARGETS if name != _LABELS), objective.losses


def describe(prepared: Prepared) -> Description:
    """What is written beside a checkpoint: no labels, the vocabulary and tokenizer if known, the objective if it is not the default."""
    tokenizer, settings = prepared.tokenizer, prepared.config.trained_settings()
    if tokenizer is None:
        return Description((), (), None, settings)
    return Description((), tokenizer.tokens, prepared.sources["train"].get("tokenizer") or tokenizer.description, settings)


def for_evaluation(config: PretrainOptions | PretrainEvalOptions, network: nn.Cell) -> tuple[nn.Cell, tuple[str, ...]]:
    """The cell whose outputs are scored, and its input columns."""
    if isinstance(network, MaskedLanguageModel):
        return MaskedLmScores(network), tuple(name for name in _SCORED if name != _LABELS)
    return PretrainingScores(network), _SCORED


def score(prepared: Prepared, outputs: tuple[list[np.ndarray], ...]) -> dict[str, float]:
    """Accuracy and loss of the masked tokens and of the pair, from the rows of the cell that `for_evaluation` gives."""
    return pretraining_metrics(outputs[0], OBJECTIVES[prepared.config.objective].pair)


def _read_header(paths):
    """What the header of a split's records says by the names of _ALIKE, the same for all files; {} if there is none."""
    found = {}
    for path in paths:
        if description := read_description(path):
            # older records name only the casing: they were made with Google's other settings, whatever lay beside the vocabulary
            unit = "word" if description.get("do_whole_word_mask") else "token"
            older = {"tokenizer": {"do_lower_case": description.get("do_lower_case")}, "objective": DEFAULT, "mask_unit": unit}
            description = older | description
            found[json.dumps({name: description.get(name) for name in _ALIKE})] = path
    if len(found) > 1:
        raise ValueError(
            f"{' and '.join(map(str, found.values()))}: made with different vocabularies, tokenizers, objectives or mask_units"
        )
    return json.loads(next(iter(found))) if found else {}


def _read(config, paths):
    left, widths = config.num_samples, {}
    layout = LAYOUT if OBJECTIVES[config.objective].pair else dataclasses.replace(LAYOUT, numbers={})
    for path in progress(paths, desc="reading records", unit="file"):
        for chunk in read_record_file(path, layout, config.schema_file_path):
            _check_masks(path, chunk)
            widths[chunk.rows["masked_lm_ids"].shape[1]] = path
            if len(widths) > 1:
                shown = ", ".join(f"{width} in {name}" for width, name in widths.items())
                raise ValueError(f"records with different numbers of masked positions: {shown}")
            chunk = chunk if left is None else chunk.head(left)
            yield chunk
            if left is not None and (left := left - len(chunk.lengths)) <= 0:
                return


def _check_masks(path, chunk):
    positions, weights = chunk.rows["masked_lm_positions"], chunk.rows["masked_lm_weights"]
    if not positions.shape == chunk.rows["masked_lm_ids"].shape == weights.shape:
        raise ValueError(f"{path}: masked_lm_positions, masked_lm_ids and masked_lm_weights have different numbers of values")
    real = weights != 0
    if (real & ((positions < 0) | (positions >= chunk.lengths[:, None]))).any():
        raise ValueError(f"{path}: a masked position lies outside its row's tokens")
    labels = chunk.rows.get(_LABELS, np.zeros(1))
    if labels.min() < 0 or labels.max() > 1:
        raise ValueError(f"{path}: next_sentence_labels {labels.min()} to {labels.max()}: 0 and 1 are expected")


def _check_rows(config, split, found):
    """Check that rows, which may come from the cache of another run, fit the network."""
    path = getattr(config, _FOLDER_FLAGS[split])
    maxima = found.maxima()
    longest = config.seq_length or int(maxima["lengths"])
    config.check_length(f"{path}: its longest row", longest)
    check_tokens(path, maxima, config.model, longest)
    largest = int(maxima["masked_lm_ids"])
    if largest >= config.model.vocab_size:
        raise ValueError(f"{path}: token id {largest} does not fit model.vocab_size={config.model.vocab_size}")
    width, asked = found.rows["masked_lm_positions"].shape[1], config.max_predictions_per_seq
    if asked not in (None, width):
        raise ValueError(f"max_predictions_per_seq={asked}, but the records of {path} have {width} masked positions")
