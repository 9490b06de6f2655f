"""A training in a folder that another training uses or has used."""

import json
from types import SimpleNamespace

import pytest
from conftest import exit_code
from train.test_saving import save

import run_classifier
from src.locks import locked
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.pretrain.options import PretrainOptions
from src.train import resume

TASK = SimpleNamespace(training=SimpleNamespace(PREFIX="ner"))
DESCRIBED = ("config.json", "vocab.txt", "tokenizer_config.json")


@pytest.fixture
def folder(tmp_path):
    """The folder of a finished fine-tuning, with a checkpoint of another task in it."""
    save(tmp_path, 1, 10, keep=2)
    save(tmp_path, 2, 20, keep=2)
    for name in (*DESCRIBED, "log.jsonl", "classifier-1_5.ckpt"):
        (tmp_path / name).write_text(f"old {name}")
    return tmp_path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_checkpoints_of_an_earlier_training_are_kept_whole_and_told(folder, capsys):
    config, before = SimpleNamespace(checkpoint_dir=folder, overwrite=False), contents(folder)
    resume.set_aside(TASK, config)
    checkpoints = ["ner-1_10.ckpt", "ner-2_20.ckpt"]
    assert contents(folder / "earlier-1") == {name: before[name] for name in (*checkpoints, *DESCRIBED)}
    assert contents(folder) == {name: content for name, content in before.items() if name not in checkpoints}
    told = capsys.readouterr().out
    assert f"holds ner-1_10.ckpt, ner-2_20.ckpt of an earlier training, now in {folder}/earlier-1; --overwrite true" in told
    save(folder, 1, 10)
    resume.set_aside(TASK, config)
    assert [path.name for path in sorted(folder.glob("earlier-*/*.ckpt"))] == [*checkpoints, "ner-1_10.ckpt"]
    assert (folder / "earlier-2/ner-1_10.ckpt").is_file()


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_best_of_an_earlier_training_goes_with_its_checkpoints(overwrite, folder):
    resume.checkpoint.keep_best(folder / "ner-1_10.ckpt")
    resume.set_aside(TASK, SimpleNamespace(checkpoint_dir=folder, overwrite=overwrite))
    assert resume.checkpoint.find_best(folder, "ner") is None
    kept = resume.checkpoint.find_best(folder / "earlier-1", "ner")
    assert kept is None if overwrite else kept.name == "ner-1_10.ckpt"


def test_overwrite_removes_those_of_the_same_task_and_tells(folder, capsys):
    resume.set_aside(TASK, SimpleNamespace(checkpoint_dir=folder, overwrite=True))
    assert [path.name for path in folder.glob("**/*.ckpt")] == ["classifier-1_5.ckpt"]
    assert f"{folder}: removed ner-1_10.ckpt, ner-2_20.ckpt of an earlier training" in capsys.readouterr().out


def test_overwrite_beside_a_training_that_is_resumed_is_told_as_ignored(folder, capsys, monkeypatch):
    position = resume.checkpoint.Position(1, 0, 4, 1)
    monkeypatch.setattr(resume.checkpoint, "read_state", lambda path, trained_on, stage: (position, {}))
    device = SimpleNamespace(world_size=1)
    settings = {"overwrite": True, "packing": None, "train_batch_size": 4, "device": device, "stage": None}
    config = SimpleNamespace(checkpoint_dir=folder, output_dir=folder, **settings)
    assert resume.read_newest(TASK, config, {}).path.name == "ner-2_20.ckpt"
    assert "overwrite=true is ignored: the training in the folder is resumed" in capsys.readouterr().out


def test_a_new_folder_is_left_as_it_is(tmp_path, capsys):
    resume.set_aside(TASK, SimpleNamespace(checkpoint_dir=tmp_path, overwrite=False))
    assert not list(tmp_path.iterdir()) and not capsys.readouterr().out


@pytest.mark.parametrize(("changes", "is_refused"), [({}, True), ({"overwrite": True}, False), ({"resume": True}, False)])
def test_a_pretraining_starts_anew_in_a_used_folder_only_when_told_to_overwrite(changes, is_refused, folder):
    config = PretrainOptions(data_dir="x", output_dir=str(folder), **changes)
    if is_refused:
        with pytest.raises(ValueError, match="give --resume true, or another folder, or --overwrite true"), resume.folder_taken(config):
            pass
    else:
        with resume.folder_taken(config):
            assert len(list(folder.glob("*.ckpt"))) == 3


def test_a_fine_tuning_starts_in_a_used_folder(folder):
    with resume.folder_taken(ClassifierOptions(do_train=True, save_finetune_checkpoint_path=str(folder))):
        assert len(list(folder.glob("*.ckpt"))) == 3


def test_a_refused_training_changes_nothing_of_the_one_that_runs(job, tmp_path, capsys):
    out = tmp_path / "out"
    (out / "ckpt").mkdir(parents=True)
    names = ("label_map.json", "config.yaml", "log.jsonl", "eval_results.json", "ckpt/config.json", "ckpt/vocab.txt")
    for name in names:
        (out / name).write_text(json.dumps({"of": "the one that runs"}))
    before = {name: (out / name).read_bytes() for name in names}
    with locked(out / "ckpt"):
        assert exit_code(run_classifier.main, job(do_eval="true", labels="positive,negative")) == 2
    assert "another training writes here at this moment" in capsys.readouterr().err
    assert {name: (out / name).read_bytes() for name in names} == before


@pytest.mark.slow  # three trainings
def test_a_fine_tuning_again_keeps_the_first_and_evaluates_the_second(job, tmp_path, capsys):
    steps = {"epoch_num": None, "train_steps": 1, "do_eval": "true"}
    run_classifier.main(job(**steps))
    first = (tmp_path / "out/ckpt/classifier-1_1.ckpt").read_bytes()
    run_classifier.main(job(**steps, seed=5, labels="positive,negative"))
    kept = tmp_path / "out/ckpt/earlier-1"
    assert (kept / "classifier-1_1.ckpt").read_bytes() == first != (tmp_path / "out/ckpt/classifier-1_1.ckpt").read_bytes()
    for folder, labels in ((kept, ["negative", "positive"]), (tmp_path / "out/ckpt", ["positive", "negative"])):
        assert list(json.loads((folder / "config.json").read_text())["label2id"]) == labels
    assert list(json.loads((tmp_path / "out/label_map.json").read_text())) == ["positive", "negative"]
    alone = dict.fromkeys(("do_train", "bert_config_file", "vocab_file_path", "train_data_file_path", "task_name", "columns"))
    run_classifier.main(job(**{**steps, **alone}, load_finetune_checkpoint_path=kept, output_dir=tmp_path / "evaluated"))
    run_classifier.main(job(**steps, overwrite="true", load_pretrain_checkpoint_path=tmp_path / "out/ckpt", vocab_file_path=None))
    assert "removed classifier-1_1.ckpt of an earlier training" in capsys.readouterr().out
    assert [path.name for path in sorted(tmp_path.glob("out/ckpt/**/*.ckpt"))] == ["classifier-1_1.ckpt"] * 2
