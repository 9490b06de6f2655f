"""Resume a training: take its folder, check that it is the same training, and find the newest readable checkpoint."""

import dataclasses
import hashlib
import itertools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.config import loader, stages
from src.config.yaml_file import read_yaml
from src.files import make_folder, move_whole, written_whole
from src.formats import weights
from src.locks import locked
from src.log import logger, shorten
from src.records.record_set import RecordSet
from src.tasks.task import Prepared, Task
from src.train import checkpoint, collectives, model_files

SETTINGS = "config.yaml"  # in the output folder


@contextmanager
def folder_taken(config: Any) -> Iterator[None]:
    """A context in which no other training writes into the folder of checkpoints; what killed ones left unfinished is removed.

    Raises:
        ValueError: another process holds it, or it has checkpoints of an earlier training and the settings refuse that.
    """
    if not config.device.writes:
        yield
        return
    folder = Path(config.checkpoint_dir)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder, wait=False))
        except BlockingIOError:
            raise ValueError(f"{folder}: another training writes here at this moment") from None
        _refuse_used(folder, config)
        yield


def _refuse_used(folder, config):
    if config.refuses_used_folder and not config.resume and not config.overwrite and (found := sorted(folder.glob("*.ckpt"))):
        ways = "give --resume true, or another folder, or --overwrite true, which removes it"
        raise ValueError(f"{folder}: holds {found[-1].name} of an earlier training; {ways}")


def set_aside(task: Task, config: Any) -> None:
    """Move the checkpoints of an earlier training and their description to earlier-N in their folder; with `overwrite`, remove them."""
    folder = Path(config.checkpoint_dir)
    found = checkpoint.find_checkpoints(folder, task.training.PREFIX)
    if checkpoint.find_best(folder, task.training.PREFIX):
        found.append(folder / weights.BEST)
    if not found:
        return
    listed = shorten(path.name for path in found)
    if config.overwrite:
        for path in found:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        logger.warning(f"{folder}: removed {listed} of an earlier training (overwrite=true)")
        return
    kept = next(path for number in itertools.count(1) if not (path := folder / f"earlier-{number}").exists())
    make_folder(kept)
    for name in [name for name in model_files.DESCRIBED_BY if (folder / name).is_file()]:
        with written_whole(kept / name) as copy:  # a copy, because the new training may read its vocabulary from the original
            shutil.copyfile(folder / name, copy)
    move_whole(found, kept)
    logger.warning(f"{folder}: holds {listed} of an earlier training, now in {kept}; --overwrite true removes such checkpoints instead")


def describe_training(config: Any, records: RecordSet, before: Sequence[Prepared] = ()) -> dict[str, int]:
    """Fingerprints that must match the checkpoint's, by name.

    Args:
        before: the stages of the recipe before this one.
    """
    shape = dataclasses.asdict(config.model)
    dropout = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    earlier = [(each.config.train_steps, describe_training(each.config, each.records["train"])) for each in before]
    return {
        "training data, vocabulary, length or masking": records.key,
        "seed": config.seed,
        "number of accumulation steps": config.accumulation_steps,
        "order of rows or bucket_list": _number((config.train_data_shuffle, config.bucket_list)),
        "network": _number(sorted((key, value) for key, value in shape.items() if key not in dropout)),
        **({"recipe for the stages before": _number(earlier)} if config.stage else {}),
    }


def _number(value):
    """A fingerprint of the text of a value."""
    return int(hashlib.sha256(repr(value).encode()).hexdigest()[:15], 16)


_HARMLESS = (  # settings that change no training
    "do_eval",
    "do_predict",
    "predict_data_file_path",
    "save_for_serving",
    "use_best",
    "log_steps",
    "track",
    "output_dir",
    "save_finetune_checkpoint_path",
)


def can_continue(config: Any) -> bool:
    """Whether a training in the folder has the same settings, so that it can go on, or is done; told if it has others."""
    found = _find_changes(config)
    if found is None:
        return False
    changed = [text for _, text in found if text.split(" ")[0] not in _HARMLESS]
    if changed:
        logger.warning(f"{config.output_dir}: is trained anew: changed since: {shorten(changed)}")
    return not changed


def _tell_changes(config):
    """Log which settings differ from those in the folder; the new ones are used from now on, save for stages that are done."""
    done = range(1, config.stage.number if config.stage else 0)
    found = _find_changes(config) or []
    for told, changed in (
        ("changed since", [text for stage, text in found if stage not in done]),
        ("changed since, without effect in a stage that is done", [text for stage, text in found if stage in done]),
    ):
        if changed:
            logger.warning(f"resume: {told}: {shorten(changed)}")


def _find_changes(config):
    """(number of the stage, 0 for all, and words) of each setting that differs from the folder's; None if the folder has none."""
    path = Path(config.output_dir, SETTINGS)
    if not path.is_file():
        return None
    before, now = stages.list_settings(read_yaml(path) or {}), stages.list_settings(describe_settings(config))
    changes = [_compare(*both) for both in zip(before, now)]
    in_all = [text for text in changes[0] if all(text in changed for changed in changes)]
    in_one = [(number, text) for number, changed in enumerate(changes, 1) for text in changed if text not in in_all]
    more = [(0, f"stages {len(before)} -> {len(now)}")] if len(before) != len(now) else []
    return more + [(0, text) for text in in_all] + [(number, f"stages.{number}.{text}") for number, text in in_one]


def _compare(before, now):
    changed = [f"{key} {before[key]} -> {value}" for key, value in now.items() if key in before and before[key] != value]
    return [text for text in changed if not text.startswith(("resume ", "overwrite "))]


def describe_settings(config: Any) -> dict[str, Any]:
    """The settings of a training as config.yaml has them: with stages, those of all of them."""
    return config.stage.recipe if config.stage else loader.to_dict(config)


@dataclass(frozen=True)
class Start:
    """The start of a training: its Position, and, on the rank that reads a checkpoint, its path and arrays."""

    position: checkpoint.Position
    path: Path | None = None
    arrays: dict[str, np.ndarray] | None = None


def find_start(task: Task, config: Any, trained_on: Mapping[str, int]) -> Start:
    """The Start from the newest readable checkpoint, or a fresh one; only the rank that writes reads a checkpoint.

    A stage begins from the last checkpoint of the one before. The checkpoint may also be of a later stage, which its Position tells.

    Raises:
        ValueError: the checkpoint does not fit the data or the settings.
    """
    device, stage = config.device, config.stage.number if config.stage else 0
    start = Start(checkpoint.Position(0, 0, config.train_batch_size, device.world_size, config.packs, stage))
    if device.writes and (config.resume or stage > 1):
        found = read_newest(task, config, trained_on)
        if found and found.path and found.arrays and found.position.stage < stage:
            found = dataclasses.replace(found, position=checkpoint.begin_stage(found.path, found.arrays, start.position))
        start = found or start
    numbers = collectives.broadcast(device, np.array(dataclasses.astuple(start.position), np.int64))
    epoch, consumed, batch_size, ranks, packs, *staged = map(int, numbers)
    return dataclasses.replace(start, position=checkpoint.Position(epoch, consumed, batch_size, ranks, bool(packs), *staged))


def read_newest(task: Task, config: Any, trained_on: Mapping[str, int]) -> Start | None:
    """The Start from the newest readable checkpoint; None if there is no checkpoint.

    Raises:
        ValueError: no checkpoint is readable, or the newest does not fit the data or the settings.
    """
    found = checkpoint.find_checkpoints(config.checkpoint_dir, task.training.PREFIX)
    while found:
        path = found.pop()
        try:
            position, arrays = checkpoint.read_state(path, trained_on, config.stage.number if config.stage else 0)
        except checkpoint.DamagedCheckpoint as error:
            if not found:
                raise
            logger.warning(f"{error}; falling back to {found[-1]}")
            continue
        if config.stage and position.stage != config.stage.number:
            _check_stage(path, position, config.stage)
            return Start(position, path, arrays)
        _check_batch(path, position, config)
        _check_packing(path, position, config)
        _tell_changes(config)
        if config.overwrite:
            logger.warning("overwrite=true is ignored: the training in the folder is resumed")
        return Start(position, path, arrays)
    logger.info(f"resume: no {task.training.PREFIX} checkpoint in {config.checkpoint_dir}, starting anew")
    return None


def _check_stage(path, position, stage):
    """Refuse a checkpoint of another stage from which this one can't begin, or after which the recipe has no stage."""
    if position.stage > stage.count:
        raise ValueError(f"{path}: was trained in stage {position.stage}, but the recipe has {stage.count}; --resume needs the same recipe")
    if position.stage < stage.number and checkpoint.step_of(path) != stage.first_update:
        ended = f"has {checkpoint.step_of(path)} updates, but the stages before stage {stage.number} have {stage.first_update}"
        raise ValueError(f"{path}: {ended}; --resume needs the same recipe")


def _check_packing(path, position, config):
    """Refuse a given packing that is not the checkpoint's; without one, that of the checkpoint is kept."""
    if config.packing not in (None, position.packs):
        before = str(position.packs).lower()
        raise ValueError(f"{path}: was trained with packing={before}; --resume needs the same, give --packing {before} or leave it out")


def _check_batch(path, position, config):
    """Refuse settings that keep neither the batch size nor the global batch of the checkpoint, so that batches stay the same."""
    now, ranks = config.train_batch_size, config.device.world_size
    if now != position.batch_size and now * ranks != position.global_batch:
        raise ValueError(f"{path}: was trained with another batch size, {position.batch_size}; --resume needs the same")
    if ranks > position.global_batch:
        raise ValueError(f"{path}: its steps have {position.global_batch} rows, too few for {ranks} ranks")
    if ranks != position.ranks:
        rows = f"the {position.global_batch} rows of a step are shared by {ranks} ranks"
        logger.info(f"resume: the training began on {position.ranks} ranks with batches of {position.batch_size}; {rows}")
