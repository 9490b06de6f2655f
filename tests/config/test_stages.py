"""Recipes with stages: what each stage gets, what all share, and what is refused."""

import pytest
import yaml

from src.config import loader, stages
from src.report import memory
from src.tasks.pretrain.options import PretrainOptions
from src.tasks.task import TASKS

RECIPE = {
    "bert_network": "tiny",
    "train_batch_size": 8,
    "optimizer": {"name": "AdamWeightDecay", "learning_rate": 1e-3, "warmup_steps": 3},
    "stages": [
        {"seq_length": 128, "max_steps": 90, "data_dir": "short"},
        {"seq_length": 512, "train_steps": 10, "data_dir": "long", "batch_size": 4, "accumulation_steps": 2},
    ],
}
OWN = {
    "stage_schedule": "stage",
    "stages": [RECIPE["stages"][0] | {"optimizer": {"learning_rate": 6e-3}}, RECIPE["stages"][1] | {"warmup_steps": 1}],
}


@pytest.fixture
def load(tmp_path, monkeypatch):
    """`load(*flags, **changes)`: the settings of the stages of RECIPE with changes; None leaves a key out."""
    monkeypatch.chdir(tmp_path)

    def load(*flags, **changes):
        recipe = {key: value for key, value in {**RECIPE, **changes}.items() if value is not None}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
        return stages.load(PretrainOptions, ["--config_path=recipe.yaml", *flags])

    return load


def test_each_stage_has_its_settings_and_those_of_the_file(load):
    first, second = load("--seed", "3")
    assert (first.seq_length, first.train_steps, first.data_dir, first.train_batch_size, first.accumulation_steps) == (
        128,
        90,
        "short",
        8,
        1,
    )
    assert (second.seq_length, second.train_steps, second.data_dir, second.train_batch_size, second.accumulation_steps) == (
        512,
        10,
        "long",
        4,
        2,
    )
    assert {(each.seed, each.optimizer.learning_rate, each.optimizer.warmup_steps) for each in (first, second)} == {(3, 1e-3, 3)}


def test_a_stage_knows_the_steps_before_it_and_the_rows_after_it(load):
    first, second = (each.stage for each in load())
    assert (first.number, first.first_update, first.updates, first.later) == (1, 0, 100, ((80, 512),))
    assert (second.number, second.first_update, second.updates, second.later) == (2, 90, 100, ())
    assert not first.own_schedule


def test_each_stage_may_have_its_own_schedule(load):
    first, second = load(**OWN)
    assert (first.optimizer.learning_rate, first.optimizer.warmup_steps) == (6e-3, 3)
    assert (second.optimizer.learning_rate, second.optimizer.warmup_steps) == (1e-3, 1)
    assert first.stage.own_schedule


@pytest.mark.parametrize("changes", [{}, OWN], ids=["one_schedule", "own_schedules"])
def test_the_settings_as_written_give_the_same_stages(load, changes, tmp_path):
    options = load(**changes)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(options[1].stage.recipe), encoding="utf-8")
    assert stages.load(PretrainOptions, ["--config_path=config.yaml"]) == options


def test_flags_set_what_a_stage_alone_has(load):
    first, second = load("--stages.2.data_dir=far", "--stages.1.max_steps", "9", "--stages.2.train_data_shuffle", "false", "--log_steps=5")
    assert (first.data_dir, first.train_steps, second.data_dir, second.train_data_shuffle) == ("short", 9, "far", False)
    assert first.log_steps == second.log_steps == 5 and first.train_data_shuffle


def test_a_file_without_stages_is_one_training(load):
    (only,) = load("--data_dir=rows", stages=None)
    assert only.stage is None
    assert (only,) == load(stages=[{"data_dir": "rows"}])


def stage(number, **changes):
    return {"stages": [entry | (changes if number == place else {}) for place, entry in enumerate(RECIPE["stages"], 1)]}


BAD = {
    "falling_lengths": (stage(2, seq_length=64), [], "recipe.yaml: stages: seq_length 128, then 64: short rows come first"),
    "unknown_key": (stage(2, trian_steps=5), [], "recipe.yaml: unknown setting stages.2.trian_steps; did you mean stages.2.train_steps?"),
    "empty_list": ({"stages": []}, [], "recipe.yaml: stages=[]: a list of stages is expected"),
    "no_list": ({"stages": {"seq_length": 128}}, [], "recipe.yaml: stages={'seq_length': 128}: a list of stages is expected"),
    "no_mapping": ({"stages": [128, 512]}, [], "recipe.yaml: stages.1=128: a mapping of settings is expected"),
    "twice": (stage(2, max_steps=5), [], "recipe.yaml: stages.2: max_steps and train_steps are one setting"),
    "shared": (stage(2, seed=5), [], "recipe.yaml: stages.2.seed=5: all stages share it; they may differ in data_dir, "),
    "shared_flag": ({}, ["--stages.2.bert_network=base"], "all stages share it"),
    "schedule": (
        stage(2, learning_rate=4e-3),
        [],
        "stages.2.optimizer.learning_rate=0.004: one schedule goes over all stages; stage_schedule=stage",
    ),
    "bound": (stage(2, batch_size=0), [], "recipe.yaml: stages.2.train_batch_size=0 is not allowed: it must be at least 1"),
    "no_steps": (stage(1, max_steps=-1), [], "stages.1.train_steps is missing: each stage needs its number of updates"),
    "no_checkpoints": ({"enable_save_ckpt": False}, [], "enable_save_ckpt=false: a stage begins from the checkpoint of the one before"),
    "early_stopping": ({"train_with_eval": True, "eval_data_dir": "x", "early_stopping": 2}, [], "early_stopping=2: not with stages"),
    "flag_of_all": ({}, ["--data_dir=x"], "--data_dir: recipe.yaml gives it for each stage; --stages.1.data_dir sets that of stage 1"),
    "no_such_stage": ({}, ["--stages.3.data_dir=x"], "--stages.3.data_dir: recipe.yaml has stages 1 to 2"),
    "flag_of_the_run": ({}, ["--stages.1.config_path=x"], "--stages.1.config_path: is for all stages; --config_path"),
    "flag_without_stages": ({"stages": None}, ["--data_dir=x", "--stages.1.seed=1"], "--stages.1.seed: there are no stages"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_stages_end_with_one_line(load, name, capsys):
    changes, flags, told = BAD[name]
    with pytest.raises(SystemExit) as caught:
        load(*flags, **changes)
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.count("\n") == 1 and told in error


def test_other_scripts_know_no_stages(load, capsys):
    load(**dict.fromkeys(RECIPE.keys() - {"stages"}))
    with pytest.raises(SystemExit):
        loader.load(TASKS["classifier"].options, ["--config_path=recipe.yaml", "--do_train=true"])
    assert "unknown setting stages" in capsys.readouterr().err


def test_the_planner_plans_each_stage(load, capsys, tmp_path):
    load()
    memory.main(["--config_path=recipe.yaml", "--device_target=CPU", "--output=plan"])
    headings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("## Largest batch")]
    assert [heading.partition("pretrain, ")[2].partition(",")[0] for heading in headings] == ["stage 1", "stage 2"]
    assert "seq_length 128" in headings[0] and "seq_length 512" in headings[1]
    assert "seq_length 512" in (tmp_path / "plan/memory.svg").read_text(encoding="utf-8")


def test_the_origin_of_each_stages_values_is_told_where_they_differ(load, capsys):
    with pytest.raises(SystemExit) as caught:
        load("--stages.2.max_steps=12", "--seed=3", "--explain_config")
    assert caught.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    found = {line.partition("=")[0]: line.partition("=")[2].split(None, 1) for line in lines if "=" in line}
    assert found["seed"] == ["3", "flag --seed"] and found["train_data_shuffle"] == ["true", "default"]
    assert found["stages.1.seq_length"] == ["128", "recipe.yaml:9"] and found["stages.2.seq_length"] == ["512", "recipe.yaml:13"]
    assert found["stages.2.train_batch_size"] == ["4", "recipe.yaml:11"]  # by its other name
    assert found["stages.1.train_batch_size"] == ["8", "recipe.yaml:15"]
    assert found["stages.1.train_steps"] == ["90", "recipe.yaml:8"] and found["stages.2.train_steps"] == ["12", "flag --stages.2.max_steps"]
    assert not found.keys() & {"seq_length", "stages.1.seed"}
