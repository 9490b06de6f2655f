import random

import pytest

from src.data.classifier import Columns, collect_labels, encode_examples, make_task, parse_columns, read_examples
from src.data.tokenization import Tokenizer

COLA, SST2 = make_task("cola", None), make_task("sst2", None)


def write(path, data):
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def read(path, task, with_labels=True):
    return [(example.text_a, example.text_b, example.label, example.line) for example in read_examples(path, task, with_labels)]


def test_cola_without_header_keeps_text_in_the_fourth_column(tmp_path):
    path = write(tmp_path / "train.tsv", "gj04\t1\t\tThe cat sat.\nbc81\t0\t*\tCat the sat.\n")
    assert read(path, COLA) == [("The cat sat.", None, "1", 1), ("Cat the sat.", None, "0", 2)]


def test_header_is_recognised_and_its_order_is_free(tmp_path):
    path = write(tmp_path / "train.tsv", "label\tid\tsentence\n1\tx\tThe cat sat.\n")
    assert read(path, COLA) == [("The cat sat.", None, "1", 2)]
    assert read(path, SST2) == [("The cat sat.", None, "1", 2)]


def test_sst2_needs_its_header(tmp_path):
    with pytest.raises(ValueError, match=r"a.tsv:1: expected a header with 'sentence', 'label'"):
        read(write(tmp_path / "a.tsv", "good film\t1\n"), SST2)


def test_test_file_without_labels_is_read_for_prediction_only(tmp_path):
    path = write(tmp_path / "test.tsv", "index\tsentence\n0\tThe cat sat.\n")
    assert read(path, COLA, with_labels=False) == [("The cat sat.", None, None, 2)]
    with pytest.raises(ValueError, match="test.tsv: no label column"):
        read(path, COLA)


def test_custom_columns_by_name_and_by_index_agree(tmp_path):
    table = "spam\tfirst\tsecond\nham\tthird\tfourth\n"
    by_index = read(write(tmp_path / "a.tsv", table), make_task("custom", "text_a=1,text_b=2,label=0"))
    by_name = read(write(tmp_path / "b.tsv", "y\tq\tr\n" + table), make_task("custom", "label=y, text_a=q, text_b=r"))
    mixed = read(write(tmp_path / "b.tsv", "y\tq\tr\n" + table), make_task("custom", "label=0,text_a=q,text_b=2"))
    assert by_index == [("first", "second", "spam", 1), ("third", "fourth", "ham", 2)]
    assert [row[:3] for row in by_name] == [row[:3] for row in by_index]
    assert mixed == by_name


def test_a_name_of_digits_is_an_index(tmp_path):
    assert parse_columns("text_a=0,label=12") == Columns(0, None, 12)


@pytest.mark.parametrize("text", ["", "text_a", "text_a=", "label=1", "text_a=0,text_a=1", "text_a=0,text_c=1", "text_a=0,", "=0", "0"])
def test_wrong_columns_are_refused(text):
    with pytest.raises(ValueError, match="columns="):
        parse_columns(text)


@pytest.mark.parametrize("columns", [None, ""])
def test_custom_task_needs_columns(columns):
    with pytest.raises(ValueError, match="--columns"):
        make_task("custom", columns)


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        (COLA, "x\t1\t\tText.\ny\t0\t\n", r"a.tsv:2: 3 columns, at least 4"),
        (SST2, "sentence\tlabel\nfine\t1\nbroken\n", r"a.tsv:3: 1 columns, at least 2"),
        (SST2, "sentence\tlabel\n", r"a.tsv: a header and no rows"),
        (COLA, "label\ttext\n1\tx\n", r"a.tsv:1: no column 'sentence'"),
        (SST2, "sentence\ttruth\nfine\t1\n", r"a.tsv: no label column"),
        (make_task("custom", "text_a=t,text_b=u,label=l"), "t\tl\nx\t1\n", r"a.tsv:1: no column 'u'"),
        (make_task("custom", "text_a=0,label=7"), "x\t1\n", r"a.tsv:1: 2 columns, at least 8"),
        (make_task("custom", "text_a=0,label=l"), "x\t1\n", r"a.tsv: no label column"),
    ],
)
def test_defect_names_file_and_line(task, data, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read(write(tmp_path / "a.tsv", data), task)


def make_examples(path, labels):
    return read_examples(write(path, "".join(f"the cat\t{label}\n" for label in labels)), make_task("custom", "text_a=0,label=1"), True)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(["10", "9", "1"], ("1", "9", "10")), (["b", "a", "B"], ("B", "a", "b")), (["10", "9", "x"], ("10", "9", "x")), (["1 ", "1"], ("1",))],
)
def test_label_order_is_by_number_else_alphabetical(labels, expected, tmp_path):
    assert collect_labels(make_examples(tmp_path / "a.tsv", labels)) == expected


def test_labels_of_one_value_have_one_order(tmp_path):
    spellings = ["0" * zeros + "1" for zeros in range(12)]
    expected = tuple(sorted(spellings))  # a set of strings has another order in every process
    assert collect_labels(make_examples(tmp_path / "a.tsv", spellings)) == expected


def test_rows_hold_tokens_segments_and_label(vocab_file, tmp_path):
    tokenizer = Tokenizer(vocab_file, True)
    path = write(tmp_path / "a.tsv", "The cat\tsat on\tno\nThe dog ran fast\tslow\tyes\n")
    examples = read_examples(path, make_task("custom", "text_a=0,text_b=1,label=2"), True)
    rows = encode_examples(path, examples, tokenizer, ("no", "yes"), 7)
    words = [[tokenizer.tokens[number] for number in row["input_ids"]] for row in rows]
    assert words == [["[CLS]", "the", "cat", "[SEP]", "sat", "on", "[SEP]"], ["[CLS]", "the", "dog", "ran", "[SEP]", "slow", "[SEP]"]]
    assert [row["token_type_ids"] for row in rows] == [[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1]]
    assert [row["label_ids"] for row in rows] == [0, 1]


def test_row_without_label_has_minus_one(vocab_file, tmp_path):
    path = write(tmp_path / "a.tsv", "sentence\nthe cat\n")
    rows = encode_examples(path, read_examples(path, SST2, False), Tokenizer(vocab_file, True), ("0", "1"), 8)
    assert [row["label_ids"] for row in rows] == [-1]


def test_unknown_label_names_file_and_line(vocab_file, tmp_path):
    path = write(tmp_path / "a.tsv", "sentence\tlabel\nthe cat\t1\nthe dog\t2\n")
    with pytest.raises(ValueError, match=r"a.tsv:3: unknown label '2'; known are 0, 1"):
        encode_examples(path, read_examples(path, SST2, True), Tokenizer(vocab_file, True), ("0", "1"), 8)


PIECES = [b"\t", b"\t", b",", b"\n", b"\n", b"\r\n", b"\r", b'"', b'""', b"\0", b"\xff", b"\xef\xbb\xbf", b"sentence", b"label", b"0", b"1"]
PIECES += ["é漢\u2028\u0085".encode(), b"\xed\xa0\x80", b"text", b" ", b"\x1f\x8b", b"\x1a", b"x" * 300]


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_hostile_table_gives_rows_or_value_error(name, tmp_path):
    generator, outcomes = random.Random(name), {True: 0, False: 0}
    tasks = [
        COLA,
        SST2,
        make_task("custom", "text_a=0"),
        make_task("custom", "text_a=text,label=label"),
        make_task("custom", "text_a=1,label=0"),
    ]
    for _ in range(200):
        data = b"".join(generator.choices(PIECES, k=generator.randrange(1, 30)))
        if generator.random() < 0.5:  # half of them harmless enough to have rows
            data = data.replace(b"\0", b"").replace(b"\xff", b"").replace(b'"', b"").replace(b"\xed\xa0\x80", b"").replace(b"\x1f\x8b", b"")
        path = write(tmp_path / name, data)
        for task in tasks:
            try:
                examples = read_examples(path, task, with_labels=generator.random() < 0.5)
            except ValueError as error:
                assert str(path) in str(error), data
                outcomes[False] += 1
            else:
                assert examples, data
                assert all(isinstance(example.text_a, str) and "\0" not in example.text_a for example in examples), data
                outcomes[True] += 1
    assert min(outcomes.values()) > 50, outcomes
