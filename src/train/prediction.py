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
    """Outputs of a trained network for every row of a split, in input order, each row once.

    Args:
        task: a task module.
        config: options whose device is started.
        split: of `task.dataset`.
        path: the weights, see `checkpoint.read_weights`.

    Returns:
        (outputs float32 [rows, ...], {target name: its values [rows]}).
    """
    records = task.dataset(config, split)
    network = task.network(config)
    checkpoint.load_weights(network, path, whole=True)
    outputs, targets, fields = run_network(config, task.for_evaluation(network), records, split)
    logger.info(f"{split} {format_fields(fields)}")
    run_log = RunLog(f"{config.output_dir}/log.jsonl", keep=True)
    run_log.write({"event": split, **fields})
    run_log.close()
    return outputs, targets


def run_network(config, evaluation, records, title):
    """As `predict`, with a network and records at hand; returns also a dict of figures about the run.

    Args:
        evaluation: what `task.for_evaluation(network)` gives; the same object again compiles nothing anew.
        title: of the progress bar.
    """
    cell, inputs, targets = evaluation
    lengths = records.lengths
    shuffle = False  # sorted by length: the least padding
    buckets = config.bucket_list or choose_buckets(lengths, config.eval_batch_size, config.seed, shuffle, config.device.length_multiple)
    plan = plan_epoch(lengths, buckets, config.eval_batch_size, config.seed, 0, shuffle)
    dataset = pipeline.make_dataset(records, plan, (*inputs, *targets, "row_id"))
    batches = dataset.create_tuple_iterator(num_epochs=1)
    model, speed, collected = Model(cell), Throughput(), []
    for length, num_real in zip(progress(plan.lengths, desc=title, unit="batch"), plan.num_real):
        started = time.perf_counter()
        columns = next(batches)
        outputs = model.predict(*columns[: len(inputs)])
        collected.append([values.asnumpy() for values in (outputs, *columns[len(inputs) :])])
        speed.add(int(length), int(num_real), 0, time.perf_counter() - started)
    outputs, *target_values, row_id = (np.concatenate(parts) for parts in zip(*collected))
    order = np.argsort(row_id, kind="stable")[(row_id < 0).sum() :]  # filler rows, numbered -1, come first
    fields = {
        "rows": len(order),
        "samples_per_s": round(speed.rows_per_s, 1),
        "compile_s": round(speed.compile_seconds, 1),
        "padding": round(plan.padding_share(lengths), 3),
    }
    return outputs[order], {name: values[order] for name, values in zip(targets, target_values)}, fields
