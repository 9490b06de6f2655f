"""FLOPs of a training step against the products on the memory planner's tape; peaks of devices; the time left."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import TINY

from src.config import devices, loader
from src.config.training import DeviceSettings
from src.log import RunLog
from src.records.plan import TrainingPlan
from src.report.memory import options_class
from src.report.memory_ops import record
from src.tasks.task import TASKS
from src.train import runtime
from src.train.cost import Cost, make_cost
from src.train.step_log import Progress, StepLog

LENGTHS = np.full(40, 6)


def prepare(task, device=None, **settings):
    """What make_cost reads of a Prepared, for rows with 5 masked positions."""
    options = loader.build(options_class(TASKS[task]), {"model": TINY, "max_predictions_per_seq": 5, **settings})
    config = dataclasses.replace(options, device=device or DeviceSettings())
    return SimpleNamespace(config=config, records={"train": SimpleNamespace(num_masked=5)})


@pytest.mark.parametrize("positions", ["absolute", "sinusoidal", "learned"])
@pytest.mark.parametrize(("objective", "length"), [("mlm_nsp", 8), ("mlm", 30)])
def test_flops_are_those_of_the_planners_products(positions, objective, length):
    distance = {} if positions == "absolute" else {"max_relative_position": 4}
    prepared = prepare(
        "pretrain", objective=objective, model={**TINY, "position_embedding_type": positions, "num_hidden_layers": 2, **distance}
    )
    tape = record(prepared.config, devices.settings("GPU", "float32"), TASKS["pretrain"], length)
    products = [op for op in tape.ops if op.is_product]
    forward = sum(2 * math.prod(op.result.shape) * op.inputs[0].shape[-1] for op in products)
    cost = make_cost(TASKS["pretrain"], prepared)
    assert cost.count(np.array([length])) == 3 * forward
    assert cost.count(np.array([length, 3, length])) == 6 * forward + cost.count(np.array([3]))


def test_a_base_network_takes_the_flops_of_its_weights():
    base = {"vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
    prepared = prepare("pretrain", model={**TINY, **base, "max_position_embeddings": 512})
    cost = make_cost(TASKS["pretrain"], prepared)
    assert cost.token == 6 * 12 * (4 * 768**2 + 2 * 768 * 3072)  # 6 for each weight of the encoder: PaLM, appendix B
    assert cost.pair == 12 * 12 * 768  # 12 L H Q T for each token


def test_the_peak_is_that_of_all_ranks():
    ascend = DeviceSettings("Ascend", "float16", chip="910A", world_size=8)
    assert make_cost(TASKS["pretrain"], prepare("pretrain", ascend)).peak == 8 * 256e12


@pytest.mark.parametrize("changes", [{"r_drop": 1.0}, {"adversarial": "fgm"}, {"frozen_parts": ("embeddings",)}])
def test_no_flops_are_told_where_a_step_is_not_one_pass_over_all_parts(changes):
    usual = {"frozen_parts": (), "adversarial": None, "r_drop": None}
    task = SimpleNamespace(training=SimpleNamespace(head_flops=lambda prepared: 0.0))
    assert make_cost(task, SimpleNamespace(config=SimpleNamespace(**usual | changes))) is None


@pytest.mark.parametrize(
    ("device", "peak"),
    [
        (DeviceSettings("GPU", "float16", chip="Tesla V100-SXM2-16GB"), 125e12),
        (DeviceSettings("GPU", "float32", chip="NVIDIA A100-SXM4-80GB", allow_tf32=True), 156e12),
        (DeviceSettings("GPU", "float32", chip="NVIDIA A100-SXM4-80GB"), 19.5e12),
        (DeviceSettings("GPU", "float16", chip="NVIDIA H200"), None),
        (DeviceSettings("GPU", "float16", chip="NVIDIA RTX A1000"), None),
        (DeviceSettings("Ascend", "bfloat16", chip="910B"), 313e12),
        (DeviceSettings("Ascend", "float32", chip="910A"), None),
        (DeviceSettings("Ascend", "float16", chip="A3"), None),
    ],
)
def test_peaks_are_the_makers(device, peak, caplog):
    assert runtime.find_peak(device) == peak
    assert ("unknown: the share of it (mfu) is not told" in caplog.text) == (peak is None)


def test_the_peak_of_a_cpu_is_measured_once(monkeypatch):
    peak = runtime.find_peak(DeviceSettings())
    assert 1e8 < peak < 1e15
    monkeypatch.setattr("src.train.runtime.time.perf_counter", None)
    assert runtime.find_peak(DeviceSettings()) == peak


def run(step_log, seconds, clock):
    """Calls that take these seconds each."""
    outputs = [SimpleNamespace(asnumpy=lambda value=value: np.array(value)) for value in (1.0, 0.1, 1.0, 0)]
    context = SimpleNamespace(original_args=lambda: SimpleNamespace(net_outputs=outputs))
    step_log.on_train_begin(None)
    for taken in seconds:
        step_log.on_train_step_begin(None)
        clock.now += taken
        step_log.on_train_step_end(context)


class Records:
    """A log that keeps its records."""

    def __init__(self):
        self.records = []

    def write(self, record):
        self.records.append(record)

    @property
    def steps(self):
        return [record for record in self.records if "step" in record]


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    for name in ("perf_counter", "monotonic"):
        monkeypatch.setattr(f"src.train.step_log.time.{name}", lambda: clock.now)
    return clock


@pytest.mark.parametrize(("first", "later"), [(0, 0.0), (4, 0.0), (4, 10.0)], ids=["whole", "resumed", "with_a_later_stage"])
def test_the_time_left_leaves_out_the_compilation_and_counts_from_where_the_run_began(first, later, clock):
    log = Records()
    plan = TrainingPlan(LENGTHS, (6,), 4, 1, updates=20)
    step_log = StepLog(Progress(plan, first, later=later), LENGTHS, 1, log, cost=Cost(1.0, 10.0, 1.0, 1e3))
    run(step_log, [60.0, 2.0, 2.0, 4.0], clock)
    left = 20 - first
    assert [record.get("eta_s") for record in log.steps] == [
        None,
        round(2 * (left - 2 + later)),
        round(2 * (left - 3 + later)),
        round(8 / 3 * (left - 4 + later)),
    ]
    assert [record["seconds"] for record in log.steps] == [60, 2, 2, 4]


def test_a_line_tells_flops_and_their_share_of_the_peak(clock, caplog):
    log = Records()
    plan = TrainingPlan(LENGTHS, (8,), 4, 1, updates=4)
    run(StepLog(Progress(plan, 0), LENGTHS, 1, log, cost=Cost(4.0, 10.0, 1.0, 1e3)), [9.0, 2.0], clock)
    first, second = log.steps
    assert "mfu" not in first and first["tokens"] == second["tokens"] == 24
    assert (second["model_flops_per_s"], second["mfu"]) == (200.0, 0.2)  # 4 rows of 4 + 60 + 36 in 2 s; padding does not count
    assert caplog.messages[-1].endswith("samples_per_s=2 tokens_per_s=12 model_flops_per_s=200 mfu=0.2 padding=0.25 eta=0:00:04")


def test_without_a_peak_there_is_no_share(clock):
    log = Records()
    run(StepLog(Progress(TrainingPlan(LENGTHS, (6,), 4, 1, updates=4), 0), LENGTHS, 1, log, cost=Cost(1.0, 1.0, 1.0)), [9.0, 2.0], clock)
    assert "model_flops_per_s" in log.steps[1] and "mfu" not in log.steps[1]


def test_records_have_what_each_of_them_has(tmp_path):
    log = RunLog(tmp_path / "log.jsonl", always={"stage": 2})
    log.write({"step": 1})
    log.close()
    assert (tmp_path / "log.jsonl").read_text(encoding="utf-8") == '{"step": 1, "stage": 2}\n'
