import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from src.records.record_set import cached_records
from src.tasks.squad.file import Answer, Question, read_squad
from src.tasks.squad.windows import WindowsReport, encode_questions
from src.text.tokenization import Tokenizer

GOLDEN = json.loads(gzip.decompress((Path(__file__).parent.parent / "golden" / "squad_windows.json.gz").read_bytes()))
LABELS = ("start_positions", "end_positions")


@pytest.fixture
def tokenizer(vocab_file):
    return Tokenizer(vocab_file)


@pytest.fixture
def google_tokenizer(tmp_path):
    (tmp_path / "google.txt").write_text("\n".join(GOLDEN["vocabulary"]), encoding="utf-8")
    return Tokenizer(tmp_path / "google.txt", True)


@pytest.fixture(scope="module")
def chinese(shared_file):
    return Tokenizer(shared_file("vocab/bert-base-chinese-vocab.txt"))


def make_question(context, *answers, text="the", key="q", is_impossible=False):
    """answers: (text, start) pairs."""
    return Question(key, text, context, tuple(Answer(*answer) for answer in answers), is_impossible)


def split(chunk):
    """A dict of lists and ints for each row."""
    ends = np.cumsum(chunk.lengths)
    assert {len(values) for values in chunk.tokens.values()} == {ends[-1]}
    assert {len(values) for values in chunk.rows.values()} == {len(ends)}
    tokens = {name: [part.tolist() for part in np.split(values, ends[:-1])] for name, values in chunk.tokens.items()}
    columns = tokens | {name: values.tolist() for name, values in chunk.rows.items()}
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def encode(questions, tokenizer, lengths=(32, 8, 8), training=False, version_2=False):
    chunk, report = encode_questions(questions, tokenizer, *lengths, training, version_2, "a.json")
    return split(chunk), report


def encode_one(tokenizer, context, *answers, **options):
    """The only row of a question, and the WindowsReport."""
    (row,), report = encode([make_question(context, *answers)], tokenizer, **options)
    return row, report


def labels(row):
    return tuple(row[name] for name in LABELS)


def answer_of(row, context, tokenizer):
    """The labelled tokens, and the characters from the first to the last."""
    first, last = labels(row)
    tokens = [tokenizer.tokens[number] for number in row["input_ids"][first : last + 1]]
    return tokens, context[row["starts"][first] : row["ends"][last]]


# Google's rows


@pytest.fixture(params=["version_1", "version_2"])
def golden(request, tmp_path):
    saved = GOLDEN[request.param]
    (tmp_path / "questions.json").write_text(json.dumps(saved["file"]), encoding="utf-8")
    return read_squad(tmp_path / "questions.json"), saved["rows"], request.param == "version_2"


@pytest.mark.parametrize("number", range(len(GOLDEN["lengths"])))
def test_rows_and_labels_are_googles(number, golden, google_tokenizer):
    questions, rows, version_2 = golden
    rows, found = rows[number], {question.id: [] for question in questions}
    names = ("input_ids", "token_type_ids", "context_start", "window_start", *LABELS)
    for row in encode(questions, google_tokenizer, GOLDEN["lengths"][number], True, version_2)[0]:
        found[questions[row["question"]].id].append([row[name] for name in names])
    assert {key: found[key] for key in rows} == rows
    for question in questions:  # Google's reader turns this space of an answer, but not of its context, into another one
        assert question.id in rows or "\u00a0" in question.answers[0].text
    assert len(rows) >= len(questions) - 5


@pytest.mark.parametrize("saved", GOLDEN["others"], ids=lambda saved: saved["text"])
def test_label_covers_the_characters_of_the_answer_where_googles_does_not(saved, google_tokenizer):
    row, report = encode_one(google_tokenizer, saved["context"], (saved["text"], saved["answer_start"]), lengths=(64, 16, 8))
    first, last = (position - row["context_start"] for position in labels(row))
    assert report == WindowsReport()
    assert (first, last) != (saved["first"], saved["last"])
    begin, end = row["starts"][labels(row)[0]], row["ends"][labels(row)[1]]
    assert begin <= saved["answer_start"] < saved["answer_start"] + len(saved["text"]) <= end
    for shorter in ((first + 1, last), (first, last - 1)):
        start, stop = (row[name][token + row["context_start"]] for name, token in zip(("starts", "ends"), shorter))
        assert shorter[0] > shorter[1] or start > saved["answer_start"] or stop < saved["answer_start"] + len(saved["text"])


# Windows


def list_windows(count, room, stride):
    """(first token, number of tokens) of Google's windows, one by one."""
    windows, begin = [], 0
    while True:
        windows.append((begin, min(count - begin, room)))
        if begin + windows[-1][1] == count:
            return windows
        begin += min(windows[-1][1], stride)


@pytest.mark.parametrize("stride", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("query", ["", "a cat"])
@pytest.mark.parametrize("count", [1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 23])
def test_windows_begin_a_stride_apart_until_one_reaches_the_end(count, query, stride, tokenizer):
    room, query_length = 10 - 3 - len(query.split()), len(query.split())
    question = make_question("x " * count, text=query)
    rows, _ = encode([question], tokenizer, (10, stride, 4))
    found = [(row["window_start"], len(row["input_ids"]) - query_length - 3) for row in rows]
    assert found == list_windows(count, room, stride)
    for row, (begin, length) in zip(rows, found):
        assert row["context_start"] == query_length + 2
        assert row["token_type_ids"] == [0] * (query_length + 2) + [1] * (length + 1)
        outside = [0] * (query_length + 2)
        assert row["starts"] == [*outside, *range(2 * begin, 2 * (begin + length), 2), 0]
        assert row["ends"] == [*outside, *range(2 * begin + 1, 2 * (begin + length), 2), 0]
    assert [row["question"] for row in rows] == [0] * len(rows)


def test_row_is_question_and_context_between_special_tokens(tokenizer):
    row, _ = encode_one(tokenizer, "A cat, cb", ("cat", 2))
    assert [tokenizer.tokens[number] for number in row["input_ids"]] == ["[CLS]", "the", "[SEP]", "a", "cat", ",", "c", "##b", "[SEP]"]


def test_answer_is_labelled_where_a_window_has_all_of_it(tokenizer):
    question = make_question("x x x x x the cat x x x", ("the cat", 10))
    rows, _ = encode([question], tokenizer, (10, 2, 5))  # windows of 6: tokens 0 to 5, 2 to 7, 4 to 9
    assert [(row["window_start"], *labels(row)) for row in rows] == [(0, 0, 0), (2, 6, 7), (4, 4, 5)]


def test_answer_that_is_whole_in_no_window_is_reported(tokenizer):
    questions = [make_question("x x the cat x", ("the cat", 4), key="a"), make_question("x x the", ("the", 4), key="b")]
    for training in (True, False):
        rows, report = encode(questions, tokenizer, (5, 1, 1), training)  # windows of 1
        assert [labels(row) for row in rows] == [(0, 0)] * 7 + [(3, 3)]
        assert report == WindowsReport(split_answers=["a"])


def test_long_question_is_cut_and_reported(tokenizer):
    questions = [make_question("a cat", ("cat", 2), text="the dog sat on", key=key) for key in ("q1", "q2")]
    questions.append(make_question("a cat", ("cat", 2), text="the dog sat"))
    rows, report = encode(questions, tokenizer, (16, 4, 3))
    assert [tokenizer.tokens[number] for number in rows[0]["input_ids"]] == ["[CLS]", "the", "dog", "sat", "[SEP]", "a", "cat", "[SEP]"]
    assert rows[0] | {"question": 2} == rows[2]
    assert report == WindowsReport(cut_questions=["q1", "q2"])


@pytest.mark.parametrize("context", ["", " \u3000\n", "\u200b"])
def test_context_without_tokens_has_one_window(context, tokenizer):
    questions = [make_question(context, key="empty"), make_question("a cat", ("cat", 2))]
    rows, report = encode(questions, tokenizer)
    assert [tokenizer.tokens[number] for number in rows[0]["input_ids"]] == ["[CLS]", "the", "[SEP]", "[SEP]"]
    assert rows[0] == rows[0] | {"token_type_ids": [0, 0, 0, 1], "starts": [0] * 4, "ends": [0] * 4, "context_start": 3, "window_start": 0}
    assert labels(rows[0]) == (-1, -1)
    assert report == WindowsReport(no_tokens=["empty"])


def test_training_has_the_rows_of_evaluation_without_offsets(tokenizer):
    questions = [make_question("the cat sat on a mat " * 5, ("cat", 25), key=key) for key in "ab"]
    questions.insert(1, make_question("the cat", ("dog", 0), key="left out"))
    evaluation, training = (encode(questions, tokenizer, training=training)[0] for training in (False, True))
    assert [row["question"] for row in evaluation] == [0, 0, 1, 2, 2]
    rows = [{name: row[name] for name in row if name not in ("starts", "ends")} for row in evaluation]
    assert training == [row for row in rows if row["question"] != 1]


class CountingTokenizer(Tokenizer):
    def encode_with_offsets(self, texts):
        self.texts += texts
        return super().encode_with_offsets(texts)


def test_each_context_is_tokenised_once(vocab_file):
    tokenizer = CountingTokenizer(vocab_file)
    tokenizer.texts = []
    contexts = [f"{' ' * number}cat" for number in range(1100)]  # more than the tokenizer takes at once
    questions = [make_question(context, ("cat", number)) for number, context in enumerate(contexts)] * 2
    rows, _ = encode(questions, tokenizer)
    assert tokenizer.texts == contexts
    assert [row["starts"][3] for row in rows] == [*range(1100)] * 2


def test_columns_go_into_the_records(tokenizer, tmp_path):
    questions = [make_question("the cat sat on a mat " * 5, ("cat", 25), key=key) for key in "ab"]
    chunk, _ = encode_questions(questions, tokenizer, 32, 8, 8, False)
    records = cached_records(tmp_path / "cache", lambda: [chunk])
    assert split(records) == split(chunk)
    assert {values.dtype for values in (*records.tokens.values(), *records.rows.values(), records.lengths)} == {np.dtype(np.int32)}


# Labels


@pytest.mark.parametrize(
    ("context", "answer", "start", "tokens", "text"),
    [
        ("the cat sat", "cat", 4, "cat", "cat"),
        ("The CAT, sat", "The CAT", 0, "the cat", "The CAT"),
        ("a (cat) sat", "cat", 3, "cat", "cat"),
        ("xyz cat", "y", 1, "##y", "y"),
        ("xyz cat", "z cat", 2, "##z cat", "z cat"),
        ("the cat sat", "ca", 4, "cat", "cat"),  # inside a token
        ("the cat sat", "at sa", 5, "cat sat", "cat sat"),
        ("the cat sat", " cat ", 3, "cat", "cat"),  # white space around it
        ("the cat \u3000\n sat", "cat \u3000\n", 4, "cat", "cat"),
        ("the cat  sat", "cat  sat", 4, "cat sat", "cat  sat"),
        ("Ça, un cafe\u0301 x", "cafe\u0301", 7, "c ##a ##f ##e", "cafe\u0301"),  # the accent is a character of its own
        ("Ça, un café x", "café", 7, "c ##a ##f ##e", "café"),
        ("a \u200bcat", "\u200bcat", 2, "cat", "cat"),
        ("a c\u200bab", "c\u200bab", 2, "c ##a ##b", "c\u200bab"),
        ("the ☃qq sat", "☃qq", 4, "[UNK]", "☃qq"),  # one token for a word
        ("the ☃qq sat", "qq", 5, "[UNK]", "☃qq"),
        ("the cat 𝔸𝔹 mat", "mat", 11, "mat", "mat"),  # two code units each elsewhere, one character here
        ("the cat", "cat", 4, "cat", "cat"),
    ],
)
def test_answer_is_labelled_on_the_tokens_that_its_characters_lie_in(context, answer, start, tokens, text, tokenizer):
    row, report = encode_one(tokenizer, context, (answer, start))
    assert answer_of(row, context, tokenizer) == (tokens.split(), text)
    assert report == WindowsReport()


@pytest.mark.parametrize(
    ("context", "answer", "start", "tokens", "text"),
    [
        ("中国人民银行", "人民", 2, "人 民", "人民"),
        ("在2021年,ＡＢ国", "ＡＢ", 7, "ａ ##ｂ", "ＡＢ"),  # full width
        ("在2021年,ＡＢ国", "年", 5, "年", "年"),
        ("《中国》。中国", "中国", 5, "中 国", "中国"),
        ("中鿕国", "鿕国", 1, "[UNK] 国", "鿕国"),
        ("中　国", "中　国", 0, "中 国", "中　国"),
        ("台灣iPhone手機", "iPhone", 2, "iphone", "iPhone"),
    ],
)
def test_chinese_answer_is_labelled_without_spaces(context, answer, start, tokens, text, chinese):
    row, report = encode_one(chinese, context, (answer, start))
    assert answer_of(row, context, chinese) == (tokens.split(), text)
    assert report == WindowsReport()


@pytest.mark.parametrize(
    ("start", "expected"),
    [(0, 4), (3, 4), (6, 4), (10, 9), (11, 9), (12, 13), (17, 13), (20, 13), (-1, 4), (-9, 4), (None, 4), (21, 13)],
)
def test_moved_answer_is_the_nearest_of_its_text(start, expected, tokenizer):
    context = "the cat, cat cat sat!"
    row, report = encode_one(tokenizer, context, ("cat", start))
    assert row["starts"][labels(row)[0]] == expected
    assert report == WindowsReport(num_moved=1)


def test_of_two_equally_near_occurrences_the_earlier_is_taken(tokenizer):
    row, report = encode_one(tokenizer, "cat the cat", ("cat", 4))
    assert row["starts"][labels(row)[0]] == 0
    assert report == WindowsReport(num_moved=1)


def test_last_character_is_not_taken_for_an_answer_that_stands_nowhere(tokenizer):
    row, report = encode_one(tokenizer, "x, x", ("x", -1))
    assert row["starts"][labels(row)[0]] == 0
    assert report == WindowsReport(num_moved=1)


def test_label_is_the_first_answer_that_can_be_located(tokenizer):
    context = "the cat sat, the dog ran"
    row, report = encode_one(tokenizer, context, ("mat", 4), ("", 5), (" ", 3), ("dog", 14), ("cat", 4))
    assert answer_of(row, context, tokenizer) == (["dog"], "dog")
    assert report == WindowsReport(num_moved=1)


@pytest.mark.parametrize(
    "answers",
    [[("dog", 4)], [("CAT", 4)], [("", 5)], [("  ", 3)], [("\u200b", 11)], [("dog", -1), ("mat", None)]],
)
def test_answer_that_stands_nowhere_has_no_label_and_no_row_in_training(answers, tokenizer):
    questions = [make_question("the cat sat\u200b", *answers, key="lost"), make_question("the cat", ("cat", 4))]
    rows, report = encode(questions, tokenizer)
    assert [labels(row) for row in rows] == [(-1, -1), (4, 4)]
    assert report == WindowsReport(not_located=["lost"])
    rows, report = encode(questions, tokenizer, training=True)
    assert [row["question"] for row in rows] == [1]
    assert report == WindowsReport(not_located=["lost"])


def test_version_2_labels_no_answer_at_cls(tokenizer):
    context = "the cat sat on a mat " * 6
    questions = [
        make_question(context, ("cat", 4), is_impossible=True),
        make_question(context, is_impossible=True),
        make_question(context),
        make_question("the cat", ("cat", 4)),
        make_question("", is_impossible=True),
    ]
    for training in (False, True):
        rows, report = encode(questions, tokenizer, training=training, version_2=True)
        assert [labels(row) for row in rows if row["question"] != 3] == [(0, 0)] * 7
        assert [labels(row) for row in rows if row["question"] == 3] == [(4, 4)]
        assert report == WindowsReport(no_tokens=["q"])


@pytest.mark.parametrize("version_2", [False, True])
def test_question_to_predict_has_no_label(version_2, tokenizer):
    questions = [Question("q", "the", "the cat", None)] + [make_question("the cat")] * (not version_2)
    rows, report = encode(questions, tokenizer, version_2=version_2)
    assert [labels(row) for row in rows] == [(-1, -1)] * len(questions)
    assert report == WindowsReport()


# Errors and reports


@pytest.mark.parametrize(
    ("question", "training", "version_2", "message"),
    [
        (Question("q", None, "the cat", ()), False, False, 'question q: "question" is missing'),
        (Question("q", "the", None, ()), False, True, 'question q: "context" is missing'),
        (Question("q", "the", "the cat", None), True, False, 'question q: "answers" is missing; training needs them'),
        (Question("q", "the", "the cat", None), True, True, 'question q: "answers" is missing; training needs them'),
        (make_question("the cat"), True, False, "question q has no answers; --version_2_with_negative true"),
        (make_question("the cat", is_impossible=True), True, False, "question q has no answers; --version_2_with_negative true"),
        (make_question("the cat", ("dog", 0)), True, True, "no question has an answer that is in its context"),
    ],
)
def test_defect_of_a_question_names_file_and_id(question, training, version_2, message, tokenizer):
    with pytest.raises(ValueError, match=f"^a.json: {message}"):
        encode([question], tokenizer, training=training, version_2=version_2)


@pytest.mark.parametrize("lengths", [(11, 8, 8), (32, 0, 8), (32, 8, 0), (0, 8, -4)])
def test_lengths_without_room_for_a_window_are_refused(lengths, tokenizer):
    with pytest.raises(
        ValueError, match=f"seq_length={lengths[0]}, max_query_length={lengths[2]}, doc_stride={lengths[1]}: seq_length must"
    ):
        encode([make_question("the cat")], tokenizer, lengths)


def test_report_tells_counts_and_the_first_ids():
    ids = [f"q{number}" for number in range(7)]
    assert WindowsReport().describe("a.json", 9) == []
    assert WindowsReport(2, ids, ["split"], ["cut"], ["empty"]).describe("a.json", 9) == [
        "a.json: 2 answers are not at answer_start; the nearest occurrence of their text is taken",
        "a.json: 7 of 9 questions have answers, but none is in the context; excluded from training and from the loss: "
        "q0, q1, q2, q3, q4 and 2 more",
        "a.json: 1 of 9 questions have an answer that is whole in no window; labelled as having none: split",
        "a.json: 1 of 9 questions are longer than max_query_length tokens, and cut: cut",
        "a.json: 1 of 9 questions have a context without tokens: empty",
    ]


# Real data


@pytest.mark.parametrize(
    ("name", "rows", "num_moved", "num_split", "not_spelt"),
    [
        ("cmrc2018/cmrc2018_trial.json", 2446, 5, 3, 0),
        ("squad/train-v1.1-part.json", 4466, 0, 0, 27),  # half of a word, mostly: "Tibet" of "Tibetan"
        pytest.param("cmrc2018/cmrc2018_dev.json.gz", 7717, 3, 0, 1, marks=pytest.mark.slow),
        pytest.param("squad/dev-v1.1.json.gz", 10833, 0, 0, 32, marks=pytest.mark.slow),
    ],
)
def test_published_answers_are_spelt_by_their_labels(name, rows, num_moved, num_split, not_spelt, shared_file, encoder, chinese):
    questions, read, spelt = read_squad(shared_file(name)), {}, {}
    found, report = encode(questions, Tokenizer(encoder / "vocab.txt") if name.startswith("squad") else chinese, (384, 128, 64))
    assert (len(found), report) == (rows, WindowsReport(num_moved=num_moved, split_answers=report.split_answers))
    for row in found:
        question, (first, last) = questions[row["question"]], labels(row)
        assert row["window_start"] <= read.get(question.id, 0)  # no token is left out
        read[question.id] = row["window_start"] + len(row["input_ids"]) - row["context_start"] - 1
        if last:
            assert row["context_start"] <= first <= last < len(row["input_ids"]) - 1
            spelt[question.id] = question.context[row["starts"][first] : row["ends"][last]] == question.answers[0].text.strip()
    assert {question.id for question in questions} - spelt.keys() == set(report.split_answers)
    assert (len(report.split_answers), sum(not equal for equal in spelt.values())) == (num_split, not_spelt)
