import json

import pytest
from conftest import SHAPE

from src.config import loader
from src.tasks.squad.options import SquadOptions


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the default output folder must not exist


def load(*flags):
    return loader.load(SquadOptions, ["--do_train", "--do_eval", "--do_predict", *flags])


def test_rows_may_be_longer_than_those_of_the_weights_training(tmp_path):
    config = {**SHAPE, "trained_with": {"seq_length": 128, "doc_stride": 64}}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = f"--load_pretrain_checkpoint_path={tmp_path}"
    assert [load(weights, *flags).seq_length for flags in ((), ("--seq_length=512",))] == [384, 512]


def test_windows_must_overlap(capsys):
    lengths = ("--seq_length=100", "--max_query_length=17")
    assert load(*lengths, "--doc_stride=79").doc_stride == 79
    with pytest.raises(SystemExit):
        load(*lengths, "--doc_stride=80")
    assert "seq_length=100 and max_query_length=17 leave windows of 80 tokens" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "decay"),
    [("Lamb", 0.01), ("AdamWeightDecay", 1e-3), ("AdamWeightDecayDynamicLR", 1e-3), ("adamweightdecay", 1e-3), ("AdamW", 0.01)],
)
def test_the_optimizers_have_the_model_zoos_values(name, decay):
    optimizer = load(f"--optimizer.name={name}").optimizer
    assert (optimizer.learning_rate, optimizer.end_learning_rate, optimizer.power) == (1e-4, 1e-11, 5.0)
    assert optimizer.weight_decay == decay
    assert load(f"--optimizer.name={name}", "--weight_decay=0.5").optimizer.weight_decay == 0.5


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        (("--predict_file=a.json",), "a.json"),
        (("--eval_json_path=b.json", "--predict_file=a.json"), "b.json"),
        (("--eval_data_file_path=c.tfrecord", "--eval_json_path=b.json"), "c.tfrecord"),
        (("--predict_file=a.json", "--data_dir=squad"), None),
        ((), None),
    ],
)
def test_the_file_that_is_predicted_is_scored_where_no_other_is_named(flags, found):
    assert load(*flags).eval_data_file_path == found
