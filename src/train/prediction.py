"""Running a network over every row of a split: `predict(task, config, split, path)`."""

import time

import numpy as np
from mindspore.train import Model

from src.data import pipeline
from src.data.plan import choose_buckets, plan_epoch
from src.log import RunLog, format_fields, logger, progress
from src.train import checkpoint
from src.train.callbacks import Throughput


def predict(task, config, split, path):
    """Outputs of a trained network for every row of a split, each row once.

    Args:
        task: a task module.
        config: options whose device is started.
        split: of `task.dataset`.
        path: the weights, see `checkpoint.read_weights`.

    Returns:
        (outputs, see `run_network`; the RecordSet that they belong to).
    """
    records = task.dataset(config, split)
    network = task.network(config)
    checkpoint.load_weights(network, path, whole=True)
    outputs, fields = run_network(config, task.for_evaluation(config, network), records, split)
    logger.info(f"{split} {format_fields(fields)}")
    run_log = RunLog(f"{config.output_dir}/log.jsonl", keep=True)
    run_log.write({"event": split, **fields})
    run_log.close()
    return outputs, records


def run_network(config, evaluation, records, title):
    """Run a network over all rows of a RecordSet.

    Args:
        evaluation: what `task.for_evaluation` gives; the same object again compiles nothing anew.
        title: of the progress bar.

    Returns:
        outputs: for each output of the cell a list with the array of every row, in input order; where the first axis of such
            an array runs over tokens, it is as long as the row's batch was padded to.
        fields: dict of figures about the run.
    """
    cell, inputs = evaluation
    lengths = records.lengths
    shuffle = False  # sorted by length: the least padding
    buckets = config.bucket_list
    buckets = buckets or choose_buckets(lengths, config.eval_batch_size, config.seed, shuffle, config.device.length_multiple)
    plan = plan_epoch(lengths, buckets, config.eval_batch_size, config.seed, 0, shuffle)
    dataset = pipeline.make_dataset(records, plan, (*inputs, "row_id"))
    batches = dataset.create_tuple_iterator(num_epochs=1)
    model, speed, collected = Model(cell), Throughput(), []
    for length, num_real in zip(progress(plan.lengths, desc=title, unit="batch"), plan.num_real):
        started = time.perf_counter()
        columns = next(batches)
        outputs = model.predict(*columns[:-1])
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        collected.append([values.asnumpy() for values in (columns[-1], *outputs)])
        speed.add(int(length), int(num_real), 0, time.perf_counter() - started)
    row_id, *outputs = ([row for batch in parts for row in batch] for parts in zip(*collected))
    order = np.argsort(row_id, kind="stable")[row_id.count(-1) :]  # filler rows, numbered -1, come first
    fields = {"rows": len(order)}
    if speed.rows:  # else every step was the first of its length
        fields["samples_per_s"] = round(speed.rows_per_s, 2)
    fields |= {"compile_s": round(speed.compile_seconds, 1), "padding": round(plan.padding_share(lengths), 3)}
    return tuple([rows[number] for number in order] for rows in outputs), fields
