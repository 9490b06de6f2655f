"""Tasks, heads, seeds and the commands of Google's forks through run_classifier.py, on a tiny random BERT and made-up texts."""

import csv
import json
import os
import signal
import subprocess

import numpy as np
import pytest
from conftest import NO_DROPOUT, ROOT, TINY, WORDS
from mindspore.mindrecord import FileWriter

import run_classifier
from src.config import loader
from src.tasks.classifier import task
from src.tasks.classifier.options import ClassifierOptions


def results(folder):
    return json.loads((folder / "eval_results.json").read_text(encoding="utf-8"))


def refused(capsys, argv):
    with pytest.raises(SystemExit) as stopped:
        run_classifier.main(argv)
    assert stopped.value.code == 2
    return capsys.readouterr().err


HEADS = [("cnn", "false"), ("cnn", "true"), ("rcnn", "false")]


@pytest.mark.slow
@pytest.mark.parametrize(("head", "batch_norm"), HEADS)
def test_each_head_learns_and_is_found_again(job, tmp_path, head, batch_norm):
    settings = {"head": head, "cnn_batch_norm": batch_norm, "optimizer.learning_rate": 0.01, "model.initializer_range": 0.2}
    run_classifier.main(job(**settings, **NO_DROPOUT, epoch_num=8, do_eval="true"))
    first = results(tmp_path / "out")
    assert first["accuracy"] == 1.0  # the word `good` decides
    left_out = 1 if batch_norm == "true" else 0  # 50 rows make 6 whole batches of 8
    assert first["global_step"] == 8 * (7 - left_out)
    left_out = ("bert_config_file", "vocab_file_path", "task_name", "columns", "seq_length", "bucket_list")
    run_classifier.main(job(**dict.fromkeys(("do_train", "train_data_file_path", *left_out)), do_eval="true"))
    assert results(tmp_path / "out")["eval_loss"] == pytest.approx(first["eval_loss"], abs=1e-6)


@pytest.mark.parametrize(
    ("trained", "evaluated"),
    [
        pytest.param({"head": "rcnn"}, {"head": "linear"}, marks=pytest.mark.slow),
        pytest.param({"head": "cnn", "cnn_batch_norm": "true"}, {"cnn_batch_norm": "false"}, marks=pytest.mark.slow),
        pytest.param({"model.position_embedding_type": "learned"}, {"model.position_embedding_type": "sinusoidal"}, marks=pytest.mark.slow),
        pytest.param({"model.num_hidden_layers": 2}, {"model.num_hidden_layers": 1}, marks=pytest.mark.slow),
    ],
)
def test_weights_of_a_larger_network_are_refused(job, capsys, trained, evaluated):
    run_classifier.main(job(**trained, epoch_num=0.2))
    alone = {"do_train": None, "do_eval": "true", "bert_config_file": None}
    assert "is of another network, which has " in refused(capsys, job(**alone, **evaluated))


@pytest.mark.slow
def test_labels_are_those_of_the_training(job, tmp_path, capsys):
    run_classifier.main(job(labels="positive,negative", do_eval="true"))
    first = results(tmp_path / "out")
    run_classifier.main(job(do_train=None, do_eval="true"))  # with --bert_config_file, which names no labels
    assert results(tmp_path / "out")["auc"] == pytest.approx(first["auc"])
    flags = job(do_train=None, do_eval="true", labels="negative,positive")
    assert "labels=negative,positive: the weights were trained with positive,negative" in refused(capsys, flags)
    assert "labels=a,b,a: a label is given twice" in refused(capsys, job(labels="a,b,a"))


@pytest.mark.slow
def test_a_moved_checkpoint_folder_knows_its_task(job, tmp_path):
    run_classifier.main(job(head="cnn", do_eval="true", seq_length=12, bucket_list=12))
    first = results(tmp_path / "out")
    moved = (tmp_path / "out/ckpt").rename(tmp_path / "elsewhere")
    bare = ["--do_eval", "--load_finetune_checkpoint_path", str(moved), "--eval_data_file_path", str(tmp_path / "dev.tsv")]
    run_classifier.main([*bare, "--output_dir", str(tmp_path / "second")])
    assert results(tmp_path / "second")["eval_loss"] == pytest.approx(first["eval_loss"], abs=1e-6)
    bare[1] = "--init_checkpoint"  # Google's way to name a trained model
    run_classifier.main([*bare, "--output_dir", str(tmp_path / "third")])
    assert results(tmp_path / "third")["eval_loss"] == pytest.approx(first["eval_loss"], abs=1e-6)


@pytest.mark.slow
def test_a_run_in_a_used_folder_leaves_no_results_of_the_one_before(job, tmp_path):
    run_classifier.main(job(seeds="1,2", do_eval="true", epoch_num=0.2))
    run_classifier.main(job(do_eval="true", epoch_num=0.2))
    assert not (tmp_path / "out/seed_results.json").exists()
    text = (tmp_path / "dev.tsv").read_text(encoding="utf-8").replace("positive", "1").replace("negative", "0")
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
    run_classifier.main(job(num_class=1, do_eval="true", epoch_num=0.5))
    assert {path.stem for path in (tmp_path / "out/figures").iterdir()} == {"loss", "scatter"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sinusoidal", "learned"])
def test_nezha_trains_and_its_folder_loads_by_itself(job, tmp_path, kind):
    settings = {"model.position_embedding_type": kind, "model.max_relative_position": 5, "model.initializer_range": 0.2}
    run_classifier.main(job(**settings, **NO_DROPOUT, epoch_num=20, do_eval="true"))
    first = results(tmp_path / "out")
    assert first["accuracy"] >= 0.9
    saved = json.loads((tmp_path / "out/ckpt/config.json").read_text(encoding="utf-8"))
    assert (saved["model_type"], saved["position_embedding_type"], saved["max_relative_position"]) == ("nezha", kind, 5)
    moved = (tmp_path / "out/ckpt").rename(tmp_path / "weights")
    alone = dict.fromkeys(("do_train", "bert_config_file", "vocab_file_path", "train_data_file_path"))
    run_classifier.main(job(**alone, do_eval="true", load_finetune_checkpoint_path=moved, output_dir=tmp_path / "second"))
    assert results(tmp_path / "second")["eval_loss"] == pytest.approx(first["eval_loss"], abs=1e-6)


def test_batch_norm_needs_the_cnn_head_and_a_whole_batch(job, capsys):
    assert "cnn_batch_norm=true is for head=cnn" in refused(capsys, job(cnn_batch_norm="true"))
    flags = job(cnn_batch_norm="true", head="cnn", train_batch_size=64)
    assert "train_batch_size=64: a step has 64 rows, but the training set has 50" in refused(capsys, flags)


def write_scores(path, rows, seed):
    """Pairs in the STS benchmark's columns; the score is the share of words that both have, times five."""
    random = np.random.default_rng(seed)
    lines = []
    for number in range(rows):
        first = random.choice(WORDS, 5)
        second = np.where(random.random(5) < random.random(), first, random.choice(WORDS, 5))
        score = 5 * np.mean([word in first for word in second])
        lines.append(f"g\tf\ty\t{number}\t{score:.3f}\t{' '.join(first)}\t{' '.join(second)}\n")
    path.write_text("".join(lines), encoding="utf-8")


@pytest.mark.slow
def test_regression_predicts_scores(job, tmp_path, capsys):
    folder = tmp_path / "stsb"
    folder.mkdir()
    write_scores(folder / "sts-train.csv", 60, 1)
    write_scores(folder / "sts-dev.csv", 21, 2)
    files = {"data_dir": folder, "train_data_file_path": None, "eval_data_file_path": None, "columns": None}
    scale = {"model.initializer_range": 0.2, "optimizer.learning_rate": 0.003}
    run_classifier.main(job(task_name="stsb", **files, **scale, do_eval="true", do_predict="true", epoch_num=8))
    found = results(tmp_path / "out")
    assert {"eval_loss", "pearson_correlation", "spearman_correlation"} <= found.keys()
    assert not {"accuracy", "eval_accuracy", "f1"} & found.keys()
    assert f"Spearman Correlation {found['spearman_correlation']:.6f}" in capsys.readouterr().out
    with open(tmp_path / "out/predictions.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    scores = np.loadtxt(tmp_path / "out/test_results.tsv")
    assert scores.shape == (21,)
    submitted = np.loadtxt(tmp_path / "out/STS-B.tsv", skiprows=1)
    np.testing.assert_allclose(submitted, np.stack([np.arange(21), scores.clip(0, 5)], 1), rtol=1e-5)
    np.testing.assert_allclose([float(row["predicted_label"]) for row in rows], scores, rtol=1e-5)
    truth = [float(line.split("\t")[4]) for line in (folder / "sts-dev.csv").read_text(encoding="utf-8").splitlines()]
    assert found["eval_loss"] == pytest.approx(np.mean((scores - truth) ** 2), rel=1e-5)
    assert found["eval_loss"] < np.var(truth) + np.mean(truth) ** 2  # better than the scores of an untrained head, 0
    assert (tmp_path / "out/figures/scatter.png").is_file()
    alone = dict.fromkeys(("do_train", "bert_config_file", "vocab_file_path", "task_name", "bucket_list"))
    run_classifier.main(job(**alone, **files, do_eval="true"))
    assert results(tmp_path / "out")["eval_loss"] == pytest.approx(found["eval_loss"], rel=1e-5)


def prepared(flags):
    return task.prepare(loader.load(ClassifierOptions, flags))


def test_data_in_another_encoding_give_the_same_rows_and_other_keys(job, tmp_path):
    for name in ("train.tsv", "dev.tsv"):
        text = (tmp_path / name).read_text(encoding="utf-8").replace("good", "不错")
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / f"other-{name}").write_text(text, encoding="gb18030")
    first = prepared(job(do_eval="true")).records
    others = {"train_data_file_path": tmp_path / "other-train.tsv", "eval_data_file_path": tmp_path / "other-dev.tsv"}
    found = prepared(job(do_eval="true", encoding="gbk", **others)).records
    for split in ("train", "eval"):
        assert np.array_equal(first[split].tokens["input_ids"], found[split].tokens["input_ids"])
    assert len(list((tmp_path / "out/cache").glob("train-*"))) == 2


def test_a_header_of_the_training_file_counts_for_the_others(job, tmp_path, capsys):
    first = prepared(job(do_eval="true")).records["eval"]
    header, rows = (tmp_path / "dev.tsv").read_text(encoding="utf-8").split("\n", 1)
    (tmp_path / "dev.tsv").write_text(rows, encoding="utf-8")
    for flags in (job(do_eval="true"), job(do_train=None, do_eval="true", labels="negative,positive", load_pretrain_checkpoint_path=None)):
        if "--do_train" not in flags:
            (tmp_path / "out/ckpt").mkdir()
        found = prepared(flags).records["eval"]
        assert np.array_equal(first.tokens["input_ids"], found.tokens["input_ids"])
        assert np.array_equal(first.rows["label_ids"], found.rows["label_ids"])
    (tmp_path / "train.tsv").unlink()
    assert f"{tmp_path}/dev.tsv:1: no column 'text'" in refused(capsys, job(do_train=None, do_eval="true"))


def test_labels_may_be_a_file(job, tmp_path, capsys):
    (tmp_path / "labels.json").write_text('{"label2id": {"positive": 0, "negative": 1, "mixed": 2}}')
    flags = {"label2id_file_path": tmp_path / "labels.json"}
    config = prepared(job(**flags)).config
    assert (config.labels, config.num_class) == (("positive", "negative", "mixed"), 3)
    assert "labels.json: positive, negative, mixed; given, or of the weights, are a, b" in refused(capsys, job(**flags, labels="a,b"))
    assert "label2id_file_path: a regression has no classes" in refused(capsys, job(**flags, num_class=1))


@pytest.mark.slow
def test_one_class_is_a_regression_for_custom_tables_too(job, tmp_path, capsys):
    text = (tmp_path / "train.tsv").read_text(encoding="utf-8").replace("positive", "1.5").replace("negative", "-0.5")
    (tmp_path / "train.tsv").write_text(text, encoding="utf-8")
    run_classifier.main(job(num_class=1, eval_data_file_path=tmp_path / "train.tsv", do_eval="true"))
    assert "Spearman Correlation" in capsys.readouterr().out
    (tmp_path / "dev.tsv").write_text("text\tlabel\na cat\tnan\n", encoding="utf-8")
    assert f"{tmp_path}/dev.tsv:2: the score 'nan' is no finite number" in refused(capsys, job(num_class=1, do_eval="true"))
    assert "a regression has spearman_correlation only" in refused(capsys, job(num_class=1, assessment_method="f1"))
    assert "a regression has no classes" in refused(capsys, job(num_class=1, class_weights="balanced"))


@pytest.mark.slow
def test_several_seeds_are_several_runs_and_a_summary(job, tmp_path, capsys):
    run_classifier.main(job(seeds="3,4", do_eval="true"))
    summary = json.loads((tmp_path / "out/seed_results.json").read_text(encoding="utf-8"))
    singles = [results(tmp_path / f"out/seed-{seed}") for seed in (3, 4)]
    assert summary["seeds"] == [3, 4]
    losses = [single["eval_loss"] for single in singles]
    assert losses[0] != losses[1]
    assert summary["eval_loss"].pop("values") == losses
    assert summary["eval_loss"] == pytest.approx({"mean": np.mean(losses), "deviation": np.std(losses, ddof=1), "max": max(losses)})
    accuracy = summary["accuracy"]
    said = f"accuracy {accuracy['mean']:.6f} ± {accuracy['deviation']:.6f}, max (mean) {accuracy['max']:.6f} ({accuracy['mean']:.6f})"
    assert f"seeds=3,4 {said}" in capsys.readouterr().out
    run_classifier.main(job(seed=4, do_eval="true", output_dir=tmp_path / "alone"))
    assert results(tmp_path / "alone") == singles[1]  # a run of several is the run that it would be alone
    alone = dict.fromkeys(
        ("do_train", "bert_config_file", "vocab_file_path", "train_data_file_path", "task_name", "columns", "bucket_list")
    )
    run_classifier.main(job(**alone, seeds="3,4", do_eval="true"))
    assert results(tmp_path / "out/seed-3")["eval_loss"] == pytest.approx(losses[0], abs=1e-6)
    assert "seeds=3,3: a seed is given twice" in refused(capsys, job(seeds="3,3"))


def test_class_balance_is_told_and_weighed(job, tmp_path, capsys):
    lines = (tmp_path / "train.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "train.tsv").write_text("".join(lines[:1] + lines[1::2] + lines[2:12:2]), encoding="utf-8")
    run_classifier.main(job(class_weights="balanced", epoch_num=0.3))
    assert "training classes: negative=25 (83.3%), positive=5 (16.7%)" in capsys.readouterr().out
    assert "class_weights:\n- '0.6'\n- '3'\n" in (tmp_path / "out/config.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("1", "class_weights: 1 given, the classes are 2: negative, positive"),
        ("1,-2", "class_weights: -2 is not allowed; expected the one word balanced, or a number from 0"),
        ("1,many", "class_weights: many is not allowed"),
        ("balanced,1", "class_weights: balanced is not allowed; expected the one word balanced"),
        ("0,0", "class_weights=0,0: every training row would weigh 0"),
    ],
)
def test_wrong_class_weights_are_refused(job, capsys, weights, message):
    assert message in refused(capsys, job(class_weights=weights))


@pytest.fixture
def google_flags(tmp_path, vocab_file):
    """What the commands share, with a tiny network."""
    (tmp_path / "bert_config.json").write_text(json.dumps(TINY), encoding="utf-8")
    return [f"--vocab_file={vocab_file}", f"--bert_config_file={tmp_path}/bert_config.json", "--max_seq_length=16", "--train_batch_size=8"]


@pytest.mark.slow
def test_the_command_of_the_toutiao_classifier_trains_evaluates_and_predicts(tmp_path, google_flags):
    names = {"news_sports": "ran fast dog", "news_tech": "good mat", "news_car": "slow cat"}
    for split in ("train", "dev", "test"):
        rows = [f"{number}\t1\t{name}\tthe {title}\tx\n" for number in range(8) for name, title in names.items()]
        (tmp_path / f"{split}.tsv").write_text("".join(rows), encoding="utf-8")
    command = f"""--task_name=news --do_train=true --do_eval=true --do_predict=true --data_dir={tmp_path} --learning_rate=2e-5
        --num_train_epochs=3.0 --output_dir={tmp_path}/news_output/ --use_tpu=false --use_fp16=false --use_perseus=true --use_amp=true"""
    run_classifier.main([*command.split(), *google_flags])
    assert {"eval_accuracy", "eval_loss", "global_step", "loss"} <= results(tmp_path / "news_output").keys()
    assert list(json.loads((tmp_path / "news_output/label_map.json").read_text(encoding="utf-8"))) == sorted(names)
    assert np.loadtxt(tmp_path / "news_output/test_results.tsv").shape == (24, 3)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["linear", "cnn", "rcnn"])
def test_the_commands_of_bert_multi_gpu_work_with_each_head(tmp_path, google_flags, head):
    for name in ("train.csv", "eval.csv"):
        rows = [f'{number},"the {WORDS[number % 16]}, {WORDS[number % 7]}",{number % 3 // 2}\n' for number in range(24)]
        (tmp_path / name).write_text("".join(rows), encoding="utf-8")
    command = f"""--task_name=info --do_lower_case=true --do_train=true --do_eval=true --do_predict=true --save_for_serving=false
        --data_dir={tmp_path} --learning_rate=2e-5 --num_train_epochs=1.0 --use_gpu=true --num_gpu_cores=2 --use_fp16=true
        --output_dir={tmp_path}/output --head={head}"""
    run_classifier.main([*command.split(), *google_flags])
    found = results(tmp_path / "output")
    assert 0 <= found["auc"] <= 1
    figures = {path.name for path in (tmp_path / "output/figures").iterdir()}
    kinds = ("loss", "confusion", "metrics", "roc", "threshold", "precision_recall")
    assert figures == {f"{name}.{suffix}" for name in kinds for suffix in ("png", "svg")}


@pytest.mark.slow
def test_a_checkpoint_that_tensorflow_wrote_starts_a_training(job, shared_file, capsys):
    prefix = shared_file("README.md").parent.parent / "checkpoints/keras_bert_tiny_tf/bert_model.ckpt"
    run_classifier.main(job(bert_config_file=None, vocab_file_path=None, init_checkpoint=prefix, epoch_num=None, train_steps=1))
    said = capsys.readouterr().out
    assert f"weights from {prefix}: matched=" in said
    assert "stays random: head.dense.weight, head.dense.bias" in said


IMPOSSIBLE = {
    "columns of a known task": ({"task_name": "sst2"}, "columns=text_a=text,label=label: only for task_name=custom"),
    "language of another task": ({"language": "zh"}, "language=zh: only for task_name=xnli, not for custom"),
    "one column twice": ({"columns": "text_a=text,label=text"}, "two of them are the same column"),
    "auc of three classes": (
        {"labels": "positive,negative,other", "assessment_method": "auc"},
        "assessment_method=auc: is for two classes",
    ),
    "no half": (
        {"head": "rcnn", "model.hidden_size": 1, "model.num_attention_heads": 1},
        "head=rcnn needs model.hidden_size of at least 2",
    ),
    "no schema": ({"schema_file_path": "/nope.json"}, "/nope.json: no such file"),
    "a negative seed": ({"seeds": "1,-1"}, "seeds=1,-1 is not allowed"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_impossible_combinations_are_refused(job, capsys, case):
    changes, message = IMPOSSIBLE[case]
    assert message in refused(capsys, job(**changes))


@pytest.mark.slow
def test_records_of_the_model_zoo_train_and_evaluate(job, tmp_path):
    random = np.random.default_rng(1)
    path = tmp_path / "train.mindrecord"
    writer = FileWriter(str(path), overwrite=True)
    columns = ("input_ids", "input_mask", "segment_ids", "label_ids")
    writer.add_schema({name: {"type": "int32", "shape": [-1]} for name in columns})
    for number in range(20):
        ids = np.zeros(16, np.int32)
        ids[:6] = [2, *random.integers(5, 60, 4), 3]
        row = (ids, (ids > 0).astype(np.int32), np.zeros(16, np.int32), np.array([number % 2], np.int32))
        writer.write_raw_data([dict(zip(columns, row))])
    writer.commit()
    records = {"train_data_file_path": path, "eval_data_file_path": path, "columns": None, "do_eval": "true", "do_predict": "true"}
    run_classifier.main(job(**records, num_class=2, dataset_format="mindrecord", assessment_method="Accuracy"))
    assert results(tmp_path / "out")["num_examples"] == 20


def launch(*flags):
    return subprocess.Popen(
        ["bash", "scripts/run_classifier.sh", *flags], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_the_launcher_runs_logs_and_returns_the_exit_code(job, tmp_path):
    process = launch("0", *job(do_eval="true", epoch_num=1))
    out, _ = process.communicate()
    assert process.returncode == 0
    assert "acc_num " in out
    log = (ROOT / "classfier_log.txt").read_text(encoding="utf-8")
    assert "acc_num " in log
    assert "device CPU:0" in log
    process = launch(*job(task_name="colla"))
    _, err = process.communicate()
    assert process.returncode == 2
    assert err.startswith("error: task_name=colla")
    assert (ROOT / "classfier_log.txt").read_text(encoding="utf-8") == err


@pytest.mark.slow
def test_the_launcher_hands_signals_on(job):
    process = launch(*job(epoch_num=300))
    for line in process.stdout:
        if "step=3/" in line:
            os.kill(process.pid, signal.SIGTERM)
            break
    rest, _ = process.communicate()
    assert process.returncode == 143
    assert "stopped=SIGTERM step=" in rest
