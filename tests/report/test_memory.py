import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.config import devices
from src.config.model import ModelConfig, describe_weights
from src.config.training import OptimizerConfig
from src.convert.parameters import encoder_shapes
from src.report.memory import main, make_plan, parse_memory
from src.report.memory_ops import record
from src.report.memory_schedule import Plan
from src.report.memory_tape import Tape, Tensor
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.pretrain.options import PretrainOptions
from src.tasks.squad.options import SquadOptions
from src.tasks.task import TASKS

ROOT = Path(__file__).resolve().parents[2]
TINY = ModelConfig(vocab_size=50, hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16)
ADAM = OptimizerConfig(name="AdamWeightDecay")
NETWORKS = sorted(path.stem for path in (ROOT / "configs/networks").glob("*.json"))
KINDS = (("CPU", "float32"), ("GPU", "float32"), ("GPU", "float16"), ("Ascend", "bfloat16"))
FORMS = [devices.settings(target, kind, recompute=recompute) for recompute in (False, True) for target, kind in KINDS]
IDS = [f"{form.target}-{form.compute_type}-{form.recompute}" for form in FORMS]

# What a sequence adds to the peak of the tensors, bytes: 2026-11-30, MindSpore 2.10.0, two x86-64 cores, by
#     python benchmarks/memory_plan.py --config configs/networks/NETWORK.json --layers … --seq_length … --batch_sizes … [--use_recompute]
MEASURED = {  # network, layers, length, recompute, batch sizes
    ("bert_base", 6, 128, False, (16, 64)): 40_108_032,
    ("bert_base", 4, 512, False, (8, 14)): 110_100_480,
    ("bert_base", 4, 128, True, (80, 128)): 9_830_400,
}


def load_model(name):
    return ModelConfig(**describe_weights(None, ROOT / f"configs/networks/{name}.json").model)


# Peak of the tensors of a training step in float16 as Ascend's compiler plans it, MB: 2026-11-30, MindSpore 2.10.0, by dry runs of
#     python benchmarks/memory_trial.py --task … --optimizer … --config configs/networks/NETWORK.json --layers … …
# No update runs in them, as all their numbers are 0, so that moments are not there yet. The last two were looked at after the rest.
ASCEND = {  # network, layers, length, masked tokens, recompute, rows
    ("bert_base", 12, 128, 20, False, 256): 12_870,
    ("bert_base", 12, 128, 20, True, 256): 3_514,
    ("bert_base", 12, 512, 77, False, 48): 9_935,
    ("bert_base", 6, 512, 77, True, 96): 3_902,
    ("bert_large", 8, 128, 20, False, 96): 5_162,
    ("bert_large", 6, 512, 77, True, 96): 5_445,
    ("nezha_large", 12, 128, 20, False, 96): 8_572,
    ("nezha_large", 6, 512, 77, True, 32): 3_095,
    ("bert_large", 6, 512, 77, False, 24): 4_150,
    ("bert_large", 6, 128, None, False, 96): 3_560,  # a classifier with AdamWeightDecay
}


def plan_of(form, model=TINY, task="classifier", seq_length=16, **settings):
    task = TASKS[task]
    return make_plan(task.options(model=model, optimizer=ADAM, **settings), form, task, seq_length)


def test_bytes_of_a_product_and_a_loss_are_those_counted_by_hand():
    tape = Tape(devices.settings("GPU", "float32"))
    tape.part = "head"
    x = tape.add("rows", [tape.parameter("table", 5, 2), Tensor("ids", (4,), learned=False)], (4, 2))
    tape.add("loss", [tape.product("y", x, tape.parameter("weight", 3, 2), (4, 3))], ())
    plan = Plan(tape, "AdamWeightDecay")
    # forward: x 32; x and y 48; and the loss 4. backward: x, dy 48; x, dy (weight); dy, dx 32; dx (table). Then the update
    assert plan.per_row.tolist() == [32, 80, 84, 80, 80, 80, 32, *[0] * 6]
    # gradients 24 of the weight and 40 of the table; a square of each; both scaled, one by one; the two updates
    assert (plan.fixed - 3 * 64).tolist() == [0, 0, 0, 0, 24, 24, 64, 64 + 40, 64 + 24, 64 + 40, 24 + 40 + 24, 64, 24]
    assert [step.phase for step in plan.steps] == ["forward"] * 3 + ["backward"] * 4 + ["update"] * 6
    assert (plan.parameters, plan.moments) == (64, 128)


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if task.trains])
@pytest.mark.parametrize("form", FORMS, ids=IDS)
def test_live_bytes_are_those_of_looking_at_every_tensor_at_every_step(task, form):
    plan = plan_of(form, task=task, model=dataclasses.replace(TINY, num_hidden_layers=2))
    made = {tensor for step in plan.steps for tensor in step.writes}
    for number, step in enumerate(plan.steps):
        before, behind = plan.steps[: number + 1], plan.steps[number:]
        written = {tensor for step in before for tensor in step.writes}
        wanted = {tensor for step in behind for tensor in step.reads} | set(step.writes)
        alive = made & written & wanted
        assert plan.per_row[number] == sum(tensor.bytes for tensor in alive if tensor.per_row) + step.scratch
        constant = sum(tensor.bytes for tensor in alive if not tensor.per_row) + step.scratch_fixed
        assert plan.fixed[number] == constant + plan.parameters + plan.moments


@pytest.mark.parametrize("form", FORMS, ids=IDS)
def test_nothing_is_read_before_it_is_made_and_every_parameter_is_updated_once(form):
    plan, made = plan_of(form, task="pretrain"), set()
    names = [tensor.name for step in plan.steps for tensor in step.writes]
    assert len(names) == len(set(names))
    later = set(names)
    for step in plan.steps:
        assert not {tensor.name for tensor in step.reads} & later - made
        made |= {tensor.name for tensor in step.writes}
    assert sum(step.name == "update" for step in plan.steps) == len(plan.tape.parameters)


def test_peak_is_linear_in_the_batch_where_one_op_makes_it():
    plan = plan_of(FORMS[1])
    assert plan.peak(3000) - plan.peak(2000) == 1000 * plan.bytes_per_row


@pytest.mark.parametrize("form", FORMS, ids=IDS)
def test_largest_batch_fits_and_one_row_more_does_not(form):
    plan = plan_of(form)
    for memory in (10**6, 10**8):
        largest = plan.largest_batch(memory)
        assert plan.peak(largest) <= memory < plan.peak(largest + 1)
    assert plan.largest_batch(1000) == 0


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_recompute_takes_less(kind):
    baseline, recompute = (plan_of(devices.settings(*kind, recompute=again), load_model("bert_base")) for again in (False, True))
    assert recompute.peak(1000) < 0.5 * baseline.peak(1000)


def test_recompute_keeps_of_each_layer_its_input():
    form = devices.settings("CPU", recompute=True)
    few, many = (plan_of(form, dataclasses.replace(TINY, num_hidden_layers=layers)) for layers in (3, 4))
    assert many.bytes_per_row - few.bytes_per_row == 16 * 8 * 4


@pytest.mark.parametrize("form", [FORMS[0], FORMS[len(KINDS)], FORMS[3]], ids=str)
def test_frozen_parts_have_no_gradients_moments_and_activations(form):
    whole, upper = plan_of(form), plan_of(form, freeze=("embeddings", "layers.0-1"))
    frozen = ("embeddings.", "layer.0.", "layer.1.")
    assert upper.parameters == whole.parameters
    assert upper.trained == sum(tensor.bytes for tensor in whole.tape.parameters if not tensor.name.startswith(frozen))
    assert (upper.moments, whole.moments) == (2 * upper.trained, 2 * whole.trained)
    of_gradients = [tensor.name.split("gradient of ")[1] for step in upper.steps for tensor in step.writes if "gradient of " in tensor.name]
    assert of_gradients and not any(name.startswith(frozen) for name in of_gradients)
    assert upper.peak(1000) < whole.peak(1000) and upper.fixed.max() < whole.fixed.max()


def test_an_average_of_the_weights_takes_as_much_as_they_do():
    plain, averaged = plan_of(FORMS[1], freeze=("embeddings",)), plan_of(FORMS[1], freeze=("embeddings",), ema=0.9)
    assert averaged.peak(8) - plain.peak(8) == averaged.averages == plain.trained


@pytest.mark.parametrize(("name", "value"), [("r_drop", 1.0), ("adversarial", "fgm"), ("multi_sample_dropout", 4)])
def test_several_predictions_of_a_row_are_not_planned(name, value):
    with pytest.raises(ValueError, match=f"{name}={value} is not planned"):
        plan_of(FORMS[0], **{name: value})


def test_types_of_mixed_precision():
    tape = record(ClassifierOptions(model=TINY), devices.settings("GPU", "float16"), TASKS["classifier"], 16)
    layer = [op for op in tape.ops if op.part == "layer.1"]
    types = {op.name: op.result.type for op in layer}
    assert {types[name] for name in ("query by head", "scores", "context", "intermediate + bias", "output")} == {"float16"}
    assert {types[name] for name in ("softmax", "x + attention", "attention_norm", "output_norm")} == {"float32"}
    assert {parameter.type for parameter in tape.parameters} == {"float32"}
    assert sum(op.name == "cast of a weight" for op in layer) == 6
    kept = {tensor for op in layer for tensor in op.needs}
    masks = {op.result.shape: op.saved[0].type for op in layer if op.name == "dropout"}
    assert masks == {(2, 16, 16): "float32", (16, 8): "float16"} and {op.saved[0] for op in layer if op.name == "dropout"} <= kept


@pytest.mark.parametrize("recompute", [False, True])
def test_masks_are_bits_on_ascend_and_drawn_before_the_encoder(recompute):
    tape = record(ClassifierOptions(model=TINY), devices.settings("Ascend", "float32", recompute=recompute), TASKS["classifier"], 16)
    dropped = [op for op in tape.ops if op.name == "dropout"]
    assert {op.inputs[1].type for op in dropped} == {"bit"}
    assert [op.inputs[1].shape for op in dropped] == [op.result.shape for op in dropped]
    assert [op.name for op in tape.ops[: 1 + 3 * TINY.num_hidden_layers]] == ["mask"] * 10


def test_flash_attention_keeps_no_scores():
    model = dataclasses.replace(TINY, hidden_size=32)
    kinds = [("float16", 16, model), ("float32", 16, model), ("float16", 24, model), ("float16", 16, TINY)]
    for position, length in (("absolute", 16), ("sinusoidal", 16)):
        kinds.append(("float16", length, dataclasses.replace(model, position_embedding_type=position)))
    flash = []
    for compute_type, length, network in kinds:
        tape = record(ClassifierOptions(model=network), devices.settings("Ascend", compute_type), TASKS["classifier"], length)
        flash.append(any(op.name == "flash attention" for op in tape.ops))
        assert flash[-1] != any(op.name == "scores" for op in tape.ops)
    assert flash == [True, False, False, False, True, False]


@pytest.mark.parametrize("position", ["absolute", "learned", "sinusoidal"])
def test_attention_on_the_cpu_keeps_scores_for_relative_positions_only(position):
    model = dataclasses.replace(TINY, position_embedding_type=position)
    tape = record(ClassifierOptions(model=model), FORMS[0], TASKS["classifier"], 16)
    kept = {tensor.shape for op in tape.ops for tensor in op.needs}
    assert ((2, 16, 16) in kept) == (position != "absolute")
    assert any(op.name == "attention" for op in tape.ops) == (position == "absolute")


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_are_those_of_the_network(name):
    model = load_model(name)
    tape = record(SquadOptions(model=model), FORMS[0], TASKS["squad"], 128)
    shapes = [tuple(getattr(model, size) if isinstance(size, str) else size for size in sizes) for sizes in encoder_shapes(model).values()]
    shapes += [(2, model.hidden_size), (2,)]
    assert sorted(parameter.shape for parameter in tape.parameters) == sorted(shapes)


def test_the_heads_planned_are_those_of_the_objective():
    plans = {objective: plan_of(FORMS[0], task="pretrain", objective=objective) for objective in ("mlm_nsp", "mlm_sop", "mlm")}
    size = TINY.hidden_size
    heads = 4 * (size * size + size + 2 * size + 2)  # the pooler, and the two classes on it
    assert plans["mlm_nsp"].parameters == plans["mlm_sop"].parameters == plans["mlm"].parameters + heads
    assert plans["mlm_nsp"].peak(100) > plans["mlm"].peak(100)
    assert {op.part for op in plans["mlm_nsp"].tape.ops} - {op.part for op in plans["mlm"].tape.ops} == {"pooler", "next_sentence"}


@pytest.mark.parametrize("case", MEASURED, ids=str)
def test_plan_is_what_was_measured(case):
    name, layers, seq_length, recompute, (small, large) = case
    model = dataclasses.replace(load_model(name), num_hidden_layers=layers)
    plan = plan_of(devices.settings("CPU", recompute=recompute), model, seq_length=seq_length)
    planned = (plan.peak(large) - plan.peak(small)) / (large - small)
    assert planned == pytest.approx(MEASURED[case], rel=0.01)  # of the pool's log, in whole MB


@pytest.mark.parametrize("case", ASCEND, ids=str)
def test_the_plan_for_ascend_is_near_its_compilers(case):
    name, layers, seq_length, predictions, recompute, rows = case
    model = dataclasses.replace(load_model(name), num_hidden_layers=layers)
    form = devices.settings("Ascend", "float16", recompute=recompute)
    if predictions is None:
        plan = plan_of(form, model, seq_length=seq_length)
    else:
        options = PretrainOptions(model=model, max_predictions_per_seq=predictions, optimizer=OptimizerConfig(name="Lamb"))
        plan = make_plan(options, form, TASKS["pretrain"], seq_length)
    assert plan.peak(rows) == pytest.approx(ASCEND[case] * 2**20 + plan.moments, rel=0.15)


def test_known_numbers_of_parameters():
    large, base = load_model("bert_large"), dataclasses.replace(load_model("bert_base"), vocab_size=30522)
    # bert-base-uncased's and bert-large-uncased's 109,482,240 and 335,141,888, and a classifier of 2 classes
    assert plan_of(FORMS[0], base).parameters == 4 * (109_482_240 + 2 * 769)
    assert plan_of(FORMS[0], large).parameters == 4 * (335_141_888 + 2 * 1025)
    # pretraining's heads: dense, normalisation, the logits' bias, next sentence
    assert plan_of(FORMS[0], large, "pretrain").parameters == 4 * (335_141_888 + 1024 * 1025 + 2048 + 30522 + 2 * 1025)


def test_a_crf_has_its_parameters():
    plain, crf = (plan_of(FORMS[0], task="ner", use_crf=use_crf, labels=("O", "B-a", "I-a")) for use_crf in (False, True))
    assert crf.parameters - plain.parameters == 4 * (3 * 3 + 3 + 3)


def test_a_pointer_takes_a_matrix_of_scores_for_each_type():
    plans = [plan_of(FORMS[0], task="ner", head="global_pointer", labels=labels, seq_length=256) for labels in (("a",), ("a", "b", "c"))]
    one, three = (plan.bytes_per_row for plan in plans)
    assert plans[1].parameters - plans[0].parameters == 2 * 4 * 2 * (128 + 1)
    assert three - one > 2 * 3 * 4 * 256 * 256  # of each type at least the scores, their exp and a gradient


def test_gradients_that_are_summed_over_micro_batches_are_there_all_the_time():
    one, two = plan_of(FORMS[0]), plan_of(FORMS[0], accumulation_steps=2)
    assert two.peak(1) - one.peak(1) == one.parameters


def run(capsys, tmp_path, *flags):
    main([*flags, "--output", str(tmp_path)])
    return capsys.readouterr().out


def fail(capsys, tmp_path, *flags):
    with pytest.raises(SystemExit) as exit_info:
        main([*flags, "--output", str(tmp_path)])
    captured = capsys.readouterr()
    assert exit_info.value.code == 2 and captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_planned(path, capsys, tmp_path):
    if path.stem == "classifier_info_cnn":
        pytest.skip("the planner knows the linear head alone")
    task = next((task for task in ("pretrain", "ner", "squad", "embed") if task in path.stem), "classifier")
    assert "| float32: largest batch | " in run(capsys, tmp_path, "--task", task, "--config_path", str(path))


def test_recipe_gives_tables_and_a_figure(capsys, tmp_path):
    printed = run(capsys, tmp_path, "--config_path", str(ROOT / "configs/pretrain_bert_large.yaml"), "--device_memory", "32GB")
    assert "parameters: 336,226,108 of float32 | 1,282.6 |" in printed
    assert "|  | Baseline | Recompute | change |\n| --- | ---: | ---: | ---: |\n| float32: largest batch | " in printed
    assert "| mixed (float16): MB a sequence | " in printed
    assert "| layer.0 | softmax | [16, 512, 512] | float32 | yes | 16,777,216 |" in printed
    assert "layer.1" not in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["memory.png", "memory.svg"]
    assert "estimated memory (GB)" in (tmp_path / "memory.svg").read_text()


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if task.trains])
def test_every_task_is_planned_with_the_flags_of_its_script(task, capsys, tmp_path):
    printed = run(capsys, tmp_path, "--task", task, "--seq_length", "384", "--device_target", "CPU", "--model.num_hidden_layers", "2")
    assert f"{task}, 2 layers of 768, seq_length 384, CPU" in printed and "mixed" not in printed


@pytest.mark.parametrize(
    ("flags", "has_flash"),
    [([], True), (["--ascend_chip", "910B"], True), (["--ascend_chip", "910A"], False), (["--use_flash_attention", "false"], False)],
)
def test_flash_attention_is_planned_where_chip_and_options_have_it(flags, has_flash, capsys, tmp_path):
    printed = run(capsys, tmp_path, "--device_target", "Ascend", "--seq_length", "128", "--model.num_hidden_layers", "1", *flags)
    assert ("| flash attention |" in printed) == has_flash


def test_no_sequence_fits(capsys, tmp_path):
    assert "| float32: largest batch | 0: not one sequence fits | 0: not one sequence fits | – |" in run(
        capsys, tmp_path, "--device_memory", "500MB"
    )


def test_bad_input_is_named_in_one_line(capsys, tmp_path):
    assert "--device_memory 32XB: a number and MB or GB" in fail(capsys, tmp_path, "--device_memory", "32XB")
    assert "none.yaml: no such file" in fail(capsys, tmp_path, "--config_path", "none.yaml")
    assert "--batch_size 0: at least 1 row" in fail(capsys, tmp_path, "--batch_size", "0")
    assert "--epoch_num: a setting of a run" in fail(capsys, tmp_path, "--epoch_num", "0")
    assert "adversarial=fgm is not planned" in fail(capsys, tmp_path, "--task", "squad", "--adversarial", "fgm")
    assert "packing=true is not planned: give a pack's slots" in fail(capsys, tmp_path, "--packing", "true")
    assert "--seq_lenght" in fail(capsys, tmp_path, "--seq_lenght", "5")
    assert "GPU has no bfloat16" in fail(capsys, tmp_path, "--precision.compute_type", "bfloat16")
    ascend = ["--precision.compute_type", "bfloat16", "--device_target", "Ascend", "--ascend_chip", "910A"]
    assert "the Ascend 910A has no bfloat16" in fail(capsys, tmp_path, *ascend)
    assert "float32 alone" in fail(capsys, tmp_path, "--precision.compute_type", "float16", "--device_target", "CPU")
    assert "head=rcnn is not planned" in fail(capsys, tmp_path, "--task", "classifier", "--head", "rcnn")
    assert "head=lstm_softmax is not planned" in fail(capsys, tmp_path, "--task", "ner", "--with_lstm", "true")
    assert "not planned on Ascend" in fail(capsys, tmp_path, "--task", "ner", "--use_crf", "true", "--device_target", "Ascend")


def test_units_of_memory():
    assert parse_memory("32GB") == parse_memory("32 gib") == 32 * 1024**3
    assert parse_memory("1.5MB") == 1.5 * 1024**2


def test_plan_takes_little_time_and_no_mindspore(tmp_path):
    code = "import sys; from src.report.memory import main; main(sys.argv[1:]); assert 'mindspore' not in sys.modules"
    flags = ["--bert_network", "large", "--seq_length", "512", "--output", tmp_path]
    before = os.times()
    subprocess.run([sys.executable, "-c", code, *flags], cwd=ROOT, check=True, capture_output=True)
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 6  # 1 s on a quiet machine
