"""run_squad.py from flags to files, on a tiny random BERT and made-up questions; most tests share one training."""

import contextlib
import gzip
import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import LAST_DIGIT, ROOT, WITHOUT_DROPOUT, WORDS

import run_squad
from src.records.tfrecord import encode_examples
from src.records.writers import open_writer, pack
from src.report import plots
from src.train import checkpoint, loop, prediction

SEQ_LENGTH, DOC_STRIDE, MAX_QUERY_LENGTH = 24, 6, 4
OTHER_ROUNDING = 1e-6  # of other batches, in float32
STEPS, KEPT, SKIPPED = 80, 50, 30  # updates of the shared training; where it leaves a first checkpoint; what its rates leave out
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", *LETTERS[1:], *(f"##{letter}" for letter in LETTERS)]
FILLERS = ["the", "sat", "on", "slow", "very", "not", "it", "was", "a"]
PIECES = {  # answers by the word that asks for them, with their tokens
    "good": {"Ca\u0301t": ["cat"], "Kxy": ["k", "##x", "##y"], "dog.  FAST": ["dog", ".", "fast"]},
    "bad": {"mat": ["mat"], "Jwz": ["j", "##w", "##z"], "ran. b": ["ran", ".", "b"]},
}
TOKENS = {word: [word] for word in WORDS} | PIECES["good"] | PIECES["bad"]
CHINESE_FILLERS = "的在了有人和中大为上"
CHINESE_ANSWERS = {"谁": ["王明", "李华强", "张"], "哪": ["北京", "Xy海", "广州"]}


# Made-up questions


def make_paragraphs(count, seed, fillers=FILLERS, answers=PIECES, separator=" ", question="{0} was {0}", impossible=False):
    """Random contexts with an answer of each kind at most, and who asks for it; impossible: also questions for the absent kind."""
    random = np.random.default_rng(seed)
    paragraphs = []
    for number in range(count):
        words = [fillers[place] for place in random.integers(0, len(fillers), random.integers(6, 24))]
        kinds = list(answers) if random.random() < 0.5 else [list(answers)[random.integers(2)]]
        places = dict(zip(kinds, map(int, random.choice(len(words), len(kinds), replace=False))))
        for kind, place in places.items():
            words[place] = list(answers[kind])[random.integers(len(answers[kind]))]
        questions = []
        for kind in answers:
            fields = {"id": f"{seed}-{number}-{kind}", "question": question.format(kind)}
            if kind in places:
                start = len(separator.join([*words[: places[kind]], ""]))
                questions.append({**fields, "answers": [{"text": words[places[kind]], "answer_start": start}]})
            elif impossible:
                questions.append({**fields, "answers": [], "is_impossible": True})
        paragraphs.append({"context": separator.join(words), "qas": questions})
    return paragraphs


def write_questions(path, paragraphs):
    text = json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}, ensure_ascii=False).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def list_questions(paragraphs):
    """(context, question) of each question."""
    return [(paragraph["context"], question) for paragraph in paragraphs for question in paragraph["qas"]]


def list_answers(paragraphs):
    """Texts of the first answers by question id, "" where there is none."""
    return {question["id"]: (question["answers"] or [{"text": ""}])[0]["text"] for _, question in list_questions(paragraphs)}


def drop_answers(paragraphs):
    return [
        {**paragraph, "qas": [{"id": question["id"], "question": question["question"]} for question in paragraph["qas"]]}
        for paragraph in paragraphs
    ]


def make_rows(paragraphs, stride=DOC_STRIDE):
    """Google's columns of the windows of all questions: name -> int array [rows, values]."""
    ids = {token: number for number, token in enumerate(VOCABULARY)}
    rows = []
    for context, question in list_questions(paragraphs):
        query = question["question"].split()
        room = SEQ_LENGTH - len(query) - 3
        tokens, place = [], {}
        while context:
            word = max((word for word in TOKENS if context.startswith(word)), key=len)
            place[word] = (len(tokens), len(tokens) + len(TOKENS[word]) - 1)
            tokens += TOKENS[word]
            context = context[len(word) + 1 :]
        first, last = place[question["answers"][0]["text"]]
        for begin in range(0, max(len(tokens) - room, 0) + stride, stride):
            window = tokens[begin : begin + room]
            row = ["[CLS]", *query, "[SEP]", *window, "[SEP]"]
            segments = [0] * (len(query) + 2) + [1] * (len(window) + 1)
            offset = len(query) + 2 - begin
            inside = begin <= first and last < begin + len(window)
            padded = [np.pad(values, (0, SEQ_LENGTH - len(row))) for values in ([ids[token] for token in row], [1] * len(row), segments)]
            rows.append([*padded, [first + offset if inside else 0], [last + offset if inside else 0], [1000000000 + len(rows)]])
    names = ("input_ids", "input_mask", "segment_ids", "start_positions", "end_positions", "unique_ids")
    return {name: np.array(values, np.int32) for name, values in zip(names, zip(*rows))}


def write_tfrecord(path, rows):
    path.write_bytes(b"".join(encode_examples(rows)))


def for_evaluation(rows):
    return {name: values for name, values in rows.items() if name not in ("start_positions", "end_positions")}


def write_mindrecord(path, rows):
    layout = {name: ("int32", values.shape[1]) for name, values in rows.items()}
    writer = open_writer("mindrecord", path, layout, len(rows["input_ids"]), 1, {})
    writer.write(pack("mindrecord", rows))
    writer.close()


TRAIN, DEV, ASKED = (make_paragraphs(*numbers) for numbers in ((100, 1), (30, 2), (10, 3)))
LONG = "good was good very very not slow"  # a question of 7 tokens


# Runs


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder of everything that runs read."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    (folder / "bert_config.json").write_text(json.dumps({**WITHOUT_DROPOUT, "initializer_range": 0.3}), encoding="utf-8")
    asked = drop_answers(ASKED)
    asked[0]["qas"].append({"id": "long", "question": LONG})
    asked.append({"context": "\u200b", "qas": [{"id": "empty", "question": "was it good"}]})
    for name, paragraphs in {"train": TRAIN, "dev": DEV, "asked": asked}.items():
        write_questions(folder / f"{name}.json", paragraphs)
    write_tfrecord(folder / "train.tfrecord", make_rows(TRAIN))
    write_tfrecord(folder / "dev.tfrecord", for_evaluation(make_rows(DEV)))
    write_tfrecord(folder / "stride5.tfrecord", for_evaluation(make_rows(DEV, 5)))
    return folder


def make_flags(data, out, **changes):
    """Flags of a complete tiny training; None leaves one out. The learning rate does not depend on the number of updates."""
    settings = {
        "do_train": "true",
        "train_data_file_path": data / "train.json",
        "eval_data_file_path": data / "dev.json",
        "vocab_file_path": data / "vocab.txt",
        "bert_config_file": data / "bert_config.json",
        "output_dir": out,
        "seq_length": SEQ_LENGTH,
        "bucket_list": SEQ_LENGTH,
        "doc_stride": DOC_STRIDE,
        "max_query_length": MAX_QUERY_LENGTH,
        "max_answer_length": 6,
        "train_batch_size": 16,
        "train_steps": STEPS,
        "save_checkpoint_steps": STEPS,
        "log_steps": 1,
        "optimizer.learning_rate": 0.03,
        "optimizer.power": 1,
        "optimizer.warmup_steps": 0,
        "optimizer.decay_steps": STEPS,
        **changes,
    }
    return [part for key, value in settings.items() if value is not None for part in (f"--{key}", str(value))]


@pytest.fixture
def job(data, tmp_path):
    """`job(**changes)`: flags of a training into tmp_path/out."""
    return lambda **changes: make_flags(data, tmp_path / "out", **changes)


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_records(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def read_losses(out):
    return {record["step"]: record["loss"] for record in read_records(out) if "step" in record}


def run(flags, draws=False):
    """A run with these flags: its folder, lines on stdout, results of the evaluation and predictions, where there are such."""
    out = Path(flags[flags.index("--output_dir") + 1])
    with contextlib.redirect_stdout(io.StringIO()) as said, pytest.MonkeyPatch.context() as patched:
        if not draws:
            patched.setattr(plots, "draw", lambda folder: None)
        run_squad.main(flags)
    names = ("eval_results", "predictions", "nbest_predictions", "null_odds")
    files = {name: read_json(path) for name in names if (path := out / f"{name}.json").is_file()}
    return SimpleNamespace(out=out, said=said.getvalue().splitlines(), **files)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A finished run that evaluates one file and predicts another, kept in mid-epoch and at the end."""
    both = {"do_eval": "true", "do_predict": "true", "predict_data_file_path": data / "asked.json"}
    keep = {"save_checkpoint_steps": KEPT, "save_checkpoint_num": 2, "skip_steps": SKIPPED}
    return run(make_flags(data, tmp_path_factory.mktemp("trained"), **both, **keep), draws=True)


def use(weights, out, **changes):
    """A run without training that has all it can from beside the checkpoint."""
    settings = {"load_finetune_checkpoint_path": weights.out / "ckpt", "output_dir": out, "bucket_list": SEQ_LENGTH, **changes}
    return run([part for key, value in settings.items() for part in (f"--{key}", str(value))])


def assert_same_results(found, expected):
    assert found.predictions == expected.predictions
    assert found.eval_results == pytest.approx(expected.eval_results, abs=OTHER_ROUNDING)
    for key, odds in expected.null_odds.items():
        assert found.null_odds[key] == pytest.approx(odds, abs=1e-4)  # four logits of up to 100 in float32


def find_result_line(said):
    (line,) = [line for line in said if line.startswith("{")]
    return json.loads(line)


# What a run leaves


def test_a_run_leaves_the_documented_files(trained):
    out, results = trained.out, trained.eval_results
    assert list(results) == ["task", "global_step", "loss", "eval_loss", "num_examples", "exact_match", "f1"]
    assert (results["task"], results["global_step"], results["num_examples"]) == ("squad", STEPS, len(list_answers(DEV)))
    lines = [f"{key} = {value}" for key, value in results.items()]
    assert (out / "eval_results.txt").read_text(encoding="utf-8").splitlines() == lines
    assert sorted(path.name for path in (out / "ckpt").glob("*.ckpt")) == ["squad-4_50.ckpt", "squad-6_80.ckpt"]
    assert f"doc_stride: {DOC_STRIDE}\n" in (out / "config.yaml").read_text(encoding="utf-8")
    assert (out / "figures/loss.png").is_file()
    assert list(read_losses(out)) == list(range(1, STEPS + 1))
    assert [record.get("event") for record in read_records(out)[-3:]] == ["trained", "eval", "predict"]
    assert any(line.startswith("end_to_end_s=") for line in trained.said)


def test_the_seconds_up_to_the_first_step_are_told_by_part(trained):
    (line,) = [line for line in trained.said if line.startswith("first step after ")]
    seconds = dict(re.findall(r"(\w+) ([\d.]+)(?:,|$)", line.split(": ")[1]))
    assert list(seconds) == ["imports", "device", "data", "network", "compilation"]
    (event,) = [record for record in read_records(trained.out) if record.get("event") == "first step"]
    assert {f"{name}_s": pytest.approx(float(value), abs=0.06) for name, value in seconds.items()} | {"event": "first step"} == event


def test_the_result_is_printed_as_one_line_of_json(trained):
    assert find_result_line(trained.said) == {name: trained.eval_results[name] for name in ("exact_match", "f1")}


def test_the_answers_are_learnt(trained):
    assert trained.eval_results["exact_match"] >= 95
    assert trained.eval_results["f1"] >= trained.eval_results["exact_match"]
    losses = read_losses(trained.out)
    assert losses[STEPS] < losses[1] / 10


def test_windows_are_those_of_google(trained):
    counts = {record["event"]: record["rows"] for record in read_records(trained.out) if record.get("event") == "eval"}
    assert counts["eval"] == len(make_rows(DEV)["input_ids"]) > 1.3 * len(list_answers(DEV))


def test_predictions_are_slices_of_the_context(trained):
    gold = list_answers(DEV)
    assert trained.predictions.keys() == gold.keys()
    for context, question in list_questions(DEV):
        assert trained.predictions[question["id"]] in context
        assert all(entry["text"] in context for entry in trained.nbest_predictions[question["id"]])
    hits = [key for key, text in trained.predictions.items() if text == gold[key]]
    assert {gold[key] for key in hits} == {*PIECES["good"], *PIECES["bad"]}
    assert 100 * len(hits) / len(gold) == pytest.approx(trained.eval_results["exact_match"])


def test_best_answers_are_ranked_with_probabilities(trained):
    assert trained.nbest_predictions.keys() == trained.predictions.keys()
    for key, entries in trained.nbest_predictions.items():
        assert len(entries) == len({entry["text"] for entry in entries}) == 20
        assert entries[0]["text"] == trained.predictions[key]
        scores = np.array([entry["start_logit"] + entry["end_logit"] for entry in entries])
        assert (np.diff(scores) <= 0).all()
        shares = np.exp(scores - scores[0])
        assert [entry["probability"] for entry in entries] == pytest.approx(shares / shares.sum())


def test_other_questions_are_predicted_without_answers(trained):
    predictions = read_json(trained.out / "test_predictions.json")
    gold = list_answers(ASKED)
    assert sorted(predictions) == sorted([*gold, "long", "empty"])
    assert sum(predictions[key] == text for key, text in gold.items()) >= len(gold) - 1
    assert predictions["long"] in ASKED[0]["context"]
    assert predictions["empty"] == ""
    assert read_json(trained.out / "test_nbest_predictions.json").keys() == predictions.keys()
    assert read_json(trained.out / "test_null_odds.json").keys() == predictions.keys()


def test_cut_questions_and_empty_contexts_are_named_in_the_log(trained, data):
    where = f"{data}/asked.json: 1 of {len(list_answers(ASKED)) + 2} questions"
    assert f"{where} are longer than max_query_length tokens, and cut: long" in trained.said
    assert f"{where} have a context without tokens: empty" in trained.said


def test_rates_leave_out_the_first_steps(trained):
    records = read_records(trained.out)
    rates = {record["step"]: record["samples_per_s"] for record in records if "step" in record and "samples_per_s" in record}
    assert SKIPPED < min(rates) <= SKIPPED + 2 and len(rates) >= 0.8 * (STEPS - SKIPPED)  # the short batch of each epoch has none
    (summary,) = [record for record in records if record.get("event") == "trained"]
    least, mean, most = (summary[f"samples_per_s{end}"] for end in ("_min", "", "_max"))
    assert least <= mean <= most
    assert [least, most] == pytest.approx([min(rates.values()), max(rates.values())], abs=0.06)  # the latter have one decimal


# Evaluation alone


@pytest.fixture(scope="module")
def found_again(data, trained, tmp_path_factory):
    """That training evaluated once more in other batches, and what its network gave."""
    given = []

    def predict(task, prepared, split, path, evaluation=None):
        given.append((genuine(task, prepared, split, path), prepared.records[split]))
        return given[-1][0]

    genuine = prediction.predict
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(prediction, "predict", predict)
        out = tmp_path_factory.mktemp("again")
        found = use(trained, out, do_eval="true", eval_data_file_path=data / "dev.json", eval_batch_size=5, bucket_list=f"16,{SEQ_LENGTH}")
    ((found.logits, found.records),) = given
    return found


def test_results_do_not_depend_on_the_evaluation_batch(trained, found_again):
    assert_same_results(found_again, trained)


def test_the_loss_is_that_of_the_answers_in_the_rows(found_again):
    rows, losses = make_rows(DEV), []
    lengths = rows["input_mask"].sum(1)
    for name, logits in zip(("start_positions", "end_positions"), found_again.logits):
        for length, values, (place,) in zip(lengths, logits, rows[name]):
            shares = np.exp(values[:length].astype(np.float64))
            losses.append(-np.log(shares[place] / shares.sum()))
    assert found_again.eval_results["eval_loss"] == found_again.eval_results["loss"] == pytest.approx(np.mean(losses), rel=1e-6)


@pytest.mark.parametrize("form", [pytest.param("tfrecord", marks=pytest.mark.slow), "mindrecord"])
def test_records_with_their_questions_give_the_same_result(data, trained, tmp_path, form):
    path = data / "dev.tfrecord"
    if form == "mindrecord":
        path = tmp_path / "dev.mindrecord"
        write_mindrecord(path, for_evaluation(make_rows(DEV)))
    files = {"eval_data_file_path": path, "eval_json_path": data / "dev.json", "dataset_format": form}
    assert_same_results(use(trained, tmp_path / "out", do_eval="true", **files), trained)


@pytest.mark.slow
def test_a_few_records_made_otherwise_are_taken_from_the_questions(data, trained, tmp_path):
    rows = for_evaluation(make_rows(TRAIN))
    rows["input_ids"][3, 1] = 1  # one of more than a hundred
    write_tfrecord(tmp_path / "x.tfrecord", rows)
    files = {"eval_data_file_path": tmp_path / "x.tfrecord", "eval_json_path": data / "train.json"}
    found = use(trained, tmp_path / "out", do_eval="true", **files)
    assert f"{tmp_path}/x.tfrecord: 1 of {len(rows['input_ids'])} rows, first 3, differ; those of {data}/train.json are taken" in found.said


def test_questions_without_answers_are_predicted_alone(data, trained, tmp_path):
    found = use(trained, tmp_path / "out", do_predict="true", predict_data_file_path=data / "asked.json", bucket_list=f"12,{SEQ_LENGTH}")
    assert found.predictions == read_json(trained.out / "test_predictions.json")
    assert sorted(path.name for path in found.out.glob("*.json")) == ["nbest_predictions.json", "null_odds.json", "predictions.json"]


@pytest.mark.slow
def test_one_file_is_evaluated_and_predicted_once(data, trained, tmp_path):
    found = use(trained, tmp_path / "out", do_eval="true", do_predict="true", eval_json_path=data / "dev.json")
    assert_same_results(found, trained)
    assert sorted(path.name for path in found.out.glob("*predictions.json")) == ["nbest_predictions.json", "predictions.json"]
    assert [record["event"] for record in read_records(found.out)] == ["eval"]


def test_the_measure_of_the_files_is_the_one_reported(data, trained):
    command = [os.sys.executable, "-m", "src.metrics.squad", str(data / "dev.json"), str(trained.out / "predictions.json")]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == find_result_line(trained.said)


# Training


@pytest.mark.slow
def test_records_train_as_their_questions_do(job, data, trained, tmp_path):
    run(job(train_data_file_path=data / "train.tfrecord", train_steps=4))
    assert read_losses(tmp_path / "out") == {step: loss for step, loss in read_losses(trained.out).items() if step <= 4}


@pytest.mark.slow
def test_resuming_goes_on_bit_for_bit(job, trained, tmp_path):
    shutil.copytree(trained.out / "ckpt", tmp_path / "out/ckpt")
    (tmp_path / "out/ckpt/squad-6_80.ckpt").unlink()
    run(job(resume="true", save_checkpoint_steps=KEPT))
    losses = {step: loss for step, loss in read_losses(trained.out).items() if step > KEPT}
    assert read_losses(tmp_path / "out") == pytest.approx(losses, rel=LAST_DIGIT)
    arrays, others = (checkpoint.read(out / "ckpt/squad-6_80.ckpt") for out in (trained.out, tmp_path / "out"))
    assert arrays.keys() == others.keys()
    assert [name for name in arrays if not np.array_equal(arrays[name], others[name])] == []


def test_resuming_with_other_windows_is_refused(job, trained, tmp_path, capsys):
    shutil.copytree(trained.out / "ckpt", tmp_path / "out/ckpt")
    assert "was trained with another training data" in fails(capsys, job(resume="true", doc_stride=DOC_STRIDE + 1))


# Questions without answers

MISTAKEN = 2  # questions that the file of version 2 takes for answered


@pytest.fixture(scope="module")
def version_2(tmp_path_factory):
    """A folder with .gz files of SQuAD 2.0's kind, and the paragraphs of the one to evaluate."""
    folder = tmp_path_factory.mktemp("version_2")
    dev = make_paragraphs(30, 5, impossible=True)
    absent = [(context, question) for context, question in list_questions(dev) if question["answers"] == []]
    for context, question in absent[:MISTAKEN]:
        wrong = next(word for word in context.split() if word in FILLERS[1:-1])  # articles do not count
        question |= {"answers": [{"text": wrong, "answer_start": context.index(wrong)}], "is_impossible": False}
    for _, question in absent[MISTAKEN:]:
        question["plausible_answers"] = [{"text": "nowhere", "answer_start": 0}]
    write_questions(folder / "train-v2.0.json.gz", make_paragraphs(100, 4, impossible=True))
    write_questions(folder / "dev-v2.0.json.gz", dev)
    return SimpleNamespace(folder=folder, dev=dev, path=folder / "dev-v2.0.json.gz")


@pytest.fixture(scope="module")
def undecided(trained, version_2, tmp_path_factory):
    """Those questions answered by the shared training, which has seen none without an answer."""
    found = use(trained, tmp_path_factory.mktemp("undecided"), **VERSION_2, eval_data_file_path=version_2.path)
    found.dev = version_2.dev
    return found


VERSION_2 = {"do_eval": "true", "version_2_with_negative": "true"}


@pytest.mark.slow
def test_questions_without_answers_are_learnt(data, version_2, tmp_path):
    files = {"data_dir": version_2.folder, "train_data_file_path": None, "eval_data_file_path": None}
    learnt = run(make_flags(data, tmp_path / "out", **VERSION_2, **files))
    results, gold = learnt.eval_results, list_answers(version_2.dev)
    absent = [key for key, text in gold.items() if not text]
    assert (results["num_examples"], results["NoAns_total"]) == (len(gold), len(absent))
    assert results["NoAns_exact"] >= 90
    assert results["HasAns_exact"] >= 80
    assert results["exact_match"] == pytest.approx(100 * sum(learnt.predictions[key] == gold[key] for key in gold) / len(gold))
    assert list(find_result_line(learnt.said))[:3] == ["exact_match", "f1", "HasAns_exact"]
    for key, odds in learnt.null_odds.items():
        assert (learnt.predictions[key] == "") == (odds > 0)


def test_no_answer_stands_among_the_best(undecided):
    for key, entries in undecided.nbest_predictions.items():
        scores = {entry["text"]: entry["start_logit"] + entry["end_logit"] for entry in entries}
        null = scores.pop("")
        assert undecided.null_odds[key] == pytest.approx(null - max(scores.values()))
        assert sum(entry["probability"] for entry in entries) == pytest.approx(1)


def test_the_best_threshold_is_found(undecided):
    gold, odds, results = list_answers(undecided.dev), undecided.null_odds, undecided.eval_results
    texts = {key: next(entry["text"] for entry in entries if entry["text"]) for key, entries in undecided.nbest_predictions.items()}

    def score(threshold):
        return 100 * sum((texts[key] if odds[key] <= threshold else "") == gold[key] for key in gold) / len(gold)

    assert results["best_exact"] == pytest.approx(max(map(score, odds.values())))
    assert results["best_exact"] == pytest.approx(score(results["best_exact_thresh"]))
    assert results["best_f1"] >= results["best_exact"] >= results["exact_match"]


def test_the_threshold_decides_where_no_answer_is_given(trained, version_2, undecided, tmp_path):
    flags = {**VERSION_2, "eval_data_file_path": version_2.path}
    threshold = undecided.eval_results["best_exact_thresh"] + 1e-4  # logits of another run may differ in the last digits
    best = use(trained, tmp_path / "best", null_score_diff_threshold=threshold, **flags)
    assert best.eval_results["exact_match"] == pytest.approx(undecided.eval_results["best_exact"])
    assert best.null_odds == pytest.approx(undecided.null_odds, abs=1e-4)


@pytest.mark.slow
def test_below_every_threshold_no_answer_is_given(trained, version_2, tmp_path):
    none = use(trained, tmp_path / "none", null_score_diff_threshold=-1000, **VERSION_2, eval_data_file_path=version_2.path)
    assert set(none.predictions.values()) == {""}
    assert (none.eval_results["HasAns_exact"], none.eval_results["NoAns_exact"]) == (0, 100)


@pytest.mark.slow
def test_what_is_served_answers_by_the_settings_of_the_run(trained, version_2, tmp_path):
    asked = {"null_score_diff_threshold": -2.5, "n_best_size": 7, "max_answer_length": 5}
    flags = {"do_predict": "true", "predict_data_file_path": version_2.path, "save_for_serving": "true"}
    use(trained, tmp_path / "out", version_2_with_negative="true", **flags, **asked)
    settings = read_json(tmp_path / "out/serving/bundle.json")["settings"]
    assert {key: settings[key] for key in asked} == asked


# Chinese


@pytest.fixture(scope="module")
def chinese(data, tmp_path_factory):
    """Two seeds on characters; some answers stand nowhere in their context, one not where it says."""
    folder = tmp_path_factory.mktemp("chinese")
    characters = dict.fromkeys("".join([CHINESE_FILLERS, *CHINESE_ANSWERS, *CHINESE_ANSWERS["谁"], *CHINESE_ANSWERS["哪"], "是？"]))
    characters = [character for character in characters if not character.isascii()]
    (folder / "vocab.txt").write_text("\n".join([*VOCABULARY[:5], *characters, "x", "##y"]) + "\n", encoding="utf-8")
    train, dev = (
        make_paragraphs(*numbers, CHINESE_FILLERS, CHINESE_ANSWERS, separator="", question="{0}是{0}？") for numbers in ((100, 6), (30, 7))
    )
    for _, question in (*list_questions(train)[:3], list_questions(dev)[4]):
        question["answers"] = [{"text": "无处可寻", "answer_start": -1}]
    list_questions(train)[5][1]["answers"][0]["answer_start"] = -1
    write_questions(folder / "cmrc2018_train.json", train)
    write_questions(folder / "cmrc2018_dev.json", dev)
    files = {"data_dir": folder, "train_data_file_path": None, "eval_data_file_path": None, "vocab_file_path": folder / "vocab.txt"}
    form = {"language": "zh", "packing": "false"}  # batches of all lengths are learnt more slowly by so small a network
    found = run(make_flags(data, folder / "out", do_eval="true", seeds="1,2", **files, **form))
    found.train, found.dev = train, dev
    found.seeds = [read_json(found.out / f"seed-{seed}/eval_results.json") for seed in (1, 2)]
    return found


@pytest.mark.slow
def test_chinese_is_learnt_and_measured_as_cmrc_does(chinese):
    gold = list_answers(chinese.dev)
    for seed, results in zip((1, 2), chinese.seeds):
        predictions = read_json(chinese.out / f"seed-{seed}/predictions.json")
        assert results["num_examples"] == len(gold)
        assert results["exact_match"] == pytest.approx(100 * sum(predictions[key] == gold[key] for key in gold) / len(gold))
        assert 85 <= results["exact_match"] < 100  # an answer stands nowhere
        assert results["average"] == pytest.approx((results["exact_match"] + results["f1"]) / 2)


@pytest.mark.slow
def test_answers_that_stand_nowhere_are_counted_and_survive(chinese):
    train, dev = (list_questions(paragraphs) for paragraphs in (chinese.train, chinese.dev))
    lost, folder = ", ".join(question["id"] for _, question in train[:3]), chinese.out.parent
    fault = "questions have answers, but none is in the context; excluded from training and from the loss"
    assert chinese.said.count(f"{folder}/cmrc2018_train.json: 3 of {len(train)} {fault}: {lost}") == 2
    assert chinese.said.count(f"{folder}/cmrc2018_dev.json: 1 of {len(dev)} {fault}: {dev[4][1]['id']}") == 2
    moved = "1 answers are not at answer_start; the nearest occurrence of their text is taken"
    assert chinese.said.count(f"{folder}/cmrc2018_train.json: {moved}") == 2
    assert dev[4][1]["id"] in read_json(chinese.out / "seed-1/predictions.json")


@pytest.mark.slow
def test_seeds_are_summarised(chinese):
    summary = read_json(chinese.out / "seed_results.json")
    assert (summary["task"], summary["seeds"]) == ("squad", [1, 2])
    first, second = chinese.seeds
    assert first["eval_loss"] != second["eval_loss"]
    for name in ("exact_match", "f1", "average"):
        mean, largest = (first[name] + second[name]) / 2, max(first[name], second[name])
        assert summary[name]["values"] == [first[name], second[name]]
        assert (summary[name]["mean"], summary[name]["max"]) == pytest.approx((mean, largest))
        (line,) = [line for line in chinese.said if line.startswith(f"seeds=1,2 {name} ")]
        assert line.endswith(f"max (mean) {largest:.6f} ({mean:.6f})")


# Scripts


@pytest.fixture
def launch(tmp_path):
    """`launch(DATA_PATH, *flags)`: scripts/run_squad_1gcu.sh, in a folder of its own."""
    for name in ("scripts", "src", "configs", "run_squad.py", ".venv"):
        if (ROOT / name).exists():
            (tmp_path / name).symlink_to(ROOT / name)

    def start(data_path, *flags):
        command = ["bash", str(tmp_path / "scripts/run_squad_1gcu.sh"), *map(str, flags)]
        environment = {**os.environ, "DATA_PATH": str(data_path)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return start


@pytest.mark.slow
def test_the_script_starts_from_a_checkpoint_of_nvidia(launch, tmp_path):
    for name in ("checkpoint", "squad"):
        (tmp_path / "data" / name).mkdir(parents=True)
    golden = ROOT / "tests/golden"
    shutil.copy(golden / "torch/nvidia_zip.pt", tmp_path / "data/checkpoint/DLE_BERT.pt")
    (tmp_path / "data/checkpoint/vocab.txt").write_text("\n".join(VOCABULARY[:30]) + "\n", encoding="utf-8")
    shape = {"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    (tmp_path / "data/checkpoint/bert_config.json").write_text(json.dumps({**shape, "max_position_embeddings": 12}), encoding="utf-8")
    for name, paragraphs in {"train-v1.1": TRAIN[:10], "dev-v1.1": DEV[:5]}.items():
        write_questions(tmp_path / f"data/squad/{name}.json", paragraphs)
    lengths = ("--max_seq_length", 12, "--max_query_length", 3, "--doc_stride", 3, "--bucket_list", 12)
    done = launch("data", "--amp", *lengths, "--train_batch_size", 16, "--print_freq", 1, "--eval_script", "evaluate-v1.1.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"weights from {tmp_path}/data/checkpoint/DLE_BERT.pt: matched=37 missing=2 unexpected=2 other_shape=0" in done.stdout
    out = tmp_path / "squad_finetune"
    result = find_result_line(done.stdout.splitlines())
    assert result == {name: read_json(out / "eval_results.json")[name] for name in ("exact_match", "f1")}
    assert read_json(out / "predictions.json").keys() == list_answers(DEV[:5]).keys()
    assert (tmp_path / "squad_log.txt").read_text(encoding="utf-8") == done.stdout
    found = checkpoint.read(checkpoint.find_checkpoints(out / "ckpt", "squad")[-1])["bert.embeddings.word.weight"]
    expected = np.load(golden / "span.npz")["weight/bert.embeddings.word_embeddings.weight"]
    np.testing.assert_allclose(found, expected, atol=2e-3)  # float16 in the file, a few updates of 3e-5


def test_the_script_names_what_its_data_path_lacks(launch, tmp_path):
    assert "error: DATA_PATH=: a folder that holds checkpoint/ and squad/ is expected\n" in launch("").stderr
    (tmp_path / "data/checkpoint").mkdir(parents=True)
    calls = [launch("data")]
    (tmp_path / "data/squad").mkdir()
    calls.append(launch("data"))
    for name in "ab":
        (tmp_path / f"data/checkpoint/{name}.pt").touch()
    calls.append(launch("data"))
    where = f"{tmp_path}/data"
    assert [(call.returncode, call.stdout, call.stderr) for call in calls] == [
        (2, "", f"error: DATA_PATH={where}: a folder that holds checkpoint/ and squad/ is expected\n"),
        (2, "", f"error: {where}/checkpoint: one .pt is expected, here are: *.pt\n"),
        (2, "", f"error: {where}/checkpoint: one .pt is expected, here are: a.pt b.pt\n"),
    ]


def test_squad_sh_is_the_other_name_of_run_squad_sh():
    assert os.readlink(ROOT / "scripts/squad.sh") == "run_squad.sh"


# Bad input


def fails(capsys, argv):
    """Run and expect exit code 2 with one line on stderr, which is returned."""
    with pytest.raises(SystemExit) as stopped:
        run_squad.main(argv)
    lines = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture
def untrained(monkeypatch):
    """Training would be an error."""
    monkeypatch.setattr(loop, "fit", lambda task, prepared: pytest.fail("training began"))


def make_file(*questions, context="the cat sat"):
    return json.dumps({"data": [{"paragraphs": [{"context": context, "qas": list(questions)}]}]}).encode()


def make_question(key="q1", start=4, text="cat", **changes):
    return {"id": key, "question": "was it good", "answers": [{"text": text, "answer_start": start}], **changes}


UNANSWERED = {"id": "q1", "question": "was it good"}
BAD_FILES = {  # content of the training file, and what follows its name
    "no_json": (b'{"data": [', ": not JSON: "),
    "nothing": (b"", ": not JSON: "),
    "latin_1": ('{"data": "é"}'.encode("latin-1"), ": not JSON: "),
    "a_cut_gz": (gzip.compress(make_file(make_question()))[:-9], ": damaged gzip file: "),
    "a_list": (b"[1, 2]", ': "data" is missing or not a list'),
    "no_paragraphs": (b'{"data": [{"title": "t"}]}', ': data[0]: "paragraphs" is missing or not a list'),
    "no_questions": (b'{"data": []}', ": no questions"),
    "an_id_that_is_a_number": (make_file(make_question(7)), ': data[0].paragraphs[0].qas[0]: "id" is missing or not a string'),
    "a_start_beyond_the_context": (make_file(make_question(start=12)), ": question q1: an answer starts at 12, but its context ends at 11"),
    "a_start_that_is_text": (make_file(make_question(start="4")), ': question q1: "answer_start" is missing or not a whole number'),
    "one_id_twice": (make_file(make_question(), make_question()), ": two questions have the id q1"),
    "half_a_character": (make_file(make_question(text="\ud83d")), ': question q1: "text" is not Unicode text'),
    "no_answers_key": (make_file(UNANSWERED), ': question q1: "answers" is missing; training needs them'),
    "no_answer": (make_file(make_question(answers=[])), ": question q1 has no answers; --version_2_with_negative true"),
    "no_question": (make_file({"id": "q1", "answers": []}), ': question q1: "question" is missing'),
    "no_context": (json.dumps({"data": [{"paragraphs": [{"qas": [make_question()]}]}]}).encode(), ': question q1: "context" is missing'),
    "answers_that_stand_nowhere": (make_file(make_question(text="dog")), ": no question has an answer that is in its context"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_end_in_one_line(job, untrained, tmp_path, capsys, case):
    content, expected = BAD_FILES[case]
    (tmp_path / "train.json").write_bytes(content)
    message = fails(capsys, job(train_data_file_path=tmp_path / "train.json"))
    assert message.startswith(f"error: {tmp_path}/train.json{expected}")


BAD_EVALUATIONS = {
    "no_answers_key": (make_file(UNANSWERED), ": question q1 has no answers to compare with"),
    "no_answer": (make_file(make_question(answers=[])), ": question q1 has no answer; --version_2_with_negative true allows that"),
    "no_json": (b"{", ": not JSON: "),
    "no_context": (json.dumps({"data": [{"paragraphs": [{"qas": [make_question()]}]}]}).encode(), ': question q1: "context" is missing'),
}


@pytest.mark.parametrize("case", BAD_EVALUATIONS)
def test_bad_files_to_evaluate_end_in_one_line_before_training(job, untrained, tmp_path, capsys, case):
    content, expected = BAD_EVALUATIONS[case]
    (tmp_path / "dev.json").write_bytes(content)
    message = fails(capsys, job(do_eval="true", eval_data_file_path=tmp_path / "dev.json"))
    assert message.startswith(f"error: {tmp_path}/dev.json{expected}")


EVAL, RECORDS = {"do_eval": "true"}, {"do_eval": "true", "eval_data_file_path": "{data}/dev.tfrecord"}
BAD_FLAGS = {
    "stride_of_a_window": ({"doc_stride": "17"}, "doc_stride=17: seq_length=24 and max_query_length=4 leave windows of 17 tokens"),
    "no_window": ({"max_query_length": "21"}, "seq_length=24 and max_query_length=21 leave no room for a text"),
    "stride_0": ({"doc_stride": "0"}, "doc_stride=0"),
    "no_best": ({"n_best_size": "0"}, "n_best_size=0"),
    "chinese_version_2": ({"language": "zh", "version_2_with_negative": "true"}, "language=zh: "),
    "unknown_language": ({"language": "fr"}, "language=fr"),
    "one_segment": ({"model.type_vocab_size": "1"}, "model.type_vocab_size=1"),
    "too_long": ({"seq_length": "40", "bucket_list": None}, "seq_length=40 is above model.max_position_embeddings=32"),
    "no_room": ({"seq_length": "8", "bucket_list": None}, "seq_length=8 and max_query_length=4 leave no room for a text"),
    "records_without_questions": (RECORDS, "dev.tfrecord: records hold no texts; give --eval_json_path"),
    "records_with_absent_questions": ({**RECORDS, "eval_json_path": "/nowhere/dev.json"}, "/nowhere/dev.json: no such file"),
    "records_of_other_windows": (
        {**EVAL, "eval_data_file_path": "{data}/stride5.tfrecord", "eval_json_path": "{data}/dev.json"},
        f"stride5.tfrecord: {len(make_rows(DEV, 5)['input_ids'])} rows, but ",
    ),
    "records_of_other_questions": ({**RECORDS, "eval_json_path": "{data}/train.json"}, "train.json gives "),
    "records_to_predict": (
        {**EVAL, "eval_json_path": "{data}/dev.json", "do_predict": "true", "predict_data_file_path": "{data}/dev.tfrecord"},
        "dev.tfrecord: records hold no texts; --predict_data_file_path takes SQuAD's form",
    ),
    "records_without_positions": (
        {"train_data_file_path": "{data}/dev.tfrecord"},
        "dev.tfrecord: not readable as records with columns input_mask, input_ids, segment_ids, start_positions, end_positions",
    ),
    "records_longer_than_rows": (
        {"train_data_file_path": "{data}/train.tfrecord", "seq_length": "20", "bucket_list": "20"},
        "train.tfrecord: a row has 24 tokens, seq_length=20",
    ),
    "two_files_of_questions": ({**EVAL, "eval_json_path": "{data}/train.json"}, "are two files of questions: give one of them"),
    "missing_development_data": ({**EVAL, "eval_data_file_path": "/nowhere/dev.json"}, "/nowhere/dev.json: no such file"),
    "no_data_dir": ({"train_data_file_path": None, "data_dir": "/nowhere"}, "/nowhere: no such folder"),
    "nothing_trained": ({"do_train": None, **EVAL}, "no squad checkpoint here"),
    "nothing_to_do": ({"do_train": None}, "nothing to do"),
}


@pytest.mark.parametrize("case", BAD_FLAGS)
def test_bad_flags_end_in_one_line(job, untrained, data, capsys, case):
    changes, expected = BAD_FLAGS[case]
    changes = {key: value and value.format(data=data) for key, value in changes.items()}
    assert expected in fails(capsys, job(**changes))


@pytest.mark.parametrize(("name", "value"), [("end_positions", SEQ_LENGTH), ("end_positions", 1), ("start_positions", SEQ_LENGTH)])
def test_positions_out_of_the_row_are_named(job, untrained, tmp_path, capsys, name, value):
    rows = make_rows(TRAIN[:5])
    rows["start_positions"][2], rows["end_positions"][2], rows[name][2] = 6, 6, value
    start, end, length = rows["start_positions"][2, 0], rows["end_positions"][2, 0], rows["input_mask"][2].sum()
    write_tfrecord(tmp_path / "train.tfrecord", rows)
    message = fails(capsys, job(train_data_file_path=tmp_path / "train.tfrecord"))
    assert message == f"error: {tmp_path}/train.tfrecord: row 2 has an answer from token {start} to {end} of {length}"


def test_records_of_another_vocabulary_are_refused(job, untrained, data, tmp_path, capsys):
    rows = for_evaluation(make_rows(DEV))
    rows["input_ids"][2:, 1] += 1
    write_tfrecord(tmp_path / "dev.tfrecord", rows)
    message = fails(capsys, job(do_eval="true", eval_data_file_path=tmp_path / "dev.tfrecord", eval_json_path=data / "dev.json"))
    count = len(rows["input_ids"])
    assert message.startswith(
        f"error: {tmp_path}/dev.tfrecord: {count - 2} of {count} rows, first 2, are not those of {data}/dev.json; made"
    )
