"""A recipe with two stages by run_pretrain.py: steps, data and learning rate over the change; stopped and resumed in either stage."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from conftest import LAST_DIGIT, TINY, WORDS

import run_pretrain
from src import build_records
from src.config import stages
from src.optim.adam import AdamWeightDecay
from src.report import costs, tables
from src.tasks.pretrain.options import PretrainOptions
from src.train import checkpoint, loop

LENGTHS = {"short": 16, "long": 24}
FIRST, SECOND = 6, 4  # updates of the stages
PEAK = 0.01
OWN = {"stage_schedule": "stage"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder with a vocabulary, a network's shape, and records of two lengths."""
    folder = tmp_path_factory.mktemp("corpus")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "."]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    random = np.random.default_rng(3)
    documents = ["\n".join(" ".join(random.choice(WORDS, 6)) + " ." for _ in range(8)) for _ in range(12)]
    (folder / "text.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    (folder / "bert_config.json").write_text(json.dumps({**TINY, "vocab_size": len(tokens)}), encoding="utf-8")
    for name, length in LENGTHS.items():
        (folder / name).mkdir()
        files = [f"--input_file={folder}/text.txt", f"--output_file={folder}/{name}/text.mindrecord", f"--vocab_file={folder}/vocab.txt"]
        build_records.main([*files, f"--max_seq_length={length}", "--max_predictions_per_seq=4", "--workers=1"])
    return folder


@pytest.fixture
def write(corpus, tmp_path):
    return lambda **changes: write_recipe(corpus, tmp_path / "recipe.yaml", **changes)


def write_recipe(corpus, path, **changes):
    """The flag that names the recipe; changes: of the file, or as `first` and `second` of a stage."""
    first, second = changes.pop("first", {}), changes.pop("second", {})
    recipe = {
        "vocab_file_path": str(corpus / "vocab.txt"),
        "bert_config_file": str(corpus / "bert_config.json"),
        "cache_dir": str(corpus / "cache"),
        "enable_data_sink": False,
        "log_steps": 1,
        "save_checkpoint_steps": 2,
        "save_checkpoint_num": 9,
        "optimizer": {"name": "AdamWeightDecay", "learning_rate": PEAK, "warmup_steps": 2, "power": 1},
        "stages": [
            {"data_dir": str(corpus / "short"), "seq_length": 16, "train_batch_size": 8, "train_steps": FIRST} | first,
            {"data_dir": str(corpus / "long"), "train_batch_size": 4, "accumulation_steps": 2, "train_steps": SECOND} | second,
        ],
    }
    path.write_text(yaml.safe_dump({**recipe, **changes}), encoding="utf-8")
    return f"--config_path={path}"


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """The folder of a finished training whose stages have schedules of their own, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    recipe = write_recipe(corpus, folder / "recipe.yaml", **OWN)
    run_pretrain.main([recipe, f"--output_dir={folder}/out"])
    return SimpleNamespace(out=folder / "out", recipe=recipe)


def go_back(trained, out, step):
    """A copy of a training's folder as a stop at a checkpoint would have left it."""
    shutil.copytree(trained.out, out)
    for path in checkpoint.find_checkpoints(out, "checkpoint_bert"):
        if checkpoint.step_of(path) > step:
            path.unlink()


def read_log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def read_losses(folder):
    return {record["step"]: record["loss"] for record in read_log(folder) if "loss" in record}


def assert_same_end(first, second):
    """Equal losses of all steps, and equal parameters, moments and positions at the end, these to the last bit."""
    assert read_losses(first) == pytest.approx(read_losses(second), rel=LAST_DIGIT)
    paths = [checkpoint.find_checkpoints(folder, "checkpoint_bert")[-1] for folder in (first, second)]
    assert paths[0].name == paths[1].name
    arrays, others = map(checkpoint.read, paths)
    assert arrays.keys() == others.keys()
    assert [name for name in arrays if not np.array_equal(arrays[name], others[name])] == []


def refuse(capsys, *flags):
    with pytest.raises(SystemExit) as caught:
        run_pretrain.main(list(flags))
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.count("\n") == 1
    return error


def test_steps_go_on_and_the_log_tells_the_stage(trained):
    records = read_log(trained.out)
    steps = [record for record in records if "loss" in record]
    assert [(record["step"], record["stage"]) for record in steps] == [(step, 1 if step <= FIRST else 2) for step in range(1, 11)]
    compiled = [(record["length"], record["stage"]) for record in records if record.get("event") == "compile"]
    assert compiled == [(16, 1), (24, 2)]
    assert [checkpoint.step_of(path) for path in checkpoint.find_checkpoints(trained.out, "checkpoint_bert")] == [2, 4, 6, 8, 10]


def test_the_second_stage_takes_up_weights_and_moments_and_begins_its_own_data_and_schedule(trained):
    paths = {checkpoint.step_of(path): path for path in checkpoint.find_checkpoints(trained.out, "checkpoint_bert")}
    before, after = (checkpoint.read(paths[step]) for step in (6, 8))
    assert after["global_step"] == 8 and after["data_position"][:4].tolist() == [0, 2 * 2 * 4, 4, 1]  # 2 updates of 2 batches of 4 rows
    assert after["stage_position"].tolist() == [2, before["data_position"][0] + 1, FIRST]
    second_moments = [name for name in before if name.startswith(f"{AdamWeightDecay.MOMENTS[1]}.")]
    assert len(second_moments) > 20 and all((after[name] >= 0.99 * before[name]).all() for name in second_moments)  # beta2 is 0.999
    rates = [record["learning_rate"] for record in read_log(trained.out) if "loss" in record]
    own = [PEAK * (step / 2 if step < 2 else 1 - step / steps) for steps in (FIRST, SECOND) for step in range(steps)]
    np.testing.assert_allclose(rates, own, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    "step",
    [pytest.param(4, marks=pytest.mark.slow), pytest.param(FIRST, marks=pytest.mark.slow), 8],
    ids=["first_stage", "change", "second_stage"],
)
def test_a_resumed_training_equals_an_unbroken_one(trained, tmp_path, step):
    go_back(trained, tmp_path / "out", step)
    run_pretrain.main([trained.recipe, f"--output_dir={tmp_path}/out", "--resume=true"])
    assert_same_end(trained.out, tmp_path / "out")


def test_a_finished_training_has_nothing_left(trained, capsys):
    run_pretrain.main([trained.recipe, f"--output_dir={trained.out}", "--resume=true"])
    printed = capsys.readouterr().out
    assert "stage 1 of 2: done" in printed and "nothing left to train: 8 of 8 batches are done" in printed


def test_changes_in_a_stage_that_is_done_are_told_to_be_without_effect(trained, write, capsys):
    recipe = write(**OWN, first={"train_batch_size": 4, "log_steps": 3}, second={"log_steps": 2})
    run_pretrain.main([recipe, f"--output_dir={trained.out}", "--resume=true", "--seed=1"])
    printed = capsys.readouterr().out
    assert "resume: changed since: stages.2.log_steps 1 -> 2\n" in printed
    told = "resume: changed since, without effect in a stage that is done: stages.1.train_batch_size 8 -> 4, stages.1.log_steps 1 -> 3\n"
    assert told in printed


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"first": {"train_steps": 7}}, "was trained with another recipe for the stages before; --resume needs the same"),
        ({"second": {"train_batch_size": 5}}, "was trained with another batch size, 4; --resume needs the same"),
        ({"stages": None}, "was trained with stages; --resume needs the same recipe"),
    ],
    ids=["first_stage", "second_stage", "no_stages"],
)
def test_a_checkpoint_of_another_recipe_is_refused(trained, write, corpus, changes, told, capsys):
    recipe = write(**OWN, **changes)
    if "stages" in changes:
        recipe = write_plain(corpus, recipe)
    assert told in refuse(capsys, recipe, f"--output_dir={trained.out}", "--resume=true")


def write_plain(corpus, flag):
    """The recipe without stages."""
    path = flag.partition("=")[2]
    with open(path, encoding="utf-8") as file:
        recipe = yaml.safe_load(file)
    del recipe["stages"]
    with open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump({**recipe, "data_dir": str(corpus / "long"), "train_batch_size": 8}, file)
    return flag


def test_lengths_that_fall_are_refused_also_where_the_records_tell_them(write, corpus, tmp_path, capsys):
    recipe = write(first={"data_dir": str(corpus / "long"), "seq_length": 24}, second={"data_dir": str(corpus / "short")})
    assert "stages: seq_length 24, then 16: short rows come first" in refuse(capsys, recipe, f"--output_dir={tmp_path}/out")


def test_data_of_a_later_stage_are_read_before_the_first(write, tmp_path, capsys):
    recipe = write(second={"data_dir": "/nowhere"})
    assert "/nowhere: no such file or folder" in refuse(capsys, recipe, f"--output_dir={tmp_path}/out")
    assert not (tmp_path / "out/log.jsonl").exists()


@pytest.mark.parametrize(("own", "first", "total"), [(False, 0, FIRST + SECOND), (True, 5, SECOND)], ids=["one", "own"])
def test_the_schedule_goes_over_all_stages_or_begins_with_each(write, own, first, total):
    _, second = stages.load(PretrainOptions, [write(**(OWN if own else {}))])
    network = SimpleNamespace(trainable_params=list, get_parameters=list)
    position = checkpoint.Position(0, 0, 4, 1, stage=2, counted_before=5)  # one update of the first stage overflowed
    schedule = loop._make_optimizer(second, network, SECOND, position).schedule
    assert (schedule.first_step, schedule.decay_steps) == (first, total)


@pytest.mark.slow
def test_one_schedule_goes_over_the_change(write, tmp_path):
    run_pretrain.main(
        [write(optimizer={"name": "Lamb", "learning_rate": PEAK, "warmup_steps": 2, "power": 1}), f"--output_dir={tmp_path}/out"]
    )
    rates = [record["learning_rate"] for record in read_log(tmp_path / "out") if "loss" in record]
    one = [PEAK * (step / 2 if step < 2 else 1 - step / 10) for step in range(10)]
    np.testing.assert_allclose(rates, one, rtol=1e-5, atol=1e-9)


@pytest.mark.slow
def test_the_best_checkpoint_is_that_of_the_last_stage(write, corpus, tmp_path):
    first, second = ({"eval_data_dir": str(corpus / name)} for name in LENGTHS)
    run_pretrain.main([write(train_with_eval=True, eval_steps=2, first=first, second=second), f"--output_dir={tmp_path}/out"])
    scores = {record["step"]: record for record in read_log(tmp_path / "out") if record.get("event") == "eval"}
    assert [*scores] == [2, 4, 6, 8, 10] and scores[8]["best_step"] == 8
    assert checkpoint.step_of(tmp_path / "out/best") == scores[10]["best_step"] > FIRST


def test_the_run_tells_what_it_cost(trained, capsys):
    steps = [record for record in read_log(trained.out) if "loss" in record]
    assert all(record["tokens"] > 0 and record["seconds"] > 0 for record in steps)
    assert "eta_s" not in steps[0] and all("eta_s" in record for record in steps[1:FIRST] + steps[FIRST + 1 :])
    assert steps[-1]["eta_s"] == 0 and all(record["mfu"] > 0 for record in steps if "mfu" in record)
    cost = costs.read_cost(trained.out)
    assert cost["tokens"] == sum(record["tokens"] for record in steps) and cost["loss"] == steps[-1]["loss"]
    capsys.readouterr()
    tables.main([str(trained.out)])
    assert capsys.readouterr().out.startswith("| Model | Loss |")
