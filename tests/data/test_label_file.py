"""Class names given as a file."""

import pytest

from src.tasks.label_file import read_labels


@pytest.mark.parametrize(
    "text",
    [
        "sports news\nfilm\n\n",
        '{"film": 1, "sports news": 0}',
        '{"0": "sports news", "1": "film"}',
        '{"label2id": {"film": 1, "sports news": 0}}',
        '["sports news", "film"]',
        '{"label": "sports news", "label_desc": "x"}\n{"label": "film"}\n',
        ' {\n"labels": {\n"film": 1,\n"sports news": 0}}\n',
    ],
)
def test_labels_stand_in_the_order_of_their_ids(text, tmp_path):
    (tmp_path / "labels").write_text(text)
    assert read_labels(tmp_path / "labels") == ("sports news", "film")


def test_numbers_as_labels_of_clues_file(tmp_path):
    (tmp_path / "labels.json").write_text('{"label": 100}\n{"label": "101"}\n')
    assert read_labels(tmp_path / "labels.json") == ("100", "101")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\na\n", "labels: label 'a' twice"),
        ("a\n", "labels: one label only"),
        ('{"a": 0, "b": 2}', "labels:1: 'b' has id 2; the 2 labels need the ids 0 to 1"),
        ('{"label": "a"}\n{"name": "b"}\n', 'labels:2: "label" is missing'),
        ('{"label": "a"}\n{"label": \n', "labels:2: no JSON object in one line"),
        ("[1, 2]\n", "one label only"),  # a line of text like any other
        ('["a", 2]', "expected an object {label: id} or a list of labels"),
    ],
)
def test_defect_of_a_label_file_is_named(text, message, tmp_path):
    (tmp_path / "labels").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_labels(tmp_path / "labels")
