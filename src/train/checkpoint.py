"""Checkpoints: the state of a training in one file: parameters, moments, step, loss scale and data position."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np
from mindspore import Parameter, nn

from src.files import written_whole
from src.formats import mindspore_checkpoint, series, weights
from src.log import shorten
from src.train.model_files import DESCRIBED_BY, HEAD_HINT, SHOWN, set_parameters

_POSITION = "data_position"  # int64: a Position, the fingerprints of the training, and 1 if it packs rows
_STAGE = "stage_position"  # int64: the Position's part about stages, if there are any
_STEP = "global_step"  # of the optimiser


class DamagedCheckpoint(ValueError):
    """The file is truncated or altered."""


@dataclass(frozen=True)
class Position:
    """How far a training has read its data: finished epochs, rows consumed of the next one, the batch it began with, and its form."""

    epoch: int
    consumed: int
    batch_size: int  # rows of one rank's batch
    ranks: int
    packs: bool = False  # whether several rows stand in one row of the network
    stage: int = 0  # number of the stage of the recipe, see Stage; 0 without stages
    epochs_before: int = 0  # of the stages before, as the names of checkpoints count them
    counted_before: int = 0  # updates of the stages before, without those that overflowed and were skipped

    @property
    def global_batch(self) -> int:
        """Rows of a step; the same on any number of ranks."""
        return self.batch_size * self.ranks


def save(
    folder: Path | str, prefix: str, cell: nn.Cell, epoch: int, step: int, position: Position, trained_on: Mapping[str, int], keep: int
) -> Path:
    """Write `{prefix}-{epoch}_{step}.ckpt` whole, and remove all others of the prefix but the `keep - 1` before it.

    Checkpoints of later steps are removed too: damaged ones, from which this training did not go on.

    Args:
        folder: made if absent.
        prefix: task name, e.g. classifier.
        cell: TrainStep at the end of an update.
        epoch, step: epochs finished or begun, and updates done.
        trained_on: fingerprints that a resumed training must share, by name.
        keep: number of checkpoints kept.

    Returns:
        the path.

    Raises:
        FloatingPointError: an array is not finite; nothing is written.
    """
    path = Path(folder) / f"{prefix}-{epoch}_{step}.ckpt"
    arrays = cell.split_state({name: parameter.asnumpy() for name, parameter in lasting_parameters(cell).items()})
    # by minimum and maximum, which copy nothing
    if diverged := [name for name, array in arrays.items() if not np.isfinite([array.min(), array.max()]).all()]:
        raise FloatingPointError(f"{path}: not written, not finite are {shorten(diverged, SHOWN)}; lower the learning rate")
    *numbers, packs, stage, epochs_before, counted_before = astuple(position)
    arrays[_POSITION] = np.array([*numbers, *trained_on.values(), *[1] * packs], np.int64)  # old files end with the fingerprints
    if stage:
        arrays[_STAGE] = np.array([stage, epochs_before, counted_before], np.int64)
    mindspore_checkpoint.write(path, arrays)
    found = find_checkpoints(folder, prefix)
    end = found.index(path) + 1
    for other in found[: max(end - keep, 0)] + found[end:]:
        other.unlink()
    return path


def keep_best(path: Path) -> None:
    """Keep a checkpoint, with the files beside it that describe it, as the only one in the subfolder `best` of its folder.

    They are hard links, which take no space, or copies if the file system has none.
    """
    with written_whole(path.parent / weights.BEST) as folder:
        folder.mkdir()
        for name in (path.name, *DESCRIBED_BY):
            file = path.parent / name
            if file.is_file():
                try:
                    os.link(file, folder / name)
                except OSError:  # not on this file system
                    shutil.copyfile(file, folder / name)


def find_best(folder: Path | str, prefix: str) -> Path | None:
    """The checkpoint that `keep_best` has kept last; None if there is none."""
    return next(iter(find_checkpoints(Path(folder) / weights.BEST, prefix)), None)


def lasting_parameters(cell: nn.Cell) -> dict[str, Parameter]:
    """The parameters of a TrainStep that outlive an update."""
    return {name: parameter for name, parameter in cell.parameters_dict().items() if not name.startswith("accumulated")}


def find_checkpoints(folder: Path | str, prefix: str) -> list[Path]:
    """The checkpoints of a prefix in a folder, ordered by epoch and step, the newest last."""
    return series.group_files(weights.list_checkpoints(folder), weights.CHECKPOINT).get(prefix, [])


def read(path: Path | str) -> dict[str, np.ndarray]:
    """All arrays of a .ckpt file by name, read-only.

    Raises:
        FileNotFoundError: no such file. DamagedCheckpoint: truncated, altered, or no .ckpt at all.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        return mindspore_checkpoint.read(path)
    except ValueError as error:
        raise DamagedCheckpoint(str(error)) from None


def step_of(path: Path | str) -> int:
    """The update number in the name of a checkpoint, or of the newest in a folder; 0 for other files."""
    match = weights.CHECKPOINT.fullmatch(weights.find(path).name)
    return int(match[3]) if match else 0


def read_state(path: Path | str, trained_on: Mapping[str, int], stage: int = 0) -> tuple[Position, dict[str, np.ndarray]]:
    """The whole state in a checkpoint, to go on exactly where it was written.

    Args:
        path: written by `save`.
        trained_on: fingerprints of the training that resumes; any that differs from the checkpoint's is refused.
        stage: the stage that they belong to; checkpoints of other stages are not compared with them.

    Raises:
        ValueError: damaged, weights only, or of other data.
    """
    arrays = read(path)
    if _POSITION not in arrays:
        raise ValueError(f"{path}: holds weights only, no training state; nothing to resume")
    staged = [int(value) for value in arrays.pop(_STAGE, (0, 0, 0))]
    if bool(staged[0]) != bool(stage):
        raise ValueError(f"{path}: was trained {'with' if staged[0] else 'without'} stages; --resume needs the same recipe")
    count = len(fields(Position)) - 4
    numbers = [int(value) for value in arrays.pop(_POSITION)]
    saved = numbers[count:]
    packs = len(saved) == len(trained_on) + 1
    if len(saved) != len(trained_on) + packs:
        raise ValueError(f"{path}: its training state is of an older version; start from its weights instead of resuming")
    for (name, now), before in zip(trained_on.items(), saved):
        if before != now and staged[0] == stage:
            raise ValueError(f"{path}: was trained with another {name}; --resume needs the same")
    epoch, consumed, batch_size, ranks = numbers[:count]
    return Position(epoch, consumed, batch_size, ranks, packs, *staged), arrays


def begin_stage(path: Path, arrays: Mapping[str, np.ndarray], position: Position) -> Position:
    """`position`, the beginning of a stage that takes up the last checkpoint of the one before, with what that one has counted."""
    match = weights.CHECKPOINT.fullmatch(path.name)
    assert match  # `find_checkpoints` lists no others
    return replace(position, epochs_before=int(match[2]), counted_before=int(arrays[_STEP]))


def restore(path: Path | str, cell: nn.Cell, arrays: Mapping[str, np.ndarray]) -> None:
    """Put the arrays that `read_state` returned into a TrainStep.

    Raises:
        ValueError: they are of another network or optimiser, or hold NaN or infinity.
    """
    parameters, arrays = lasting_parameters(cell), cell.join_state(arrays)
    differing = sorted(set(parameters) ^ set(arrays))
    if differing:
        hint = HEAD_HINT if any("head." in name for name in differing) else ""
        raise ValueError(f"{path}: is of another network or optimiser: {shorten(differing, SHOWN)} on one side only{hint}")
    set_parameters(path, parameters, arrays)
