"""The sets of GLUE and CLUE: their texts and labels, and the files of predictions that the sites take."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from src.tasks.classifier.data_sets import DATA_SETS, join_keywords, make_data_set, mark_spans, usual_files
from src.tasks.classifier.examples import Example
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.classifier.results import report_predictions
from src.tasks.classifier.rows import read_examples
from src.tasks.task import Prepared


def read(tmp_path, name, text, with_labels=True, ending="tsv"):
    path = tmp_path / f"a.{ending}"
    path.write_text(text, encoding="utf-8")
    return [(each.text_a, each.text_b, each.label) for each in read_examples(path, make_data_set(name, None), with_labels)]


@pytest.mark.parametrize(
    ("name", "header", "row", "expected"),
    [
        ("rte", "index\tsentence1\tsentence2\tlabel", '0\ta "b\tc\tnot_entailment', ('a "b', "c", "not_entailment")),
        ("qnli", "index\tquestion\tsentence\tlabel", "0\tq?\ts\tentailment", ("q?", "s", "entailment")),
        ("qqp", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", "5\t1\t2\tq?\tr?\t1", ("q?", "r?", "1")),
        ("wnli", "index\tsentence1\tsentence2\tlabel", "0\ta\tb\t1", ("a", "b", "1")),
    ],
)
def test_table_of_glue(name, header, row, expected, tmp_path):
    assert read(tmp_path, name, f"{header}\n{row}\n") == [expected]
    test = "\n".join("\t".join(line.split("\t")[:-1]) for line in (header, row))
    assert read(tmp_path, name, test, with_labels=False) == [(*expected[:2], None)]


def test_broken_rows_of_qqp_are_left_out_and_counted(tmp_path, capsys):
    rows = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t1\t2\ta\tb\t0\n2\t3\t4\tbroken\nby a line end\tc\t1\n3\t5\t6\td\te\t1\n"
    assert read(tmp_path, "qqp", rows) == [("a", "b", "0"), ("d", "e", "1")]
    assert "left out 2 rows with fewer than 6 columns, the first in line 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        ("afqmc", {"sentence1": "a", "sentence2": "b", "label": "0"}, ("a", "b", "0")),
        ("cmnli", {"sentence1": "a", "sentence2": "b", "label": "neutral"}, ("a", "b", "neutral")),
        ("ocnli", {"level": "easy", "sentence1": "a", "sentence2": "b", "label": "entailment", "label0": None}, ("a", "b", "entailment")),
        ("iflytek", {"label": "118", "label_des": "x", "sentence": "a"}, ("a", None, "118")),
        ("csl", {"id": 1, "abst": "a b", "keyword": ["x", "y z"], "label": "1"}, ("x y z", "a b", "1")),
        (
            "cluewsc",
            {
                "target": {"span2_index": 4, "span1_index": 0, "span1_text": "小李", "span2_text": "他"},
                "label": "true",
                "text": "小李说，他来",
            },
            ("_小李_说，[他]来", None, "true"),
        ),
    ],
)
def test_json_of_clue(name, row, expected, tmp_path):
    assert read(tmp_path, name, json.dumps(row) + "\n", ending="json") == [expected]
    assert expected[2] in DATA_SETS[name].labels
    del row["label"]
    assert read(tmp_path, name, json.dumps([{"id": 3, **row}]), with_labels=False, ending="json") == [(*expected[:2], None)]
    assert usual_files(name)[1:] == (("dev.json",), ("test.json",))


@pytest.mark.parametrize(
    ("make", "fields", "message"),
    [
        (join_keywords, ("x", "a"), "Expecting value"),
        (join_keywords, ('["x", 1]', "a"), "a list of keywords is expected"),
        (mark_spans, ("ab", "[]"), "the text does not have span1"),
        (mark_spans, ("ab", '{"span1_text": "b", "span1_index": 0}'), "the text does not have span1 of"),
        (mark_spans, ("ab", '{"span1_text": "a", "span1_index": 0, "span2_text": "b", "span2_index": -1}'), "does not have span2"),
    ],
)
def test_texts_that_cannot_be_made_are_refused(make, fields, message):
    with pytest.raises(ValueError, match=message):
        make(*fields)


def test_defect_of_keywords_and_spans_names_file_and_line(tmp_path):
    rows = [{"keyword": ["x"], "abst": "a", "label": 0}, {"keyword": 5, "abst": "a", "label": 0}]
    with pytest.raises(ValueError, match="a.json:2: a list of keywords is expected, found '5'"):
        read(tmp_path, "csl", "".join(json.dumps(row) + "\n" for row in rows), ending="json")


@pytest.mark.parametrize(
    ("name", "measure"),
    [("cola", "mcc"), ("mrpc", "f1"), ("qqp", "f1"), ("rte", "accuracy"), ("stsb", "spearman_correlation"), ("cluewsc", "accuracy")],
)
def test_measure_of_a_set(name, measure):
    assert ClassifierOptions(task_name=name).measure == measure
    assert ClassifierOptions(task_name=name, assessment_method="spearman_correlation").measure == "spearman_correlation"


def write_predictions(tmp_path, name, logits, ids=(), **settings):
    labels = DATA_SETS[name].labels
    config = ClassifierOptions(task_name=name, labels=labels, num_class=len(labels) or 1, output_dir=str(tmp_path), **settings)
    examples = [Example("a", None, None, 1, number) for number in ids] or None
    records = {"predict": SimpleNamespace(rows={"label_ids": np.zeros(len(logits))})}
    report_predictions(Prepared(config, records, None, {"predict": examples}), [np.asarray(logits, np.float32)])


@pytest.mark.parametrize(
    ("name", "file", "logits", "content"),
    [
        ("rte", "RTE.tsv", [[2, 1], [0, 1]], "0\tentailment\n1\tnot_entailment\n"),
        ("cola", "CoLA.tsv", [[2, 1], [0, 1]], "0\t0\n1\t1\n"),
        ("mnli", "MNLI-m.tsv", [[2, 1, 0], [0, 1, 5]], "0\tcontradiction\n1\tneutral\n"),
        ("stsb", "STS-B.tsv", [[2.5], [-0.25], [5.5]], "0\t2.5\n1\t0\n2\t5\n"),
    ],
)
def test_predictions_for_glues_site(name, file, logits, content, tmp_path):
    write_predictions(tmp_path, name, logits)
    assert (tmp_path / file).read_text() == "index\tprediction\n" + content


def test_predictions_of_mismatched_mnli_have_their_own_name(tmp_path):
    write_predictions(tmp_path, "mnli", [[2, 1, 0]], predict_data_file_path="MNLI/test_mismatched.tsv")
    assert (tmp_path / "MNLI-mm.tsv").is_file() and not (tmp_path / "MNLI-m.tsv").exists()


@pytest.mark.parametrize(("name", "file"), [("cluewsc", "cluewsc11_predict.json"), ("afqmc", "afqmc_predict.json")])
def test_predictions_for_clues_site(name, file, tmp_path):
    write_predictions(tmp_path, name, [[2, 1], [0, 1], [0, 1]], ids=("7", "x", None))
    rows = [json.loads(line) for line in (tmp_path / file).read_text().splitlines()]
    labels = DATA_SETS[name].labels
    assert rows == [{"id": 7, "label": labels[0]}, {"id": "x", "label": labels[1]}, {"id": 2, "label": labels[1]}]
    write_predictions(tmp_path, name, [[2, 1]])
    assert (tmp_path / file).read_text() == json.dumps({"id": 0, "label": labels[0]}) + "\n"


def test_ids_are_read_beside_the_texts(tmp_path):
    path = tmp_path / "test.json"
    path.write_text('{"id": 9, "sentence1": "a", "sentence2": "b"}\n')
    assert [each.id for each in read_examples(path, make_data_set("afqmc", None), False)] == ["9"]


@pytest.mark.parametrize(
    ("name", "folder", "rows"),
    [("afqmc", "afqmc", 1500), ("iflytek", "iflytek", 1500), ("csl", "csl", 1000), ("cluewsc", "wsc", 700), ("ocnli", "ocnli", 2994)],
)
def test_cuts_of_clues_files_are_read(name, folder, rows, shared_file):
    examples = read_examples(shared_file(f"more/{folder}/train.json"), make_data_set(name, None), True)
    assert len(examples) == rows and {each.label for each in examples} <= set(DATA_SETS[name].labels)
    assert all((each.text_b is None) == (name in ("iflytek", "cluewsc")) for each in examples)


def test_labels_of_iflytek_are_those_of_its_file(shared_file):
    lines = shared_file("more/iflytek/labels.json").read_text(encoding="utf-8").splitlines()
    assert tuple(json.loads(line)["label"] for line in lines) == DATA_SETS["iflytek"].labels


# Tables whose header another file has


def test_a_table_without_a_header_has_that_of_the_training_file(tmp_path, capsys):
    path = tmp_path / "dev.tsv"
    path.write_text("1\tgood\nbad\t0\n".replace("bad\t0", "0\tbad"))
    task = make_data_set("chnsenticorp", None)
    found = read_examples(path, task, True, None, lambda: ["label", "text_a"])
    assert [(each.text_a, each.label, each.line) for each in found] == [("good", "1", 1), ("bad", "0", 2)]
    assert "no header; its columns are taken to be those of the training file: label, text_a" in capsys.readouterr().out
    for header in (None, ["label", "id", "text_a"]):
        with pytest.raises(ValueError, match="dev.tsv:1: no column 'text_a'"):
            read_examples(path, task, True, None, lambda header=header: header)


def test_own_header_and_indices_take_precedence(tmp_path):
    path = tmp_path / "dev.tsv"
    path.write_text("text_a\tlabel\ngood\t1\n")
    assert read_examples(path, make_data_set("chnsenticorp", None), True, None, lambda: ["label", "text_a"])[0].text_a == "good"
    task = dataclasses.replace(make_data_set("custom", "text_a=1,label=0"))
    assert read_examples(path, task, True, None, lambda: ["a", "b"])[0].text_a == "label"
