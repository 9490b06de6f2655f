"""Pretraining in one stage, or in several one after the other: src/config/stages.py."""

import dataclasses
import gc
from collections.abc import Sequence
from typing import Any

from src.config import stages
from src.log import start_up
from src.tasks.task import Task
from src.train import loop, resume, runtime


def run(task: Task, options: Sequence[Any]) -> Any:
    """Prepare all stages, so that nothing in the data of a later one is found amiss after the first; then train each.

    A stage takes up the last checkpoint of the one before: weights, moments, number of updates, loss scale. It does so whether the same
    process has trained that stage or not, so that a resumed training equals an unbroken one.

    Returns:
        the settings of the last stage.
    """
    first = runtime.start(options[0])
    started = [first, *(runtime.share(first, each) for each in options[1:])]
    prepared = [task.training.prepare(each) for each in started]
    settled = stages.settle([each.config for each in prepared])
    prepared = [dataclasses.replace(each, config=config) for each, config in zip(prepared, settled)]
    start_up.end("data")
    with resume.folder_taken(settled[0]):
        for number, each in enumerate(prepared):
            loop.fit(task, each, prepared[:number])
            gc.collect()  # graphs and their parameters are in reference cycles
    return settled[-1]
