"""Evaluations during training, the best checkpoint, folds and ensembles of run_classifier.py; most tests share one run of one fold."""

import csv
import io
import json
import shutil
from contextlib import redirect_stdout
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import exit_code, make_job
from mindspore.common.api import _cell_graph_executor

import run_classifier
from src import ensemble
from src.report import plots
from src.tasks.classifier import ensemble as averages
from src.tasks.classifier import task as classifier
from src.train import checkpoint, loop

SCORES = [0.2, 0.9, 0.5, 0.5]  # of the evaluations of a training, instead of the true f1
SETTINGS = {"eval_steps": 2, "best_metric": "f1", "early_stopping": 2, "epoch_num": None, "train_steps": 9}


def script_scores(patched, values=SCORES):
    """Give evaluations during training, and them alone, the f1 of a list."""
    score, left = classifier.score, []

    def scripted(prepared, outputs):
        if not left:
            left.extend(values)
        return score(prepared, outputs) | {"f1": left.pop(0)}

    patched.setattr(classifier, "score", scripted)


def count_compilations(patched):
    """A list that gets the class of every cell that is compiled."""
    executor, found = type(_cell_graph_executor), []
    compile_cell = executor.compile

    def counted(self, cell, *args, **kwargs):
        result = compile_cell(self, cell, *args, **kwargs)
        if result[1]:
            found.append(type(cell).__name__)
        return result

    patched.setattr(executor, "compile", counted)
    return found


def read_events(folder):
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [record for record in records if record.get("event") == "eval" and "step" in record]


def read_losses(folder):
    records = map(json.loads, (folder / "log.jsonl").read_text(encoding="utf-8").splitlines())
    return [record["loss"] for record in records if "loss" in record]


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def run_scripted(folder, **changes):
    """A training evaluated on the way and stopped early; what was compiled and printed."""
    job, printed = make_job(folder), io.StringIO()
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(printed):
        patched.setattr(plots, "plot_evaluation", lambda path: ())  # its figures take seconds
        script_scores(patched)
        compiled = count_compilations(patched)
        run_classifier.main(job(**SETTINGS, **changes))
    return SimpleNamespace(job=job, folder=folder, out=folder / "out", compiled=compiled, printed=printed.getvalue())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The first of two folds alone."""
    return run_scripted(tmp_path_factory.mktemp("trained"), folds=2, fold=1, do_eval="true")


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    """Both folds."""
    return run_scripted(tmp_path_factory.mktemp("folds"), folds=2)


def test_evaluations_are_logged_with_the_best_so_far(trained):
    events = read_events(trained.out)
    assert [event["step"] for event in events] == [2, 4, 6, 8]
    assert [event["f1"] for event in events] == SCORES
    assert [(event["best_metric"], event["best_score"], event["best_step"]) for event in events] == [
        ("f1", score, step) for score, step in ((0.2, 2), *[(0.9, 4)] * 3)
    ]
    assert {"eval_loss", "accuracy", "num_examples", "mcc"} <= events[0].keys()
    assert (trained.out / "figures/loss.png").is_file()


def test_the_best_is_kept_beside_the_newest_and_is_what_is_evaluated(trained):
    kept = trained.out / "ckpt"
    assert [path.name for path in kept.glob("*.ckpt")] == ["classifier-2_8.ckpt"]
    assert checkpoint.find_best(kept, "classifier").name == "classifier-1_4.ckpt"
    described = {path.name for path in (kept / "best").iterdir() if path.suffix != ".ckpt"}
    assert described == {"MODEL_CARD.md", "config.json", "tokenizer_config.json", "vocab.txt"}
    results, event = read_json(trained.out / "eval_results.json"), read_events(trained.out)[1]
    assert results["global_step"] == 4
    assert {name: results[name] for name in ("eval_loss", "accuracy")} == {name: event[name] for name in ("eval_loss", "accuracy")}


def test_nothing_is_compiled_twice(trained):
    assert [name for name in trained.compiled if name in ("TrainStep", "WithPacking")] == ["TrainStep", "WithPacking"]
    first, *others = read_events(trained.out)
    assert first["compile_s"] > 0 and [event["compile_s"] for event in others] == [0.0] * 3


def test_early_stopping_ends_the_training_after_so_many_evaluations_without_a_gain(trained):
    assert "early_stopping=2: the training ends at step=8, the best is step=4" in trained.printed


@pytest.mark.slow
def test_each_row_is_predicted_by_the_fold_that_did_not_train_on_it(folds):
    rows = read_table(folds.out / "out_of_fold.csv")
    assert list(rows[0]) == ["row", "fold", "label", "predicted_label", "negative", "positive"]
    assert [int(row["row"]) for row in rows] == list(range(1, 51))
    assert [row["label"] for row in rows] == ["negative", "positive"] * 25  # as in the training file
    assert [row["fold"] for row in rows].count("1") == 25
    summary = read_json(folds.out / "fold_results.json")
    accuracies = [read_json(folds.out / f"fold-{number}/eval_results.json")["accuracy"] for number in (1, 2)]
    assert summary["folds"] == [1, 2] and summary["accuracy"]["values"] == accuracies
    assert f"folds=1,2 accuracy {np.mean(accuracies):.6f} ± {np.std(accuracies, ddof=1):.6f}" in folds.printed


def copy_run(trained, folder, old, new):
    """A copy of a run with a part of its config.yaml replaced."""
    shutil.copytree(trained.out, folder)
    text = (folder / "config.yaml").read_text(encoding="utf-8")
    assert old in text
    (folder / "config.yaml").write_text(text.replace(old, new), encoding="utf-8")
    return str(folder)


def test_an_ensemble_averages_probabilities_and_scores_them(trained, tmp_path, capsys):
    runs = [str(trained.out), copy_run(trained, tmp_path / "copy", "", "")]
    dev = str(trained.folder / "dev.tsv")
    ensemble.main([*runs, "--output", str(tmp_path / "both"), "--eval_data_file_path", dev, "--predict_data_file_path", dev])
    told = read_json(tmp_path / "both/ensemble.json")
    assert [each["run"] for each in told["runs"]] == runs
    assert [each["weights"].rsplit("/", 1)[1] for each in told["runs"]] == ["classifier-1_4.ckpt"] * 2
    results = read_json(tmp_path / "both/eval_results.json")
    assert results["num_examples"] == 21 and results == told["ensemble"]
    assert results["eval_loss"] == pytest.approx(told["runs"][0]["eval_loss"])  # equal runs
    assert f"total_num 21, accuracy {results['accuracy']:.6f}" in capsys.readouterr().out
    both = np.loadtxt(tmp_path / "both/test_results.tsv")
    np.testing.assert_allclose(both.sum(1), 1, atol=1e-6)
    rows = read_table(tmp_path / "both/evaluation.csv")
    np.testing.assert_allclose([[float(row[label]) for label in ("negative", "positive")] for row in rows], both, atol=1e-8)


def test_probabilities_are_averaged_not_logits():
    prepared = SimpleNamespace(config=SimpleNamespace(is_regression=False, multi_label=False, has_choices=False))
    average = averages.Average(prepared, "eval")
    for logits in ([[0.0, 0.0]], [[0.0, np.log(9.0)]]):  # 0.5, 0.5 and 0.1, 0.9
        average.add(None, [np.array(logits)])
    np.testing.assert_allclose(np.exp(average.outputs()[0]), [[0.3, 0.7]])


def test_an_ensemble_of_other_rows_or_labels_is_refused(trained, tmp_path, capsys):
    first, given = str(trained.out), ["--output", str(tmp_path / "x")]
    other = copy_run(trained, tmp_path / "other", "fold: 1\n", "fold: 2\n")
    assert exit_code(ensemble.main, [first, other, *given]) == 2
    assert f"{other}: its eval rows are not those of {first}; give --eval_data_file_path" in capsys.readouterr().err
    swapped = copy_run(trained, tmp_path / "swapped", "- negative\n- positive\n", "- positive\n- negative\n")
    assert exit_code(ensemble.main, [first, swapped, *given, "--eval_data_file_path", str(trained.folder / "dev.tsv")]) == 2
    assert f"{swapped}: its labels are positive,negative, those of {first} negative,positive" in capsys.readouterr().err
    assert exit_code(ensemble.main, [first, "--output", "x"]) == 2
    assert "one run alone is no ensemble" in capsys.readouterr().err


def test_more_folds_than_rows_of_a_class_are_refused_before_anything_is_compiled(job, tmp_path, capsys, monkeypatch):
    compiled = count_compilations(monkeypatch)
    rows = (tmp_path / "train.tsv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "train.tsv").write_text("\n".join([*rows, "the cat\tneutral", "a dog\tneutral"]) + "\n", encoding="utf-8")
    assert exit_code(run_classifier.main, job(folds=3)) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert f"folds=3: {tmp_path}/train.tsv has only 2 rows of the rarest class, 'neutral'" in error
    assert not compiled


def test_a_group_column_that_is_not_there_is_named(job, tmp_path, capsys):
    assert exit_code(run_classifier.main, job(folds=3, fold_groups="author")) == 2
    assert f"{tmp_path}/train.tsv:1: no column 'author' for fold_groups; found text, label" in capsys.readouterr().err


@pytest.mark.slow
def test_evaluations_change_no_loss(job, tmp_path):
    run_classifier.main(job(**{**SETTINGS, "early_stopping": None}, output_dir=tmp_path / "evaluated"))
    run_classifier.main(job(epoch_num=None, train_steps=9))
    arrays, others = (
        checkpoint.read(checkpoint.find_checkpoints(tmp_path / name / "ckpt", "classifier")[-1]) for name in ("evaluated", "out")
    )
    assert [name for name in arrays if not np.array_equal(arrays[name], others[name])] == []


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [3, 4, 11])
def test_a_resumed_training_keeps_the_best_and_the_patience(stop_at, job, tmp_path, monkeypatch):
    values = [0.2, 0.9, 0.5, 0.95, 0.5, 0.6]  # at every second step
    settings = {**SETTINGS, "train_steps": 20}

    class Saver(loop.Saver):
        def on_train_step_end(self, run_context):
            super().on_train_step_end(run_context)
            if self.done.batches == stop_at:
                self.save()
                raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "Saver", Saver)
        script_scores(patched, values)
        run_classifier.main(job(**settings))
    script_scores(monkeypatch, values[stop_at // 2 :])
    run_classifier.main(job(**settings, resume="true"))
    kept = [(event["step"], event["f1"], event["best_step"]) for event in read_events(tmp_path / "out")]
    assert kept == [(2, 0.2, 2), (4, 0.9, 4), (6, 0.5, 4), (8, 0.95, 8), (10, 0.5, 8), (12, 0.6, 8)]  # then the patience is used up
    assert checkpoint.step_of(checkpoint.find_best(tmp_path / "out/ckpt", "classifier")) == 8


@pytest.mark.slow
def test_the_newest_is_evaluated_where_the_best_is_not_wanted(trained, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(trained.out, out)
    flags = trained.job(do_train="false", do_eval="true", use_best="false", output_dir=out)
    run_classifier.main(flags)
    assert read_json(out / "eval_results.json")["global_step"] == 8
    run_classifier.main([*flags, "--use_best", "true"])
    assert read_json(out / "eval_results.json")["global_step"] == 4


@pytest.mark.slow
def test_a_finished_fold_is_not_trained_again_unless_its_settings_have_changed(folds, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(folds.out, out)
    shutil.rmtree(out / "fold-2")
    flags = {**SETTINGS, "folds": 2, "output_dir": out}
    run_classifier.main(folds.job(**flags))
    said = capsys.readouterr().out
    assert said.count("nothing left to train: 8 of 9 batches are done; early_stopping=2 ended it, the best is step=4") == 1
    first, again = (read_json(folder / "fold_results.json")["accuracy"]["values"] for folder in (folds.out, out))
    assert again[0] == first[0]
    first, again = (read_losses(folder / "fold-2") for folder in (folds.out, out))
    assert again[: len(first)] == first
    run_classifier.main(folds.job(**{**flags, "optimizer.learning_rate": 0.02}))
    said = capsys.readouterr().out
    assert said.count("is trained anew: changed since: optimizer.learning_rate 0.01 -> 0.02") == 2 and "nothing left" not in said
