"""The settings of a model apart from those of a run."""

import dataclasses
import functools
import json

import pytest
import yaml

from src.config import fields, loader
from src.config.model import own_description
from src.config.training import RunOptions
from src.tasks.task import TASKS

SHAPE = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def load(task, argv, path=None):
    complete = functools.partial(task.model.complete_from, path=path, is_trained=True)
    return loader.load(task.model, argv, complete=complete, recipe_class=task.options)


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.trains])
def test_a_run_has_the_settings_of_its_model_and_more(name):
    model, options = TASKS[name].model, TASKS[name].options
    ours = {key: default for key, _, default in fields.leaves(model)}
    assert issubclass(options, model) and not issubclass(model, RunOptions)
    assert ours.keys() < {key for key, *_ in fields.leaves(options)}
    assert set(model.TRAINED_WITH) <= ours.keys()
    assert not ours.keys() & {"output_dir", "data_dir", "epoch_num", "train_batch_size", "optimizer.name", "seed"}
    assert dataclasses.asdict(model())["model"] == dataclasses.asdict(options())["model"]


@pytest.mark.parametrize("name", TASKS)
def test_a_recipe_of_a_run_describes_a_model_too(name, tmp_path):
    task = TASKS[name]
    recipe = loader.to_dict(dataclasses.replace(task.options(), seq_length=400)) | {"enable_lossscale": True}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(recipe))
    assert load(task, [f"--config_path={tmp_path}/config.yaml"]).seq_length == 400


@pytest.mark.parametrize("flag", ["--epoch_num=0", "--batch_size=3", "--lr_scheduler=noam_decay", "--do_train", "--data_dir=x"])
def test_a_flag_of_runs_is_refused(flag, capsys):
    with pytest.raises(SystemExit, match="2"):
        load(TASKS["classifier"], [flag])
    assert f"error: {flag.split('=')[0]}: a setting of a run" in capsys.readouterr().err


def test_trained_weights_bring_labels_and_settings(tmp_path):
    described = SHAPE | {"model_type": "bert", "id2label": {"0": "O", "1": "B-X"}, "trained_with": {"seq_length": 24, "use_crf": True}}
    (tmp_path / "config.json").write_text(json.dumps(described))
    found = load(TASKS["ner"], [], tmp_path)
    assert (found.labels, found.seq_length, found.head, found.model.hidden_size) == (("O", "B-X"), 24, "crf", 8)


@pytest.mark.parametrize(("trained_with", "name"), [({}, "swag"), ({"task_name": "c3"}, "c3")])
def test_a_network_of_choices_is_known_by_hugging_faces_class(trained_with, name, tmp_path, capsys):
    described = own_description({**SHAPE, "position_embedding_type": "absolute"}, (), trained_with, choices=True)
    assert described["architectures"] == ["BertForMultipleChoice"]
    (tmp_path / "config.json").write_text(json.dumps(described), encoding="utf-8")
    found = load(TASKS["classifier"], [], tmp_path)
    assert found.task_name == name and found.has_choices
    with pytest.raises(SystemExit, match="2"):
        load(TASKS["classifier"], ["--task_name=custom"], tmp_path)
    assert f"task_name=custom: {tmp_path} is a BertForMultipleChoice: --task_name swag or c3" in capsys.readouterr().err
