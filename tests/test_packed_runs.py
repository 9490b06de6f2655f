"""Run scripts with --packing: the same results, exact resumption, and what is refused."""

import json
import re
import shutil

import pytest
from conftest import NO_DROPOUT
from test_run_classifier import fails, read_losses, same_training

import run_classifier
from src.train import checkpoint

PACKED = {"packing": "true", "bucket_list": None}


def read_results(folder):
    return json.loads((folder / "eval_results.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_packed_training_learns_and_is_evaluated_in_either_form(job, tmp_path, capsys):
    settings = {"model.initializer_range": 0.3, **PACKED}
    run_classifier.main(job(do_eval="true", epoch_num=12, **settings))
    found = read_results(tmp_path / "out")
    assert found["num_examples"] == 21 and found["accuracy"] >= 0.9
    said = capsys.readouterr().out
    packs, slots = map(int, re.search(r"packed_rows=(\d+)x(\d+) ", said).groups())
    assert packs * slots < 0.6 * 8 * 16  # slots of padded rows
    assert said.count("compiled length=") == 1
    alone = {"do_train": None, "do_eval": "true", "packing": "false"}
    run_classifier.main(job(**alone, eval_batch_size=4))
    assert read_results(tmp_path / "out") == pytest.approx(found, abs=1e-6)
    line = fails(capsys, job(resume="true", epoch_num=13, **{**settings, "packing": "false"}))
    assert "classifier-12_84.ckpt: was trained with packing=true; --resume needs the same" in line


@pytest.mark.slow
def test_one_batch_of_all_rows_trains_alike_in_either_form(job, tmp_path):
    settings = {"train_batch_size": 50, "epoch_num": 5, **NO_DROPOUT}
    run_classifier.main(job(**settings, output_dir=tmp_path / "alone"))
    run_classifier.main(job(**settings, **PACKED))
    assert read_losses(tmp_path / "out") == pytest.approx(read_losses(tmp_path / "alone"), rel=1e-4)


@pytest.mark.slow
def test_a_resumed_training_keeps_its_form_and_equals_an_unbroken_one_bit_for_bit(job, tmp_path):
    settings = {"accumulation_steps": 2, "optimizer.decay_steps": 10, "optimizer.warmup_steps": 2, **PACKED}
    run_classifier.main(job(train_steps=10, save_checkpoint_steps=5, save_checkpoint_num=2, output_dir=tmp_path / "whole", **settings))
    shutil.copytree(tmp_path / "whole", tmp_path / "out")
    checkpoint.find_checkpoints(tmp_path / "out/ckpt", "classifier")[-1].unlink()
    run_classifier.main(job(train_steps=10, resume="true", **{**settings, "packing": None}))
    same_training(tmp_path / "whole", tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("head", ["cnn", "rcnn"])
def test_heads_that_read_all_tokens_are_trained_packed(job, tmp_path, head):
    run_classifier.main(job(do_eval="true", head=head, cnn_batch_norm=str(head == "cnn").lower(), **PACKED))
    assert read_results(tmp_path / "out")["num_examples"] == 21


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bucket_list": "8,16"}, "bucket_list=8,16: packing=true takes one length"),
        ({"packing": "perhaps"}, "packing=perhaps"),
    ],
)
def test_bad_packing_is_refused(job, capsys, changes, words):
    assert words in fails(capsys, job(**{**PACKED, **changes}))
