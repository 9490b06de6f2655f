"""Several labels a text in each form that files have them."""

import json

import numpy as np
import pytest

from src.tasks.classifier.data_sets import Columns, make_data_set, parse_columns
from src.tasks.classifier.label_lists import choose_strata, warn_of_separator
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.classifier.rows import collect_labels, encode_examples, read_examples
from src.text.tokenization import Tokenizer

NAMED = "text_a=text,label=labels"
OF_COLUMNS = "text_a=text,label=rude,label=kind"


def read(path, data, columns=NAMED, separator=","):
    path.write_text(data, encoding="utf-8")
    return read_examples(path, make_data_set("custom", columns, None, separator), True)


def encode(examples, vocab_file, labels):
    return list(encode_examples("a.tsv", examples, Tokenizer(vocab_file, True), labels, 8))


LISTS = [{"text": "the cat", "labels": ["rude", "kind"]}, {"text": "a dog", "labels": ["rude"]}, {"text": "it ran", "labels": []}]
BOOLEANS = [{"text": "the", "rude": True, "kind": 1.0}, {"text": "a", "rude": 1, "kind": 0}, {"text": "it", "rude": 0, "kind": False}]
FORMS = {
    "separators": ("a.tsv", "text\tlabels\nthe cat\tkind, rude\na dog\trude\nit ran\t\n", NAMED),
    "lists": ("a.json", json.dumps(LISTS), NAMED),
    "lists in a table": ("a.tsv", 'text\tlabels\nthe cat\t["kind", "rude"]\na dog\t["rude"]\nit ran\t[]\n', NAMED),
    "columns": ("a.csv", "id,text,rude,kind\n1,the cat,1,1\n2,a dog,1,0\n3,it ran,0,0\n", OF_COLUMNS),
    "columns of booleans": ("a.json", json.dumps(BOOLEANS), OF_COLUMNS),
}


@pytest.mark.parametrize("name", FORMS)
def test_each_form_gives_the_same_rows(name, tmp_path, vocab_file):
    file, data, columns = FORMS[name]
    examples = read(tmp_path / file, data, columns)
    assert collect_labels(examples) == (("rude", "kind") if "columns" in name else ("kind", "rude"))  # columns keep their order
    rows = encode(examples, vocab_file, ("kind", "rude"))
    assert [row["label_ids"].tolist() for row in rows] == [[1, 1], [0, 1], [0, 0]]
    assert rows[0]["label_ids"].dtype == np.int8


def test_columns_by_index_are_named_by_it(tmp_path):
    examples = read(tmp_path / "a.csv", "the cat,0,1\na dog,1,1\n", "text_a=0,label=2,label=1")
    assert collect_labels(examples) == ("2", "1") and examples[0].label == '["2"]'


def test_repeated_labels_count_once_and_case_is_that_of_the_model(tmp_path, vocab_file):
    examples = read(tmp_path / "a.tsv", "text\tlabels\nthe cat\tRude|rude| Kind\n", separator="|")
    assert [row["label_ids"].tolist() for row in encode(examples, vocab_file, ("kind", "rude", "x"))] == [[1, 1, 0]]


def test_a_file_to_predict_needs_no_labels(tmp_path, vocab_file):
    (tmp_path / "a.tsv").write_text("text\nthe cat\n", encoding="utf-8")
    for columns in (NAMED, OF_COLUMNS):
        examples = read_examples(tmp_path / "a.tsv", make_data_set("custom", columns, None, ","), False)
        assert encode(examples, vocab_file, ("kind", "rude"))[0]["label_ids"] == -1


@pytest.mark.parametrize(
    ("data", "columns", "message"),
    [
        ("text\tlabels\nx\ta,,b\n", NAMED, "a.tsv:2: an empty name among the labels 'a,,b'"),
        ('{"text": "x", "labels": ["a", ["b"]]}\n', NAMED, "a.tsv:1: a list of names is expected"),
        ('text\tlabels\nx\t["a"\n', NAMED, "a.tsv:2: the labels .* begin like a JSON list and are none"),
        ('{"text": "x", "labels": ["a"]}\n{"text": "x"}\n', NAMED, "a.tsv:2: no labels: a text without any has an empty list"),
        ("text\trude\tkind\nx\t0\t-1\n", OF_COLUMNS, "a.tsv:2: 0 or 1 is expected in the column of the label 'kind', found '-1'"),
        ("text\trude\nx\t0\n", OF_COLUMNS, "a.tsv: no label column 'kind'"),
    ],
)
def test_defects_are_named_with_their_line(data, columns, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "a.tsv", data, columns)


def test_labels_that_no_text_can_have_are_refused(tmp_path, vocab_file):
    table = "text\tlabels\nthe cat\tred,round\n"
    with pytest.raises(ValueError, match="a.tsv:2: unknown label 'round'; known are red, square"):
        encode(read(tmp_path / "a.tsv", table), vocab_file, ("red", "square"))
    with pytest.raises(ValueError, match="a.tsv: the label 'red,round' has the separator ',' in it"):
        encode(read(tmp_path / "a.tsv", table), vocab_file, ("red", "round", "red,round"))
    lists = read(tmp_path / "a.tsv", 'text\tlabels\nthe cat\t["red,round"]\n')
    assert encode(lists, vocab_file, ("red,round", "x"))[0]["label_ids"].tolist() == [1, 0]  # nothing was divided
    columns = read(tmp_path / "a.csv", "text,rude,kind\nx,1,0\n", OF_COLUMNS)
    with pytest.raises(ValueError, match="its columns are of the labels rude, kind, the model's are kind, loud"):
        encode(columns, vocab_file, ("kind", "loud"))


def test_another_separator_is_suspected(caplog):
    warn_of_separator(["red", "round", "red|round", "a b"])
    assert caplog.text.count("WARNING") == 1
    assert "labels such as 'red|round' look like several: --label_separator '|' divides them" in caplog.text


def test_folds_share_the_rarest_label_that_all_of_them_can_have():
    lists = ['["a"]'] * 6 + ['["a", "b"]'] * 3 + ['["a", "rare"]', "[]"]
    assert choose_strata(lists, 3) == ["a"] * 6 + ["b"] * 3 + ["a", "a"]  # one text without labels is too few for a class
    assert choose_strata(lists[:9] + ["[]"] * 3, 3) == ["a"] * 6 + ["b"] * 3 + [""] * 3


def test_several_label_columns_are_a_tuple():
    assert parse_columns("text_a=0,label=3,label=rude") == Columns(0, None, (3, "rude"))


SETTINGS = {"task_name": "custom", "columns": "text_a=0,label=1"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"thresholds": ("0.3",)}, "thresholds: only for --multi_label true"),
        ({"tune_thresholds": "each"}, "tune_thresholds: only for --multi_label true"),
        ({"label_separator": "|"}, "label_separator: only for --multi_label true"),
        ({"columns": "text_a=0,label=1,label=2"}, "several columns of labels are for --multi_label true"),
        ({"multi_label": True, "label_separator": ""}, "label_separator is empty"),
        ({"multi_label": True, "task_name": "tnews", "columns": None}, "the texts of tnews have one label each"),
        ({"multi_label": True, "num_class": 1}, "num_class=1 means a regression"),
        ({"multi_label": True, "assessment_method": "mcc"}, "assessment_method=mcc is not allowed: multi_label=true has micro_f1, "),
        ({"assessment_method": "micro_f1"}, "assessment_method=micro_f1 is not allowed: multi_label=false has accuracy, "),
        ({"multi_label": True, "best_metric": "accuracy"}, "best_metric=accuracy is not allowed: this task has micro_f1, "),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ClassifierOptions(do_train=True, **{**SETTINGS, **settings})


def test_thresholds_are_tuned_where_there_is_a_development_set():
    options = ClassifierOptions(do_train=True, multi_label=True, tune_thresholds="one", **SETTINGS)
    with pytest.raises(ValueError, match="tune_thresholds=one: is done on the development set: give --do_eval true"):
        options.check_run()
