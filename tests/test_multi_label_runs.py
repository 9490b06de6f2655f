"""Runs of run_classifier.py with several labels a text: most tests share one training with tuned thresholds."""

import contextlib
import csv
import io
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import WORDS, exit_code, make_job
from scipy.special import expit

import run_classifier
from src import ensemble
from src.convert import conversion
from src.report import plots
from src.train import prediction

SAME = 1e-5  # probabilities in float32
SETTINGS = {
    "multi_label": "true",
    "columns": "text_a=text,label=labels",
    "tune_thresholds": "each",
    "packing": "false",  # batches of all lengths are learnt more slowly by so small a network
    "epoch_num": 12,
    "do_eval": "true",
    "model.initializer_range": 0.3,
}
LABELS = ("animal", "rude")


def write_texts(path, rows, seed):
    """Sentences of known words; `animal` if a cat or a dog is in them, `rude` if `bad` is."""
    random = np.random.default_rng(seed)
    lines = []
    for number in range(rows):
        words = [word for word in random.choice(WORDS, random.integers(2, 7)) if word not in ("cat", "dog", "bad")]
        words += ["cat"] * (number % 2) + ["bad"] * (number % 3 == 0)
        lines.append(f"{' '.join(words) or 'it'}\t{';'.join(['animal'] * (number % 2) + ['rude'] * (number % 3 == 0))}\n")
    path.write_text("text\tlabels\n" + "".join(lines), encoding="utf-8")


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training that was evaluated and predicted; its flags, folder, output and what it printed."""
    folder, printed = tmp_path_factory.mktemp("labels"), io.StringIO()
    job = make_job(folder)
    for split, rows, seed in (("train", 60, 1), ("dev", 21, 2)):
        write_texts(folder / f"{split}.tsv", rows, seed)
    with contextlib.redirect_stdout(printed), pytest.MonkeyPatch.context() as patched:
        patched.setattr(plots, "plot_evaluation", lambda path: ())  # its figures take seconds
        run_classifier.main(job(**SETTINGS, label_separator=";", do_predict="true"))
    return SimpleNamespace(job=job, folder=folder, out=folder / "out", printed=printed.getvalue())


def test_labels_are_learnt_and_measured(trained):
    results = read_json(trained.out / "eval_results.json")
    assert results["micro_f1"] >= 0.9  # two words decide
    assert {"macro_f1", "sample_f1", "subset_accuracy", "mean_average_precision", "eval_loss", "per_label"} <= results.keys()
    assert "accuracy" not in results and results["num_examples"] == 21
    assert f"Micro F1 {results['micro_f1']:.6f}\nMacro F1 " in trained.printed
    assert "training classes: animal=30 (50.0%), rude=20 (33.3%)" in trained.printed
    assert read_json(trained.out / "label_map.json") == {"animal": 0, "rude": 1}


def test_tuned_thresholds_are_kept_with_the_model(trained):
    results, described = read_json(trained.out / "eval_results.json"), read_json(trained.out / "ckpt/config.json")
    kept = dict(text.split("=") for text in described["trained_with"]["thresholds"])
    assert {label: float(text) for label, text in kept.items()} == {
        label: figures["threshold"] for label, figures in results["per_label"].items()
    }
    assert described["problem_type"] == "multi_label_classification"
    assert described["trained_with"]["label_separator"] == ";"


def test_files_have_lists_of_labels(trained):
    rows = read_table(trained.out / "evaluation.csv")
    assert list(rows[0]) == ["labels", "predicted_labels", *LABELS]
    assert [json.loads(row["labels"]) for row in rows[:4]] == [["rude"], ["animal"], [], ["animal", "rude"]]
    thresholds = [figures["threshold"] for figures in read_json(trained.out / "eval_results.json")["per_label"].values()]
    for row in [*rows, *read_table(trained.out / "predictions.csv")]:
        found = json.loads(row["predicted_labels"])
        if "animal" in row:
            assert found == [label for label, cut in zip(LABELS, thresholds) if float(row[label]) >= cut]
        else:
            assert len(found) == len(json.loads(row["probabilities"]))
    probabilities = np.loadtxt(trained.out / "test_results.tsv")
    np.testing.assert_allclose([[float(row[label]) for label in LABELS] for row in rows], probabilities, atol=SAME)


@pytest.mark.slow
def test_evaluation_alone_takes_what_was_tuned_whatever_config_yaml_says(trained, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(trained.out, out)
    expected = read_json(out / "eval_results.json")

    def assert_the_same():
        found = read_json(out / "eval_results.json")
        assert {**found, "per_label": None} == pytest.approx({**expected, "per_label": None}, abs=SAME)
        for label in LABELS:
            assert found["per_label"][label] == pytest.approx(expected["per_label"][label], abs=SAME)

    alone = ["--do_train", "false", "--do_eval", "true", "--eval_data_file_path", str(trained.folder / "dev.tsv")]
    run_classifier.main(["--output_dir", str(out), *alone])
    assert_the_same()
    run_classifier.main(["--output_dir", str(out), "--packing", "true", *alone])
    assert_the_same()
    run_classifier.main(["--config_path", str(out / "config.yaml"), "--output_dir", str(out), "--tune_thresholds", "none", *alone])
    assert_the_same()
    run_classifier.main(["--output_dir", str(out), "--tune_thresholds", "one", *alone])
    (kept,) = read_json(out / "ckpt/config.json")["trained_with"]["thresholds"]
    assert {figures["threshold"] for figures in read_json(out / "eval_results.json")["per_label"].values()} == {float(kept)}
    run_classifier.main(["--output_dir", str(out), "--thresholds", "0.9,rude=0.1", *alone])
    found = read_json(out / "eval_results.json")["per_label"]
    assert [found[label]["threshold"] for label in LABELS] == [0.9, 0.1]


@pytest.mark.slow
def test_hugging_faces_form_is_answered_as_the_original(trained, tmp_path):
    conversion.convert("mindspore", "huggingface", trained.out / "ckpt", tmp_path / "hf")
    described = read_json(tmp_path / "hf/config.json")
    assert described["problem_type"] == "multi_label_classification"
    del described["trained_with"]  # as another program writes it
    (tmp_path / "hf/config.json").write_text(json.dumps(described), encoding="utf-8")
    weights = ["--load_finetune_checkpoint_path", str(tmp_path / "hf"), "--columns", "text_a=text,label=labels", "--label_separator", ";"]
    dev = ["--do_eval", "true", "--eval_data_file_path", str(trained.folder / "dev.tsv"), "--output_dir", str(tmp_path / "out")]
    run_classifier.main([*weights, *dev, "--thresholds", "0.3", "--seq_length", "16"])
    rows, others = (read_table(folder / "evaluation.csv") for folder in (tmp_path / "out", trained.out))
    for label in LABELS:
        np.testing.assert_allclose([float(row[label]) for row in rows], [float(row[label]) for row in others], atol=SAME)
    back = conversion.convert("huggingface", "mindspore", tmp_path / "hf", tmp_path / "back")
    assert back.passed and read_json(tmp_path / "back/config.json")["problem_type"] == "multi_label_classification"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "int8"])
def test_a_bundle_answers_with_the_labels_that_reach_their_thresholds(trained, tmp_path, kind):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install -r requirements-serve.txt")
    from src.bundle.model import Bundle
    from src.export import __main__ as export_command

    export_command.main(["--task", "classifier", "--checkpoint", str(trained.out), "--output", str(tmp_path / "bundle"), "--int8", "true"])
    bundle = Bundle(tmp_path / "bundle", kind)
    texts = [row["text_a"] for row in read_table(trained.out / "predictions.csv")]
    results = bundle.predict(texts)
    found, expected = [list(each["probabilities"].values()) for each in results], np.loadtxt(trained.out / "test_results.tsv")
    np.testing.assert_allclose(found, expected, atol=SAME if kind == "onnx" else 0.2)
    for each in results:
        cuts = zip(each["probabilities"].items(), bundle.settings["thresholds"])
        assert each["labels"] == [label for (label, probability), cut in cuts if probability >= cut]
    assert list(bundle.predict(texts[:1], top_k=1)[0]["probabilities"]) == [
        max(results[0]["probabilities"], key=results[0]["probabilities"].get)
    ]


@pytest.mark.slow
def test_folds_and_ensembles_average_probabilities_and_tune_anew(trained, tmp_path, capsys):
    out = tmp_path / "folds"
    run_classifier.main(trained.job(**{**SETTINGS, "do_eval": None, "epoch_num": 4}, label_separator=";", folds=2, output_dir=out))
    table = read_table(out / "out_of_fold.csv")
    assert list(table[0]) == ["row", "fold", "labels", "predicted_labels", *LABELS]
    assert [int(row["row"]) for row in table] == list(range(1, 61))
    assert [row["fold"] for row in table].count("1") == 30
    assert read_json(out / "fold_results.json")["micro_f1"]["mean"] > 0
    dev = str(trained.folder / "dev.tsv")
    flags = ["--eval_data_file_path", dev, "--predict_data_file_path", dev]
    ensemble.main([str(out / "fold-1"), str(out / "fold-2"), "--output", str(tmp_path / "both"), *flags])
    both = np.loadtxt(tmp_path / "both/test_results.tsv")
    for number in (1, 2):
        alone = ["--output_dir", str(out / f"fold-{number}"), "--do_predict", "true", "--predict_data_file_path", dev]
        run_classifier.main(alone)
    single = [np.loadtxt(out / f"fold-{number}/test_results.tsv") for number in (1, 2)]
    np.testing.assert_allclose(both, np.mean(single, 0), atol=SAME)
    cuts = [figures["threshold"] for figures in read_json(tmp_path / "both/eval_results.json")["per_label"].values()]
    decided = [json.loads(row["predicted_labels"]) for row in read_table(tmp_path / "both/predictions.csv")]
    assert decided == [[label for label, p, cut in zip(LABELS, row, cuts) if p >= cut] for row in both]


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"packing": "true", "epoch_num": 30},
        {"head": "cnn", "class_weights": "balanced", "label_smoothing": 0.1},
        {"head": "rcnn", "r_drop": 1, "focal_gamma": 2},
        {"long_documents": "max", "seq_length": 6, "bucket_list": 6, "multi_sample_dropout": 2, "eval_epochs": 2},
        {"long_documents": "mean", "seq_length": 6, "bucket_list": 6, "adversarial": "fgm", "ema": 0.9, "tune_thresholds": "one"},
    ],
    ids=lambda changes: "-".join(map(str, changes)),
)
def test_what_classifiers_have_works_with_several_labels(trained, tmp_path, changes):
    run_classifier.main(trained.job(**{**SETTINGS, **changes}, label_separator=";", output_dir=tmp_path / "out"))
    results = read_json(tmp_path / "out/eval_results.json")
    assert results["num_examples"] == 21 and np.isfinite(results["eval_loss"]) and results["micro_f1"] > 0.5


def test_the_longest_window_gives_a_text_its_labels(trained):
    from src.tasks.classifier.results import score

    described = {"is_regression": False, "has_choices": False, "multi_label": True, "thresholds": (), "labels": LABELS}
    config = SimpleNamespace(**described, long_documents="max")
    rows = {"label_ids": np.array([[1, 1], [1, 1], [0, 0]], np.int8), "document": np.array([0, 0, 1])}
    prepared = SimpleNamespace(config=config, records={"eval": SimpleNamespace(rows=rows)})
    found = score(prepared, ([np.array([3.0, -3.0]), np.array([-3.0, 2.0]), np.array([-1.0, -2.0])],))
    assert found["subset_accuracy"] == 1 and found["num_examples"] == 2
    losses = -np.log(expit([3.0, 2.0, 1.0, 2.0]))
    assert found["eval_loss"] == pytest.approx(losses.mean())


def test_thresholds_of_labels_that_are_not_there_are_refused_before_anything_is_compiled(trained, capsys, monkeypatch):
    monkeypatch.setattr(prediction, "predict", None)
    flags = {"do_train": None, "do_eval": "true", "columns": SETTINGS["columns"], "thresholds": "loud=0.4"}
    assert exit_code(run_classifier.main, trained.job(**flags)) == 2
    assert "thresholds=loud=0.4: there is no label 'loud'; the labels are animal, rude" in capsys.readouterr().err
