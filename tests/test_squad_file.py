import gzip
import json

import pytest

from src.tasks.squad.file import Answer, Question, read_squad

CONTEXT = "the cat sat"
QUESTION = {"id": "q5", "question": "who sat?", "answers": [{"text": "the cat", "answer_start": 0}, {"text": "cat", "answer_start": 4}]}
ANSWERS = (Answer("the cat", 0), Answer("cat", 4))


def make_file(*questions, **paragraph):
    return {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": questions, **paragraph}]}]}


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def read(content):
        (tmp_path / "a.json").write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return read_squad("a.json")

    return read


def test_questions_come_in_the_order_of_the_file_with_their_context(read):
    articles = [make_file(QUESTION, {**QUESTION, "id": "q1"}), make_file({**QUESTION, "id": "q3"}, context="a dog sat")]
    found = read({"data": [part for article in articles for part in article["data"]]})
    assert found[0] == Question("q5", "who sat?", CONTEXT, ANSWERS, False)
    assert [(question.id, question.context) for question in found] == [("q5", CONTEXT), ("q1", CONTEXT), ("q3", "a dog sat")]
    assert found[0].context is found[1].context


def test_version_2_tells_of_questions_without_answers(read):
    plausible = {"plausible_answers": [{"text": "cat", "answer_start": 4}]}
    found = read(
        make_file({"id": "a", "question": "?", "answers": [], "is_impossible": True, **plausible}, {**QUESTION, "is_impossible": False})
    )
    assert [(question.answers, question.is_impossible) for question in found] == [((), True), (ANSWERS, False)]


def test_an_impossible_question_has_no_answers_whether_it_says_so_or_not(tmp_path):
    path = tmp_path / "q.json"
    path.write_text(json.dumps(make_file({"id": "a", "question": "?", "is_impossible": True}, {"id": "b", "question": "?"})))
    assert [question.answers for question in read_squad(path)] == [(), None]


def test_what_is_absent_is_none(read):
    content = {"data": [{"paragraphs": [{"qas": [{"id": "a"}, {"id": "b", "answers": [{"text": "cat"}]}]}]}]}
    assert read(content) == [Question("a", None, None, None), Question("b", None, None, (Answer("cat", None),))]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_file_is_known_by_its_bytes_whatever_its_name(encoding, compress, read):
    content = json.dumps(make_file(QUESTION, context="猫 sat, 𝔸 é"), ensure_ascii=False).encode(encoding)
    assert read(compress(content))[0].context == "猫 sat, 𝔸 é"


@pytest.mark.parametrize("start", [-1, 0, 11])
def test_answer_may_start_before_its_context_or_at_its_end(start, read):
    answers = [{"text": "dog", "answer_start": start}]
    assert read(make_file({**QUESTION, "answers": answers}))[0].answers == (Answer("dog", start),)


def with_answer(**answer):
    return make_file({**QUESTION, "answers": [{"text": "cat", "answer_start": 4, **answer}]})


QAS = 'data[0].paragraphs[0].qas[0]: "id" is missing or not a string'
BAD = [  # content, what the error names
    (b"", "not JSON"),
    (b"\xff\xfe\x00", "not JSON"),
    (b'{"data": [', "not JSON"),
    (gzip.compress(b"{}", mtime=0)[:-3], "damaged gzip file"),
    (b"[" * 100000, "not JSON"),
    ([], '"data" is missing or not a list'),
    ({"data": {}}, '"data" is missing or not a list'),
    ({"data": [None]}, 'data[0]: "paragraphs" is missing or not a list'),
    ({"data": [{"paragraphs": [{}]}]}, 'data[0].paragraphs[0]: "qas" is missing or not a list'),
    (make_file(context=None), 'data[0].paragraphs[0]: "context" is missing or not a string'),
    (make_file("who?"), QAS),
    (make_file({**QUESTION, "id": 5}), QAS),
    (make_file(QUESTION, {"question": "?"}), QAS.replace("qas[0]", "qas[1]")),
    (make_file({**QUESTION, "question": ["who?"]}), 'question q5: "question" is missing or not a string'),
    (make_file({**QUESTION, "answers": None}), 'question q5: "answers" is missing or not a list'),
    (make_file({**QUESTION, "answers": {"text": ["cat"], "answer_start": [4]}}), 'question q5: "answers" is missing or not a list'),
    (make_file({**QUESTION, "answers": ["cat"]}), 'question q5: "text" is missing or not a string'),
    (make_file({**QUESTION, "is_impossible": 0}), 'question q5: "is_impossible" is missing or not a boolean'),
    (with_answer(text=None), 'question q5: "text" is missing or not a string'),
    (with_answer(answer_start="4"), 'question q5: "answer_start" is missing or not a whole number'),
    (with_answer(answer_start=4.0), 'question q5: "answer_start" is missing or not a whole number'),
    (with_answer(answer_start=True), 'question q5: "answer_start" is missing or not a whole number'),
    (with_answer(answer_start=12), "question q5: an answer starts at 12, but its context ends at 11"),
    (make_file(QUESTION, QUESTION), "two questions have the id q5"),
    ({"data": []}, "no questions"),
    (make_file(), "no questions"),
    (make_file(QUESTION, context="the \ud83d cat"), '"context" is not Unicode text: half of a surrogate pair, \\ud83d, at character 4'),
    (make_file({**QUESTION, "question": "\udc00"}), 'question q5: "question" is not Unicode text: half of a surrogate pair, \\udc00'),
    (make_file({**QUESTION, "id": "\udc00"}), '"id" is not Unicode text: half of a surrogate pair, \\udc00'),
    (with_answer(text="\udc00"), 'question q5: "text" is not Unicode text'),
]


@pytest.mark.parametrize(("content", "message"), BAD)
def test_defect_is_told_in_one_line_with_path_and_place(content, message, read):
    with pytest.raises(ValueError) as error:
        read(content)
    assert str(error.value).startswith("a.json: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_squad(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("name", "questions", "contexts", "answers"),
    [
        ("squad/dev-v1.1.json.gz", 10570, 2067, 34726),
        ("squad/train-v1.1-part.json", 4370, 678, 4370),
        ("cmrc2018/cmrc2018_dev.json.gz", 3219, 848, 9657),
        ("cmrc2018/cmrc2018_trial.json", 1002, 256, 1002),
    ],
)
def test_published_files_are_read_whole(name, questions, contexts, answers, shared_file):
    found = read_squad(shared_file(name))
    assert len(found) == questions
    assert len({id(question.context) for question in found}) == contexts
    assert sum(len(question.answers) for question in found) == answers
