import json
from pathlib import Path

import pytest
from conftest import SHAPE, write_vocabulary

from src.config import fields, loader
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.ner.options import NerOptions
from src.tasks.pretrain.options import PretrainEvalOptions, PretrainOptions
from tests.published_commands import zoo_files


@pytest.fixture(autouse=True)
def weights(tmp_path, monkeypatch):
    """A folder with the files beside weights, in the current folder, which is empty apart from it."""
    monkeypatch.chdir(tmp_path)
    Path("weights").mkdir()
    Path("weights/config.json").write_text(json.dumps(SHAPE), encoding="utf-8")
    write_vocabulary(Path("weights/vocab.txt"))
    return "--load_pretrain_checkpoint_path=weights"


def explain(capsys, options, *flags):
    """Setting -> (value, origin), as they are printed."""
    with pytest.raises(SystemExit) as caught:
        loader.load(options, [*flags, "--explain_config"])
    out, err = capsys.readouterr()
    assert (caught.value.code, err) == (0, "")
    lines = [line.split(None, 1) for line in out.splitlines() if "=" in line.split("  ")[0] and "  " in line]
    return {setting.partition("=")[0]: (setting.partition("=")[2], origin) for setting, origin in lines}


def test_each_value_names_its_origin(weights, capsys):
    text = "# recipe\ntask_name: cola\nnum_train_epochs: 2\noptimizer:\n  name: AdamW\n  learning_rate: 5e-5\n"
    Path("recipe.yaml").write_text(text, encoding="utf-8")
    flags = ("--config_path=recipe.yaml", "--do_train", "--learning_rate", "1e-4", "--vocab_file=weights/vocab.txt", "--use_fp16=true")
    found = explain(capsys, ClassifierOptions, weights, *flags)
    assert list(found) == [key for key, *_ in fields.leaves(ClassifierOptions)]
    assert found["task_name"] == ("cola", "recipe.yaml:2")
    assert found["epoch_num"] == ("2.0", "recipe.yaml:3")
    assert found["optimizer.name"] == ("AdamW", "recipe.yaml:5")
    assert found["optimizer.learning_rate"] == ("0.0001", "flag --learning_rate")
    assert found["vocab_file_path"] == ("weights/vocab.txt", "flag --vocab_file")
    assert found["do_train"] == ("true", "flag --do_train")
    assert found["precision.loss_scale"] == ("static", "from --use_fp16")
    assert found["model.hidden_size"] == ("16", "beside weights")
    assert found["optimizer.weight_decay"] == ("0.01", "default")
    assert found["labels"] == ("none", "default")


def test_defaults_of_the_optimiser_and_the_network_are_named(capsys):
    found = explain(capsys, PretrainOptions, "--optimizer=AdamWeightDecay", "--bert_network=tiny")
    assert found["optimizer.power"] == ("5.0", "default of AdamWeightDecay")
    assert found["optimizer.name"] == ("AdamWeightDecay", "flag --optimizer")
    assert found["model.hidden_size"] == ("128", "network tiny")


def test_lines_of_the_model_zoos_files_are_named(tmp_path, weights, capsys):
    name = next(name for name in zoo_files.FILES if "ner" in name)
    zoo_files.write(tmp_path, name)
    lines = Path(name).read_text(encoding="utf-8").splitlines()
    found = explain(capsys, NerOptions, f"--config_path={name}", "--vocab_file_path=weights/vocab.txt")
    for key, leaf in (("model.num_hidden_layers", "num_hidden_layers"), ("epoch_num", "epoch_num")):
        value, origin = found[key]
        line = lines[int(origin.removeprefix(f"{name}:")) - 1].split(":")
        assert line[0].strip() == leaf and float(line[1].split("#")[0].strip(" \"'")) == float(value)


def test_of_the_groups_in_a_zoo_file_the_chosen_ones_are_named(tmp_path, capsys):
    zoo_files.write(tmp_path, "pretrain_config.yaml")
    lines = Path("pretrain_config.yaml").read_text(encoding="utf-8").splitlines()
    found = explain(capsys, PretrainOptions, "--config_path=pretrain_config.yaml", "--bert_network=nezha")
    for key, text in (
        ("train_batch_size", "nezha_batch_size: 96"),
        ("model.hidden_size", "hidden_size: 1024"),
        ("optimizer.power", "power: 2.0"),
    ):
        assert lines[int(found[key][1].removeprefix("pretrain_config.yaml:")) - 1].strip() == text


def test_an_evaluation_of_pretraining_is_explained_without_data(weights, capsys):
    assert explain(capsys, PretrainEvalOptions, "--eval_ckpt=weights")["load_pretrain_checkpoint_path"] == ("weights", "flag --eval_ckpt")


def test_bad_input_is_refused_before_it_is_explained(capsys):
    with pytest.raises(SystemExit) as caught:
        loader.load(ClassifierOptions, ["--explain_config", "--task_name=colla"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: task_name=colla is not allowed")
