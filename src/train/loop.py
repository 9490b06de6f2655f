"""Training on the rows of a Prepared run: `fit(task, prepared)`; what a task module has is told in src/tasks/task.py."""

import dataclasses
import functools
import json
import math
import sys

import mindspore
import yaml
from mindspore.train import Model

from src import cli
from src.config import loader
from src.files import write_text
from src.log import RunLog, format_fields, logger
from src.models.losses import WithLoss
from src.optim.factory import make_optimizer
from src.records import pipeline
from src.records.plan import TrainingPlan, choose_buckets
from src.train import checkpoint, collectives
from src.train.callbacks import Evaluator, OverflowGuard, Saver, StopOnSignal
from src.train.loss_scale import make_loss_scale
from src.train.overflow_status import OverflowStatus
from src.train.prediction import run_network
from src.train.resume import describe_training, find_start, set_aside
from src.train.step import TrainStep
from src.train.step_log import Progress, StepLog

_SIGNAL_EXIT = {"SIGINT": 130, "SIGTERM": 143}


def fit(task, prepared):
    """Train, inside `resume.folder_taken`; leaves checkpoints in config.checkpoint_dir, config.yaml and log.jsonl in config.output_dir.

    Exits with 130 or 143 when interrupted, after saving.

    Args:
        task: a task module. prepared: what its `prepare` gave.
    """
    config, records = prepared.config, prepared.records["train"]
    device = config.device
    trained_on = describe_training(config, records)
    start = find_start(task, config, trained_on)
    plan = _plan_training(config, records.lengths, start.position.global_batch)
    network, step = _make_step(task, config, plan.updates, start)
    first_batch = start.position.epoch * plan.batches_per_epoch + start.position.consumed // plan.batch_size
    if start.path is not None:
        step_number = first_batch // config.accumulation_steps
        logger.info(f"resumed from {start.path} at epoch={first_batch / plan.batches_per_epoch:.3f} step={step_number}")
    if first_batch >= len(plan):
        logger.info(f"nothing left to train: {first_batch} of {len(plan)} batches are done")
        return
    if device.writes:
        if start.path is None:
            set_aside(task, config)
        _write_settings(task, config)

    def save(done):
        epoch, consumed = divmod(done, plan.batches_per_epoch)
        position = dataclasses.replace(start.position, epoch=epoch, consumed=consumed * plan.batch_size)
        epochs, updates = math.ceil(done / plan.batches_per_epoch), done // config.accumulation_steps
        run_log.flush()  # first: a training that is resumed from the checkpoint goes on behind what is logged
        path = checkpoint.save(config.checkpoint_dir, task.NAME, step, epochs, updates, position, trained_on, config.save_checkpoint_num)
        logger.info(f"saved {path}")

    done = Progress(plan, first_batch, _choose_sink(config, len(plan) - first_batch))
    every = (config.save_checkpoint_steps or 0) * config.accumulation_steps or plan.batches_per_epoch
    run_log = RunLog(f"{config.output_dir}/log.jsonl" if device.writes else None, keep=first_batch > 0)
    guard = OverflowGuard(step, [parameter.name for parameter in step.optimizer.parameters], config.precision.max_skipped_steps)
    step_log = StepLog(done, records.lengths, config.log_steps, run_log, task.LOSS_PARTS, config.skip_steps, guard)
    saver = Saver(step_log, every, save if config.enable_save_ckpt and device.writes else None)
    stop = StopOnSignal(saver, functools.partial(collectives.largest, device), seconds=float(device.world_size > 1))
    callbacks = [step_log, saver, stop]
    if config.evaluate_every:
        callbacks.append(_make_evaluator(task, prepared, network, step, step_log, stop))
    dataset = pipeline.make_dataset(records, plan, task.INPUTS + task.TARGETS, first_batch, device.rank, device.world_size)
    calls = (len(plan) - first_batch) // done.per_call if device.data_sink else 1
    sink = {"dataset_sink_mode": device.data_sink, "sink_size": done.per_call if device.data_sink else -1}
    with cli.not_input():
        Model(step).train(calls, dataset, callbacks, **sink)
    run_log.close()
    if stop.agreed is not None:
        if device.writes:
            print(f"stopped={stop.agreed.name} step={done.step}", flush=True)
        sys.exit(_SIGNAL_EXIT[stop.agreed.name])


def _write_settings(task, config):
    """What is told of a training beside its results, and beside its checkpoints."""
    write_text(f"{config.output_dir}/config.yaml", yaml.safe_dump(loader.to_dict(config), allow_unicode=True, sort_keys=False))
    if hasattr(config, "labels"):
        ids = {label: number for number, label in enumerate(config.labels)}
        write_text(f"{config.output_dir}/label_map.json", json.dumps(ids, ensure_ascii=False, indent=2) + "\n")
    checkpoint.write_description(config.checkpoint_dir, dataclasses.asdict(config.model), *task.describe(config))


def _choose_sink(config, batches):
    """Micro-batches that one call of the device takes: as asked, or the next smaller number that divides the training."""
    if not config.device.data_sink:
        return 1
    asked = config.data_sink_steps * config.accumulation_steps
    taken = next(number for number in range(min(asked, batches), 0, -1) if batches % number == 0)
    if taken != asked:
        logger.warning(f"data_sink_steps: {asked} batches at a time do not divide {batches}; {taken} are taken")
    return taken


def _plan_training(config, lengths, batch):
    """The TrainingPlan of batches of so many rows, which all ranks share."""
    shuffle = config.train_data_shuffle
    one_length = (config.seq_length,) if config.device.data_sink else ()
    buckets = config.bucket_list or one_length or choose_buckets(lengths, batch, config.seed, shuffle, config.device.length_multiple)
    if config.drops_short_batch and len(lengths) < batch:
        asked = f"train_batch_size={config.train_batch_size}"
        raise ValueError(f"{asked}: a step has {batch} rows, but the training set has {len(lengths)}: not one whole batch")
    plan = TrainingPlan(
        lengths,
        buckets,
        batch,
        config.seed,
        updates=config.train_updates,
        epochs=config.epoch_num,
        shuffle=shuffle,
        drop_short=config.drops_short_batch,
        accumulation_steps=config.accumulation_steps,
    )
    logger.info(
        f"training rows={len(lengths)} batches={len(plan)} batch_size={batch} "
        f"bucket_list={','.join(map(str, buckets))} padding={plan.epoch(0).padding_share(lengths):.3f}"
    )
    return plan


def _make_step(task, config, total_steps, start):
    """Network and TrainStep with the parameters of the Start, the same on all ranks."""
    seed = (config.seed + config.device.rank) % 2**32  # dropout differs on each rank
    mindspore.set_seed(seed)
    mindspore.manual_seed(seed)  # of Ascend's dropout: DropoutMasks of src/models/ascend.py
    network = task.network(config)
    if config.load_pretrain_checkpoint_path and config.device.writes:
        checkpoint.load_weights(network, config.load_pretrain_checkpoint_path, whole=False)
    elif not config.load_pretrain_checkpoint_path:
        logger.warning(f"no weights to start from ({config.WEIGHTS}): all start random")
    step = TrainStep(
        WithLoss(network, task.loss(config), len(task.INPUTS)),
        make_optimizer(config.optimizer, network.trainable_params(), total_steps, config.device.aclnn),
        make_loss_scale(config.precision, config.device.compute_type),
        config.optimizer.clip,
        config.optimizer.clip_norm,
        config.accumulation_steps,
        config.device.world_size,
        reduce_late=config.allreduce_post_accumulation,
        seed=seed,
        status=OverflowStatus() if config.device.saturates else None,
    )
    if start.arrays is not None:
        checkpoint.restore(start.path, step, start.arrays)
    collectives.share_parameters(config.device, step)
    return network, step


def _make_evaluator(task, prepared, network, step, step_log, stop):
    """A callback that scores the evaluation split every so often."""
    config, records = prepared.config, prepared.records["eval"]
    evaluation = task.for_evaluation(config, network)

    def evaluate():
        if stop.agreed is not None:
            return
        outputs, fields = run_network(config, evaluation, records, "eval")
        step.set_train()
        scores = task.score(prepared, outputs)
        step_log.run_log.write({"event": "eval", "step": step_log.done.step, **scores, **fields})
        logger.info(f"eval step={step_log.done.step} {format_fields(scores)}")

    return Evaluator(step_log, config.evaluate_every * config.accumulation_steps, evaluate)
