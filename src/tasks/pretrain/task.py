"""Pretraining as a task, masked language model and next sentence: data, network, loss, score."""

import dataclasses
import json
from pathlib import Path

import numpy as np
from mindspore import nn

from src.files import make_folder
from src.log import logger, progress
from src.records.files import INPUT_TOKENS, Layout, check_tokens, find_record_files, is_mindrecord, read_description, read_record_file
from src.records.record_set import cached_records, fingerprint_file, make_key
from src.tasks.defaults import tune as tune
from src.tasks.pretrain.masks import make_masking
from src.tasks.pretrain.measures import pretraining_metrics
from src.tasks.pretrain.network import Pretraining, PretrainingLoss, PretrainingScores
from src.tasks.pretrain.options import PretrainEvalOptions, PretrainModel, PretrainOptions
from src.tasks.pretrain.rows import PretrainRows
from src.tasks.task import Description, Prepared
from src.text.tokenization import Tokenizer, fingerprint

PREFIX = "checkpoint_bert"
INPUTS = ("input_ids", "input_mask", "token_type_ids", "masked_lm_positions")
TARGETS = ("masked_lm_ids", "masked_lm_weights", "next_sentence_labels", "rows_per_token", "weights")
LOSS_PARTS = ("masked_lm_loss", "next_sentence_loss")
_SCORED = (*INPUTS, "masked_lm_ids", "masked_lm_weights", "next_sentence_labels")
LAYOUT = Layout(
    {**INPUT_TOKENS, "word_continues": "word_continues"},
    {"next_sentence_labels": "next_sentence_labels"},
    {name: name for name in ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")},
    optional=("word_continues",),
)
_ALIKE = ("vocabulary", "tokenizer")  # equal in all records of a split
_FOLDER_FLAGS = {"train": "data_dir", "eval": "eval_data_dir"}


def prepare(config: PretrainOptions | PretrainEvalOptions) -> Prepared:
    """Read the records, decide the lengths that depend on them, and check that records, vocabulary and network fit.

    Returns:
        Prepared, whose config has seq_length and bucket_list filled in, and whose sources are the headers of the records.

    Raises:
        ValueError, FileNotFoundError: naming what is missing or does not fit.
    """
    make_folder(config.output_dir)
    tokenizer = Tokenizer(config.vocab_file_path) if config.vocab_file_path else None
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
    return Prepared(config, found, tokenizer, headers)


def _check_batch(config, num_rows):
    needed = config.train_batch_size * config.device.world_size
    if num_rows < needed:
        raise ValueError(f"train_batch_size={config.train_batch_size}: a step has {needed} rows, {config.data_dir} has {num_rows}")


def _check_training(config):
    if config.masking == "dynamic" and not config.vocab_file_path:
        raise ValueError("masking=dynamic: give --vocab_file_path, which names [MASK] and the special tokens")
    if config.masking == "static" and config.masked_lm_prob != type(config).masked_lm_prob:
        logger.warning(f"masked_lm_prob={config.masked_lm_prob} is ignored: it applies only to masking=dynamic")
    for name in ("eval_steps", "eval_epochs"):
        if (value := getattr(config, name)) and not config.train_with_eval:
            logger.warning(f"{name}={value:g} is ignored: train_with_eval is false")


def _find_records(config, tokenizer, split, paths, header):
    """The rows of a split, read once and kept in the cache folder, memory-mapped."""
    about = (*map(fingerprint_file, paths), config.num_samples)
    if config.schema_file_path and all(map(is_mindrecord, paths)):
        logger.warning(f"schema_file_path={config.schema_file_path} is ignored: it applies only to TFRecord files")
    elif config.schema_file_path:
        about += (fingerprint_file(config.schema_file_path),)
    cache = Path(config.cache_dir or f"{config.output_dir}/cache") / f"{split}-{make_key('pretraining', *about)}"
    if tokenizer and header.get("vocabulary") not in (None, fingerprint(tokenizer.vocabulary)):
        raise ValueError(f"{getattr(config, _FOLDER_FLAGS[split])}: made with another vocabulary than {config.vocab_file_path}")
    found = cached_records(cache, lambda: _read(config, paths))
    _check_rows(config, split, found)
    if split == "eval" or config.masking == "static":
        return PretrainRows(found)
    width = found.rows["masked_lm_positions"].shape[1]
    return PretrainRows(found, make_masking(config.vocab_file_path, tokenizer.vocabulary, config.masked_lm_prob, width), config.seed)


def network(config: PretrainModel) -> nn.Cell:
    """The network from token ids and masked positions to the logits of both heads."""
    return Pretraining(config.model, config.device)


def loss(config: PretrainOptions | PretrainEvalOptions) -> nn.Cell:
    """Masked-LM plus next-sentence cross-entropy."""
    return PretrainingLoss(config.device.aclnn)


def head_flops(prepared: Prepared) -> float:
    """FLOPs of the heads' matrix products for a row, forward: pooler and next sentence, and the logits of its masked positions."""
    size, words = prepared.config.model.hidden_size, prepared.config.model.vocab_size
    return 2.0 * (size * (size + 2) + prepared.records["train"].num_masked * size * (size + words))


def describe(prepared: Prepared) -> Description:
    """What is written beside a checkpoint: no labels, the vocabulary and tokenizer if known, no settings."""
    tokenizer = prepared.tokenizer
    if tokenizer is None:
        return Description((), (), None, {})
    return Description((), tokenizer.tokens, prepared.sources["train"].get("tokenizer") or tokenizer.description, {})


def for_evaluation(config: PretrainOptions | PretrainEvalOptions, network: nn.Cell) -> tuple[nn.Cell, tuple[str, ...]]:
    """The cell whose outputs are scored, and its input columns."""
    return PretrainingScores(network), _SCORED


def score(prepared: Prepared, outputs: tuple[list[np.ndarray], ...]) -> dict[str, float]:
    """Accuracy and loss of both objectives, from the rows of PretrainingScores."""
    return pretraining_metrics(outputs[0])


def _read_header(paths):
    """What the header of a split's records says of vocabulary and tokenizer, the same for all files; {} if there is none."""
    found = {}
    for path in paths:
        if description := read_description(path):
            # older records name only the casing: they were made with Google's other settings, whatever lay beside the vocabulary
            description = {"tokenizer": {"do_lower_case": description.get("do_lower_case")}} | description
            found[json.dumps({name: description.get(name) for name in _ALIKE})] = path
    if len(found) > 1:
        raise ValueError(f"{' and '.join(map(str, found.values()))}: made with different vocabularies or tokenizers")
    return json.loads(next(iter(found))) if found else {}


def _read(config, paths):
    left, widths = config.num_samples, {}
    for path in progress(paths, desc="reading records", unit="file"):
        for chunk in read_record_file(path, LAYOUT, config.schema_file_path):
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
    labels = chunk.rows["next_sentence_labels"]
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
