import gzip
import math

import pytest

from src.tasks.classifier.data_sets import DATA_SETS, Columns, make_data_set, parse_columns, usual_files
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.classifier.rows import collect_labels, encode_examples, read_examples
from src.tasks.splits import find_file
from src.text.tokenization import Tokenizer

COLA, SST2 = make_data_set("cola", None), make_data_set("sst2", None)


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
    with pytest.raises(ValueError, match=r"a.tsv:1: .*expected a header with 'sentence', 'label', found"):
        read(write(tmp_path / "a.tsv", "good film\t1\n"), SST2)


def test_test_file_without_labels_is_read_for_prediction_only(tmp_path):
    path = write(tmp_path / "test.tsv", "index\tsentence\n0\tThe cat sat.\n")
    assert read(path, COLA, with_labels=False) == [("The cat sat.", None, None, 2)]
    with pytest.raises(ValueError, match="test.tsv: no label column"):
        read(path, COLA)


MRPC = 'Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t7\t8\tHe said "no".\t"No", he said.\r\n'
STSB = 'main-captions\tMSRvid\t2012test\t0001\t5.000\tA "plane.\tAn air plane.\nnews\tx\t2014\t2\t0\tOne.\tTwo.\tsource\tsource\n'
XNLI = "language\tgold_label\tgenre\tsentence1\tsentence2\nzh\tneutral\tx\t一\t二\nen\tentailment\tx\tOne.\tTwo.\n"
MNLI = "index\tsentence1\tsentence2\tlabel1\tgold_label\n0\tOne.\tTwo.\tneutral\tentailment\n"


@pytest.mark.parametrize(
    ("name", "file", "data", "expected"),
    [
        ("mrpc", "train.txt", "\ufeff" + MRPC, [('He said "no".', '"No", he said.', "1", 2)]),
        ("stsb", "sts-train.csv", STSB, [('A "plane.', "An air plane.", "5.000", 1), ("One.", "Two.", "0", 2)]),
        ("stsb", "train.tsv", "index\tsentence1\tsentence2\tscore\n0\tOne.\tTwo.\t2.5\n", [("One.", "Two.", "2.5", 2)]),
        ("mnli", "train.tsv", MNLI, [("One.", "Two.", "entailment", 2)]),
        ("xnli", "xnli.dev.tsv", XNLI, [("One.", "Two.", "entailment", 3)]),
        ("xnli", "multinli.train.en.tsv", "premise\thypo\tlabel\nOne.\tTwo.\tcontradictory\n", [("One.", "Two.", "contradiction", 2)]),
        ("xnli", "dev.tsv", "text_a\ttext_b\tlabel\nOne.\tTwo.\tneutral\n", [("One.", "Two.", "neutral", 2)]),
        ("tnews", "train.json", '{"label": "102", "sentence": "x", "keywords": ""}\n', [("x", None, "102", 1)]),
        ("news", "train.tsv", '655\t101\tnews_culture\tA "title\ta,b\n', [('A "title', None, "news_culture", 1)]),
        ("news", "train.tsv", "655\t101\tstock\tone_!_two\t\n", [("one_!_two", None, "stock", 1)]),
        ("news", "raw.txt", "655_!_101_!_news_culture_!_A title_!_\n", [("A title", None, "news_culture", 1)]),
        ("info", "train.csv", 'id,title,label\n7,"a, b",1\n', [("a, b", None, "1", 2)]),
        ("info", "train.csv", '7,"a, b",1\n', [("a, b", None, "1", 1)]),
        ("chnsenticorp", "train.tsv", "label\ttext_a\n1\t好\n", [("好", None, "1", 2)]),
        ("chnsenticorp", "train.tsv", "qid\tlabel\ttext_a\n0\t1\t好\n", [("好", None, "1", 2)]),
    ],
)
def test_known_task_finds_its_columns(name, file, data, expected, tmp_path):
    task = make_data_set(name, None)
    assert read(write(tmp_path / file, data), task) == expected
    assert read(write(tmp_path / f"{file}.gz", gzip.compress(data.encode())), task) == expected


@pytest.mark.parametrize(
    ("name", "file", "data", "expected"),
    [
        ("mrpc", "test.tsv", "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t7\t8\tOne.\tTwo.\n", ("One.", "Two.", None, 2)),
        ("mnli", "test.tsv", MNLI.replace("\tgold_label", "").replace("\tentailment", ""), ("One.", "Two.", None, 2)),
        ("tnews", "test.json", '{"id": 0, "sentence": "x", "keywords": ""}\n', ("x", None, None, 1)),
        ("tnews", "test.json", '{"label": null, "sentence": "x"}\n', ("x", None, None, 1)),
        ("info", "test.csv", "7,x\n", ("x", None, None, 1)),
        ("xnli", "test.tsv", XNLI.replace("entailment", "-"), ("One.", "Two.", "-", 3)),
        ("sst2", "test.tsv", "sentence\tlabel\nx\t\n", ("x", None, None, 2)),
    ],
)
def test_file_without_labels_is_for_prediction_only(name, file, data, expected, tmp_path):
    path = write(tmp_path / file, data)
    assert read(path, make_data_set(name, None), with_labels=False) == [expected]
    with pytest.raises(ValueError, match=f"^{path}:"):
        read(path, make_data_set(name, None))


def test_rows_of_other_languages_are_left_out(tmp_path):
    path = write(tmp_path / "xnli.dev.tsv", XNLI)
    assert read(path, make_data_set("xnli", None, language="zh")) == [("一", "二", "neutral", 2)]
    with pytest.raises(ValueError, match="xnli.dev.tsv: no row of language=fr; found 'en', 'zh'"):
        read(path, make_data_set("xnli", None, language="fr"))


def test_rows_without_consensus_are_skipped_and_counted(tmp_path, capsys):
    row = MNLI.split("\n")[1]
    path = write(tmp_path / "dev.tsv", MNLI + f"{row[:-10]}-\n" * 2 + f"{row}\n")
    assert [line for *_, line in read(path, make_data_set("mnli", None))] == [2, 5]
    assert capsys.readouterr().out == f"{path}: skipped 2 rows labelled '-'\n"
    with pytest.raises(ValueError, match="dev.tsv: all rows are labelled '-'"):
        read(write(path, MNLI.replace("entailment", "-")), make_data_set("mnli", None))


def test_custom_columns_name_keys_of_json_lines(tmp_path):
    path = write(tmp_path / "a.txt", '{"q": "x", "r": ["y", 1], "n": 3}\n{"n": 4.50, "other": 1, "r": "", "q": "é"}\n')
    expected = [("x", '["y", 1]', "3", 1), ("é", "", "4.5", 2)]
    assert read(path, make_data_set("custom", "text_a=q,text_b=r,label=n")) == expected


def test_files_are_named_by_language():
    train, dev, test = usual_files("xnli", "zh")
    assert train[0] == "multinli.train.zh.tsv"
    assert train[-2:] == ("XNLI-MT-1.0/multinli/multinli.train.zh.tsv", "train.tsv")
    assert (dev[0], test[0]) == ("xnli.dev.tsv", "xnli.test.tsv")
    assert all(len(task.files) == 3 and all(isinstance(names, tuple) for names in task.files) for task in DATA_SETS.values())


XNLI_HEADER = (
    "language gold_label sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse sentence1 sentence2 promptID pairID "
    "genre label1 label2 label3 label4 label5 sentence1_tokenized sentence2_tokenized match"
).replace(" ", "\t")


def write_xnli(folder, rows, training):
    """The unzipped XNLI-1.0 and XNLI-MT-1.0 of these rows: (language, text_a, text_b, label), and the same of each training file."""
    for part in ("XNLI-1.0", "XNLI-MT-1.0/multinli"):
        (folder / part).mkdir(parents=True)
    lines = [
        [language, label, "", "", "", "", a, b, "1", str(number), "fiction", *[label] * 5, a, b, "True"]
        for number, (language, a, b, label) in enumerate(rows)
    ]
    for split in ("dev", "test"):
        write(folder / f"XNLI-1.0/xnli.{split}.tsv", "\n".join([XNLI_HEADER, *map("\t".join, lines), ""]))
    for language, pairs in training.items():
        table = "".join("\t".join(row) + "\n" for row in [("premise", "hypo", "label"), *pairs])
        write(folder / f"XNLI-MT-1.0/multinli/multinli.train.{language}.tsv", table)
    return folder


def find_xnli(folder, split, language):
    options = ClassifierOptions(do_train=True, task_name="xnli", data_dir=str(folder), language=language)
    path = find_file(options, split, usual_files("xnli", language))
    return read(path, make_data_set("xnli", None, language))


@pytest.mark.parametrize("inside", ["", "XNLI-1.0"])
def test_the_unzipped_folders_of_xnli_are_read_by_language(inside, tmp_path):
    rows = [("ar", "x", "y", "neutral"), ("zh", "一", "二", "neutral"), ("en", 'He said "no".', "Two.", "contradiction")]
    training = {"en": [("One .", "Two .", "contradictory")], "zh": [("一 个", "二 个", "contradictory"), ("三", "四", "entailment")]}
    folder = write_xnli(tmp_path, rows, training)
    if not inside:  # XNLI-1.0's files and multinli/ themselves, as the recompute example of PaddleFleetX has them
        for path in (*folder.glob("XNLI-1.0/*"), folder / "XNLI-MT-1.0/multinli"):
            path.rename(folder / path.name)
    for language in (None, "en"):
        assert find_xnli(folder, "train", language) == [("One .", "Two .", "contradiction", 2)]
        for split in ("eval", "predict"):
            assert find_xnli(folder, split, language) == [('He said "no".', "Two.", "contradiction", 4)]
    assert [row[2] for row in find_xnli(folder, "train", "zh")] == ["contradiction", "entailment"]
    assert find_xnli(folder, "eval", "zh") == [("一", "二", "neutral", 3)]


def test_the_chinese_pairs_of_xnli_are_the_same_in_the_published_layout(tmp_path, shared_file):
    path = shared_file("xnli_zh/dev.tsv")
    pairs = [(a, b, label) for a, b, label, _ in read(path, make_data_set("xnli", None))]
    between = [row for a, b, label in pairs for row in (("en", "Not", "this", "neutral"), ("zh", a, b, label))]
    spelt = [(a, b, "contradictory" if label == "contradiction" else label) for a, b, label in pairs]
    folder = write_xnli(tmp_path, between, {"zh": spelt})
    for split in ("train", "eval", "predict"):
        assert [row[:3] for row in find_xnli(folder, split, "zh")] == pairs
    assert len(find_xnli(folder, "eval", "en")) == len(pairs) == 2490


def test_custom_columns_by_name_and_by_index_agree(tmp_path):
    table = "spam\tfirst\tsecond\nham\tthird\tfourth\n"
    by_index = read(write(tmp_path / "a.tsv", table), make_data_set("custom", "text_a=1,text_b=2,label=0"))
    by_name = read(write(tmp_path / "b.tsv", "y\tq\tr\n" + table), make_data_set("custom", "label=y, text_a=q, text_b=r"))
    mixed = read(write(tmp_path / "b.tsv", "y\tq\tr\n" + table), make_data_set("custom", "label=0,text_a=q,text_b=2"))
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
        make_data_set("custom", columns)


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        (SST2, "sentence\tlabel\nfine\t1\nbad\tfilm\t0\n", r"a.tsv:3: 3 columns, the header has 2"),
        (SST2, "id\tsentence\tlabel\tby\n1\tfine\t1\tx\nbad\t0\tx\n", r"a.tsv:3: 3 columns, the header has 4"),
        (COLA, "x\t1\t\tText.\ny\t0\t\tMore\ttext.\n", r"a.tsv:2: 5 columns, the first row has 4"),
        (COLA, "x\t1\t\tText.\ny\t0\t\n", r"a.tsv:2: 3 columns, at least 4"),
        (SST2, "sentence\tlabel\nfine\t1\nbroken\n", r"a.tsv:3: 1 columns, at least 2"),
        (SST2, "sentence\tlabel\n", r"a.tsv: a header and no rows"),
        (COLA, "label\ttext\n1\tx\n", r"a.tsv:1: no column 'sentence'"),
        (SST2, "sentence\ttruth\nfine\t1\n", r"a.tsv: no label column"),
        (make_data_set("custom", "text_a=t,text_b=u,label=l"), "t\tl\nx\t1\n", r"a.tsv:1: no column 'u'"),
        (make_data_set("custom", "text_a=0,label=7"), "x\t1\n", r"a.tsv:1: 2 columns, at least 8"),
        (make_data_set("custom", "text_a=0,label=l"), "x\t1\n", r"a.tsv: no label column"),
        (make_data_set("xnli", None), "text_a\tlabel\nx\ty\n", r"a.tsv:1: no column 'text_b': expected .* or 'premise', "),
        (SST2, "sentence\tlabel\tlabel\nx\t1\t0\n", r"a.tsv:1: two columns 'label' in the header"),
        (SST2, "sentence\tlabel\nx\t \n", r"a.tsv:2: empty label"),
        (SST2, '{"sentence": "x", "label": 1}\n{"label": 1}\n', r"a.tsv:2: a text is missing or null"),
        (SST2, '{"sentence": "x", "label": 1}\n{"sentence": "x", "label": null}\n', r"a.tsv:2: empty label"),
        (COLA, '{"text": "x", "label": 1}\n', r"a.tsv:1: no column 'sentence'"),
    ],
)
def test_defect_names_file_and_line(task, data, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read(write(tmp_path / "a.tsv", data), task)


def make_examples(path, labels):
    return read_examples(write(path, "".join(f"the cat\t{label}\n" for label in labels)), make_data_set("custom", "text_a=0,label=1"), True)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [(["10", "9", "1"], ("1", "9", "10")), (["b", "a", "B"], ("B", "a", "b")), (["10", "9", "x"], ("10", "9", "x")), (["1 ", "1"], ("1",))],
)
def test_label_order_is_by_number_else_alphabetical(labels, expected, tmp_path):
    assert collect_labels(make_examples(tmp_path / "a.tsv", labels)) == expected


def test_label_of_thousands_of_digits_is_a_label(tmp_path):
    assert collect_labels(make_examples(tmp_path / "a.tsv", ["9" * 5000, "10"])) == ("10", "9" * 5000)


def test_labels_of_one_value_have_one_order(tmp_path):
    spellings = ["0" * zeros + "1" for zeros in range(12)]
    expected = tuple(sorted(spellings))  # a set of strings has another order in every process
    assert collect_labels(make_examples(tmp_path / "a.tsv", spellings)) == expected


def encode(*arguments):
    return list(encode_examples(*arguments))


def test_rows_hold_tokens_segments_and_label(vocab_file, tmp_path):
    tokenizer = Tokenizer(vocab_file, True)
    path = write(tmp_path / "a.tsv", "The cat\tsat on\tno\nThe dog ran fast\tslow\tyes\n")
    examples = read_examples(path, make_data_set("custom", "text_a=0,text_b=1,label=2"), True)
    rows = encode(path, examples, tokenizer, ("no", "yes"), 7)
    words = [[tokenizer.tokens[number] for number in row["input_ids"]] for row in rows]
    assert words == [["[CLS]", "the", "cat", "[SEP]", "sat", "on", "[SEP]"], ["[CLS]", "the", "dog", "ran", "[SEP]", "slow", "[SEP]"]]
    assert [row["token_type_ids"] for row in rows] == [[0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1]]
    assert [row["label_ids"] for row in rows] == [0, 1]


def test_row_without_label_has_minus_one(vocab_file, tmp_path):
    path = write(tmp_path / "a.tsv", "sentence\nthe cat\n")
    rows = encode(path, read_examples(path, SST2, False), Tokenizer(vocab_file, True), ("0", "1"), 8)
    assert [row["label_ids"] for row in rows] == [-1]


def test_regression_rows_hold_numbers(vocab_file, tmp_path):
    task, tokenizer = make_data_set("stsb", None), Tokenizer(vocab_file, True)
    path = write(tmp_path / "sts-dev.csv", STSB)
    examples = read_examples(path, task, True)
    assert [row["label_ids"] for row in encode(path, examples, tokenizer, None, 8)] == [5.0, 0.0]
    examples = read_examples(write(path, "sentence1\tsentence2\nthe\tcat\n"), task, False)
    assert math.isnan(encode(path, examples, tokenizer, None, 8)[0]["label_ids"])


@pytest.mark.parametrize("score", ["nan", "NaN", "inf", "-Infinity", "1e999", "4,5", "good", "5.0.0", "0x1", "9" * 5000])
def test_score_that_is_no_finite_number_names_file_and_line(score, vocab_file, tmp_path):
    path = write(tmp_path / "a.tsv", f"the cat\t1\nthe dog\t{score}\n")
    examples = read_examples(path, make_data_set("custom", "text_a=0,label=1"), True)
    with pytest.raises(ValueError, match=rf"a.tsv:2: the score '{score[:80]}' is no finite number"):
        encode(path, examples, Tokenizer(vocab_file, True), None, 8)


def test_unknown_label_names_file_and_line(vocab_file, tmp_path):
    path = write(tmp_path / "a.tsv", "sentence\tlabel\nthe cat\t1\nthe dog\t2\n")
    with pytest.raises(ValueError, match=r"a.tsv:3: unknown label '2'; known are 0, 1"):
        encode(path, read_examples(path, SST2, True), Tokenizer(vocab_file, True), ("0", "1"), 8)


@pytest.mark.parametrize(
    ("name", "file", "rows", "label", "count"),
    [
        ("cola", "cola/train.tsv", 8551, "1", 6023),
        ("cola", "cola/dev.tsv", 1043, "1", 721),
        ("sst2", "sst2/train.tsv.gz", 67349, "1", 37569),
        ("sst2", "sst2/dev.tsv", 872, "1", 444),
        ("mrpc", "mrpc/msr_paraphrase_train.txt", 4076, "1", 2753),
        ("mrpc", "mrpc/msr_paraphrase_test.txt", 1725, "1", 1147),
        ("stsb", "stsb/sts-train.csv", 5749, "4", 185),
        ("stsb", "stsb/sts-dev.csv", 1500, "5.000", 34),
        ("stsb", "stsb/sts-test.csv", 1379, "5", 60),
        ("xnli", "xnli_zh/dev.tsv", 2490, "neutral", 830),
        ("xnli", "xnli_zh/test.tsv", 5010, "entailment", 1670),
        ("tnews", "tnews/train.json.gz", 53360, "109", 5955),
        ("tnews", "tnews/dev.json", 10000, "109", 1089),
        ("chnsenticorp", "chnsenticorp/train.tsv", 9600, "1", 4799),
        ("chnsenticorp", "chnsenticorp/dev.tsv", 1200, "1", 593),
        ("chnsenticorp", "chnsenticorp/test.tsv", 1200, "1", 608),
        ("custom", "waimai_10k/waimai_10k.csv", 11987, "1", 4000),
    ],
)
def test_published_file_is_read_whole(name, file, rows, label, count, shared_file):
    task = make_data_set(name, "text_a=review,label=label" if name == "custom" else None)
    examples = read_examples(shared_file(file), task, True)
    assert len(examples) == rows
    assert sum(example.label == label for example in examples) == count
    assert not task.labels or set(task.labels) == set(collect_labels(examples))
    assert all(example.text_a.strip() and (example.text_b is None) == (task.named[0].text_b is None) for example in examples)


def read_labels(path, labels, with_labels=True):
    path = write(path, "".join(f"the cat\tthe dog\t{label}\n" for label in labels))
    return [label for *_, label, _ in read(path, make_data_set("custom", "text_a=0,text_b=1,label=2"), with_labels)]


def test_a_row_of_inference_without_agreement_is_skipped_in_any_table(tmp_path, capsys):
    path = tmp_path / "a.tsv"
    assert read_labels(path, ["Entailment", "-", "neutral", "-"]) == ["Entailment", "neutral"]
    assert capsys.readouterr().out == f"{path}: skipped 2 rows labelled '-'\n"
    assert read_labels(path, ["entailment", "-"], with_labels=False) == ["entailment", "-"]
    for labels in (["+", "-"], ["-", "-"], ["entailment", "other", "-"]):
        assert read_labels(path, labels) == labels


def test_rows_of_ocnli_without_agreement_are_not_scored(shared_file):
    task = make_data_set("custom", "text_a=sentence1,text_b=sentence2,label=label")
    examples = read_examples(shared_file("more/ocnli/dev.json"), task, True)
    assert (len(examples), collect_labels(examples)) == (2950, ("contradiction", "entailment", "neutral"))


def test_invisible_characters_around_a_label_make_no_class(tmp_path):
    assert read_labels(tmp_path / "a.tsv", ["yes", "yes\u00a0", "\ufeffyes", "\u200b yes\u3000"]) == ["yes"] * 4


def test_labels_are_matched_without_regard_to_case_where_one_alone_fits(vocab_file, tmp_path, capsys):
    tokenizer, path = Tokenizer(vocab_file, True), tmp_path / "a.tsv"
    examples = make_examples(path, ["contradiction", "NEUTRAL"])
    rows = encode(path, examples, tokenizer, ("CONTRADICTION", "ENTAILMENT", "NEUTRAL"), 8)
    assert [row["label_ids"] for row in rows] == [0, 2]
    assert "labels are matched without regard to case: contradiction is CONTRADICTION" in capsys.readouterr().out
    with pytest.raises(ValueError, match="a.tsv:1: unknown label 'contradiction'"):
        encode(path, examples, tokenizer, ("CONTRADICTION", "Contradiction", "NEUTRAL"), 8)


def test_another_spelling_of_a_label_may_have_capital_letters(tmp_path):
    path = tmp_path / "multinli.train.en.tsv"
    path.write_text("premise\thypo\tlabel\na\tb\tContradictory\nc\td\tcontradictory\n", encoding="utf-8")
    assert [example.label for example in read_examples(path, make_data_set("xnli", None), True)] == ["contradiction"] * 2
