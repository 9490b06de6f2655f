"""Pretraining as a task, masked language model with or without a relation of two parts of a row: data, network, loss, score."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
from mindspore import nn

from src.files import make_folder
from src.log import logger, shorten
from src.records.files import find_record_files
from src.tasks.defaults import tune as tune
from src.tasks.pretrain import records
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
from src.tasks.pretrain.records import LABELS
from src.tasks.pretrain.sources import Source, parse_sources
from src.tasks.task import Description, Prepared
from src.text.tokenization import UNKNOWN

PREFIX = "checkpoint_bert"
INPUTS = ("input_ids", "input_mask", "token_type_ids", "masked_lm_positions")
TARGETS = ("masked_lm_ids", "masked_lm_weights", "next_sentence_labels", "rows_per_token", "weights")
LOSS_PARTS = OBJECTIVES[DEFAULT].losses
_SCORED = (*INPUTS, "masked_lm_ids", "masked_lm_weights", "next_sentence_labels")


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
    sources = {split: _find_sources(config, split) for split in config.splits}
    paths = {split: [find_record_files(source.path) for source in named] for split, named in sources.items()}
    headers = {split: records.read_headers(config, split, list(itertools.chain(*found))) for split, found in paths.items()}
    parts = {split: records.find_records(config, tokenizer, split, sources[split], paths[split], headers[split]) for split in config.splits}
    mixture = records.mix(config, sources["train"], parts["train"]) if isinstance(config, PretrainOptions) else None
    found = {split: records.make_rows(config, tokenizer, split, part, mixture, headers[split]) for split, part in parts.items()}
    longest = max(int(rows.lengths.max()) for rows in found.values())
    multiple = config.device.length_multiple
    seq_length = config.seq_length or min(-(-longest // multiple) * multiple, max(longest, config.model.max_position_embeddings))
    config.check_length("seq_length", seq_length)
    if config.bucket_list:
        config.check_length("bucket_list", max(config.bucket_list))
        if max(config.bucket_list) < longest:
            raise ValueError(f"bucket_list={','.join(map(str, config.bucket_list))}: the longest row has {longest} tokens")
    if "train" in found:
        _check_batch(config, mixture.num_rows if mixture else len(found["train"].lengths))
    config = dataclasses.replace(config, seq_length=seq_length, bucket_list=config.bucket_list or (seq_length,))
    if new_tokens:
        _tell_extension(tokenizer, new_tokens)
    return Prepared(config, found, tokenizer, headers, new_tokens=new_tokens, mixture=mixture)


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


def _find_sources(config, split):
    return parse_sources(config.data_dir) if split == "train" else [Source(config.eval_data_dir)]


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
    return TARGETS if objective.pair else tuple(name for name in TARGETS if name != LABELS), objective.losses


def head_flops(prepared: Prepared) -> float:
    """FLOPs of the heads' matrix products for a row, forward: pooler and pair, if there are any, and the logits of its masked positions."""
    size, words = prepared.config.model.hidden_size, prepared.config.model.vocab_size
    of_pair = size * (size + 2) if OBJECTIVES[prepared.config.objective].pair else 0
    return 2.0 * (of_pair + prepared.records["train"].num_masked * size * (size + words))


def describe(prepared: Prepared) -> Description:
    """What is written beside a checkpoint: no labels, the vocabulary and tokenizer if known, the objective if it is not the default."""
    tokenizer, settings = prepared.tokenizer, prepared.config.trained_settings()
    if tokenizer is None:
        return Description((), (), None, settings)
    return Description((), tokenizer.tokens, prepared.sources["train"].get("tokenizer") or tokenizer.description, settings)


def for_evaluation(config: PretrainOptions | PretrainEvalOptions, network: nn.Cell) -> tuple[nn.Cell, tuple[str, ...]]:
    """The cell whose outputs are scored, and its input columns."""
    if isinstance(network, MaskedLanguageModel):
        return MaskedLmScores(network), tuple(name for name in _SCORED if name != LABELS)
    return PretrainingScores(network), _SCORED


def score(prepared: Prepared, outputs: tuple[list[np.ndarray], ...]) -> dict[str, float]:
    """Accuracy and loss of the masked tokens and of the pair, from the rows of the cell that `for_evaluation` gives."""
    return pretraining_metrics(outputs[0], OBJECTIVES[prepared.config.objective].pair)
