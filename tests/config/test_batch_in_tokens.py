"""Batch sizes in tokens become rows once, whatever they are read from."""

import json
from pathlib import Path

import pytest
import yaml
from conftest import SHAPE

from src.config import loader
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.ner.options import NerOptions
from src.tasks.pretrain.options import PretrainEvalOptions, PretrainOptions
from src.tasks.squad.options import SquadOptions


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the default output folder must not exist


def load(*flags, script=ClassifierOptions):
    first = "--data_dir=x" if script is PretrainOptions else "--eval_data_dir=x" if script is PretrainEvalOptions else "--do_train=true"
    return loader.load(script, [first, "--batch_in_tokens=true", *flags])


def sizes(options):
    return options.train_batch_size, options.eval_batch_size


@pytest.mark.parametrize(
    ("tokens", "length", "rows"), [(72000, 128, 562), (178000, 128, 1390), (128, 128, 1), (255, 128, 1), (72000, 512, 140)]
)
def test_as_many_whole_rows_as_the_tokens_make(tokens, length, rows):
    assert load(f"--train_batch_size={tokens}", f"--seq_length={length}").train_batch_size == rows


@pytest.mark.parametrize(("script", "length"), [(ClassifierOptions, 128), (NerOptions, 128), (SquadOptions, 384)])
def test_each_script_has_its_own_length(script, length, capsys):
    options = load("--train_batch_size=3840", "--eval_batch_size=7680", script=script)
    assert sizes(options) == (3840 // length, 7680 // length)
    told = f"train_batch_size={3840 // length} rows, 3840 tokens by seq_length={length}; eval_batch_size={7680 // length} rows, 7680 tokens"
    assert f"batch_in_tokens=true: {told}" in capsys.readouterr().out


def test_sizes_that_are_not_given_stay_rows(capsys):
    assert sizes(load("--batch_size=1280")) == (10, 32)
    assert "eval_batch_size=32 rows, the default" in capsys.readouterr().out


def test_pretraining_and_its_evaluation_take_the_length_from_a_flag(capsys):
    assert sizes(load("--batch_size=1280", "--eval_batch_size=640", "--seq_length=128", script=PretrainOptions)) == (10, 5)
    Path("ckpt_0").mkdir()
    assert load("--eval_batch_size=640", "--seq_length=128", "--bert_network=tiny", script=PretrainEvalOptions).eval_batch_size == 5
    with pytest.raises(SystemExit, match="2"):
        load("--batch_size=1280", script=PretrainOptions)
    assert "batch_in_tokens=true: give --seq_length" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--train_batch_size=127"], "train_batch_size=127: batch_in_tokens=true counts tokens, and a row has seq_length=128 of them"),
        (["--train_batch_size=72000", "--eval_batch_size=32"], "eval_batch_size=32: batch_in_tokens=true counts tokens"),
        (["--train_batch_size=many"], "train_batch_size=many: expected a whole number"),
        (["--seq_length=many"], "seq_length=many: expected a whole number"),
        (["--batch_in_tokens=maybe"], "batch_in_tokens=maybe: expected true or false"),
        (["--seq_length=0"], "batch_in_tokens=true: give --seq_length"),
    ],
)
def test_less_than_a_row_and_no_number_are_refused(flags, part, capsys):
    with pytest.raises(SystemExit, match="2"):
        load(*flags)
    assert part in capsys.readouterr().err


def test_the_written_settings_are_rows_and_are_read_back_as_they_are():
    options = load("--train_batch_size=72000")
    plain = loader.to_dict(options)
    assert (plain["train_batch_size"], plain["batch_in_tokens"]) == (562, False)
    Path("config.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
    assert loader.load(ClassifierOptions, ["--config_path=config.yaml"]) == options


def test_yaml_may_ask_for_it():
    Path("recipe.yaml").write_text("batch_in_tokens: true\ntrain_batch_size: 72000\n", encoding="utf-8")
    assert loader.load(ClassifierOptions, ["--config_path=recipe.yaml", "--do_train"]).train_batch_size == 562
    flags = ["--config_path=recipe.yaml", "--do_train", "--batch_in_tokens=false", "--train_batch_size=8"]
    assert loader.load(ClassifierOptions, flags).train_batch_size == 8


def test_evaluation_counts_by_the_length_of_the_training():
    Path("weights").mkdir()
    trained_with = {"task_name": "sst2", "seq_length": 64}
    Path("weights/config.json").write_text(json.dumps(SHAPE | {"trained_with": trained_with}), encoding="utf-8")
    flags = ["--do_eval", "--load_finetune_checkpoint_path=weights", "--in_tokens", "--eval_batch_size=640"]
    assert loader.load(ClassifierOptions, flags).eval_batch_size == 10
