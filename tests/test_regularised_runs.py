"""Run scripts with learning rates by part and regularisers, on a tiny random BERT."""

import json
import shutil

import numpy as np
import pytest

import run_classifier
from src.train import checkpoint

ALL = {
    "model.num_hidden_layers": 3,
    "freeze": "layers.0-1,pooler",
    "layerwise_decay": 0.5,
    "head_learning_rate": 0.02,
    "adversarial": "fgm",
    "ema": 0.5,
    "label_smoothing": 0.1,
}
OTHERS = {"multi_sample_dropout": 3, "focal_gamma": 2, "adversarial": "pgd", "adversarial_steps": 2, "accumulation_steps": 2, "ema": 0.9}


def read_arrays(folder):
    return checkpoint.read(checkpoint.find_checkpoints(folder / "ckpt", "classifier")[-1])


def is_frozen(name):
    return name.startswith(("bert.encoder.layers.0.", "bert.encoder.layers.1.", "bert.pooler."))


def test_parts_are_told_and_frozen_ones_stay_and_averages_are_saved(job, tmp_path, capsys):
    run_classifier.main(job(do_eval="true", train_steps=4, **ALL))
    said = capsys.readouterr().out
    parts = said[said.index("parts of the network:") :].splitlines()[1:6]
    assert [line.split()[:2] for line in parts] == [
        ["embeddings", "learning_rate=0.00125"],
        ["layers.0-1", "frozen"],
        ["layers.2", "learning_rate=0.01"],
        ["pooler", "frozen"],
        ["head", "learning_rate=0.02"],
    ]
    assert said.count("parts of the network:") == 1
    arrays = read_arrays(tmp_path / "out")
    trained = {name.removeprefix("trained.") for name in arrays if name.startswith("trained.")}
    moments = {name.removeprefix("adam_m.") for name in arrays if name.startswith("adam_m.")}
    weights = {name for name in arrays if name.startswith(("bert.", "head."))}
    assert trained == moments == {name for name in weights if not is_frozen(name)}
    assert any(map(is_frozen, weights))
    for name in trained:
        assert not np.array_equal(arrays[name], arrays[f"trained.{name}"]), name
    results = json.loads((tmp_path / "out/eval_results.json").read_text(encoding="utf-8"))
    assert np.isfinite(results["eval_loss"])


@pytest.mark.slow
@pytest.mark.parametrize("settings", [ALL, OTHERS, {"r_drop": 1.0, "ema": 0.9}], ids=["parts", "samples", "r_drop"])
def test_a_training_goes_on_bit_for_bit(settings, job, tmp_path):
    run_classifier.main(job(output_dir=tmp_path / "whole", train_steps=6, save_checkpoint_steps=2, save_checkpoint_num=3, **settings))
    shutil.copytree(tmp_path / "whole", tmp_path / "out")
    for path in checkpoint.find_checkpoints(tmp_path / "out/ckpt", "classifier")[1:]:
        path.unlink()
    run_classifier.main(job(train_steps=6, resume="true", **settings))
    expected, found = read_arrays(tmp_path / "whole"), read_arrays(tmp_path / "out")
    assert expected.keys() == found.keys()
    assert [name for name in expected if not np.array_equal(expected[name], found[name])] == []


@pytest.mark.slow
def test_recomputed_layers_have_the_same_gradients(job, tmp_path):
    for name in ("true", "false"):
        run_classifier.main(job(output_dir=tmp_path / name, train_steps=4, use_recompute=name, **ALL))
    expected, found = read_arrays(tmp_path / "false"), read_arrays(tmp_path / "true")
    assert [name for name in expected if not np.array_equal(expected[name], found[name])] == []


def test_a_part_that_the_network_lacks_is_named(job, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_classifier.main(job(freeze="layers.1"))
    assert stopped.value.code == 2
    assert "freeze=layers.1: no layer 1; the network has layers.0 to layers.0" in capsys.readouterr().err
