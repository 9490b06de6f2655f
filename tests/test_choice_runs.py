"""Runs of run_classifier.py with multiple choice; most share one training on made-up questions in SWAG's form."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import WORDS, exit_code, make_job
from scipy.special import softmax

import run_classifier
from src import ensemble
from src.convert import conversion

pytestmark = pytest.mark.slow  # trainings
SAME = 1e-5  # probabilities in float32
SETTINGS = {"task_name": "swag", "columns": None, "epoch_num": 8, "do_eval": "true", "model.initializer_range": 0.3, "train_batch_size": 4}


def write_questions(path, count, seed):
    """Questions with two to four choices; the right one has `good` in it."""
    random = np.random.default_rng(seed)
    words = [word for word in WORDS if word not in ("good", "bad")]
    rows = []
    for number in range(count):
        choices = [" ".join(random.choice(words, random.integers(1, 4))) + " bad" for _ in range(2 + number % 3)]
        right = int(random.integers(len(choices)))
        choices[right] = choices[right].replace("bad", "good")
        rows.append([number, " ".join(random.choice(words, 3)), "it was", *choices, *[""] * (4 - len(choices)), right])
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "sent1", "sent2", *(f"ending{number}" for number in range(4)), "label"], *rows])


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training that was evaluated on the way and after, predicted and drawn."""
    folder = tmp_path_factory.mktemp("choices")
    job = make_job(folder)
    for split, count, seed in (("train", 40, 1), ("dev", 21, 2)):
        write_questions(folder / f"{split}.csv", count, seed)
    files = {f"{name}_data_file_path": folder / f"{split}.csv" for name, split in (("train", "train"), ("eval", "dev"))}
    run_classifier.main(job(**SETTINGS, **files, do_predict="true", eval_epochs=4))
    return SimpleNamespace(job=lambda **changes: job(**{**SETTINGS, **files, **changes}), folder=folder, out=folder / "out")


def test_choices_are_learnt_and_measured(trained, capsys):
    results = read_json(trained.out / "eval_results.json")
    assert results["accuracy"] == results["eval_accuracy"] >= 0.9 and results["num_examples"] == 21
    assert "f1" not in results
    rows = read_table(trained.out / "evaluation.csv")
    assert list(rows[0]) == ["label", "predicted_label", "0", "1", "2", "3"]
    for number, row in enumerate(rows):
        shares = [float(row[name]) for name in "0123"]
        assert sum(shares) == pytest.approx(1, abs=1e-6) and shares[2 + number % 3 :] == [0] * (2 - number % 3)
    assert {path.name for path in (trained.out / "figures").glob("*.png")} == {"loss.png", "confusion.png"}
    predicted = read_table(trained.out / "predictions.csv")
    assert [row["predicted_label"] for row in predicted] == [row["predicted_label"] for row in rows]
    assert len(json.loads(predicted[0]["text_b"])) == 2


def test_evaluation_alone_takes_everything_from_the_run_folder(trained):
    expected = read_json(trained.out / "eval_results.json")
    dev = ["--eval_data_file_path", str(trained.folder / "dev.csv"), "--eval_batch_size", "5"]
    run_classifier.main(["--output_dir", str(trained.out), "--do_eval", "true", *dev])
    assert read_json(trained.out / "eval_results.json") == pytest.approx(expected, abs=SAME)


@pytest.mark.parametrize("kind", ["onnx", "int8"])
def test_a_bundle_answers_with_one_of_the_choices(trained, tmp_path, kind):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install -r requirements-serve.txt")
    from src.bundle.model import Bundle
    from src.export import __main__ as export_command

    export_command.main(["--task", "classifier", "--checkpoint", str(trained.out), "--output", str(tmp_path / "bundle"), "--int8", "true"])
    bundle = Bundle(tmp_path / "bundle", kind)
    rows = read_table(trained.folder / "dev.csv")
    instances = [
        {"text_a": row["sent1"], "text_b": row["sent2"], "choices": "\n".join(filter(None, (row[f"ending{n}"] for n in range(4))))}
        for row in rows
    ]
    results, expected = bundle.predict(instances), read_table(trained.out / "evaluation.csv")
    for result, row in zip(results, expected, strict=True):
        shares = [float(row[name]) for name in "0123"][: len(result["probabilities"])]
        assert result["probabilities"] == pytest.approx(shares, abs=SAME if kind == "onnx" else 0.3)
        assert result["probability"] == max(result["probabilities"]) and result["text"]
    with pytest.raises(ValueError, match=r"instances\[0\]\.choices: two choices at least are needed"):
        bundle.predict([{**instances[0], "choices": "only one\n"}])


def test_folds_and_ensembles_keep_questions_whole(trained, tmp_path):
    out = tmp_path / "folds"
    run_classifier.main(trained.job(do_eval=None, epoch_num=2, folds=2, output_dir=out))
    table = read_table(out / "out_of_fold.csv")
    assert [int(row["row"]) for row in table] == list(range(1, 41))
    assert 15 <= [row["fold"] for row in table].count("1") <= 25
    dev = str(trained.folder / "dev.csv")
    ensemble.main([str(out / "fold-1"), str(out / "fold-2"), "--output", str(tmp_path / "both"), "--eval_data_file_path", dev])
    both = read_table(tmp_path / "both/evaluation.csv")
    single = []
    for number in (1, 2):
        run_classifier.main(["--output_dir", str(out / f"fold-{number}"), "--do_eval", "true", "--eval_data_file_path", dev])
        single.append(read_table(out / f"fold-{number}/evaluation.csv"))
    for row, *others in zip(both, *single):
        for name in "0123":
            assert float(row[name]) == pytest.approx(np.mean([float(other[name]) for other in others]), abs=SAME)


@pytest.mark.parametrize("changes", [{"head": "cnn"}, {"head": "rcnn", "r_drop": 1}, {"multi_sample_dropout": 3}])
def test_what_classifiers_have_works_with_choices(trained, tmp_path, changes):
    run_classifier.main(trained.job(**changes, output_dir=tmp_path / "out"))
    assert read_json(tmp_path / "out/eval_results.json")["accuracy"] >= 0.7


def test_hugging_faces_form_is_read_and_kept(trained, tmp_path, capsys):
    conversion.convert("mindspore", "huggingface", trained.out / "ckpt", tmp_path / "hf")
    described = read_json(tmp_path / "hf/config.json")
    assert described["architectures"] == ["BertForMultipleChoice"]
    del described["trained_with"]  # as another program writes it
    (tmp_path / "hf/config.json").write_text(json.dumps(described), encoding="utf-8")
    dev = ["--do_eval", "true", "--eval_data_file_path", str(trained.folder / "dev.csv"), "--output_dir", str(tmp_path / "out")]
    dev += ["--load_finetune_checkpoint_path", str(tmp_path / "hf"), "--seq_length", "16"]
    run_classifier.main(dev)
    expected = read_json(trained.out / "eval_results.json")
    assert read_json(tmp_path / "out/eval_results.json")["eval_loss"] == pytest.approx(expected["eval_loss"], abs=SAME)
    report = conversion.convert("huggingface", "huggingface", tmp_path / "hf", tmp_path / "again")
    assert report.passed and read_json(tmp_path / "again/config.json")["architectures"] == ["BertForMultipleChoice"]
    assert exit_code(run_classifier.main, [*dev, "--task_name", "cola"]) == 2
    assert "/hf is a BertForMultipleChoice: --task_name swag or c3" in capsys.readouterr().err


def test_c3s_predictions_have_the_form_of_its_site(trained, tmp_path):
    documents = [
        [["the cat sat"], [{"question": "it was", "choice": ["bad", "good"], "answer": "good", "id": 11}], "1"],
        [["a dog ran"], [{"question": "it was", "choice": ["very good", "bad", "not"], "answer": "very good", "id": 12}], "2"],
    ]
    (tmp_path / "m-dev.json").write_text(json.dumps(documents), encoding="utf-8")
    (tmp_path / "d-dev.json").write_text(json.dumps(documents[:1]), encoding="utf-8")
    flags = ["--load_finetune_checkpoint_path", str(trained.out / "ckpt"), "--task_name", "c3", "--data_dir", str(tmp_path)]
    run_classifier.main([*flags, "--do_eval", "true", "--do_predict", "true", "--output_dir", str(tmp_path / "out")])
    assert read_json(tmp_path / "out/eval_results.json")["num_examples"] == 3
    lines = (tmp_path / "out/c311_predict.json").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"id": 11, "label": "1"}, {"id": 12, "label": "0"}, {"id": 11, "label": "1"}]


def test_one_choice_is_refused_before_anything_is_compiled(trained, tmp_path, capsys):
    (tmp_path / "one.csv").write_text("sent1,sent2,ending0,label\na,b,c,0\n", encoding="utf-8")
    assert exit_code(run_classifier.main, trained.job(train_data_file_path=tmp_path / "one.csv")) == 2
    assert f"{tmp_path}/one.csv:2: a question with 1 choice: two at least are needed" in capsys.readouterr().err


def test_the_loss_of_a_question_is_that_of_its_probabilities(trained):
    rows = read_table(trained.out / "evaluation.csv")
    shares = np.array([[float(row[name]) for name in "0123"] for row in rows])
    losses = -np.log(shares[np.arange(len(rows)), [int(row["label"]) for row in rows]])
    assert read_json(trained.out / "eval_results.json")["eval_loss"] == pytest.approx(losses.mean(), rel=1e-4)
    assert softmax(np.log(np.maximum(shares, 1e-30)), axis=1) == pytest.approx(shares, abs=1e-6)
