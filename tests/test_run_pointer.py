"""run_ner.py with a global pointer, on entities within entities; one training is shared."""

import contextlib
import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import WITHOUT_DROPOUT, WORDS

import run_ner
from src import ensemble
from src.bundle.model import Bundle
from src.config import loader
from src.config.yaml_file import read_yaml
from src.tasks.ner import task
from src.tasks.ner.options import NerOptions

SEQ_LENGTH = 24
FILLERS = ["the", "sat", "on", "ran", "fast", "slow", "very", "not", "it", "was"]
PHRASES = {  # words -> spans of words
    ("bad", "cat"): [("PET", 0, 2), ("ANIMAL", 1, 2)],
    ("dog",): [("PET", 0, 1), ("ANIMAL", 0, 1)],
    ("good", "mat"): [("THING", 0, 2), ("THING", 1, 2)],
    ("cat", "mat"): [("PET", 0, 1), ("ANIMAL", 0, 1), ("THING", 0, 2)],
}
TYPES = ["ANIMAL", "PET", "THING"]


def make_row(random):
    """A sentence as a span JSON line has it."""
    words, spans = [], []
    for _ in range(random.integers(1, 5)):
        words += [FILLERS[number] for number in random.integers(0, len(FILLERS), random.integers(1, 3))]
        phrase = list(PHRASES)[random.integers(len(PHRASES))]
        spans += [(kind, len(words) + first, len(words) + behind) for kind, first, behind in PHRASES[phrase]]
        words += phrase
    starts = [len(" ".join(words[:number])) + (number > 0) for number in range(len(words))]
    places = [(kind, starts[first], starts[behind - 1] + len(words[behind - 1])) for kind, first, behind in spans]
    return {"text": " ".join(words), "entities": [dict(zip(("type", "start", "end"), place)) for place in places]}


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def as_set(row):
    return {(entity["type"], entity["start"], entity["end"]) for entity in row["entities"]}


RANDOM = np.random.default_rng(1)
TRAIN, DEV = [make_row(RANDOM) for _ in range(150)], [make_row(RANDOM) for _ in range(16)]
LONG = {"text": " ".join(row["text"] for row in DEV[:8])}  # several windows
LONG["entities"] = [
    {**entity, **{end: entity[end] + offset for end in ("start", "end")}}
    for number, row in enumerate(DEV[:8])
    for offset in [sum(len(before["text"]) + 1 for before in DEV[:number])]
    for entity in row["entities"]
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    (folder / "bert_config.json").write_text(json.dumps({**WITHOUT_DROPOUT, "initializer_range": 0.3}), encoding="utf-8")
    write_lines(folder / "train.json", TRAIN)
    write_lines(folder / "dev.json", [*DEV, LONG])
    return folder


def make_flags(data, out, **changes):
    """Flags of a complete tiny training; None leaves one out."""
    settings = {
        "do_train": "true",
        "do_eval": "true",
        "do_predict": "true",
        "data_dir": data,
        "head": "global_pointer",
        "vocab_file_path": data / "vocab.txt",
        "bert_config_file": data / "bert_config.json",
        "output_dir": out,
        "seq_length": SEQ_LENGTH,
        "bucket_list": SEQ_LENGTH,
        "train_batch_size": 8,
        "epoch_num": 14,
        "optimizer.learning_rate": 0.01,
        **changes,
    }
    return [part for key, value in settings.items() if value is not None for part in (f"--{key}", str(value))]


def run(flags):
    with contextlib.redirect_stdout(io.StringIO()) as said:
        run_ner.main(flags)
    return said.getvalue()


def read_results(out):
    return json.loads((out / "eval_results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A finished run."""
    out = tmp_path_factory.mktemp("trained")
    said = run(make_flags(data, out))
    return SimpleNamespace(out=out, said=said, results=read_results(out))


@pytest.fixture(scope="module")
def prepared(data, tmp_path_factory):
    """The rows of a run that predicts, without a network."""
    flags = make_flags(data, tmp_path_factory.mktemp("prepared"))
    return task.prepare(loader.load(NerOptions, flags))


def test_rows_have_a_matrix_of_spans_and_the_same_form_in_every_split(prepared):
    assert list(prepared.config.labels) == TYPES
    widest = max(len(row["entities"]) for row in [*TRAIN, *DEV, LONG])
    assert {split: records.rows["label_ids"].shape[1:] for split, records in prepared.records.items()} == dict.fromkeys(
        ("train", "eval", "predict"), (widest, 3)
    )
    assert prepared.records["predict"].rows["label_ids"].max() == -1


def test_labels_as_output_are_the_entities_of_the_file(prepared):
    """Also of the long sentence, put together from windows: none of its entities is longer than what two windows share."""
    spans = prepared.records["eval"].rows["label_ids"]
    outputs = [spans, np.ones(len(spans)), np.ones(len(spans))]
    results = task.report_evaluation(prepared, outputs, 7)
    assert (results["f1"], results["num_entities"]) == (1, sum(len(row["entities"]) for row in [*DEV, LONG]))
    assert "accuracy" not in results and "num_tokens" not in results
    task.report_predictions(prepared, outputs)
    predictions = read_lines(Path(prepared.config.output_dir) / "predictions.jsonl")
    assert [(row["text"], as_set(row)) for row in predictions] == [(row["text"], as_set(row)) for row in [*DEV, LONG]]
    _, rows = task.tabulate(prepared, outputs)
    assert [as_set({"entities": json.loads(found)}) for _, _, found in rows] == [as_set(row) for row in [*DEV, LONG]]


@pytest.mark.slow
def test_entities_within_entities_are_learnt_and_scored(trained):
    results = trained.results
    assert results["f1"] >= 0.9
    assert f"F1 {results['f1']:.6f}" in trained.said.splitlines()
    predictions = read_lines(trained.out / "predictions.jsonl")
    hits = sum(len(as_set(row) & as_set(gold)) for row, gold in zip(predictions, [*DEV, LONG]))
    found = sum(len(row["entities"]) for row in predictions)
    assert (results["precision"], results["recall"]) == pytest.approx((hits / found, hits / results["num_entities"]))


@pytest.mark.slow
def test_the_head_and_the_types_are_kept_with_the_weights(trained):
    described = json.loads((trained.out / "ckpt/config.json").read_text(encoding="utf-8"))
    assert list(described["id2label"].values()) == TYPES
    assert described["trained_with"]["head"] == "global_pointer" and "use_crf" not in described["trained_with"]
    assert json.loads((trained.out / "label_map.json").read_text(encoding="utf-8")) == {name: number for number, name in enumerate(TYPES)}
    settings = read_yaml(trained.out / "config.yaml")
    assert (settings["head"], settings["use_crf"], settings["with_lstm"]) == ("global_pointer", None, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_crf": "true"}, "use_crf=true and head=global_pointer contradict each other; give the head alone"),
        ({"tag_scheme": "BIO"}, "tag_scheme=BIO: only for heads that tag tokens"),
        ({"assessment_method": "accuracy"}, "assessment_method=accuracy: only for heads that tag tokens"),
        ({"label_smoothing": "0.1"}, "label_smoothing and focal_gamma: only for the softmax; head=global_pointer has another loss"),
        ({"eval_epochs": "1", "best_metric": "accuracy"}, "best_metric=accuracy is not allowed: this task has f1, "),
        ({"head": "pointer"}, "head=pointer is not allowed: it must be one of softmax, crf, lstm_softmax, lstm_crf, global_pointer"),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_one_line(changes, message, data, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run_ner.main(make_flags(data, tmp_path, **changes))
    err = capsys.readouterr().err
    assert stopped.value.code == 2 and err.count("\n") == 1 and message in err


def test_overlapping_entities_are_told_with_their_lines_where_tags_cannot_hold_them(data, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run_ner.main(make_flags(data, tmp_path, head="crf", do_eval=None, do_predict=None))
    err = capsys.readouterr().err
    assert f"{data}/train.json: " in err and f" of {sum(len(row['entities']) for row in TRAIN)} entities overlap a longer one" in err
    assert err.count("\n") == 1 and err.count(": line ") == 1 and err.count("; line ") == 2
    assert "give --head global_pointer, or --drop_overlapping true" in err


@pytest.mark.slow
def test_a_crf_trains_without_the_inner_entities_and_misses_them(trained, data, tmp_path):
    run(make_flags(data, tmp_path, head="crf", drop_overlapping="true", do_predict=None))
    results = read_results(tmp_path)
    assert results["num_entities"] == trained.results["num_entities"]
    assert results["recall"] < 0.75 < trained.results["recall"]


@pytest.mark.slow
def test_evaluation_alone_takes_everything_from_the_run_folder(trained, data, tmp_path):
    weights = {"load_finetune_checkpoint_path": trained.out / "ckpt", "do_train": None, "do_predict": None, "head": None}
    bare = dict.fromkeys(("vocab_file_path", "bert_config_file", "seq_length", "bucket_list"))
    run(make_flags(data, tmp_path, **weights, **bare, eval_batch_size=3))
    second = read_results(tmp_path)
    assert second["eval_loss"] == pytest.approx(trained.results["eval_loss"], rel=1e-5)
    assert {name: second[name] for name in ("f1", "per_type")} == {name: trained.results[name] for name in ("f1", "per_type")}


@pytest.mark.slow
def test_the_regularisers_train(data, tmp_path):
    with_dropout = {**WITHOUT_DROPOUT, "initializer_range": 0.3, "hidden_dropout_prob": 0.1}
    (data / "dropout.json").write_text(json.dumps(with_dropout), encoding="utf-8")
    changes = {"bert_config_file": data / "dropout.json", "do_predict": None, "ema": 0.9, "adversarial": "fgm", "epoch_num": 3}
    for name, flags in {"samples": {"multi_sample_dropout": 2}, "r_drop": {"r_drop": 1}}.items():
        run(make_flags(data, tmp_path / name, **changes, **flags, long_documents="windows"))
        assert np.isfinite(read_results(tmp_path / name)["eval_loss"])


@pytest.mark.slow
def test_a_bundle_answers_as_the_run_predicts(trained, data, tmp_path):
    weights = {"load_finetune_checkpoint_path": trained.out / "ckpt", "do_train": None, "do_eval": None, "save_for_serving": "true"}
    run(make_flags(data, tmp_path, **weights))
    bundle = Bundle(tmp_path / "serving")
    assert (bundle.settings["head"], list(bundle.labels)) == ("global_pointer", TYPES)
    expected = read_lines(tmp_path / "predictions.jsonl")
    assert bundle.predict([row["text"] for row in expected]) == expected


@pytest.mark.slow
def test_the_mean_of_two_runs_is_scored(trained, data, tmp_path):
    run(make_flags(data, tmp_path / "other", seed=2, epoch_num=4))
    ensemble.main([str(trained.out), str(tmp_path / "other"), "--output", str(tmp_path / "both")])
    runs = json.loads((tmp_path / "both/ensemble.json").read_text(encoding="utf-8"))["runs"]
    assert runs[0]["eval_loss"] == pytest.approx(trained.results["eval_loss"], rel=1e-4)
    assert runs[0]["f1"] == pytest.approx(trained.results["f1"])
    assert read_results(tmp_path / "both")["f1"] >= min(each["f1"] for each in runs)
