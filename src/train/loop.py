"""Train on the rows of a Prepared run: `fit(task, prepared)`."""

import dataclasses
import functools
import math
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import mindspore
import numpy as np
from mindspore import nn
from mindspore.train import Callback, Model

from src import cli
from src.config.parts import find_part
from src.formats import weights
from src.log import RunLog, format_fields, logger, start_up
from src.models.losses import RDrop, WithLoss
from src.optim import parts
from src.optim.base import Optimizer
from src.optim.factory import make_optimizer
from src.records import pipeline
from src.records.mixture import Mixture
from src.records.packing import choose_packing
from src.records.plan import TrainingPlan, choose_buckets
from src.tasks.task import Prepared, Task
from src.train import checkpoint, collectives, model_files
from src.train.adversary import make_attack
from src.train.announce import describe_start, tell_start, write_settings
from src.train.best import Best
from src.train.callbacks import Evaluator, Saver, StopOnSignal
from src.train.cost import Cost, make_cost
from src.train.loss_scale import make_loss_scale
from src.train.overflow_guard import OverflowGuard
from src.train.overflow_status import OverflowStatus
from src.train.prediction import Evaluation, make_evaluation, run_network
from src.train.resume import SETTINGS, Start, describe_training, find_start, set_aside
from src.train.step import TrainStep
from src.train.step_log import Progress, StepLog
from src.train.trackers import start_tracker
from src.train.weight_average import WeightAverage

_SIGNAL_EXIT = {"SIGINT": 130, "SIGTERM": 143}


@dataclasses.dataclass(frozen=True)
class _Training:
    """What the callbacks of a training share."""

    task: Task
    prepared: Prepared
    network: nn.Cell
    step: TrainStep
    start: Start
    trained_on: dict[str, int]
    done: Progress
    run_log: RunLog
    evaluation: Evaluation
    best: Best
    cost: Cost | None  # of a step, for the log

    @property
    def config(self) -> Any:
        return self.prepared.config


def fit(task: Task, prepared: Prepared, before: Sequence[Prepared] = ()) -> Evaluation | None:
    """Train; write checkpoints into config.checkpoint_dir, and config.yaml and log.jsonl into config.output_dir.

    The caller holds `resume.folder_taken`. The process exits with 130 or 143 when interrupted, after saving.

    Args:
        before: the stages of the recipe before this one, which are done.

    Returns:
        The trained network and the cell that evaluates it, for evaluations after the training, which make no other network and compile
        nothing again that has run on the way; None if nothing was left to train.
    """
    start_up.begin()
    config, records, stage = prepared.config, prepared.records["train"], prepared.config.stage
    device = config.device
    trained_on = describe_training(config, records, before)
    start = find_start(task, config, trained_on)
    if stage and start.position.stage > stage.number:
        logger.info(f"stage {stage.number} of {stage.count}: done")
        return None
    plan = _plan_training(config, records.lengths, start.position, prepared.mixture)
    network, step = _make_step(task, prepared, plan.updates, start)
    first_batch = start.position.epoch * plan.batches_per_epoch + start.position.consumed // plan.batch_size
    step_number = (stage.first_update if stage else 0) + first_batch // config.accumulation_steps
    if start.path is not None or stage:
        tell_start(start, stage, first_batch / plan.batches_per_epoch, step_number, plan.updates)
    best = Best(config.best_metric or config.measure, config.early_stopping)
    if config.best_metric and not config.evaluates:
        logger.warning(f"best_metric={config.best_metric} is ignored: nothing is evaluated during training ({config.EVALUATIONS})")
    if config.evaluates and first_batch:
        _recall_best(task, config, best, start.path, step_number)
    if first_batch >= len(plan) or best.ends_training:
        done_by = f"; early_stopping={best.patience} ended it, the best is step={best.step}" if best.ends_training else ""
        logger.info(f"nothing left to train: {first_batch} of {len(plan)} batches are done{done_by}")
        return None
    if device.writes:
        if start.path is None:
            set_aside(task, config)
        write_settings(task, prepared)
    cost = make_cost(task, prepared) if device.writes else None
    later = cost.compare(stage.later, (config.train_batch_size, config.seq_length)) if cost and stage else 0.0
    done = Progress(plan, first_batch, choose_sink(config, len(plan) - first_batch), stage, later)
    tracker = start_tracker(config, done.step) if device.writes else None
    log_path = f"{config.output_dir}/log.jsonl" if device.writes else None
    run_log = RunLog(log_path, keep=done.step > 0, tracker=tracker, always={"stage": stage.number} if stage else {})
    run_log.write(describe_start(config, network, plan))
    evaluation = make_evaluation(task, config, network)
    callbacks, stop = _make_callbacks(_Training(task, prepared, network, step, start, trained_on, done, run_log, evaluation, best, cost))
    columns = task.training.INPUTS + task.list_targets(config)[0] + (pipeline.PACKING if start.position.packs else ())
    dataset = pipeline.make_dataset(records, plan, columns, first_batch, device.rank, device.world_size)
    calls = (len(plan) - first_batch) // done.per_call if device.data_sink else 1
    sink = {"dataset_sink_mode": device.data_sink, "sink_size": done.per_call if device.data_sink else -1}
    start_up.end("network")
    with cli.not_input():
        Model(step).train(calls, dataset, callbacks, **sink)
    run_log.close()
    if stop.agreed is not None:
        if device.writes:
            print(f"stopped={stop.agreed.name} step={done.step}", flush=True)
        sys.exit(_SIGNAL_EXIT[stop.agreed.name])
    return evaluation


def _recall_best(task: Task, config: Any, best: Best, path: Path | None, step: int) -> None:
    """Take up the best score of the training that is resumed from `path`, None on ranks that do not write."""
    best.recall(f"{config.output_dir}/log.jsonl", step, config.device, config.stage.first_update if config.stage else 0)
    if path is None:
        return
    if best.step == step:  # it may have been stopped between the two files
        checkpoint.keep_best(path)
    kept = checkpoint.find_best(config.checkpoint_dir, task.training.PREFIX)
    logger.info(f"resume: best {best.metric}={best.score:.6g} step={best.step}, {best.waited} evaluations since; kept: {kept}")


def _make_callbacks(training: _Training) -> tuple[list[Callback], StopOnSignal]:
    """The callbacks in the order in which they must run, and the one that knows whether a signal ended the training."""
    config, step, done, plan = training.config, training.step, training.done, training.done.plan
    guard = OverflowGuard(step, [parameter.name for parameter in step.optimizer.parameters], config.precision.max_skipped_steps)
    lengths, (_, parts) = training.prepared.records["train"].lengths, training.task.list_targets(config)
    log = (config.log_steps, training.run_log, parts, config.skip_steps, guard, config.log_format, training.cost)
    step_log = StepLog(done, lengths, *log)
    every = (config.save_checkpoint_steps or 0) * config.accumulation_steps or plan.batches_per_epoch
    saves = config.enable_save_ckpt and config.device.writes
    saver = Saver(step_log, every, functools.partial(_save, training) if saves else None)
    stop = StopOnSignal(saver, functools.partial(collectives.largest, config.device), seconds=float(config.device.world_size > 1))
    if not config.evaluates:
        return [step_log, saver, stop], stop
    return [step_log, _make_evaluator(training, step_log, saver), saver, stop], stop


def _save(training: _Training, batches: int) -> None:
    """Write a checkpoint after `batches` micro-batches of the training."""
    config, plan = training.config, training.done.plan
    epoch, consumed = divmod(batches, plan.batches_per_epoch)
    position = dataclasses.replace(training.start.position, epoch=epoch, consumed=consumed * plan.batch_size)
    epochs, updates = position.epochs_before + math.ceil(batches / plan.batches_per_epoch), training.done.step
    training.run_log.flush()  # before the checkpoint: a training resumed from it appends to this log
    if not Path(config.output_dir, SETTINGS).is_file() or not Path(config.checkpoint_dir).is_dir():  # removed during the run
        write_settings(training.task, training.prepared)
    folder, prefix, keep = config.checkpoint_dir, training.task.training.PREFIX, config.save_checkpoint_num
    path = checkpoint.save(folder, prefix, training.step, epochs, updates, position, training.trained_on, keep)
    logger.info(f"saved {path}")
    if training.best.step == updates:
        checkpoint.keep_best(path)


def _make_evaluator(training: _Training, step_log: StepLog, saver: Saver) -> Evaluator:
    """A callback that scores the evaluation split, has the best checkpoint saved, and ends a training that finds no better one."""
    task, config, prepared, best = training.task, training.config, training.prepared, training.best
    if config.eval_epochs:
        every = Fraction(str(config.eval_epochs)) * training.done.plan.batches_per_epoch
    else:
        every = Fraction(config.evaluate_every * config.accumulation_steps)

    def evaluate() -> bool:
        with training.step.averages_used():
            outputs, fields = run_network(config, training.evaluation, prepared.records["eval"], "eval")
        training.step.set_train()
        scores, step = task.training.score(task.training.tune(prepared, outputs), outputs), training.done.step
        is_best = best.add(step, scores)
        training.run_log.write({"event": "eval", "step": step, **scores, **best.fields, **fields})
        shown = {name: value for name, value in scores.items() if not isinstance(value, dict)}
        logger.info(f"eval step={step} {format_fields(shown)} best_step={best.step} best_{best.metric}={best.score:.6g}")
        ends = bool(collectives.largest(config.device, best.ends_training))
        if ends:
            logger.info(f"early_stopping={best.patience}: the training ends at step={step}, the best is step={best.step}")
        saver.is_due = saver.is_due or is_best or ends
        return ends

    return Evaluator(step_log, every, evaluate)


def choose_sink(config: Any, batches: int) -> int:
    """The micro-batches per device call: those of data_sink_steps updates, or the next smaller number that divides `batches`."""
    if not config.device.data_sink:
        return 1
    requested = config.data_sink_steps * config.accumulation_steps
    taken = next(number for number in range(min(requested, batches), 0, -1) if batches % number == 0)
    if taken != requested:
        logger.warning(f"data_sink_steps: {requested} batches at a time do not divide {batches}; {taken} are taken")
    return taken


def _plan_training(config: Any, lengths: np.ndarray, position: checkpoint.Position, mixture: Mixture | None) -> TrainingPlan:
    """The TrainingPlan, the same on all ranks."""
    batch = position.global_batch
    shuffle = config.train_data_shuffle
    device, packing = config.device, None
    if position.packs:
        longest, packing = choose_packing(lengths, batch, device.world_size, device.length_multiple)
        buckets = config.bucket_list or (longest,)
    else:
        one_length = (config.seq_length,) if device.data_sink else ()
        buckets = config.bucket_list or one_length or choose_buckets(lengths, batch, config.seed, shuffle, device.length_multiple)
    if config.drops_short_batch and len(lengths) < batch:
        batch_setting = f"train_batch_size={config.train_batch_size}"
        raise ValueError(f"{batch_setting}: a step has {batch} rows, but the training set has {len(lengths)}: not one whole batch")
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
        packing=packing,
        mixture=mixture,
    )
    packed = f" packed_rows={packing.packs}x{packing.slots}" if packing else ""
    logger.info(
        f"training rows={plan.rows_per_epoch} batches={len(plan)} batch_size={batch} "
        f"bucket_list={','.join(map(str, buckets))}{packed} padding={plan.epoch(0).padding_share(lengths):.3f}"
    )
    return plan


def _make_step(task: Task, prepared: Prepared, total_steps: int, start: Start) -> tuple[nn.Cell, TrainStep]:
    """Network and TrainStep with the parameters of `start`, the same on all ranks."""
    config = prepared.config
    seed = (config.seed + config.device.rank) % 2**32  # each rank drops other values
    mindspore.set_seed(seed)
    mindspore.manual_seed(seed)  # for DropoutMasks of src/models/ascend.py
    network = task.training.network(config)
    is_first = start.position.stage < 2  # a later stage has the weights of the one before
    if is_first and config.load_pretrain_checkpoint_path and config.device.writes:
        path = weights.find(config.load_pretrain_checkpoint_path, use_best=config.use_best)
        model_files.load_weights(network, path, whole=False, new_tokens=prepared.new_tokens)
    elif is_first and not config.load_pretrain_checkpoint_path:
        logger.warning("no weights to start from (load_pretrain_checkpoint_path): all start random")
    optimizer = _make_optimizer(config, network, total_steps, start.position)
    loss, num_inputs = task.training.loss(config), len(task.training.INPUTS)
    step = TrainStep(
        RDrop(network, loss, num_inputs, config.r_drop) if config.r_drop else WithLoss(network, loss, num_inputs, start.position.packs),
        optimizer,
        make_loss_scale(config.precision, config.device.compute_type),
        config.optimizer.clip,
        config.optimizer.clip_norm,
        config.accumulation_steps,
        config.device.world_size,
        reduce_late=config.allreduce_post_accumulation,
        seed=seed,
        status=OverflowStatus() if config.device.saturates else None,
        attack=make_attack(config),
        average=WeightAverage(optimizer, config.ema) if config.ema else None,
        native_library=config.device.native_library,
    )
    if start.path is not None and start.arrays is not None:
        checkpoint.restore(start.path, step, start.arrays)
    collectives.share_parameters(config.device, step)
    return network, step


def _make_optimizer(config: Any, network: nn.Cell, total_steps: int, position: checkpoint.Position) -> Optimizer:
    """The optimiser of the parts that are trained, each at its learning rate; what differs between parts is logged."""
    first_step = 0
    if config.stage and config.stage.own_schedule:
        first_step = position.counted_before
    elif config.stage:
        total_steps = config.stage.updates
    factors = config.rate_factors
    parts.freeze(network, config.frozen_parts)
    if config.frozen_parts or set(factors.values()) - {1.0}:
        logger.info(parts.describe_parts(network, config.optimizer.learning_rate, factors))

    def rate_factor(name: str) -> float:
        return factors.get(find_part(name), 1.0)

    device = config.device
    parameters, library = network.trainable_params(), device.native_library
    return make_optimizer(config.optimizer, parameters, total_steps, device.aclnn, rate_factor, library, first_step)
