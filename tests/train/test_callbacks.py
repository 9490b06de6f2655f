import json
from types import SimpleNamespace

import numpy as np
import pytest

from src.config.training import DeviceSettings
from src.log import RunLog
from src.records.plan import TrainingPlan
from src.train import loop
from src.train.callbacks import Evaluator, Saver, StopOnSignal
from src.train.overflow_guard import OverflowGuard
from src.train.step_log import Progress, StepLog, Throughput

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
    train([counter, Saver(counter, 10, saved.append), Evaluator(counter, 8, lambda: evaluated.append(done.batches))], plan, per_call)
    ends = range(per_call, 25, per_call)
    assert saved == sorted({next(end for end in ends if end >= wanted) for wanted in (10, 20, 24)})
    assert evaluated == sorted({next(end for end in ends if end >= wanted) for wanted in (8, 16, 24)})
    assert (done.step, done.epoch) == (12, 2.4)


def test_savings_wait_for_the_end_of_an_update():
    plan, saved = TrainingPlan(LENGTHS, (8,), 4, 1, updates=6, accumulation_steps=2), []
    done = Progress(plan, 0)
    counter = StepLog(done, LENGTHS, 1, RunLog(None))
    train([counter, Saver(counter, 5, saved.append)], plan)
    assert saved == [6, 10, 12]


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("zoo", "epoch: 0.0, current epoch percent: 0.600, step: 6, outputs are (Tensor(shape=[1], dtype=Float32, [ 4.0000000e+00]), "),
        ("paddle", "epoch: 0, progress: 24/40, step: 6, ave loss: 4.000000, speed: "),
        ("plain", "epoch=0.600 step=6/6 loss=4 "),
    ],
)
def test_step_lines_have_the_form_that_is_asked_for(form, line, capsys):
    plan = TrainingPlan(LENGTHS, (8,), 4, 1, updates=6)
    train([StepLog(Progress(plan, 0), LENGTHS, 3, RunLog(None), form=form)], plan, losses=float)
    assert line in capsys.readouterr().out


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
    assert loop.choose_sink(config, batches) == taken
    config.device = DeviceSettings()
    assert loop.choose_sink(config, batches) == 1


def make_guard(limit, skipped=0, status=None):
    step = SimpleNamespace(skipped=tensor(skipped), overflowed=tensor([False, True, True]), status=status)
    return OverflowGuard(step, ["bert.a", "bert.b", "head.c"], limit)


def test_overflows_in_a_row_end_the_training_and_name_the_parameters():
    guard = make_guard(limit=3, skipped=7)  # by a training that is resumed
    for skipped in (8, 9, 9, 10, 11):  # never three in a row
        guard.check(1, skipped, 4.0)
    with pytest.raises(FloatingPointError, match="3 updates in a row overflowed, the loss scale is 2; not finite last: bert.b, head.c"):
        guard.check(1, 12, 2.0)


def test_no_parameter_is_named_where_the_chip_saturates():
    with pytest.raises(
        FloatingPointError, match="the loss scale is 2; which parameters cannot be told: this chip makes its largest number"
    ):
        make_guard(limit=1, status="of a 910A").check(1, 1, 2.0)


@pytest.mark.parametrize("calls", [[(0, 0), (1, 1), (0, 1), (1, 2)], [(2, 2)]], ids=["micro_batches", "sink"])
def test_overflows_in_a_row_are_counted_in_updates(calls):
    guard = make_guard(limit=2)
    with pytest.raises(FloatingPointError, match="2 updates in a row"):
        for updates, skipped in calls:
            guard.check(updates, skipped, 1.0)


class Device:
    """Trains with callbacks; `waits` are the steps after which a callback has read results of the device."""

    def __init__(self, losses=lambda call: 1.0):
        self.losses, self.calls, self.waits = losses, 0, []

    def step(self, *others):
        self.calls += 1
        return SimpleNamespace(original_args=lambda now=self.calls: SimpleNamespace(net_outputs=self.outputs(now, others)))

    def outputs(self, call, others):
        def wait(value):
            if self.waits[-1:] != [self.calls]:
                self.waits.append(self.calls)
            return np.array(value)

        values = (self.losses(call), 0.1, 1.0, 0, *others)
        return [SimpleNamespace(asnumpy=lambda value=value: wait(value)) for value in values]

    def train(self, callbacks, calls):
        for callback in callbacks:
            callback.on_train_begin(None)
        for _ in range(calls):
            for callback in callbacks:
                callback.on_train_step_begin(None)
            context = self.step()
            for callback in callbacks:
                callback.on_train_step_end(context)


@pytest.mark.parametrize(("every", "waits"), [(1, [*range(1, 61)]), (15, [1, 15, 20, 30, 40, 45, 60]), (100, [1, 20, 40, 60])])
def test_the_device_is_waited_for_when_a_line_is_due_and_not_at_every_step(every, waits):
    plan, device = TrainingPlan(LENGTHS, (8,), 4, 1, updates=60), Device()
    device.train([StepLog(Progress(plan, 0), LENGTHS, every, RunLog(None))], 60)
    assert device.waits == waits


def test_a_step_whose_time_does_not_count_is_waited_for_by_itself():
    plan, device = TrainingPlan(LENGTHS[:38], (8,), 4, 1, epochs=2, shuffle=False), Device()  # the tenth batch has two rows
    log = StepLog(Progress(plan, 0), LENGTHS, 100, RunLog(None), skip=2)
    device.train([log], 20)
    assert device.waits == [1, 2, 9, 10, 19, 20]
    assert log.speed.rows == 4 * (7 + 9)


def test_the_times_of_a_run_of_steps_are_those_of_the_clock_between_two_waits(monkeypatch):
    clock = iter(range(100))  # seconds; read at the beginning and at the end of a series of steps
    monkeypatch.setattr("src.train.step_log.time.perf_counter", lambda: next(clock))
    plan, device = TrainingPlan(LENGTHS, (8,), 4, 1, updates=31), Device()
    log = StepLog(Progress(plan, 0), LENGTHS, 10, RunLog(None))
    device.train([log], 31)
    assert (log.speed.rows, log.speed.seconds, log.speed.compile_seconds) == (30 * 4, 4, 1)
    assert (log.speed.slowest, log.speed.fastest) == (4, 40)


@pytest.mark.parametrize(("every", "found"), [(7, 7), (100, 20)], ids=["at_a_saving", "else_late"])
def test_a_loss_that_is_not_finite_is_found_before_anything_is_saved_or_evaluated(every, found):
    plan, device, saved = TrainingPlan(LENGTHS, (8,), 4, 1, updates=60), Device(lambda call: np.nan if call >= 4 else 1.0), []
    log = StepLog(Progress(plan, 0), LENGTHS, 100, RunLog(None))
    with pytest.raises(FloatingPointError, match="the loss is nan in micro-batch 4;"):
        device.train([log, Saver(log, every, saved.append), Evaluator(log, every, lambda: saved.append("evaluated"))], 60)
    assert (saved, device.calls) == ([], found)


def test_ranks_ask_each_other_about_once_a_second_whether_to_stop(monkeypatch):
    now, asked = [0.0], []
    monkeypatch.setattr("src.train.callbacks.time.perf_counter", lambda: now[0])
    saver = SimpleNamespace(done=SimpleNamespace(at_update=True))
    for seconds, per_update, expected in ((1.0, 0.25, [1, 2, 6, 10]), (1.0, 3.0, [*range(1, 13)]), (0.0, 0.25, [*range(1, 13)])):
        stop, asked[:], now[0] = StopOnSignal(saver, lambda number: asked.append(number) or number, seconds), [], 100.0
        found = []
        for update in range(1, 13):
            now[0] += per_update
            before = len(asked)
            stop.on_train_step_end(None)
            found += [update] if len(asked) > before else []
        assert found == expected
