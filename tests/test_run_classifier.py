"""run_classifier.py from flags to files, on a tiny random BERT and made-up sentences."""

import contextlib
import csv
import functools
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT, make_job

import run_classifier
from src.kernels import native
from src.train import checkpoint, loop

PROBABILITY_SUM_TOLERANCE = 1e-6


def fails(capsys, argv):
    """Run and expect exit code 2 with one line on stderr, which is returned."""
    with pytest.raises(SystemExit) as stopped:
        run_classifier.main(argv)
    lines = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.slow
def test_an_output_folder_that_is_removed_during_the_training_is_made_again(job, tmp_path, monkeypatch, capsys):
    out, flush, removed = tmp_path / "out", loop.RunLog.flush, []

    def remove_first(run_log):
        if not removed:
            removed.append(sorted(path.name for path in out.iterdir()))
            shutil.rmtree(out)
        flush(run_log)

    monkeypatch.setattr(loop.RunLog, "flush", remove_first)
    run_classifier.main(job(do_eval="true", train_steps=2, epoch_num=None, save_checkpoint_steps=1))
    assert {"cache", "ckpt", "config.yaml", "label_map.json", "log.jsonl"} <= set(removed[0])
    assert {"ckpt", "config.yaml", "label_map.json", "log.jsonl", "eval_results.json"} <= {path.name for path in out.iterdir()}
    assert {"config.json", "vocab.txt", "classifier-1_2.ckpt"} <= {path.name for path in (out / "ckpt").iterdir()}
    assert f"{out}/log.jsonl: removed during the run; a new one is begun" in capsys.readouterr().out
    results = json.loads((out / "eval_results.json").read_text(encoding="utf-8"))
    run_classifier.main(job(do_train="false", do_eval="true", vocab_file_path=None, bert_config_file=None))
    assert json.loads((out / "eval_results.json").read_text(encoding="utf-8")) == results


def read_losses(folder):
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return {record["step"]: record["loss"] for record in records if "step" in record}


def read_arrays(folder):
    return checkpoint.read(checkpoint.find_checkpoints(folder / "ckpt", "classifier")[-1])


def same_training(first, second):
    """Equal parameters, moments and losses to the last bit."""
    arrays, others = read_arrays(first), read_arrays(second)
    assert arrays.keys() == others.keys()
    assert [name for name in arrays if not np.array_equal(arrays[name], others[name])] == []
    assert read_losses(first) == read_losses(second)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished training with evaluation and prediction: its folder, its flags to be changed, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    flags = functools.partial(make_job(folder), epoch_num=12, **{"model.initializer_range": 0.3})
    with contextlib.redirect_stdout(io.StringIO()) as said:
        run_classifier.main(flags(do_eval="true", do_predict="true"))
    return SimpleNamespace(out=folder / "out", flags=flags, said=said.getvalue())


@pytest.fixture
def again(trained, tmp_path):
    """`again(**changes)`: flags for a copy of that training's folder, which is tmp_path/out."""
    shutil.copytree(trained.out, tmp_path / "out")
    return functools.partial(trained.flags, output_dir=tmp_path / "out")


def test_a_run_leaves_the_documented_files(trained):
    out = trained.out
    results = json.loads((out / "eval_results.json").read_text(encoding="utf-8"))
    assert results["num_examples"] == 21
    assert results["global_step"] == 84
    assert results["accuracy"] == results["eval_accuracy"] >= 0.9  # the word `good` decides
    assert {"task", "loss", "eval_loss", "f1", "mcc", "auc", "spearman_correlation"} <= results.keys()
    assert f"eval_accuracy = {results['eval_accuracy']}" in (out / "eval_results.txt").read_text(encoding="utf-8").splitlines()
    assert f"acc_num {round(results['accuracy'] * 21)}, total_num 21, accuracy {results['accuracy']:.6f}" in trained.said
    probabilities = np.loadtxt(out / "test_results.tsv", delimiter="\t")
    assert probabilities.shape == (21, 2)
    np.testing.assert_allclose(probabilities.sum(1), 1.0, atol=PROBABILITY_SUM_TOLERANCE)
    with open(out / "predictions.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["text_a", "text_b", "label", "probability", "predicted_label", "margin"]
    labels = json.loads((out / "label_map.json").read_text(encoding="utf-8"))
    assert labels == {"negative": 0, "positive": 1}
    # rows in input order: the dev file alternates
    assert [row["predicted_label"] for row in rows] == [("negative", "positive")[number % 2] for number in range(21)]
    assert [path.name for path in (out / "ckpt").glob("*.ckpt")] == ["classifier-12_84.ckpt"]
    assert (out / "config.yaml").is_file()
    record = json.loads((out / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert record["event"] == "predict"


@pytest.mark.slow
def test_evaluation_alone_takes_everything_from_the_run_folder(again, tmp_path):
    first = (tmp_path / "out/eval_results.json").read_text(encoding="utf-8")
    alone = dict.fromkeys(
        ("do_train", "bert_config_file", "vocab_file_path", "train_data_file_path", "task_name", "columns", "seq_length", "bucket_list")
    )
    run_classifier.main(again(**alone, do_eval="true", eval_batch_size=5, **{"model.initializer_range": None}))
    second = json.loads((tmp_path / "out/eval_results.json").read_text(encoding="utf-8"))
    for key, value in json.loads(first).items():
        assert second[key] == pytest.approx(value, abs=1e-6), key


@pytest.mark.slow
def test_another_head_starts_random_from_our_checkpoint(trained, job, tmp_path, capsys):
    text = (tmp_path / "train.tsv").read_text(encoding="utf-8").replace("bad\tnegative", "bad\tneutral", 5)
    (tmp_path / "three.tsv").write_text(text, encoding="utf-8")
    changes = {"bert_config_file": None, "vocab_file_path": None, "epoch_num": 0.3}
    run_classifier.main(job(load_pretrain_checkpoint_path=trained.out / "ckpt", train_data_file_path=tmp_path / "three.tsv", **changes))
    said = capsys.readouterr().out
    assert "stays random: head.dense.weight, head.dense.bias" in said
    assert "labels=negative, neutral, positive" in said


@pytest.mark.slow
def test_a_stop_within_an_update_waits_for_its_end_and_goes_on_bit_for_bit(job, tmp_path, monkeypatch, capsys):
    settings = {"accumulation_steps": 2, "epoch_num": 3}
    run_classifier.main(job(output_dir=tmp_path / "whole", **settings))

    class Saver(loop.Saver):
        def on_train_step_end(self, run_context):
            super().on_train_step_end(run_context)
            if self.done.batches == 9:  # mid-epoch, and mid-accumulation
                signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "Saver", Saver)
        with pytest.raises(SystemExit) as stopped:
            run_classifier.main(job(**settings))
    assert stopped.value.code == 143
    assert "stopped=SIGTERM step=5" in capsys.readouterr().out
    run_classifier.main(job(resume="true", **settings))
    assert "resumed from" in capsys.readouterr().out
    same_training(tmp_path / "whole", tmp_path / "out")


@pytest.mark.skipif(native.lacks_bfloat16(native.build()) is not None, reason="no bfloat16 product here")
@pytest.mark.slow
def test_a_checkpoint_trained_in_bfloat16_is_float32_and_evaluated_in_either(job, tmp_path):
    settings = {"epoch_num": 12, "do_eval": "true", "precision.compute_type": "bfloat16"}
    run_classifier.main(job(**settings, **{"model.initializer_range": 0.3}))
    out = tmp_path / "out"
    assert "compute_type: bfloat16" in (out / "config.yaml").read_text(encoding="utf-8")
    assert {array.dtype for array in read_arrays(out).values() if array.dtype.kind == "f"} == {np.dtype(np.float32)}
    found = json.loads((out / "eval_results.json").read_text(encoding="utf-8"))
    assert found["accuracy"] >= 0.9  # the word `good` decides
    run_classifier.main(job(do_train="false", do_eval="true", **{"precision.compute_type": "float32"}))
    exact = json.loads((out / "eval_results.json").read_text(encoding="utf-8"))
    assert found["loss"] != exact["loss"]
    assert found["loss"] == pytest.approx(exact["loss"], abs=0.01)


def run_until(line_part, number, argv):
    """Start the script, send it a signal when a line contains `line_part`; its exit code and all it printed."""
    process = subprocess.Popen([sys.executable, "run_classifier.py", *argv], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    printed = []
    for line in process.stdout:
        printed.append(line)
        if line_part in line:
            process.send_signal(number)
            line_part = "\0"
    return process.wait(), "".join(printed)


@pytest.mark.parametrize(("number", "code"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_ends_with_its_code(job, tmp_path, number, code):
    ended, printed = run_until("step=3/", number, job(epoch_num=30))
    assert ended == code
    assert f"stopped={number.name} step=" in printed
    step = int(printed.rsplit("step=", 1)[1])
    assert checkpoint.step_of(checkpoint.find_checkpoints(tmp_path / "out/ckpt", "classifier")[-1]) == step >= 3


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_last_checkpoint(job, tmp_path):
    settings = {"save_checkpoint_steps": 2, "save_checkpoint_num": 2, "epoch_num": 6}
    run_until("step=7/", signal.SIGKILL, job(**settings))
    left = checkpoint.find_checkpoints(tmp_path / "out/ckpt", "classifier")
    assert 1 <= len(left) <= 2
    run_classifier.main(job(**settings, resume="true"))
    run_classifier.main(job(**settings, output_dir=tmp_path / "whole"))
    arrays, others = read_arrays(tmp_path / "out"), read_arrays(tmp_path / "whole")
    assert [name for name in arrays if not np.array_equal(arrays[name], others[name])] == []


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(job, tmp_path, capsys):
    run_classifier.main(job(save_checkpoint_steps=5, save_checkpoint_num=2))
    whole = tmp_path / "whole"
    shutil.copytree(tmp_path / "out", whole)
    newest = checkpoint.find_checkpoints(tmp_path / "out/ckpt", "classifier")[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    run_classifier.main(job(save_checkpoint_steps=5, save_checkpoint_num=2, resume="true"))
    assert "falling back to" in capsys.readouterr().out
    arrays, others = read_arrays(tmp_path / "out"), read_arrays(whole)
    assert [name for name in arrays if not np.array_equal(arrays[name], others[name])] == []


CHANGES = {
    "another seed": ({"seed": 5}, "was trained with another seed"),
    "another batch size": ({"train_batch_size": 10}, "was trained with another batch size"),
    "another length": ({"seq_length": 12, "bucket_list": 12}, "was trained with another training data"),
    "another optimiser": ({"optimizer.name": "Lamb"}, "is of another network or optimiser"),
    "an optimiser with moments of the same form": ({"optimizer.name": "AdamW"}, "is of another network or optimiser"),
}


def test_resuming_something_else_is_refused(again, capsys):
    for changes, expected in CHANGES.values():
        capsys.readouterr()
        assert expected in fails(capsys, again(resume="true", **changes))


@pytest.mark.slow
def test_resuming_a_finished_run_does_nothing(again, capsys):
    run_classifier.main(again(resume="true"))
    assert "nothing left to train" in capsys.readouterr().out


@pytest.mark.slow
def test_a_batch_in_tokens_is_the_same_batch_when_resumed(job, tmp_path, capsys):
    tokens = {"batch_in_tokens": "true", "train_batch_size": 130, "epoch_num": 0.3}  # 8 rows of 16
    run_classifier.main(job(**tokens))
    run_classifier.main(job(**tokens, resume="true"))
    run_classifier.main(["--config_path", str(tmp_path / "out/config.yaml"), "--resume"])
    out = capsys.readouterr().out
    assert (out.count("train_batch_size=8 rows, 130 tokens"), out.count("batches=2 batch_size=8 ")) == (2, 3)
    assert out.count("nothing left to train") == 2
    other = job(**{**tokens, "train_batch_size": 160}, resume="true")
    assert "was trained with another batch size, 8" in fails(capsys, other)


@pytest.mark.slow
def test_a_shorter_run_in_a_used_folder_is_the_one_evaluated(again, tmp_path, capsys):
    run_classifier.main(again(epoch_num=0.3, do_eval="true", load_finetune_checkpoint_path=tmp_path / "out/ckpt"))
    assert json.loads((tmp_path / "out/eval_results.json").read_text(encoding="utf-8"))["global_step"] == 2
    assert "load_finetune_checkpoint_path is ignored" in capsys.readouterr().out


def test_training_that_diverges_stops_before_saving(job, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_classifier.main(job(do_eval="true", **{"optimizer.learning_rate": 1e30, "optimizer.clip": "none"}))
    assert stopped.value.code == 1
    assert "error: the loss is" in capsys.readouterr().err
    assert list((tmp_path / "out/ckpt").glob("*.ckpt")) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_float16_trains_with_a_loss_scale(job, tmp_path, kind):
    scale = {"precision.compute_type": "float16", "precision.loss_scale": kind, "precision.loss_scale_value": 128}
    run_classifier.main(job(epoch_num=1, **scale))
    records = [json.loads(line) for line in (tmp_path / "out/log.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [record for record in records if "step" in record]
    assert [record["skipped"] for record in steps] == [0] * 7
    assert [record["loss_scale"] for record in steps] == [128.0] * 7


@pytest.mark.slow
def test_evaluation_with_several_lengths_keeps_the_order(again, tmp_path):
    one_length = (tmp_path / "out/test_results.tsv").read_text(encoding="utf-8")
    run_classifier.main(again(do_train=None, do_predict="true", eval_batch_size=3, bucket_list=None))
    np.testing.assert_allclose(
        np.loadtxt(tmp_path / "out/test_results.tsv"), np.array([line.split() for line in one_length.splitlines()], float), atol=1e-6
    )


@pytest.mark.slow
def test_a_full_disk_is_told_and_leaves_the_last_good_checkpoint(again, tmp_path):
    good = checkpoint.find_checkpoints(tmp_path / "out/ckpt", "classifier")[-1]
    before = good.read_bytes()

    def limit_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (35_000, 35_000))  # no file may grow beyond: as if the disk were full

    command = [sys.executable, "run_classifier.py", *again(epoch_num=14, resume="true")]
    done = subprocess.run(command, cwd=ROOT, preexec_fn=limit_files, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr[-500:]
    assert done.stderr.startswith(f"error: {tmp_path}/out/ckpt/classifier-13_91.ckpt: ")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "out/ckpt").glob(".*")] == [".lock"]  # no half file
    assert good.read_bytes() == before


BAD_FLAGS = {
    "missing_training_file": ({"train_data_file_path": "/nowhere/x.tsv"}, "/nowhere/x.tsv: no such file"),
    "missing_weights": ({"load_pretrain_checkpoint_path": "/nowhere/w"}, "/nowhere/w: no such file"),
    "no_columns": ({"columns": None}, "task_name=custom needs --columns"),
    "nothing_to_do": ({"do_train": None}, "nothing to do"),
    "unknown_flag": ({"lerning_rate": "1"}, "lerning_rate"),
    "wrong_type": ({"epoch_num": "many"}, "epoch_num=many: expected a number"),
    "negative_size": ({"model.hidden_size": "-8"}, "model.hidden_size=-8"),
    "heads_do_not_divide": ({"model.num_attention_heads": "3"}, "model.num_attention_heads=3"),
    "unknown_task": ({"task_name": "colla"}, "task_name=colla"),
    "too_long": ({"seq_length": "64", "bucket_list": None}, "seq_length=64 is above model.max_position_embeddings=32"),
    "small_vocabulary": ({"model.vocab_size": "20"}, "do not fit model.vocab_size=20"),
    "infinite_epochs": ({"epoch_num": "inf"}, "epoch_num=inf: expected a number"),
    "unsorted_buckets": ({"bucket_list": "16,8"}, "bucket_list=16,8: expected up to four lengths in ascending order"),
    "seed_too_large": ({"seed": "99999999999"}, "seed=99999999999"),
    "output_is_a_file": ({"output_dir": __file__}, "test_run_classifier.py: File exists"),
    "data_is_a_folder": ({"train_data_file_path": "/tmp"}, "/tmp: a folder"),
    "no_such_device": ({"device_target": "Ascend"}, "device_target=Ascend: no such device"),
    "no_bfloat16": ({"precision.compute_type": "bfloat16"}, "bfloat16: CPU has no bfloat16 matrix product here: the processor lacks"),
    "classes_differ": ({"num_class": "5"}, "num_class=5, but the labels are 2"),
    "nothing_trained": ({"do_train": None, "do_eval": "true"}, "no classifier checkpoint here"),
    "too_few_batches": ({"accumulation_steps": "1000"}, "accumulation_steps=1000"),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_flags_end_in_one_line(job, capsys, monkeypatch, case):
    changes, expected = BAD_FLAGS[case]
    monkeypatch.setattr(native, "describe_processor", lambda: "flags : fpu avx2")
    assert expected in fails(capsys, job(**changes))


def test_an_unknown_label_names_file_and_line(job, tmp_path, capsys):
    (tmp_path / "dev.tsv").write_text("text\tlabel\na cat\tpositive\na dog\tangry\n", encoding="utf-8")
    assert f"{tmp_path}/dev.tsv:3: unknown label 'angry'" in fails(capsys, job(do_eval="true"))


def test_a_short_row_names_file_and_line(job, tmp_path, capsys):
    (tmp_path / "train.tsv").write_text("text\tlabel\na cat\tpositive\na dog\n", encoding="utf-8")
    assert f"{tmp_path}/train.tsv:3: 1 columns" in fails(capsys, job())


def test_an_empty_file_is_named(job, tmp_path, capsys):
    (tmp_path / "train.tsv").write_text("", encoding="utf-8")
    assert f"{tmp_path}/train.tsv: the file is empty" in fails(capsys, job())


@pytest.mark.parametrize("name", ["weights.ckpt", "weights.safetensors", "weights.bin", "weights.pt"])
def test_damaged_weights_are_named(job, tmp_path, capsys, name):
    path = tmp_path / name
    path.write_bytes(os.urandom(4000))
    assert f"{path}: not a readable" in fails(capsys, job(load_pretrain_checkpoint_path=path))


def test_weights_of_another_size_are_refused(trained, job, capsys):
    config = {"bert_config_file": None, "model.hidden_size": 32, "load_pretrain_checkpoint_path": trained.out / "ckpt"}
    message = fails(capsys, job(**config))
    assert "bert.embeddings.word.weight has shape (90, 16), the network (90, 32)" in message


def test_a_missing_label_column_is_named(job, tmp_path, capsys):
    (tmp_path / "train.tsv").write_text("text\tkind\na cat\tpositive\n", encoding="utf-8")
    assert f"{tmp_path}/train.tsv: no label column 'label'" in fails(capsys, job())


def test_weights_without_a_config_are_refused(job, tmp_path, capsys):
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone/model.safetensors").write_bytes(b"")
    weights = {"load_pretrain_checkpoint_path": tmp_path / "alone/model.safetensors", "bert_config_file": None}
    assert "no config.json or bert_config.json beside it" in fails(capsys, job(**weights))


def test_pairs_need_two_segments(job, tmp_path, capsys):
    (tmp_path / "train.tsv").write_text("text\tother\tlabel\na cat\ta dog\tno\na mat\ta cat\tyes\n", encoding="utf-8")
    changes = {"columns": "text_a=text,text_b=other,label=label", "model.type_vocab_size": 1}
    assert "holds pairs of texts" in fails(capsys, job(**changes))


def test_help_imports_no_mindspore():
    code = "import sys, run_classifier\ntry: run_classifier.main(['--help'])\nexcept SystemExit: pass\nsys.exit('mindspore' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert "--load_pretrain_checkpoint_path" in done.stdout
    assert "--optimizer.learning_rate" in done.stdout


def test_the_run_script_is_thin():
    assert Path(ROOT, "run_classifier.py").read_text(encoding="utf-8").count("\n") <= 60


@pytest.mark.slow
def test_what_is_trained_can_be_saved_for_serving(job, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install -r requirements-serve.txt")
    run_classifier.main(job(do_predict="true", predict_data_file_path=tmp_path / "dev.tsv", train_steps=2, save_for_serving="true"))
    from src.bundle.model import Bundle

    bundle = Bundle(tmp_path / "out/serving")
    texts = [line.split("\t")[0] for line in (tmp_path / "dev.tsv").read_text().splitlines()[1:]]
    expected = [list(map(float, line.split("\t"))) for line in (tmp_path / "out/test_results.tsv").read_text().splitlines()]
    found = [[result["probabilities"][label] for label in bundle.labels] for result in bundle.predict(texts)]
    np.testing.assert_allclose(found, expected, atol=1e-5)  # float32 rounding
