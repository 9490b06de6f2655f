"""Questions with choices: files in the forms of C3 and SWAG, rows, and batches of whole questions."""

import json

import numpy as np
import pytest

from src.records.plan import Batch
from src.records.record_set import cached_records, join_in_chunks
from src.tasks.classifier.choices import Questions, encode_choices, find_parts, read_choices, to_matrix
from src.tasks.classifier.options import ClassifierOptions
from src.text.tokenization import Tokenizer

SWAG = "id,sent1,sent2,ending0,ending1,ending2,ending3,label\n"
ROWS = 'a,"The cat sat, it was fast.",It,ran,sat,is a dog,was not,2\nb,A mat.,The cat,sat on it,ran,,,0\n'
RAIN = [
    {"question": "天气怎么样？", "choice": ["晴", "雨"], "answer": "雨"},
    {"question": "雨大吗？", "choice": ["大", "小"], "answer": "大"},
]
SCHOOL = {"question": "男的去哪儿？", "choice": ["学校", "医院", "商店"], "answer": "学校"}
C3 = [[["女：你去哪儿？", "男：去学校。"], [SCHOOL], "1"], [["雨很大。"], RAIN, "2"]]


def write(path, data):
    path.write_text(data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")
    return path


def test_swags_endings_follow_their_beginning(tmp_path):
    examples = read_choices(write(tmp_path / "train.csv", SWAG + ROWS), True)
    assert [(each.text_a, json.loads(each.text_b), each.label, each.line, each.id) for each in examples] == [
        ("The cat sat, it was fast.", ["It ran", "It sat", "It is a dog", "It was not"], "2", 2, "a"),
        ("A mat.", ["The cat sat on it", "The cat ran"], "0", 3, "b"),
    ]
    lines = [{"sent1": "A mat.", "sent2": "The cat", "ending0": "sat", "ending1": "ran", "label": 1}]
    assert read_choices(write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, lines))), True)[0].label == "1"


def test_c3s_choices_follow_their_question(tmp_path):
    examples = read_choices(write(tmp_path / "m-train.json", C3), True)
    assert [(each.text_a, json.loads(each.text_b), each.label) for each in examples] == [
        ("女：你去哪儿？\n男：去学校。", ["男的去哪儿？ 学校", "男的去哪儿？ 医院", "男的去哪儿？ 商店"], "0"),
        ("雨很大。", ["天气怎么样？ 晴", "天气怎么样？ 雨"], "1"),
        ("雨很大。", ["雨大吗？ 大", "雨大吗？ 小"], "0"),
    ]
    assert examples[0].line == 2 < examples[1].line == examples[2].line


def test_both_parts_of_c3_are_one_set(tmp_path):
    first, second = write(tmp_path / "c3-m-dev.json", C3), write(tmp_path / "c3-d-dev.json", C3[:1])
    assert (
        find_parts(first) == [first, second]
        and find_parts(second) == [second]
        and find_parts(tmp_path / "dev.json") == [tmp_path / "dev.json"]
    )
    assert len(read_choices(first, True)) == 4


def test_a_file_to_predict_needs_no_answers(tmp_path):
    unanswered = [[["雨很大。"], [{"question": "天气怎么样？", "choice": ["晴", "雨"], "id": 7}], "2"]]
    (found,) = read_choices(write(tmp_path / "test.json", unanswered), False)
    assert (found.label, found.id) == (None, "7")
    assert read_choices(write(tmp_path / "test.csv", "sent1,sent2,ending0,ending1,label\na,b,c,d,-1\n"), False)[0].label is None
    with pytest.raises(ValueError, match=r"test.json:2: a question without an answer"):
        read_choices(tmp_path / "test.json", True)


def question(**changes):
    return [[["雨很大。"], [{"question": "天气？", "choice": ["晴", "雨"], "answer": "雨", **changes}], "2"]]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.json", question(choice=["雨"]), "a.json:2: a question with 1 choice: two at least are needed"),
        ("a.csv", SWAG + "a,x,y,only,,,,0\n", "a.csv:2: a question with 1 choice: two at least are needed"),
        ("a.json", question(answer="风"), "a.json:2: the answer '风' is none of the choices '晴', '雨'"),
        ("a.csv", SWAG + "a,x,y,b,,d,,1\n", "a.csv:2: ending2 follows an empty ending, so that label may number the endings in two ways"),
        ("a.csv", SWAG + "a,x,y,b,c,d,e,4\n", "a.csv:2: label '4': the number of one of 4 endings, from 0, is expected"),
        ("a.csv", SWAG + "a,x,y,b,c,d,e,-12\n", "a.csv:2: label '-12': the number of one of 4 endings, from 0, is expected"),
        ("a.csv", SWAG + "a,x,y,b,c,d,e,\n", "a.csv:2: a question without an answer"),
        ("a.json", question(choice="雨"), 'a.json:2: a question {"question": text, "choice": '),
        ("a.json", [["雨很大。"]], "a.json:2: a document "),
        ("a.csv", "text,label\nx,1\n", "a.csv:1: C3's array of documents, or a header with sent1, sent2, ending0"),
        ("a.csv", SWAG, "a.csv: no question in it"),
        ("a.json", "[]\n", "a.json: the array is empty"),
    ],
)
def test_defects_are_named_with_their_line(name, data, message, tmp_path):
    with pytest.raises(ValueError) as refused:
        read_choices(write(tmp_path / name, data), True)
    assert message in str(refused.value)


@pytest.fixture
def records(tmp_path, vocab_file):
    examples = read_choices(write(tmp_path / "train.csv", SWAG + ROWS), True)
    rows = encode_choices(examples, Tokenizer(vocab_file, True), 16)
    return cached_records(tmp_path / "cache/rows", lambda: join_in_chunks(rows))


def test_a_batch_has_a_row_for_every_choice_of_its_questions(records):
    assert records.rows["question"].tolist() == [0] * 4 + [1] * 2 and records.rows["label_ids"].tolist() == [2] * 4 + [0] * 2
    questions = Questions(records)
    assert questions.lengths.tolist() == [max(records.lengths[:4]), max(records.lengths[4:])]
    batch = Batch(np.array([1, 0]), 2, int(questions.lengths.max()))
    assert questions.column("label_ids", batch).tolist() == [[1, 0, -1, -1], [0, 0, 1, 0]]
    ids = questions.column("input_ids", batch)
    each = records.column("input_ids", Batch(np.array([4, 5, 4, 4, 0, 1, 2, 3]), 8, batch.length))
    np.testing.assert_array_equal(ids, each)  # missing choices are copies of the first
    assert questions.column("input_mask", batch).sum() == records.lengths[[4, 5, 4, 4, 0, 1, 2, 3]].sum()


def test_values_are_arranged_by_question():
    matrix, starts = to_matrix(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([0, 0, 0, 1, 1]))
    assert matrix.tolist() == [[1, 2, 3], [4, 5, -np.inf]] and starts.tolist() == [0, 3]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"class_weights": ("balanced",)}, "class_weights: is not for task_name=swag"),
        ({"packing": True}, "packing: is not for task_name=swag"),
        ({"num_class": 4}, "num_class and long_documents are not for questions with choices"),
        ({"assessment_method": "f1"}, "assessment_method=f1: questions with choices have accuracy only"),
        ({"best_metric": "f1"}, "best_metric=f1 is not allowed: this task has accuracy, eval_loss"),
    ],
)
def test_settings_of_classes_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ClassifierOptions(do_train=True, task_name="swag", **settings)
