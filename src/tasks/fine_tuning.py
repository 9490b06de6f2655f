"""Checks, caching and warnings that the fine-tuning tasks share when they prepare their rows."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import tokenizers

from src.files import make_folder
from src.log import logger, shorten
from src.records.files import is_record_file
from src.records.record_set import Chunk, RecordSet, cached_records, make_key
from src.tasks.task import Description, Prepared
from src.text.tokenization import Tokenizer


def check_inputs(name: str, config: Any, paths: Collection[Path]) -> tuple[Any, Tokenizer]:
    """Check output folder, vocabulary and schema file; log the casing and ignored settings.

    Args:
        name: the task's name.
        config: FineTuneOptions.
        paths: the data files of the run.

    Returns:
        config with do_lower_case settled, and the tokenizer of the run.

    Raises:
        ValueError, FileNotFoundError: something is missing or does not fit; the message names it.
    """
    given = config.do_train or config.load_finetune_checkpoint_path or config.load_pretrain_checkpoint_path
    if not given and not Path(config.checkpoint_dir).is_dir():
        raise FileNotFoundError(f"{config.checkpoint_dir}: no {name} checkpoint here; train first or give --load_finetune_checkpoint_path")
    make_folder(config.output_dir)
    if not config.vocab_file_path:
        raise ValueError("no vocabulary: there is no vocab.txt or tokenizer.json beside the weights; give --vocab_file_path")
    tokenizer = Tokenizer(config.vocab_file_path, config.do_lower_case)
    casing = f"do_lower_case={str(tokenizer.do_lower_case).lower()}, {tokenizer.casing_reason}"
    logger.info(f"vocabulary {config.vocab_file_path} tokens={len(tokenizer.vocabulary)} {casing}")
    for note in tokenizer.notes:
        logger.warning(note)
    if (size := len(tokenizer.tokens)) > config.model.vocab_size:
        hint = f"give the vocabulary of the weights, or for random weights --model.vocab_size {size}"
        raise ValueError(f"{config.vocab_file_path}: {size} tokens do not fit model.vocab_size={config.model.vocab_size}: {hint}")
    if config.schema_file_path and not Path(config.schema_file_path).is_file():
        raise FileNotFoundError(f"{config.schema_file_path}: no such file; --schema_file_path takes the schema JSON of a TFRecord file")
    if config.schema_file_path and not any(map(is_record_file, paths)):
        logger.warning(f"schema_file_path={config.schema_file_path} is ignored: it is for record files")
    if config.fold and (found := [path for path in paths if is_record_file(path)]):
        raise ValueError(f"folds={config.folds}: {found[0]} has records, which are not divided; give the texts that they were made from")
    return dataclasses.replace(config, do_lower_case=tokenizer.do_lower_case), tokenizer


def cached_rows(
    config: Any, tokenizer: Tokenizer, split: str, files: Iterable[Path], make_chunks: Callable[[], Iterable[Chunk]], *about: Any
) -> RecordSet:
    """The RecordSet of a split, made once and kept in {output_dir}/cache under a hash of everything that its rows depend on.

    Args:
        files: data files; vocabulary and schema file are added.
        make_chunks: makes the rows if they are not in the cache.
        about: values on which the rows depend, besides files and tokenizer.
    """
    if config.fold and split != "predict":
        about += (config.folds, config.fold, config.seed, config.fold_groups)
    files = [*files, *(Path(path) for path in (config.vocab_file_path, config.schema_file_path) if path)]
    about = (*about, *filter(None, [config.encoding]))  # rows of UTF-8 keep their keys
    key = make_key(*files, tokenizers.__version__, tokenizer.description, *about)
    return cached_records(Path(config.output_dir) / "cache" / f"{split}-{key}", make_chunks)


def describe(prepared: Prepared) -> Description:
    """What is written beside a checkpoint."""
    config, tokenizer = prepared.config, prepared.tokenizer
    assert tokenizer is not None  # of check_inputs
    return Description(config.labels, tokenizer.tokens, tokenizer.description, config.trained_settings())


def warn_of_order(labels: Sequence[str]) -> None:
    """Warn that the order of labels is a guess, because the weights name none (Hugging Face's LABEL_0 is no name)."""
    order = shorten(f"{number}={label}" for number, label in enumerate(labels))
    logger.warning(f"the weights name no labels; their order is a guess: {order}; --labels gives another, separated by commas")


def warn_of_case(what: str, names: Collection[str]) -> None:
    """Warn of names that differ only in case; `what` says what kind of names they are."""
    if len(set(map(str.casefold, names))) < len(names):
        logger.warning(f"some {what} differ in case alone: {shorten(names)}; each counts by itself")
