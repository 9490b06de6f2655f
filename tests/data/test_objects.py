"""Rows of Python objects, and the files that a training reads of them."""

from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest

from src.tasks.ner.tagged_text import read_tagged
from src.tasks.squad.file import read_squad
from src.tasks.task import TASKS
from src.text import objects
from src.text.tables import read_rows

NAMES = ["O", "B-PER", "I-PER"]


class ClassLabel:
    """What a ClassLabel of Hugging Face has that is used here."""

    def int2str(self, number):
        return NAMES[number]


class Dataset(list):
    """What a Dataset of Hugging Face has that is used here; the features of a list are as in old and new versions."""

    def __init__(self, rows, **features):
        super().__init__(rows)
        self.features, self.column_names = features, list(rows[0])


class DataFrame:
    """What a DataFrame of pandas has that is used here."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows

    def to_dict(self, form):
        assert form == "records"
        return [dict(zip(self.columns, row)) for row in self.rows]


TAGGED = [{"tokens": ["Ada", "Lovelace", "wrote"], "ner_tags": [1, 2, 0]}, {"tokens": ["Nobody"], "ner_tags": [0]}]


def write(tmp_path, task, rows):
    row_file = TASKS[task].row_file
    path = tmp_path / f"train{row_file.ENDING}"
    row_file.write(path, objects.list_rows(rows))
    return path


def test_values_become_plain_and_missing_ones_none():
    NaTType = type("NaTType", (), {})
    rows = [{"text": np.str_("a"), "label": np.int64(3), "score": np.float64("nan"), "list": np.array([1, 2]), "time": NaTType()}]
    assert objects.list_rows(rows) == [{"text": "a", "label": 3, "score": None, "list": [1, 2], "time": None}]


def test_numbers_of_classes_become_names():
    rows = Dataset([{"text": "a", "label": 1}, {"text": "b", "label": -1}], text=None, label=ClassLabel())
    assert [row["label"] for row in objects.list_rows(rows)] == ["B-PER", None]


def test_columns_of_a_data_frame_must_differ():
    assert objects.list_rows(DataFrame(["text", 1], [["a", 2]])) == [{"text": "a", "1": 2}]
    for columns in (["text", "label", "text"], [1, "1", "text"]):
        with pytest.raises(ValueError, match=f"^rows: 2 columns have the name '{columns[0]}'"):
            objects.list_rows(DataFrame(columns, [["a", "b", "c"]]))


@pytest.mark.parametrize("wrong", ["text", {"text": "a"}, 5, ["a"], [("a", "b")]])
def test_rows_without_names_are_refused(wrong):
    with pytest.raises(ValueError, match=r"^rows(\[0\])?: "):
        objects.list_rows(wrong)


@pytest.mark.parametrize("feature", [SimpleNamespace(feature=ClassLabel()), [ClassLabel()]], ids=["old", "new"])
def test_tokens_with_tags_become_tagged_text(tmp_path, feature):
    path = write(tmp_path, "ner", Dataset(TAGGED, tokens=None, ner_tags=feature))
    first, second = read_tagged(path).sentences
    assert first.text == "Ada Lovelace wrote" and [(entity.type, entity.start, entity.end) for entity in first.entities] == [("PER", 0, 12)]
    assert not second.entities


def test_text_with_entities_is_json(tmp_path):
    (sentence,) = read_tagged(write(tmp_path, "ner", [{"text": "Ada wrote", "label": [[0, 3, "PER"]]}])).sentences
    assert [(entity.type, entity.start, entity.end) for entity in sentence.entities] == [("PER", 0, 3)]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"tokens": ["a"], "ner_tags": [1]}, r"rows\[0\]: the tag 1 of 'a' is no name"),
        ({"tokens": ["a"], "ner_tags": ["O", "O"]}, r"rows\[0\]: tokens and ner_tags or tags of equal length"),
        ({"tokens": ["a\nb"], "tags": ["O"]}, r"rows\[0\]: the token 'a\\nb' is no text in one line"),
        ({"words": ["a"]}, r"rows\[0\]: tokens and .* it has words"),
    ],
)
def test_tags_that_are_none_are_refused(tmp_path, row, told):
    with pytest.raises(ValueError, match=told):
        write(tmp_path, "ner", [row])


def test_flat_questions_become_squads_form(tmp_path):
    answers = {"text": ["Ada"], "answer_start": np.array([0])}
    rows = [
        {"id": "q", "question": "Who?", "context": "Ada wrote", "answers": answers},
        {"id": None, "question": "Where?", "context": "Ada wrote", "answers": {"text": [], "answer_start": []}},
        {"question": "Why?", "context": "Ada wrote", "answers": []},
    ]
    first, second, third = read_squad(write(tmp_path, "squad", rows))
    assert (first.id, [(each.text, each.start) for each in first.answers]) == ("q", [("Ada", 0)])
    assert (second.id, second.is_impossible, third.id) == ("1", True, "2")
    with pytest.raises(ValueError, match=r"rows\[0\]: question, context and answers are expected; it has question, context"):
        write(tmp_path, "squad", [{"question": "Who?", "context": "Ada"}])
    uneven = {"question": "Who?", "context": "Ada", "answers": {"text": ["Ada", "A"], "answer_start": [0]}}
    with pytest.raises(ValueError, match=r"rows\[0\]: answers has 2 values in text and 1 in answer_start"):
        write(tmp_path, "squad", [uneven])


@pytest.mark.parametrize("task", ["classifier", "embed"])
def test_others_are_json_lines(tmp_path, task):
    path = write(tmp_path, task, [{"text": "a\tb", "label": 1, "day": date(2026, 1, 2)}, {"text": "b", "label": None}])
    assert read_rows(path) == [(0, ["text", "label", "day"]), (1, ["a\tb", "1", "2026-01-02"]), (2, ["b", None, None])]
