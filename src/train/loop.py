"""Training and prediction of any task module over its record sets: `fit(task, config)`, `predict(task, config, split)`.

A task module has INPUTS, TARGETS, NAME and the functions dataset(config, split), network(config), loss(config).
"""

import json
import math
import sys
import time

import mindspore
import numpy as np
import yaml
from mindspore.train import Model

from src.config import loader
from src.data import pipeline
from src.data.plan import choose_buckets, plan_epoch, plan_epochs
from src.files import write_text
from src.log import RunLog, format_fields, logger, progress
from src.models.losses import WithLoss
from src.optim.factory import make_optimizer
from src.train import checkpoint
from src.train.callbacks import Position, Saver, StepLog, StopOnSignal, Throughput
from src.train.loss_scale import make_loss_scale
from src.train.step import TrainStep

_SIGNAL_EXIT = {"SIGINT": 130, "SIGTERM": 143}


def fit(task, config):
    """Fine-tune; leaves checkpoints in config.checkpoint_dir, config.yaml and log.jsonl in config.output_dir.

    Exits with 130 or 143 when interrupted, after saving.
    """
    records = task.dataset(config, "train")
    if config.load_finetune_checkpoint_path:
        logger.warning("load_finetune_checkpoint_path is ignored: the weights trained in this run are used")
    plan, batches_per_epoch = _plan_training(config, records.lengths)
    total_steps = len(plan) // config.accumulation_steps
    step = _make_step(task, config, total_steps)
    first_batch = _resume(task, config, step, records, batches_per_epoch)
    if first_batch >= len(plan):
        logger.info(f"nothing left to train: {first_batch} of {len(plan)} batches are done")
        return
    _write_run_files(config)

    def save(done):
        epoch, consumed = divmod(done, batches_per_epoch)
        position = (epoch, consumed * config.train_batch_size, *_trained_on(config, records))
        epochs, updates = math.ceil(done / batches_per_epoch), done // config.accumulation_steps
        path = checkpoint.save(config.checkpoint_dir, task.NAME, step, epochs, updates, position, config.save_checkpoint_num)
        logger.info(f"saved {path}")

    every = (config.save_checkpoint_steps or 0) * config.accumulation_steps or batches_per_epoch
    left = plan[first_batch:]
    run_log = RunLog(f"{config.output_dir}/log.jsonl", keep=first_batch > 0)
    position = Position(first_batch, batches_per_epoch, config.accumulation_steps, total_steps)
    saver = Saver(save, first_batch, every, len(plan))
    stop = StopOnSignal(saver)
    callbacks = [StepLog(left, records.lengths, position, config.log_steps, run_log), saver, stop]
    dataset = pipeline.make_dataset(records, left, task.INPUTS + task.TARGETS)
    with loader.not_input():
        Model(step).train(1, dataset, callbacks, dataset_sink_mode=False)
    run_log.close()
    if stop.received is not None:
        print(f"stopped={stop.received.name} step={saver.done // config.accumulation_steps}", flush=True)
        sys.exit(_SIGNAL_EXIT[stop.received.name])


def predict(task, config, split):
    """Outputs of the network for every row of a split, in input order, each row once.

    Returns:
        (outputs float32 [rows, ...], {target name: its values [rows]}, update number of the checkpoint used).
    """
    records = task.dataset(config, split)
    network = task.network(config)
    path = find_trained(task, config)
    checkpoint.load_weights(network, path, whole=True)
    lengths = records.lengths
    buckets = _buckets(config, lengths, config.eval_batch_size, shuffle=False)
    plan = plan_epoch(lengths, buckets, config.eval_batch_size, config.seed, 0, shuffle=False)
    targets = tuple(name for name in task.TARGETS if name != "weights")
    dataset = pipeline.make_dataset(records, plan, (*task.INPUTS, *targets, "row_id"))
    batches = dataset.create_tuple_iterator(num_epochs=1)
    model, speed, collected = Model(network), Throughput(), []
    for length, num_real in zip(progress(plan.lengths, desc=split, unit="batch"), plan.num_real):
        started = time.perf_counter()
        columns = next(batches)
        outputs = model.predict(*columns[: len(task.INPUTS)])
        collected.append([values.asnumpy() for values in (outputs, *columns[len(task.INPUTS) :])])
        speed.add(int(length), int(num_real), 0, time.perf_counter() - started)
    outputs, *target_values, row_id = (np.concatenate(parts) for parts in zip(*collected))
    order = np.argsort(row_id, kind="stable")[(row_id < 0).sum() :]  # filler rows, numbered -1, come first
    fields = {
        "rows": len(order),
        "samples_per_s": round(speed.rows_per_s, 1),
        "compile_s": round(speed.compile_seconds, 1),
        "padding": round(plan.padding_share(lengths), 3),
    }
    logger.info(f"{split} {format_fields(fields)}")
    run_log = RunLog(f"{config.output_dir}/log.jsonl", keep=True)
    run_log.write({"event": split, **fields})
    run_log.close()
    return outputs[order], {name: values[order] for name, values in zip(targets, target_values)}, checkpoint.step_of(path)


def find_trained(task, config):
    """The fine-tuned weights to use: after training the newest in the checkpoint folder.

    Without training, the first of: load_finetune_checkpoint_path, that newest one, load_pretrain_checkpoint_path (Google's way to
    name a trained model for prediction).

    Raises:
        FileNotFoundError: neither is there.
    """
    if config.load_finetune_checkpoint_path and not config.do_train:
        return config.load_finetune_checkpoint_path
    found = checkpoint.find_checkpoints(config.checkpoint_dir, task.NAME)
    if not found and config.load_pretrain_checkpoint_path and not config.do_train:
        return config.load_pretrain_checkpoint_path
    if not found:
        raise FileNotFoundError(
            f"{config.checkpoint_dir}: no {task.NAME} checkpoint here; train first or give --load_finetune_checkpoint_path"
        )
    return found[-1]


def _buckets(config, lengths, batch_size, shuffle):
    return config.bucket_list or choose_buckets(lengths, batch_size, config.seed, shuffle, config.device.length_multiple)


def _plan_training(config, lengths):
    shuffle = config.train_data_shuffle
    buckets = _buckets(config, lengths, config.train_batch_size, shuffle)
    batch = config.train_batch_size
    plan, batches_per_epoch = plan_epochs(lengths, buckets, batch, config.seed, config.epoch_num, shuffle, config.drops_short_batch)
    if not len(plan):
        raise ValueError(f"train_batch_size={batch}, but the training set has {len(lengths)} rows: not one whole batch")
    if len(plan) < config.accumulation_steps:
        raise ValueError(f"accumulation_steps={config.accumulation_steps}, but the whole training has {len(plan)} batches")
    plan = plan[: len(plan) // config.accumulation_steps * config.accumulation_steps]
    logger.info(
        f"training rows={len(lengths)} batches={len(plan)} batch_size={config.train_batch_size} "
        f"bucket_list={','.join(map(str, buckets))} padding={plan.padding_share(lengths):.3f}"
    )
    return plan, batches_per_epoch


def _make_step(task, config, total_steps):
    mindspore.set_seed(config.seed)
    network = task.network(config)
    if config.load_pretrain_checkpoint_path:
        checkpoint.load_weights(network, config.load_pretrain_checkpoint_path, whole=False)
    else:
        logger.warning("no --load_pretrain_checkpoint_path: all weights start random")
    return TrainStep(
        WithLoss(network, task.loss(config), len(task.INPUTS)),
        make_optimizer(config.optimizer, network.trainable_params(), total_steps),
        make_loss_scale(config.precision, config.device.compute_type),
        config.optimizer.clip,
        config.optimizer.clip_norm,
        config.accumulation_steps,
    )


def _trained_on(config, records):
    """What a resumed training must have in common with the one that it continues."""
    return records.key, config.train_batch_size, config.seed


def _resume(task, config, step, records, batches_per_epoch):
    """Micro-batches done by the newest readable checkpoint; 0 for a fresh start."""
    if not config.resume:
        return 0
    found = checkpoint.find_checkpoints(config.checkpoint_dir, task.NAME)
    while found:
        path = found.pop()
        try:
            epoch, consumed = checkpoint.restore(path, step, _trained_on(config, records))
        except checkpoint.DamagedCheckpoint as error:
            if not found:
                raise
            logger.warning(f"{error}; falling back to {found[-1]}")
            continue
        done = epoch * batches_per_epoch + consumed // config.train_batch_size
        logger.info(f"resumed from {path} at epoch={done / batches_per_epoch:.3f} step={done // config.accumulation_steps}")
        return done
    logger.info(f"resume: no {task.NAME} checkpoint in {config.checkpoint_dir}, starting anew")
    return 0


def _write_run_files(config):
    """config.yaml and label_map.json in the run folder; shape and vocabulary beside the checkpoints."""
    text = yaml.safe_dump(loader.to_dict(config), allow_unicode=True, sort_keys=False)
    write_text(f"{config.output_dir}/config.yaml", text)
    ids = {label: number for number, label in enumerate(config.labels)}
    write_text(f"{config.output_dir}/label_map.json", json.dumps(ids, ensure_ascii=False, indent=2) + "\n")
    settings = loader.to_dict(config)
    trained_with = {key: settings[key] for key in config.TRAINED_WITH}
    vocabulary = (config.vocab_file_path, config.do_lower_case)
    checkpoint.write_description(config.checkpoint_dir, settings["model"], config.labels, *vocabulary, trained_with)
