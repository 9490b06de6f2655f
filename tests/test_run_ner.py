"""run_ner.py from flags to files, on a tiny random BERT and made-up sentences; most tests share one training."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import LAST_DIGIT, ROOT, WITHOUT_DROPOUT, WORDS

import run_ner
from src.records.tfrecord import encode_examples
from src.report import plots
from src.train import checkpoint, loop, prediction

SEQ_LENGTH = 24
OTHER_ROUNDING = 1e-6  # of other batches, in float32
FILLERS = ["the", "sat", "on", "ran", "fast", "slow", "very", "not", "it", "was", "a", "Cat"]  # Cat is none: the casing counts
ENTITIES = [("PET", "cat"), ("PET", "dog"), ("PET", "bad cat"), ("PET", "bad dog"), ("THING", "mat"), ("THING", "good mat")]
TAGS = {"BIO": "BIIB", "BIOES": "BIES", "BMES": "BMES"}  # first, inner, last, single
ZOO_LABELS = ["O", "S_PET", "B_PET", "M_PET", "E_PET", "S_THING", "B_THING", "M_THING", "E_THING"]
BIOES_LABELS = ["O", "B-PET", "I-PET", "E-PET", "S-PET", "B-THING", "I-THING", "E-THING", "S-THING"]


# Made-up sentences


def make_sentences(rows, seed):
    """(words, spans of words) of random sentences; between entities there is a filler."""
    random = np.random.default_rng(seed)
    sentences = []
    for _ in range(rows):
        words, spans = [], []
        for _ in range(random.integers(1, 6)):
            words += [FILLERS[number] for number in random.integers(0, len(FILLERS), random.integers(1, 3))]
            kind, text = ENTITIES[random.integers(len(ENTITIES))]
            spans.append((kind, len(words), len(words) + len(text.split())))
            words += text.split()
        sentences.append((words, spans))
    return sentences


def find_places(words, spans):
    """The spans of words as (type, start, end) of characters, end exclusive."""
    starts = [len(" ".join(words[:number])) + (number > 0) for number in range(len(words))]
    return [(kind, starts[first], starts[behind - 1] + len(words[behind - 1])) for kind, first, behind in spans]


def make_tags(length, spans, scheme, separator="-"):
    first, inner, last, single = TAGS[scheme]
    tags = ["O"] * length
    for kind, start, end in spans:
        prefixes = single if end - start == 1 else first + inner * (end - start - 2) + last
        tags[start:end] = [prefix + separator + kind for prefix in prefixes]
    return tags


def write_tagged(path, sentences, scheme):
    groups = [zip(words, make_tags(len(words), spans, scheme)) for words, spans in sentences]
    path.write_text("\n\n".join("\n".join(map("\t".join, group)) for group in groups) + "\n", encoding="utf-8")


def make_cluener(words, spans):
    text, label = " ".join(words), {}
    for kind, start, end in find_places(words, spans):
        label.setdefault(kind, {}).setdefault(text[start:end], []).append([start, end - 1])
    return {"text": text, "label": label}


def write_cluener(path, sentences):
    path.write_text("".join(json.dumps(make_cluener(*sentence)) + "\n" for sentence in sentences), encoding="utf-8")


def write_records(path, sentences):
    """A TFRecord as the model zoo makes it, in its order of tags."""
    ids = {token: number for number, token in enumerate(VOCABULARY)}
    rows = []
    for words, spans in sentences:
        tokens = [ids[token] for token in ("[CLS]", *words, "[SEP]")]
        tags = [ZOO_LABELS.index(tag) for tag in ("O", *make_tags(len(words), spans, "BMES", "_"), "O")]
        columns = (tokens, np.ones_like(tokens), np.zeros_like(tokens), tags)
        rows.append([np.pad(values, (0, SEQ_LENGTH - len(tokens))) for values in columns])
    columns = zip(("input_ids", "input_mask", "segment_ids", "label_ids"), np.array(rows).transpose(1, 0, 2))
    path.write_bytes(b"".join(encode_examples(dict(columns))))


LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", *LETTERS[1:], *(f"##{letter}" for letter in LETTERS)]
TRAIN, DEV = make_sentences(40, 1), make_sentences(15, 2)
FEW = [
    (["the", "cat", "sat"], [("PET", 1, 2)]),
    (["a", "bad", "dog", "on", "the", "mat"], [("PET", 1, 3), ("THING", 5, 6)]),
    (["cat", "not", "cat"], [("PET", 0, 1), ("PET", 2, 3)]),
]
PHRASE = "the slow dog ran on a mat it was "
PLACES = [(kind, start + len(PHRASE) * number) for number in range(6) for kind, start in (("PET", 9), ("THING", 22))]
TEXTS = {  # line -> entities
    "the cat sat": [("PET", 4, 7)],
    "": [],
    PHRASE * 6: [(kind, start, start + 3) for kind, start in PLACES],  # 54 words: several windows
    "   the cat sat on a good mat": [("PET", 7, 10), ("THING", 20, 28)],
    "the 猫 cat ☃☃ was\u3000mat ": [("PET", 6, 9), ("THING", 17, 20)],
    " \t": [],
    "it ran": [],
}


# Runs


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder of everything that runs read."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    (folder / "bert_config.json").write_text(json.dumps({**WITHOUT_DROPOUT, "initializer_range": 0.3}), encoding="utf-8")
    for name, sentences in {"train": TRAIN, "dev": DEV}.items():
        write_tagged(folder / f"{name}.txt", sentences, "BIO")
        write_cluener(folder / f"{name}.json", sentences)
    write_tagged(folder / "dev.bmes", DEV, "BMES")
    write_cluener(folder / "few.json", FEW)
    known = [(["the" if word == "Cat" else word for word in words], spans) for words, spans in TRAIN]
    write_records(folder / "train.tfrecord", known)
    (folder / "types.txt").write_text("PET\nTHING\n", encoding="utf-8")
    (folder / "three.txt").write_text("O\nB-PET\nI-PET\n", encoding="utf-8")
    (folder / "text.txt").write_text("".join(f"{line}\n" for line in TEXTS), encoding="utf-8")
    return folder


def make_flags(data, out, **changes):
    """Flags of a complete tiny training; None leaves one out."""
    settings = {
        "do_train": "true",
        "train_data_file_path": data / "train.txt",
        "eval_data_file_path": data / "dev.txt",
        "vocab_file_path": data / "vocab.txt",
        "bert_config_file": data / "bert_config.json",
        "output_dir": out,
        "seq_length": SEQ_LENGTH,
        "bucket_list": SEQ_LENGTH,
        "train_batch_size": 8,
        "epoch_num": 10,
        "log_steps": 1,
        "optimizer.learning_rate": 0.02,
        **changes,
    }
    return [part for key, value in settings.items() if value is not None for part in (f"--{key}", str(value))]


@pytest.fixture
def job(data, tmp_path):
    """`job(**changes)`: flags of a training into tmp_path/out."""
    return lambda **changes: make_flags(data, tmp_path / "out", **changes)


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def read_losses(out):
    return {record["step"]: record["loss"] for record in read_lines(out / "log.jsonl") if "step" in record}


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A finished run: BIO text learnt with a CRF as BIOES, cased, kept in mid-epoch and at the end."""
    out = tmp_path_factory.mktemp("trained")
    flags = {"do_eval": "true", "do_predict": "true", "use_crf": "true", "tag_scheme": "BIOES", "do_lower_case": "false"}
    keep = {"epoch_num": 16, "save_checkpoint_steps": 43, "save_checkpoint_num": 2}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        run_ner.main(make_flags(data, out, **flags, **keep))
    return SimpleNamespace(out=out, said=said.getvalue().splitlines(), results=read_json(out / "eval_results.json"))


@pytest.fixture(scope="module")
def found_again(data, trained, tmp_path_factory):
    """The folder of that run, evaluated and used once more by its output folder alone."""
    out = tmp_path_factory.mktemp("again") / "out"
    shutil.copytree(trained.out, out)
    flags = {"do_eval": "true", "eval_data_file_path": data / "dev.txt", "eval_batch_size": 4, "bucket_list": SEQ_LENGTH}
    texts = {"do_predict": "true", "predict_text_file_path": data / "text.txt"}
    run_ner.main([part for key, value in {"output_dir": out, **flags, **texts}.items() for part in (f"--{key}", str(value))])
    return out


def fails(capsys, argv):
    """Run and expect exit code 2 with one line on stderr, which is returned."""
    with pytest.raises(SystemExit) as stopped:
        run_ner.main(argv)
    lines = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


# What a run leaves


def test_a_run_leaves_the_documented_files(trained):
    out, results = trained.out, trained.results
    assert {"task", "global_step", "loss", "eval_loss", "precision", "recall", "macro_f1", "per_type"} <= results.keys()
    assert (results["task"], results["global_step"], results["num_examples"]) == ("ner", 80, 15)
    assert {kind: rates["support"] for kind, rates in results["per_type"].items()} == {
        kind: sum(span[0] == kind for _, spans in DEV for span in spans) for kind in ("PET", "THING")
    }
    assert f"f1 = {results['f1']}" in (out / "eval_results.txt").read_text(encoding="utf-8").splitlines()
    assert read_json(out / "label_map.json") == {label: number for number, label in enumerate(BIOES_LABELS)}
    assert sorted(path.name for path in (out / "ckpt").glob("*.ckpt")) == ["ner-16_80.ckpt", "ner-9_43.ckpt"]
    assert (out / "config.yaml").is_file()
    assert (out / "figures/loss.png").is_file()
    assert list(read_losses(out)) == list(range(1, 81))
    assert [record.get("event") for record in read_lines(out / "log.jsonl")[-2:]] == ["eval", "predict"]


def test_a_crf_learns_the_entities(trained):
    assert trained.results["f1"] >= 0.9
    losses = read_losses(trained.out)
    assert losses[80] < losses[1] / 10


def test_results_are_printed(trained):
    for name in ("precision", "recall", "f1"):
        assert f"{name.capitalize()} {trained.results[name]:.6f}" in trained.said
    rows = [line.split() for line in trained.said]
    for kind, rates in trained.results["per_type"].items():
        assert [kind, *(f"{rates[name]:.4f}" for name in ("precision", "recall", "f1")), str(rates["support"])] in rows


def test_predictions_are_those_that_were_scored(trained):
    predictions = read_lines(trained.out / "predictions.jsonl")
    assert [row["text"] for row in predictions] == [" ".join(words) for words, _ in DEV]
    hits = found = 0
    for row, sentence in zip(predictions, DEV):
        for entity in row["entities"]:
            assert list(entity) == ["type", "start", "end", "text"]
            assert row["text"][entity["start"] : entity["end"]] == entity["text"]
        entities = {(entity["type"], entity["start"], entity["end"]) for entity in row["entities"]}
        hits += len(entities & set(find_places(*sentence)))
        found += len(entities)
    assert trained.results["f1"] == pytest.approx(2 * hits / (found + sum(len(spans) for _, spans in DEV)))


@pytest.mark.slow
def test_evaluation_alone_takes_everything_from_the_run_folder(trained, found_again):
    second = read_json(found_again / "eval_results.json")
    assert second.keys() == trained.results.keys()
    for name in ("eval_loss", "accuracy", "f1", "macro_f1", "num_examples", "global_step"):
        assert second[name] == pytest.approx(trained.results[name], abs=OTHER_ROUNDING), name


@pytest.mark.slow
def test_every_line_of_a_text_gets_its_entities(found_again):
    predictions = read_lines(found_again / "predictions.jsonl")
    assert [row["text"] for row in predictions] == list(TEXTS)
    for row, expected in zip(predictions, TEXTS.values()):
        assert [(entity["type"], entity["start"], entity["end"]) for entity in row["entities"]] == expected
        assert [entity["text"] for entity in row["entities"]] == [row["text"][start:end] for _, start, end in expected]


@pytest.mark.parametrize(
    ("text", "entities"),
    [pytest.param("the cat\n", [("PET", 4, 7)], id="short", marks=pytest.mark.slow), pytest.param("\u200b", [], id="no token")],
)
def test_a_text_of_one_line_is_predicted(trained, tmp_path, text, entities):
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    weights = ["--load_finetune_checkpoint_path", str(trained.out / "ckpt"), "--output_dir", str(tmp_path)]
    run_ner.main([*weights, "--do_predict", "true", "--predict_text_file_path", str(tmp_path / "text.txt")])
    (row,) = read_lines(tmp_path / "predictions.jsonl")
    assert row["text"] == text.rstrip("\n")
    assert [(entity["type"], entity["start"], entity["end"]) for entity in row["entities"]] == entities


@pytest.fixture
def twice(data, tmp_path):
    """`twice(**changes)`: the results of a training with evaluation, and of evaluating once more by the run folder alone."""

    def run(**changes):
        results = []
        alone = dict.fromkeys(("do_train", "train_data_file_path", "bert_config_file", "vocab_file_path", "seq_length", "bucket_list"))
        for flags in (changes, alone):
            run_ner.main(make_flags(data, tmp_path / "out", **{"eval_data_file_path": data / "dev.bmes", "do_eval": "true", **flags}))
            results.append(read_json(tmp_path / "out/eval_results.json"))
        return results

    return run


@pytest.mark.slow
def test_softmax_learns_from_records_of_the_model_zoo(twice, data, tmp_path):
    records = {"train_data_file_path": data / "train.tfrecord", "dataset_format": "tfrecord", "label2id_file_path": data / "types.txt"}
    first, second = twice(**records)
    assert list(read_json(tmp_path / "out/label_map.json")) == ZOO_LABELS
    assert first["accuracy"] >= 0.8
    assert second["eval_loss"] == pytest.approx(first["eval_loss"], abs=OTHER_ROUNDING)
    assert second["f1"] == first["f1"]


@pytest.mark.slow
def test_a_bilstm_below_a_crf_learns_and_is_found_again(twice, data, tmp_path):
    clue = {"data_dir": data, "train_data_file_path": None, "eval_data_file_path": None}
    first, second = twice(**clue, use_crf="true", with_lstm="true", label2id_file_path=data / "types.txt")
    names = checkpoint.read(checkpoint.find_checkpoints(tmp_path / "out/ckpt", "ner")[-1])
    assert {"head.contexts.bias", "head.crf.transitions"} <= names.keys()
    assert first["f1"] >= 0.8
    assert second["eval_loss"] == pytest.approx(first["eval_loss"], abs=OTHER_ROUNDING)  # the same sentences in another form
    assert second["f1"] == first["f1"]


@pytest.mark.slow
def test_resuming_goes_on_bit_for_bit(job, trained, tmp_path):
    shutil.copytree(trained.out / "ckpt", tmp_path / "out/ckpt")
    (tmp_path / "out/ckpt/ner-16_80.ckpt").unlink()
    run_ner.main(job(use_crf="true", tag_scheme="BIOES", do_lower_case="false", epoch_num=16, resume="true"))
    losses = {step: loss for step, loss in read_losses(trained.out).items() if step > 43}
    assert read_losses(tmp_path / "out") == pytest.approx(losses, rel=LAST_DIGIT)
    arrays, others = (checkpoint.read(out / "ckpt/ner-16_80.ckpt") for out in (trained.out, tmp_path / "out"))
    assert arrays.keys() == others.keys()
    assert [name for name in arrays if not np.array_equal(arrays[name], others[name])] == []


# Measures


@pytest.fixture
def few(job, data, trained, tmp_path, monkeypatch, capsys):
    """`few(**changes)`: lines printed by an evaluation of few.json, where the network has given known tags, some of them wrong."""

    def predict(task, prepared, split, path, evaluation=None):
        config, records = prepared.config, prepared.records[split]
        labels = np.split(records.tokens["label_ids"], records.starts[1:])
        tags = [np.pad(np.maximum(row, 0), (0, SEQ_LENGTH - len(row))) for row in labels]
        single = config.labels.index("S-PET")
        tags[0][10:13] = single  # behind the end of the sentence
        tags[1][6] = single  # the mat
        tags[2][1] = 0  # the first cat
        return tags, np.ones(3), np.ones(3)

    monkeypatch.setattr(prediction, "predict", predict)
    monkeypatch.setattr(plots, "draw", lambda folder: None)  # of what no network has written

    def run(**changes):
        weights = {"load_finetune_checkpoint_path": trained.out / "ckpt", "vocab_file_path": None, "bert_config_file": None}
        files = {"eval_data_file_path": data / "few.json", "predict_data_file_path": data / "few.json"}
        run_ner.main(job(do_train=None, do_eval="true", **weights, **files, **changes))
        return capsys.readouterr().out.splitlines()

    return run


# of 5 entities 4 found, 3 of them rightly; f1 of PET 6 / 8, of THING 0; 12 words, 2 wrong.
# The model zoo: of 6 words in entities 5 found, 4 of them with the right tag; of 3 * 24 places 2 wrong, as [CLS], [SEP] and padding
# count as O whatever the network says there; the two cats of a sentence are one, so f1 of PET is 6 / 7.
METHODS = {
    "entity": (["Precision 0.750000", "Recall 0.600000", "F1 0.666667", "Macro F1 0.375000"], None),
    "f1": (["Precision 0.750000", "Recall 0.600000", "F1 0.666667"], ["Precision 1.000000", "Recall 0.833333", "F1 0.909091"]),
    "BF1": (["Precision 0.750000", "Recall 0.600000", "F1 0.666667"], ["Precision 1.000000", "Recall 0.833333", "F1 0.909091"]),
    "MF1": (["F1 0.375000"], ["F1 0.727273"]),
    "clue_benchmark": (["F1 0.375000"], ["F1 0.428571"]),
    "accuracy": (["acc_num 10, total_num 12, accuracy 0.833333"], ["acc_num 70, total_num 72, accuracy 0.972222"]),
}
PER_TYPE = {
    "entity": ["PET 0.7500 0.7500 0.7500 4", "THING 0.0000 0.0000 0.0000 1"],
    "clue_benchmark": ["PET 0.7500 0.7500 0.7500 4", "THING 0.0000 0.0000 0.0000 1"],
}


def find_results(lines):
    """Lines of results among all that a run printed; the rows of types with single spaces."""
    rows = [" ".join(line.split()) for line in lines if line.startswith(("PET ", "THING "))]
    return [line for line in lines if line.startswith(("Precision", "Recall", "F1", "Macro", "acc_num"))], rows


@pytest.mark.parametrize("method", METHODS)
def test_results_follow_from_the_tags(few, method):
    assert find_results(few(assessment_method=method)) == (METHODS[method][0], PER_TYPE.get(method, []))


@pytest.mark.parametrize("method", [method for method, (_, legacy) in METHODS.items() if legacy])
def test_legacy_results_count_padding_and_texts(few, method):
    lines, rows = find_results(few(assessment_method=method, legacy_metrics="true"))
    assert lines == METHODS[method][1]
    assert rows == (["PET 0.7500 1.0000 0.8571 3", "THING 0.0000 0.0000 0.0000 1"] if method == "clue_benchmark" else [])


@pytest.mark.slow
def test_legacy_figures_do_not_touch_the_results(job, data, trained, tmp_path):
    weights = {"load_finetune_checkpoint_path": trained.out / "ckpt", "vocab_file_path": None, "bert_config_file": None}
    found = []
    for legacy in ("false", "true"):
        run_ner.main(
            job(
                do_train=None,
                do_eval="true",
                assessment_method="f1",
                legacy_metrics=legacy,
                eval_data_file_path=data / "few.json",
                **weights,
            )
        )
        found.append(read_json(tmp_path / "out/eval_results.json"))
    legacy = found[1].pop("legacy")
    assert found[0] == found[1]
    assert legacy["num_places"] == 3 * SEQ_LENGTH


def test_clue_files_are_of_its_form(few, tmp_path):
    few(assessment_method="clue_benchmark", do_predict="true")
    expected = [
        {"id": 0, "label": {"PET": {"cat": [[4, 6]]}}},
        {"id": 1, "label": {"PET": {"bad dog": [[2, 8]], "mat": [[17, 19]]}}},
        {"id": 2, "label": {"PET": {"cat": [[8, 10]]}}},
    ]
    assert read_lines(tmp_path / "out/ner_predict.json") == expected
    assert [row["id"] for row in read_lines(tmp_path / "out/cluener_predict.json")] == [0, 1, 2]


# Tags


LABEL_FILES = {
    "types": ("PET\nTHING\n", ZOO_LABELS),
    "tags": ("O\nI-PET\nB-PET\nB-THING\nI-THING\n", ["O", "I-PET", "B-PET", "B-THING", "I-THING"]),
    "json": ('{"B_PET": 3, "O": 0, "I_PET": 1,\n"B_THING": 2, "I_THING": 4}', ["O", "I_PET", "B_THING", "B_PET", "I_THING"]),
    "absent": (None, ["O", "B-PET", "I-PET", "B-THING", "I-THING"]),
}


@pytest.mark.parametrize("form", LABEL_FILES)
def test_tags_are_numbered_as_the_label_file_says(job, tmp_path, monkeypatch, form):
    text, labels = LABEL_FILES[form]
    if text:
        (tmp_path / "labels").write_text(text, encoding="utf-8")
    found = []
    monkeypatch.setattr(loop, "fit", lambda task, prepared: found.append(prepared.config))
    monkeypatch.setattr(plots, "draw", lambda folder: None)
    run_ner.main(job(label2id_file_path=tmp_path / "labels" if text else None))
    assert list(found[0].labels) == labels


def test_tags_of_the_data_must_be_in_the_label_file(job, tmp_path, capsys):
    (tmp_path / "tags").write_text("O\nB-PET\nI-PET\n", encoding="utf-8")
    (tmp_path / "dev.txt").write_text("the O\n\ncat B-PET\n\nthe\tO\nmat\tB-THING\n", encoding="utf-8")
    flags = {"label2id_file_path": tmp_path / "tags", "train_data_file_path": tmp_path / "dev.txt"}
    assert f"{tmp_path}/dev.txt:6: the labels have no tag for THING;" in fails(capsys, job(**flags))


def test_other_tags_than_the_trained_ones_are_refused(job, data, trained, tmp_path, capsys):
    (tmp_path / "tags").write_text("".join(f"{label}\n" for label in [*BIOES_LABELS[1:], "O"]), encoding="utf-8")
    weights = {"load_finetune_checkpoint_path": trained.out / "ckpt", "do_train": None, "do_eval": "true"}
    message = fails(capsys, job(**weights, label2id_file_path=tmp_path / "tags"))
    assert f"{tmp_path}/tags: B-PET, I-PET, " in message
    assert "the weights were trained with O, B-PET, " in message
    (tmp_path / "tags").write_text("O\nB-PET\nI-PET\n", encoding="utf-8")
    assert f"{tmp_path}/tags: O, B-PET, I-PET; the weights" in fails(capsys, job(**weights, label2id_file_path=tmp_path / "tags"))


def test_a_network_without_the_trained_crf_is_refused(job, trained, capsys):
    weights = {"load_finetune_checkpoint_path": trained.out / "ckpt", "do_train": None, "do_eval": "true"}
    message = fails(capsys, job(**weights, use_crf="false"))
    assert "is of another network, which has head.crf." in message
    assert "see the settings of the head" in message


def test_a_network_with_an_untrained_bilstm_is_refused(job, trained, capsys):
    weights = {"load_finetune_checkpoint_path": trained.out / "ckpt", "do_train": None, "do_eval": "true"}
    message = fails(capsys, job(**weights, with_lstm="true"))
    assert "is of another network: head.contexts." in message
    assert "see the settings of the head" in message


def test_tags_without_single_ones_evaluate_long_sentences(job, tmp_path, monkeypatch, capsys):
    (tmp_path / "tags").write_text("O\nB-PET\nI-PET\nE-PET\n", encoding="utf-8")
    write_tagged(tmp_path / "long.txt", [(["the"] * 21 + ["bad", "cat"], [("PET", 21, 23)])], "BIOES")
    monkeypatch.setattr(loop, "fit", lambda task, prepared: None)
    files = {"train_data_file_path": tmp_path / "long.txt", "eval_data_file_path": tmp_path / "long.txt"}
    message = fails(capsys, job(**files, do_eval="true", label2id_file_path=tmp_path / "tags"))
    assert "no ner checkpoint here" in message  # all data has been read


# Bad input

BOMB = """<?xml version="1.0"?>
<!DOCTYPE data [<!ENTITY a "cat cat cat cat"><!ENTITY b "&a;&a;&a;&a;">]>
<data><sentence><w>&b;</w></sentence></data>
"""
BAD_FILES = {  # content of the training file, and what follows its name
    "another_number_of_columns": (b"the O\ncat NN B-PET\n", ":2: number of columns 3 in"),
    "an_unknown_prefix": (b"the O\ncat X-PET\n", ":2: 'X-PET' is no tag"),
    "mixed_schemes": (b"cat B-PET\ndog I-PET\n\ncat B-PET\ncat M-PET\n", ":5: tags of two schemes mixed"),
    "a_span_beyond_the_text": (b'{"text": "cat"}\n{"text": "a cat", "label": {"PET": {"cat": [[2, 5]]}}}\n', ":2: "),
    "another_text_than_the_spans": (b'{"text": "a cat", "label": {"PET": {"dog": [[2, 4]]}}}\n', ":1: "),
    "an_empty_sentence": (b'{"text": "cat", "label": {"PET": {"cat": [[0, 2]]}}}\n{"text": ""}\n', ':2: "text" is empty'),
    "latin_1": ("the O\ncafé B-PET\n".encode("latin-1"), ":2: not UTF-8"),
    "nothing": (b"", ": the file is empty"),
    "no_entity": (b"the O\ncat O\n", ": no entity in it, nothing to learn"),
    "an_entity_bomb": (BOMB.encode(), ":2: XML with a document type of its own is refused"),
    "an_external_entity": (BOMB.replace('"cat cat cat cat"', 'SYSTEM "file:///etc/passwd"').encode(), ":2: XML with a document type"),
    "damaged_xml": (b"<data>\n<sentence><w>cat</sentence>\n</data>\n", ":2: damaged XML"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_end_in_one_line(job, tmp_path, capsys, case):
    content, expected = BAD_FILES[case]
    (tmp_path / "train").write_bytes(content)
    assert f"{tmp_path}/train{expected}" in fails(capsys, job(train_data_file_path=tmp_path / "train"))


RECORDS = "{data}/train.tfrecord"
BAD_FLAGS = {
    "records_without_tags": ({"train_data_file_path": RECORDS}, "train.tfrecord: holds tag numbers only: give --label2id_file_path"),
    "records_of_other_tags": ({"train_data_file_path": RECORDS, "label2id_file_path": "{data}/three.txt"}, "but there are 3 tags"),
    "prediction_of_records": ({"do_predict": "true", "predict_data_file_path": RECORDS}, "train.tfrecord: holds no texts to predict"),
    "missing_text": ({"do_predict": "true", "predict_text_file_path": "/nowhere/x.txt"}, "/nowhere/x.txt: no such file"),
    "text_without_prediction": ({"predict_text_file_path": "{data}/text.txt"}, "goes with --do_predict true"),
    "missing_label_file": ({"label2id_file_path": "/nowhere/tags"}, "/nowhere/tags: no such file"),
    "label_file_of_two_columns": ({"label2id_file_path": "{data}/dev.txt"}, "dev.txt:1: found "),
    "unknown_method": ({"assessment_method": "f2"}, "assessment_method=f2"),
    "unknown_scheme": ({"tag_scheme": "IOB"}, "tag_scheme=IOB"),
    "legacy_entities": ({"legacy_metrics": "true"}, "legacy_metrics: only for --assessment_method"),
    "nothing_trained": ({"do_train": None, "do_eval": "true"}, "no ner checkpoint here"),
    "nothing_to_do": ({"do_train": None}, "nothing to do"),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_flags_end_in_one_line(job, data, capsys, case):
    changes, expected = BAD_FLAGS[case]
    changes = {key: value and value.format(data=data) for key, value in changes.items()}
    assert expected in fails(capsys, job(**changes))


def test_a_text_of_blank_lines_is_refused(job, trained, tmp_path, capsys):
    (tmp_path / "text.txt").write_text("\n \n\n", encoding="utf-8")
    flags = {"do_train": None, "do_predict": "true", "predict_text_file_path": tmp_path / "text.txt"}
    message = fails(capsys, job(**flags, load_finetune_checkpoint_path=trained.out / "ckpt"))
    assert f"{tmp_path}/text.txt: the file is empty" in message


def test_the_script_ends_with_exit_code_2_and_one_line(job, tmp_path):
    (tmp_path / "bomb.xml").write_text(BOMB, encoding="utf-8")
    command = [sys.executable, "run_ner.py", *job(train_data_file_path=tmp_path / "bomb.xml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path}/bomb.xml:2: ")
    assert done.stderr.count("\n") == 1


# Real data


@pytest.mark.slow
def test_cluener_is_evaluated_whole(data, shared_file, tmp_path):
    files = dict.fromkeys(("train_data_file_path", "eval_data_file_path"), shared_file("cluener/dev.json"))
    sizes = {"seq_length": 64, "bucket_list": 64, "model.vocab_size": 21128, "model.max_position_embeddings": 64, "eval_batch_size": 64}
    vocabulary = {"vocab_file_path": shared_file("vocab/bert-base-chinese-vocab.txt")}
    run_ner.main(make_flags(data, tmp_path / "out", do_eval="true", epoch_num=0.005, **files, **sizes, **vocabulary))
    results = read_json(tmp_path / "out/eval_results.json")
    assert results["num_examples"] == 1343
    assert len(results["per_type"]) == 10
    assert results["num_entities"] == sum(rates["support"] for rates in results["per_type"].values()) == 3072
