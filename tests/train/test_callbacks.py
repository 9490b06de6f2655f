import json
from types import SimpleNamespace

import numpy as np
import pytest

from src.config.training import DeviceSettings
from src.data.plan import TrainingPlan
from src.log import RunLog
from src.train import loop
from src.train.callbacks import Evaluator, OverflowGuard, Progress, Saver, StepLog, Throughput

LENGTHS = np.full(40, 5, np.int32)


def tensor(value):
    return SimpleNamespace(asnumpy=lambda: np.array(value))


def context(*outputs):
    return SimpleNamespace(original_args=lambda: SimpleNamespace(net_outputs=[tensor(value) for value in outputs]))


def train(callbacks, plan, per_call=1, losses=lambda call: 1.0):
    """Call the callbacks as the framework does: once for every `per_call` micro-batches."""
    for callback in callbacks:
        callback.on_train_begin(None)
    for call in range(len(plan) // per_call):
        for callback in callbacks:
            callback.on_train_step_begin(None)
        for callback in callbacks:
            callback.on_train_step_end(context(losses(call), 0.1, 1.0, 0, 0.75, 0.25))
    for callback in callbacks:
        callback.on_train_end(None)


@pytest.mark.parametrize("per_call", [1, 2, 4, 6])
def test_savings_and_evaluations_come_at_the_first_call_that_passes_their_step(per_call):
    plan = TrainingPlan(LENGTHS, (8,), 4, 1, updates=12, accumulation_steps=2)
    done, saved, evaluated = Progress(plan, 0, per_call), [], []
    counter = StepLog(done, LENGTHS, 1, RunLog(None))
    train([counter, Saver(done, 10, saved.append), Evaluator(done, 8, lambda: evaluated.append(done.batches))], plan, per_call)
    ends = range(per_call, 25, per_call)
    assert saved == sorted({next(end for end in ends if end >= wanted) for wanted in (10, 20, 24)})
    assert evaluated == sorted({next(end for end in ends if end >= wanted) for wanted in (8, 16, 24)})
    assert (done.step, done.epoch) == (12, 2.4)


def test_savings_wait_for_the_end_of_an_update():
    plan, saved = TrainingPlan(LENGTHS, (8,), 4, 1, updates=6, accumulation_steps=2), []
    done = Progress(plan, 0)
    train([StepLog(done, LENGTHS, 1, RunLog(None)), Saver(done, 5, saved.append)], plan)
    assert saved == [6, 10, 12]


def test_step_lines_tell_the_parts_and_the_mean_of_their_losses(tmp_path):
    plan = TrainingPlan(LENGTHS, (8,), 4, 1, updates=6)
    log = RunLog(tmp_path / "log.jsonl")
    train([StepLog(Progress(plan, 0), LENGTHS, 3, log, ("masked_lm_loss", "next_sentence_loss"))], plan, losses=float)
    log.close()
    records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    steps = [record for record in records if "step" in record]
    assert [(record["step"], record["loss"]) for record in steps] == [(1, 0.0), (3, 1.5), (6, 4.0)]
    assert steps[0]["masked_lm_loss"] == 0.75 and steps[0]["next_sentence_loss"] == 0.25
    assert steps[0]["padding"] == pytest.approx(3 / 8)
    assert [record["event"] for record in records if "event" in record] == ["compile", "trained"]


@pytest.mark.parametrize(("first", "skipped", "warned"), [(0, 4, True), (0, 3, False), (4, 7, False)])
def test_a_training_that_learned_nothing_is_told_also_when_resumed(first, skipped, warned, caplog):
    log = StepLog(Progress(TrainingPlan(LENGTHS, (8,), 4, 1, updates=first + 4), first), LENGTHS, 1, RunLog(None))
    log.on_train_begin(None)
    for _ in range(4):
        log.on_train_step_begin(None)
        log.on_train_step_end(context(1.0, 0.1, 2.0, skipped))
    log.on_train_end(None)
    assert ("nothing was learned" in caplog.text) == warned


def test_rates_leave_out_compilation_and_the_steps_to_skip():
    speed = Throughput(skip=3)
    firsts = [speed.add(length, 8, 40, seconds) for length, seconds in ((8, 9.0), (8, 7.0), (16, 9.0), (8, 1.0), (16, 2.0), (8, 0.5))]
    assert firsts == [True, False, True, False, False, False]
    assert speed.compile_seconds == 18.0
    assert (speed.rows, speed.tokens, speed.seconds) == (24, 120, 3.5)
    assert (speed.slowest, speed.fastest) == (4.0, 16.0)
    speed.add(8, 1, 5, 1.0, is_whole=False)  # the last batch of an epoch, most of it filler
    assert (speed.rows, speed.slowest, speed.fastest) == (24, 4.0, 16.0)


@pytest.mark.parametrize(("per_call", "counted"), [(1, 16), (2, 16), (4, 16)])
def test_steps_to_skip_are_updates(per_call, counted):
    plan = TrainingPlan(LENGTHS, (8,), 4, 1, updates=4, accumulation_steps=2)  # 8 batches of 4 rows
    log = StepLog(Progress(plan, 0, per_call), LENGTHS, 1, RunLog(None), skip=2)
    train([log], plan, per_call)
    assert log.speed.rows == counted


def test_a_resumed_run_counts_on(tmp_path):
    plan = TrainingPlan(LENGTHS, (8,), 4, 1, updates=12)
    done = Progress(plan, 7)
    log = RunLog(tmp_path / "log.jsonl")
    counter = StepLog(done, LENGTHS, 10, log)
    counter.on_train_begin(None)
    for _ in range(5):
        counter.on_train_step_begin(None)
        counter.on_train_step_end(context(1.0, 0.1, 1.0, 0))
    log.close()
    steps = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in steps if "step" in record] == [8, 10, 12]


@pytest.mark.parametrize(
    ("asked", "accumulation_steps", "batches", "taken"), [(100, 1, 1000, 100), (100, 2, 1000, 200), (100, 1, 1001, 91), (20, 1, 7, 7)]
)
def test_sink_steps_divide_the_training(asked, accumulation_steps, batches, taken):
    sink = DeviceSettings(target="Ascend", data_sink=True)
    config = SimpleNamespace(device=sink, data_sink_steps=asked, accumulation_steps=accumulation_steps)
    assert loop._choose_sink(config, batches) == taken
    config.device = DeviceSettings()
    assert loop._choose_sink(config, batches) == 1


def test_overflows_in_a_row_end_the_training_and_name_the_parameters():
    counters = {"global_step": 0, "skipped": 0}
    step = SimpleNamespace(
        loss_scale=SimpleNamespace(scale=tensor(2.0)),
        optimizer=SimpleNamespace(global_step=SimpleNamespace(asnumpy=lambda: counters["global_step"])),
        skipped=SimpleNamespace(asnumpy=lambda: counters["skipped"]),
        overflowed=tensor([False, True, True]),
    )
    guard = OverflowGuard(step, ["bert.a", "bert.b", "head.c"], limit=3)
    for finite in (0, 0, 1, 0, 0):  # never three in a row
        counters["global_step" if finite else "skipped"] += 1
        guard.on_train_step_end(None)
    counters["skipped"] += 1
    with pytest.raises(FloatingPointError, match="3 updates in a row overflowed, the loss scale is 2; not finite last: bert.b, head.c"):
        guard.on_train_step_end(None)
