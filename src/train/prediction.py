"""Run a network over every row of a split: `predict(task, prepared, split, path)`."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import nn
from mindspore.train import Model

from src.log import RunLog, format_fields, logger, progress
from src.models.packing import WithPacking
from src.records import pipeline
from src.records.packing import choose_packing
from src.records.plan import EpochPlan, choose_buckets, plan_epoch
from src.records.record_set import RecordSet
from src.tasks.task import Prepared, Task
from src.train import collectives, model_files
from src.train.step_log import Throughput

Outputs = tuple[list[np.ndarray], ...]  # for each output of a network, the array of every row


@dataclass(frozen=True)
class Evaluation:
    """A network and the cell that gives the outputs to be scored. Running it again compiles nothing again.

    Attributes:
        columns: the cell's input columns.
        compiled: the lengths that it has run.
    """

    network: nn.Cell
    cell: nn.Cell
    columns: Sequence[str]
    compiled: set[int] = field(default_factory=set)

    @property
    def packs(self) -> bool:
        """Whether the cell takes packed rows."""
        return pipeline.PACKING[0] in self.columns


def make_evaluation(task: Task, config: Any, network: nn.Cell) -> Evaluation:
    """The Evaluation of a task's network, fed with packed rows if the settings say so."""
    cell, columns = task.training.for_evaluation(config, network)
    return Evaluation(network, WithPacking(cell), (*columns, *pipeline.PACKING)) if config.packs else Evaluation(network, cell, columns)


def predict(task: Task, prepared: Prepared, split: str, path: Path | str | None, evaluation: Evaluation | None = None) -> Outputs:
    """Outputs of a trained network for every row of a split, each row once.

    Args:
        prepared: its device must be started.
        split: train, eval or predict.
        path: the weights, see `weights.find`; None on ranks that do not write, which get them from rank 0.
        evaluation: that of the training, so that nothing is compiled again; its network gets the weights.
    """
    config, records = prepared.config, prepared.records[split]
    evaluation = evaluation or make_evaluation(task, config, task.training.network(config))
    if path is not None:
        model_files.load_weights(evaluation.network, path, whole=True)
    collectives.share_parameters(config.device, evaluation.network)
    outputs, fields = run_network(config, evaluation, records, split)
    logger.info(f"{split} {format_fields(fields)}")
    run_log = RunLog(f"{config.output_dir}/log.jsonl" if config.device.writes else None, keep=True)
    run_log.write({"event": split, **fields})
    run_log.close()
    return outputs


def run_network(config: Any, evaluation: Evaluation, records: RecordSet, title: str) -> tuple[Outputs, dict[str, Any]]:
    """Run a network over all rows of a RecordSet: each rank computes its share of the batches, and all ranks get all outputs.

    A batch is the same on any number of ranks, and so are its outputs to the last bit.

    Args:
        title: title of the progress bar.

    Returns:
        outputs: in input order; an array over tokens has the padded length of its row's batch.
        fields: figures about the run.
    """
    lengths, batch, multiple = records.lengths, config.eval_batch_size, config.device.length_multiple
    shuffle, packing = False, None  # sorted by length: the least padding
    if evaluation.packs:
        longest, packing = choose_packing(lengths, batch, 1, multiple)
        buckets = config.bucket_list or (longest,)
    else:
        buckets = config.bucket_list or choose_buckets(lengths, batch, config.seed, shuffle, multiple)
    plan = plan_epoch(lengths, buckets, batch, config.seed, 0, shuffle, packing)
    collected, speed = _run_share(evaluation, records, plan.part(config.device.rank, config.device.world_size), title)
    gathered = collectives.gather_arrays(config.device, [np.array([speed.rows, speed.seconds]), *collected])
    rows, seconds = zip(*(arrays[0] for arrays in gathered))
    row_id, *outputs = _join_batches([array for arrays in gathered for array in arrays[1:]], len(plan))
    order = np.argsort(row_id, kind="stable")[row_id.count(-1) :]  # filler rows, numbered -1, come first
    fields: dict[str, Any] = {"rows": len(order)}
    if any(rows):  # 0 if every step was the first of its length
        fields["samples_per_s"] = round(sum(rows) / max(seconds), 2)
    fields |= {"compile_s": round(speed.compile_seconds, 1), "padding": round(plan.padding_share(lengths), 3)}
    return tuple([rows[number] for number in order] for rows in outputs), fields


def _run_share(evaluation: Evaluation, records: RecordSet, plan: EpochPlan, title: str) -> tuple[list[np.ndarray], Throughput]:
    """Run the batches of a plan; returns one list: row_id and every output of the first batch, then those of the next, and so on."""
    model, speed = Model(evaluation.cell), Throughput(evaluation.compiled)
    collected: list[np.ndarray] = []
    if not len(plan):
        return collected, speed
    batches = pipeline.make_dataset(records, plan, (*evaluation.columns, "row_id")).create_tuple_iterator(num_epochs=1)
    for length, num_real in zip(progress(plan.lengths, desc=title, unit="batch"), plan.num_real):
        started = time.perf_counter()
        columns = next(batches)
        outputs = model.predict(*columns[:-1])
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        collected += [values.asnumpy() for values in (columns[-1], *outputs)]
        speed.add(int(length), int(num_real), 0, time.perf_counter() - started)
    return collected, speed


def _join_batches(arrays, num_batches):
    """The list that `_run_share` returns, as one list of rows for row_id and one for each output."""
    count = len(arrays) // num_batches
    return [[row for batch in arrays[number::count] for row in batch] for number in range(count)]
