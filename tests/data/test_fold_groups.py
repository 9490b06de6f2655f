"""Groups of rows by a column of their table."""

import json

import pytest

from src.tasks.classifier.data_sets import make_data_set
from src.tasks.classifier.fold_groups import read_groups
from src.tasks.classifier.rows import read_examples

ROWS = [{"sentence": f"text {number}", "label": "100", "author": f"author {number % 3}"} for number in range(5)]


def read(path, data_set):
    return read_groups(path, data_set, "author", read_examples(path, data_set, True))


@pytest.mark.parametrize("indent", [None, 1], ids=["one line", "several"])
def test_rows_of_an_array_have_groups_of_their_own_also_in_one_line(indent, tmp_path):
    (tmp_path / "train.json").write_text(json.dumps(ROWS, indent=indent), encoding="utf-8")
    assert read(tmp_path / "train.json", make_data_set("tnews", None)) == [row["author"] for row in ROWS]


def test_groups_of_a_line_are_refused_where_it_is_unclear_whose_they_are(tmp_path):
    labels = ("entailment", "-", "neutral")
    rows = [{"sentence1": "a", "sentence2": "b", "label": label, "author": label} for label in labels]
    data_set, path = make_data_set("cmnli", None), tmp_path / "train.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(ValueError, match="train.json:1: 3 rows in one line, some of which are left out; fold_groups needs a line"):
        read(path, data_set)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert read(path, data_set) == ["entailment", "neutral"]


def test_a_row_without_a_group_is_named(tmp_path):
    (tmp_path / "train.json").write_text("".join(json.dumps(row) + "\n" for row in [*ROWS, {**ROWS[0], "author": ""}]), encoding="utf-8")
    with pytest.raises(ValueError, match="train.json:6: nothing in column 'author', which fold_groups names"):
        read(tmp_path / "train.json", make_data_set("tnews", None))
