"""Weights as users name them: where they lie, to which task they belong, and the settings of their model."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.config import loader
from src.config.model import describe_weights
from src.formats import hub
from src.tasks.task import TASKS, Task, find_tasks


def locate(path: Path | str) -> Path | str:
    """The weights that a path means: those of a hub by name, and of the output folder of a fine-tuning its checkpoints.

    Raises:
        ValueError: it has the runs of several seeds or folds; or see `hub.fetch`.
    """
    path = hub.fetch(path)
    if (Path(path) / "ckpt").is_dir():
        return f"{path}/ckpt"
    if runs := sorted([*Path(path).glob("seed-*/ckpt"), *Path(path).glob("fold-*/ckpt")]):
        several = f"several {runs[0].parent.name.split('-')[0]}s"
        raise ValueError(f"{path}: was trained with {several}: give one of them, such as --checkpoint {runs[0].parent}")
    return path


def find_task(path: Path | str, name: str | None = None) -> Task:
    """The task of weights: the one they were trained for, which `name` must agree with, else that of this name.

    Raises:
        ValueError: they were trained for another task; or nothing tells the task.
    """
    if name is not None and name not in TASKS:
        raise ValueError(f"task={name}: {', '.join(TASKS)} are known")
    trained_with = describe_weights(path).trained_with
    known = [task.name for task in find_tasks(trained_with)] if trained_with else []
    if name and known and name not in known:
        raise ValueError(f"{path}: was trained for the task {known[0]}, not {name}: give --task {known[0]}")
    if not name and not known:
        raise ValueError(f"{path}: nothing beside the weights tells what they were trained for; give the task, one of {', '.join(TASKS)}")
    return TASKS[name or known[0]]


def read_settings(task: Task, path: Path | str, flags: Sequence[str] | None) -> Any:
    """The settings of a trained model, on the CPU unless a flag says otherwise: from the files beside the weights, and flags.

    Raises:
        ValueError, FileNotFoundError: they are wrong or do not fit.
    """
    complete = functools.partial(task.model.complete_from, path=path, is_trained=True)
    return loader.read(task.model, flags, {"device_target": "CPU"}, complete, recipe_class=task.options).options
