import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from src.tasks.squad import measures as squad
from src.tasks.squad.file import read_json
from src.tasks.squad.measures import cmrc, squad_v1, squad_v2

ROOT = Path(__file__).parent.parent.parent
GOLDEN = json.loads(gzip.decompress((ROOT / "tests" / "golden" / "squad_metrics.json.gz").read_bytes()))


def make_file(**answers):
    """A gold file of one question a keyword, whose value is the list of its answers; it has no contexts and no texts of questions."""
    questions = [{"id": key, "answers": [{"text": text} for text in texts]} for key, texts in answers.items()]
    return {"data": [{"paragraphs": [{"qas": questions}]}]}


def list_answers(file):
    """Gold as the measures take it, of a parsed file."""
    questions = [question for article in file["data"] for paragraph in article["paragraphs"] for question in paragraph["qas"]]
    return {question["id"]: [answer["text"] for answer in question["answers"]] for question in questions}


@pytest.mark.parametrize(("measure", "keys"), [(squad_v1, ("exact_match", "f1")), (squad_v2, ("exact", "f1")), (cmrc, ("EM", "F1"))])
def test_each_question_scores_as_the_official_script_says(measure, keys):
    saved = GOLDEN[measure.__name__]
    for question, answers in list_answers(saved["gold"]).items():
        found = measure({question: answers}, saved["predictions"])
        assert [found[key] for key in keys] == [100.0 * score for score in saved["scores"][question]], answers


def test_v1_equals_the_official_script():
    saved = GOLDEN["squad_v1"]
    assert list(squad_v1(list_answers(saved["gold"]), saved["predictions"]).items()) == list(saved["result"].items())


@pytest.mark.parametrize(("odds", "threshold", "result"), [(0, 1.0, "result"), (1, 1.0, "result_with_odds"), (1, 0.0, "result_at_0")])
def test_v2_equals_the_official_script(odds, threshold, result):
    saved = GOLDEN["squad_v2"]
    found = squad_v2(list_answers(saved["gold"]), saved["predictions"], saved["null_odds"] if odds else None, threshold)
    assert list(found.items()) == list(saved[result].items())


def test_cmrc_equals_the_official_script():
    saved = GOLDEN["cmrc"]
    found = cmrc(list_answers(saved["gold"]), saved["predictions"])
    assert found == {"AVERAGE": (saved["result"]["EM"] + saved["result"]["F1"]) * 0.5, **saved["result"]}


def test_golden_set_has_questions_without_prediction_and_predictions_without_question():
    for name, expected in (("squad_v1", 2), ("squad_v2", 0), ("cmrc", 1)):
        keys = list_answers(GOLDEN[name]["gold"]).keys()
        assert len(keys - GOLDEN[name]["predictions"].keys()) == expected
        assert GOLDEN[name]["predictions"].keys() - keys == {"unknown", "unknown too"}


def test_v1_by_hand():
    gold = {"one": ["the cat sat"], "two": ["a dog", "two dogs ran"], "three": ["x"], "four": ["y"]}
    found = squad_v1(gold, {"one": "Cat, sat!", "two": "dogs ran off", "three": "z", "unknown": "y"})
    assert found == pytest.approx({"exact_match": 25.0, "f1": (1 + 2 / 3 + 0 + 0) * 25})


def test_v2_by_hand():
    gold = {"a": ["x y"], "b": ["z"], "c": [], "d": []}
    predictions = {"a": "x", "b": "z", "c": "", "d": "wrong"}
    found = squad_v2(gold, predictions)
    assert found == pytest.approx(
        {"exact": 50.0, "f1": (2 / 3 + 2) * 25, "total": 4}
        | {"HasAns_exact": 50.0, "HasAns_f1": (2 / 3 + 1) * 50, "HasAns_total": 2}
        | {"NoAns_exact": 50.0, "NoAns_f1": 50.0, "NoAns_total": 2}
    )
    found = squad_v2(gold, predictions, {"a": 0.4, "b": 0.1, "c": 0.9, "d": 0.6}, threshold=0.5)
    assert (found["exact"], found["NoAns_exact"], found["best_exact"]) == (75.0, 100.0, 75.0)
    assert found["f1"] == found["best_f1"] == pytest.approx((2 / 3 + 3) * 25)
    assert (found["best_exact_thresh"], found["best_f1_thresh"]) == (0.1, 0.4)


def test_v2_leaves_out_the_part_without_questions():
    assert "NoAns_total" not in squad_v2({"a": ["x"]}, {"a": "x"})
    assert "HasAns_total" not in squad_v2({"a": []}, {"a": ""})


def test_cmrc_counts_the_longest_run_and_not_the_longest_subsequence():
    found = cmrc({"one": ["上海和北京"], "two": ["x"]}, {"one": "上海、南京北京"})
    f1 = 50 * 2 * 2 / (5 + 6)
    assert found == pytest.approx({"AVERAGE": f1 / 2, "F1": f1, "EM": 0.0, "TOTAL": 2, "SKIP": 1})


@pytest.mark.parametrize("measure", [squad_v1, squad_v2, cmrc])
def test_gold_without_questions_is_refused(measure):
    with pytest.raises(ValueError, match="no questions"):
        measure({}, {})


@pytest.mark.parametrize("measure", [squad_v1, cmrc])
def test_question_without_answers_is_refused_by_name(measure):
    with pytest.raises(ValueError, match="question q7 has no answers"):
        measure({"q7": []}, {"q7": "x"})


def test_v2_refuses_missing_predictions_and_odds_by_name():
    gold = {"a": ["x"], "b": []}
    with pytest.raises(ValueError, match="no prediction for 1 of 2 questions.*: b"):
        squad_v2(gold, {"a": "x"})
    with pytest.raises(ValueError, match="no null odds for 1 of 2 questions.*: a"):
        squad_v2(gold, {"a": "x", "b": ""}, {"b": 0.5})


# The command


def run(tmp_path, *flags, **files):
    """Exit code, standard output and standard error of the command on files named by keyword: values, or the text of a damaged file."""
    for name, content in files.items():
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    command = [sys.executable, "-m", "src.metrics.squad", tmp_path / "gold", tmp_path / "predictions", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    return done.returncode, done.stdout, done.stderr


def test_command_prints_one_line_and_tells_of_ids_that_are_not_shared(tmp_path):
    gold = make_file(one=["x"], two=["y"])
    (tmp_path / "gold.gz").write_bytes(gzip.compress(json.dumps(gold).encode()))
    code, out, err = run(tmp_path, gold=gold, predictions={"one": "x", "three": "z"})
    assert (code, out) == (0, '{"exact_match": 50.0, "f1": 50.0}\n')
    assert "no prediction for 1 of 2 questions, which score 0: two" in err
    assert "1 predictions for unknown questions, which have no effect: three" in err
    assert len(err.splitlines()) == 2


def call(capsys, *flags):
    squad.main([str(flag) for flag in flags])
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    return json.loads(captured.out)


def test_command_has_the_other_measures_and_reads_gzip(tmp_path, capsys):
    saved = GOLDEN["squad_v2"]
    for name in ("gold", "predictions", "null_odds"):
        (tmp_path / name).write_bytes(gzip.compress(json.dumps(saved[name]).encode()))
    files = tmp_path / "gold", tmp_path / "predictions", "--version_2"
    assert call(capsys, *files) == saved["result"]
    assert call(capsys, *files, "--null_odds", tmp_path / "null_odds") == saved["result_with_odds"]
    assert call(capsys, *files, "--null_odds", tmp_path / "null_odds", "--null_odds_threshold", 0) == saved["result_at_0"]
    saved = GOLDEN["cmrc"]
    for name in ("gold", "predictions"):
        (tmp_path / name).write_text(json.dumps(saved[name], ensure_ascii=False), encoding="utf-8")
    assert call(capsys, *files[:2], "--language", "zh").items() >= saved["result"].items()


GOOD = make_file(one=["x"], two=[])
BAD = [  # files, flags, what the error names
    ({"gold": "not JSON text"}, (), "gold: not JSON: Expecting value"),
    ({"gold": ""}, (), "gold: not JSON"),
    ({"gold": [1]}, (), 'gold: "data" is missing or not a list'),
    ({"gold": {"data": 3}}, (), 'gold: "data" is missing or not a list'),
    ({"gold": {"data": [{}]}}, (), 'gold: data[0]: "paragraphs" is missing'),
    (
        {"gold": {"data": [{"paragraphs": [{"qas": [{"id": 5}]}]}]}},
        (),
        'gold: data[0].paragraphs[0].qas[0]: "id" is missing or not a string',
    ),
    ({"gold": {"data": [{"paragraphs": [{"qas": [{"id": "q5"}]}]}]}}, (), 'gold: "answers" is missing in 1 of 1 questions: q5'),
    ({"gold": {"data": [{"paragraphs": [{"qas": [{"id": "q5", "answers": ["x"]}]}]}]}}, (), 'gold: question q5: "text" is missing'),
    ({"gold": {"data": GOOD["data"] * 2}}, (), "gold: two questions have the id one"),
    ({"gold": {"data": []}}, (), "no questions"),
    ({}, (), "gold, predictions: question two has no answers; the measure of SQuAD 2.0 (--version_2) allows that"),
    ({"predictions": "{"}, (), "predictions: not JSON"),
    ({"predictions": [{"id": "one"}]}, (), 'predictions: a JSON list; expected {"question id": "answer text"}'),
    ({"predictions": {"one": ["x"]}}, (), "predictions: question one: \"['x']\"; expected"),
    ({"predictions": {"one": None}}, (), "predictions: question one: 'None'; expected"),
    ({"predictions": {"one": "x"}}, ("--version_2",), "no prediction for 1 of 2 questions, but the measure of SQuAD 2.0 needs all: two"),
    ({"odds": {"one": "1"}}, ("--version_2", "--null_odds", "odds"), "odds: question one: '1'; expected {\"question id\": number}"),
    ({"odds": {"one": True}}, ("--version_2", "--null_odds", "odds"), "odds: question one: 'True'"),
    ({"odds": '{"one": NaN}'}, ("--version_2", "--null_odds", "odds"), "odds: question one: 'nan'"),
    ({"odds": {"one": 0.5}}, ("--version_2", "--null_odds", "odds"), "odds: no null odds for 1 of 2 questions"),
    ({}, ("--null_odds", "odds"), "--null_odds and --null_odds_threshold have no effect without --version_2"),
    ({}, ("--version_2", "--language", "zh"), "--version_2 and --language zh"),
]


@pytest.mark.parametrize(("files", "flags", "message"), BAD)
def test_bad_input_ends_with_one_line_and_exit_code_2(files, flags, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, content in {"gold": GOOD, "predictions": {"one": "x", "two": ""}, **files}.items():
        Path(name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        squad.main(["gold", "predictions", *flags])
    captured = capsys.readouterr()
    assert stopped.value.code == 2
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize("missing", ["gold", "predictions"])
def test_missing_and_damaged_files_are_named(missing, tmp_path):
    files = {"gold": GOOD, "predictions": {"one": "x"}}
    files.pop(missing)
    code, out, err = run(tmp_path, **files)
    assert (code, out) == (2, "")
    assert f"{tmp_path / missing}: No such file" in err
    (tmp_path / missing).write_bytes(gzip.compress(b"{}")[:-3])
    code, out, err = run(tmp_path, **files)
    assert (code, out) == (2, "")
    assert f"{tmp_path / missing}: damaged gzip file: Compressed file ended" in err


# Real data


@pytest.mark.parametrize(
    ("name", "measure", "expected"),
    [
        ("squad/dev-v1.1.json.gz", squad_v1, {"exact_match": 100.0, "f1": 100.0}),
        ("squad/dev-v1.1.json.gz", squad_v2, {"exact": 100.0, "f1": 100.0, "total": 10570, "HasAns_total": 10570}),
        ("cmrc2018/cmrc2018_dev.json.gz", cmrc, {"AVERAGE": 100.0, "F1": 100.0, "EM": 100.0, "TOTAL": 3219, "SKIP": 0}),
        ("cmrc2018/cmrc2018_trial.json", cmrc, {"AVERAGE": 100.0, "F1": 100.0, "EM": 100.0, "TOTAL": 1002, "SKIP": 0}),
    ],
)
def test_first_answers_of_real_data_score_100(name, measure, expected, shared_file):
    gold = list_answers(read_json(shared_file(name)))
    predictions = {key: answers[0] for key, answers in gold.items()}
    assert measure(gold, predictions).items() >= expected.items()
