"""Going on with a training: its folder, what must not have changed, and the newest checkpoint that can be read."""

import dataclasses
import fcntl
import hashlib
import os
from contextlib import contextmanager
from pathlib import Path

import yaml

from src.config import loader
from src.log import logger, shorten
from src.train import checkpoint


@contextmanager
def folder_taken(config):
    """Inside, no other training writes into the folder of checkpoints, nor does this one start anew where another has ended.

    Raises:
        ValueError: another process holds it, or it holds checkpoints that a new training would replace.
    """
    folder = Path(config.checkpoint_dir)
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{folder}: another training writes here at this moment") from None
        _refuse_used(folder, config)
        yield
    finally:
        os.close(lock)


def _refuse_used(folder, config):
    if config.keeps_earlier_checkpoints and not config.resume and (found := sorted(folder.glob("*.ckpt"))):
        raise ValueError(f"{folder}: holds {found[-1].name} of an earlier training; give --resume true, or another folder")


def describe_training(config, records):
    """What a resumed training must have in common with the one that it goes on with, as numbers by name."""
    shape = dataclasses.asdict(config.model)
    dropout = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    return {
        "training data, vocabulary, length or masking": records.key,
        "batch size": config.train_batch_size,
        "seed": config.seed,
        "number of accumulation steps": config.accumulation_steps,
        "order of rows or bucket_list": _number((config.train_data_shuffle, config.bucket_list)),
        "network": _number(sorted((key, value) for key, value in shape.items() if key not in dropout)),
    }


def _number(value):
    """A number that tells values apart by their text."""
    return int(hashlib.sha256(repr(value).encode()).hexdigest()[:15], 16)


def _tell_changes(config):
    """Settings that differ from those in the folder, in one line: they count from here on."""
    path = Path(config.output_dir, "config.yaml")
    if not path.is_file():
        return
    before, now = (_flatten(tree) for tree in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}, loader.to_dict(config)))
    changed = [f"{key} {before[key]} -> {value}" for key, value in now.items() if key in before and before[key] != value]
    changed = [text for text in changed if not text.startswith("resume ")]
    if changed:
        logger.warning(f"resume: changed since: {shorten(changed)}")


def _flatten(tree, prefix=""):
    """Nested settings as one dict with dotted keys."""
    found = {}
    for key, value in tree.items():
        found |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def resume(task, config, step, trained_on, plan):
    """Micro-batches done by the newest readable checkpoint; 0 for a fresh start."""
    if not config.resume:
        return 0
    found = checkpoint.find_checkpoints(config.checkpoint_dir, task.NAME)
    while found:
        path = found.pop()
        try:
            epoch, consumed = checkpoint.restore(path, step, trained_on)
        except checkpoint.DamagedCheckpoint as error:
            if not found:
                raise
            logger.warning(f"{error}; falling back to {found[-1]}")
            continue
        done = epoch * plan.batches_per_epoch + consumed // config.train_batch_size
        _tell_changes(config)
        logger.info(f"resumed from {path} at epoch={done / plan.batches_per_epoch:.3f} step={done // config.accumulation_steps}")
        return done
    logger.info(f"resume: no {task.NAME} checkpoint in {config.checkpoint_dir}, starting anew")
    return 0
