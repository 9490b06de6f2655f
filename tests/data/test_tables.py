import gzip
import random

import pytest

from src.text.tables import iterate_rows, read_rows


def write(path, data):
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_tsv_rows_carry_their_lines(tmp_path):
    path = write(tmp_path / "a.tsv", "one\ttwo\n\"quotes\" stay\t 'so'\n")
    assert read_rows(path) == [(1, ["one", "two"]), (2, ['"quotes" stay', " 'so'"])]


def test_tabs_without_quoting_and_other_separators_on_demand(tmp_path):
    assert read_rows(write(tmp_path / "a.csv", 'a, "b\tc\n'), ("\t",)) == [(1, ['a, "b', "c"])]
    assert read_rows(write(tmp_path / "a.txt", "a_!_b\tc\n"), ("\t", "_!_")) == [(1, ["a_!_b", "c"])]
    assert read_rows(write(tmp_path / "a.txt", "a_!_b\nc_!_d\te\n"), ("\t", "_!_")) == [(1, ["a", "b"]), (2, ["c", "d\te"])]
    assert read_rows(write(tmp_path / "a.txt", "a\nc_!_d\n"), ("\t", "_!_")) == [(1, ["a"]), (2, ["c_!_d"])]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.JSON.gz", "a.txt", "a.tsv", "a.csv"])
def test_json_lines_have_their_keys_as_header_at_line_zero(name, tmp_path):
    text = '{"a": "é, \\u00e9", "b": 1.5}\r\n\n{"c": 0, "b": true, "a": [1, {"é": null}]}\n{"a": null}\n'.replace("{", " {", 1)
    data = gzip.compress(text.encode()) if name.endswith("gz") else text
    rows = [(0, ["a", "b"]), (1, ["é, é", "1.5"]), (3, ['[1, {"é": null}]', "true"])]
    with pytest.raises(ValueError, match=f"{name}:4: blank line"):
        read_rows(write(tmp_path / name, data))
    text = text.replace("null}\n", 'null, "b": NaN}\n')
    data = gzip.compress(text.encode()) if name.endswith("gz") else text
    assert read_rows(write(tmp_path / name, data)) == [*rows, (4, [None, "NaN"])]


@pytest.mark.parametrize("text", ["[]", "[ \n]\n"])
def test_an_empty_array_is_refused(text, tmp_path):
    with pytest.raises(ValueError, match="a.json: the array is empty"):
        next(iterate_rows(write(tmp_path / "a.json", text)))


def test_text_that_looks_like_json_stays_text(tmp_path):
    for row in ['{"a": 1}\tx', "{}\t{}", "[1]", '{"a": ', '{"a":' * 3000, '"a"', "{braces}"]:
        assert read_rows(write(tmp_path / "a.tsv", row + "\n")) == [(1, row.split("\t"))]
    escaped = r'{"a": "C:\\u0000 \ud83d\ude00"}'
    assert read_rows(write(tmp_path / "a.json", escaped))[1] == (1, ["C:\\u0000 😀"])


def test_last_line_needs_no_end(tmp_path):
    assert read_rows(write(tmp_path / "a.tsv", "a\tb\nc\td")) == read_rows(write(tmp_path / "b.tsv", "a\tb\nc\td\n\n"))


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_line_ends_and_byte_order_mark_do_not_matter(name, tmp_path):
    separator = "," if name.endswith("csv") else "\t"
    text = f"é{separator}b\nc{separator}d\n"
    plain = read_rows(write(tmp_path / name, text))
    assert plain == [(1, ["é", "b"]), (2, ["c", "d"])]
    assert read_rows(write(tmp_path / name, text.replace("\n", "\r\n"))) == plain
    assert read_rows(write(tmp_path / name, b"\xef\xbb\xbf" + text.encode())) == plain
    assert read_rows(write(tmp_path / f"{name}.gz", gzip.compress(text.encode()))) == plain


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.json", "a.tsv.gz"])
def test_a_carriage_return_alone_ends_a_line_where_these_are_more_than_line_feeds(name, tmp_path):
    separator = "," if "csv" in name else "\t"
    text = '{"s": "a"}\n{"s": "b"}\n{"s": "c"}\n' if "json" in name else f"s{separator}l\na{separator}1\nb{separator}0\nc{separator}1\n"
    pack = gzip.compress if name.endswith(".gz") else bytes
    plain = read_rows(write(tmp_path / name, pack(text.encode())))
    assert len(plain) == 4
    for other in (text.replace("\n", "\r"), text.replace("\n", "\r").rstrip(), text.replace("\n", "\r").rstrip() + "\n"):
        assert read_rows(write(tmp_path / name, pack(other.encode()))) == plain
    assert read_rows(write(tmp_path / name, pack(text.replace("\n", "\r\n").encode()))) == plain


def test_a_carriage_return_inside_a_line_of_a_tsv_is_text_and_told(tmp_path, capsys):
    path = write(tmp_path / "a.tsv", "a\t1\nb\rc\t0\nd\t1\r\n")
    assert read_rows(path) == [(1, ["a", "1"]), (2, ["b\rc", "0"]), (3, ["d", "1"])]
    assert capsys.readouterr().out == f"{path}: carriage returns inside lines=1 (the first in line 2) are text, as LF ends the lines here\n"


def test_unicode_line_separators_do_not_end_a_line(tmp_path):
    assert len(read_rows(write(tmp_path / "a.tsv", "a\u2028b\x85c\x0bd\te\n"))) == 1


def test_csv_quotes_hold_commas_quotes_and_lines(tmp_path):
    path = write(tmp_path / "a.csv", 'text,label\n"a, ""b""\nc",1\nd,0\n')
    assert read_rows(path) == [(1, ["text", "label"]), (2, ['a, "b"\nc', "1"]), (4, ["d", "0"])]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"  \n\t\n", b"\xef\xbb\xbf", b"\r\n"])
def test_empty_file_is_refused(data, tmp_path):
    for name in ("a.tsv", "a.csv"):
        with pytest.raises(ValueError, match=f"{name}: the file is empty"):
            read_rows(write(tmp_path / name, data))


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.tsv", b"a\tb\n\nc\td\n", "a.tsv:2: blank line"),
        ("a.tsv", b"a\tb\n\t\nc\td\n", "a.tsv:2: blank line"),
        ("a.tsv", b"a\tb\nc\td\0\n", "a.tsv:2: NUL"),
        ("a.csv", b"a,b\nc,d\0\n", "a.csv:2:.*NUL"),
        ("a.tsv", b"a\tb\nc\t\xff\n", "a.tsv:2: not UTF-8"),
        ("a.tsv", b"\xef\xbb\xbfa\n\xff\n", "a.tsv:2: not UTF-8"),
        ("a.tsv", b"\xff\xfea\0\n\0\0\xd8\n\0", "a.tsv:2: not utf-16, which its byte order mark"),
        ("a.csv", b'a,b\nc,"d\n', "a.csv:2: not CSV"),
        ("a.csv", b'a,b\nc,d\n"e"f,g\n', "a.csv:3: not CSV"),
        ("a.json", b'{"a": 1}\n{"a": 1\n', "a.json:2: no JSON object in one line: Expecting"),
        ("a.json", b'[1, {"a": 1}]\n', "a.json:1: no JSON object in one line: found '1'"),
        ("a.json", b'[{"a": 1},\n{"a": }]\n', "a.json:2: damaged JSON array: Expecting value"),
        ("a.json", b'[{"a": 1}\n{"a": 2}]\n', "a.json:2: damaged JSON array: ',' or ']' expected"),
        ("a.json", b'[{"a": 1},\n{"a": 1, "a": 2}]\n', "a.json:2: damaged JSON array: key 'a' twice"),
        ("a.json", b'[{"a": 1}]\n1\n', "a.json:1: damaged JSON array: text after the end"),
        ("a.json", b'[{"a": 1},\n', "a.json:2: damaged JSON array: Expecting value"),
        ("a.json", b'[{"a": ' + b"[" * 100_000, "a.json:1: damaged JSON array: nested too deeply"),
        ("a.json", b'{"a": 1},,\n', "a.json:1: no JSON object in one line: Extra data at character 9"),
        ("a.txt", b"__label__x a\nb\n", "a.txt:2: expected __label__ with a label and a text"),
        ("a.txt", b"__label__x __label__y a\n", "a.txt:1: several labels"),
        ("a.json", b'{\n"a": 1\n}\n', "a.json:1: no JSON object in one line"),
        ("a.json", b'{"a": 1} {"a": 2}\n', "a.json:1: no JSON object in one line: Extra data at character 10"),
        ("a.JSON", b"a\tb\nc\td\n", "a.JSON:1: no JSON object in one line"),
        ("a.jsonl", b'{"a": 1}\n\n{}\n', "a.jsonl:3: no JSON object in one line"),
        ("a.json", b'{"a": 1}\n{"b": 1, "a": 2, "b": 3}\n', "a.json:2: .*key 'b' twice"),
        ("a.json", b'{"a": ""}\n', "a.json:1: blank line"),
        ("a.json", b'{"a": "x"}\n{"a": "\\ud83d"}\n', "a.json:2: .*surrogates not allowed"),
        ("a.json", b'{"a": "\\u0000"}\n', "a.json:1: .*NUL"),
        ("a.json", b'{"a": "\0"}\n', "a.json:1: NUL"),
        ("a.json", b'{"a": ' + b"[" * 100_000, "a.json:1: no JSON object in one line: nested too deeply"),
        ("a.json", b'{"a": ' + b"1" * 5000 + b"}", "a.json:1: no JSON object in one line: Exceeds the limit"),
    ],
)
def test_defect_names_file_and_line(name, data, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_rows(write(tmp_path / name, data))


def test_damaged_gzip_is_refused(tmp_path):
    generator = random.Random(1)
    data = gzip.compress("".join(f"{generator.random()}\t1\n" for _ in range(50)).encode())
    assert len(read_rows(write(tmp_path / "a.tsv.gz", data))) == 50
    for damaged in [data[:-9], data[: len(data) // 2], data[:3], data[:30] + b"\xff\xff" + data[32:], data[:-5] + b"x" + data[-4:]]:
        with pytest.raises(ValueError, match="a.tsv.gz: damaged gzip"):
            read_rows(write(tmp_path / "a.tsv.gz", damaged))


def test_absent_file_is_told_as_absent(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.tsv"):
        read_rows(tmp_path / "none.tsv")


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": "x", "b": 1}, {"a": "y"}]',
        '\n[\n{"a": "x", "b": 1},\n\n {"a": "y"},\n]\n',
        '[ {"a": "x",\n"b": 1\n}\n, {\n"a": "y"}\n]',
        '{"a": "x", "b": 1},\n{"a": "y"},\n',
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.txt"])
def test_an_array_of_objects_is_like_lines_of_them(text, name, tmp_path):
    (zero, keys), *rows = read_rows(write(tmp_path / name, text))
    assert (zero, keys, [fields for _, fields in rows]) == (0, ["a", "b"], [["x", "1"], ["y", None]])
    assert [line for line, _ in rows] == [text.count("\n", 0, text.index('{"a": "x"')) + 1, text.count("\n", 0, text.rindex("{")) + 1]


def test_an_array_is_no_row_of_a_table_that_begins_with_a_bracket(tmp_path):
    for row in ("[{a}]", "[1, 2]", '["a"]', "[", "[{1: 2}]"):
        assert read_rows(write(tmp_path / "a.tsv", f"{row}\tx\n")) == [(1, [row, "x"])]


def test_csv_may_have_tabs_if_commas_do_not_fit(tmp_path):
    path = tmp_path / "a.csv"
    assert read_rows(write(path, 'a\tb\n"x, ""y""\nz"\t1\n'.replace("\nz", " z"))) == [(1, ["a", "b"]), (2, ['x, "y" z', "1"])]
    assert read_rows(write(path, "x, y\t1\nz\t0\n")) == [(1, ["x, y", "1"]), (2, ["z", "0"])]
    assert read_rows(write(path, "x,y\t1\nz,w\t0\n")) == [(1, ["x", "y\t1"]), (2, ["z", "w\t0"])]  # both fit: it is CSV by its name


def test_commas_at_the_end_of_rows_make_no_column(tmp_path):
    path = tmp_path / "a.csv"
    assert read_rows(write(path, "a,b\nx,1,\ny,0,,\n")) == [(1, ["a", "b"]), (2, ["x", "1"]), (3, ["y", "0"])]
    assert read_rows(write(path, "a,b,\nx,1\ny,0,\n")) == [(1, ["a", "b", ""]), (2, ["x", "1", ""]), (3, ["y", "0", ""])]
    with pytest.raises(ValueError, match=r"a.csv:2: 4 columns, the first row has 2"):
        read_rows(write(path, "a,b\nx,1,,2\n"))


def test_lines_of_fasttext_are_labels_and_texts(tmp_path):
    text = "__label__good a fine film \n__label__好\t一 部\n"
    rows = [(0, ["label", "text"]), (1, ["good", "a fine film "]), (2, ["好", "一 部"])]
    for name in ("a.txt", "a.csv", "a.train"):
        assert read_rows(write(tmp_path / name, text)) == rows
    assert read_rows(write(tmp_path / "a.txt", text), ("\t",))[0] == (1, ["__label__good a fine film "])


def test_csv_rows_of_another_width_are_refused(tmp_path):
    path = write(tmp_path / "a.csv", 'id,title,label\n1,"a, b",0\n2,a, b,0\n')
    with pytest.raises(ValueError, match=r"a.csv:3: 4 columns, the first row has 3"):
        read_rows(path)
