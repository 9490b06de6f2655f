import gzip
import random

import pytest

from src.data.tables import read_rows


def write(path, data):
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_tsv_rows_carry_their_lines(tmp_path):
    path = write(tmp_path / "a.tsv", "one\ttwo\n\"quotes\" stay\t 'so'\n")
    assert read_rows(path) == [(1, ["one", "two"]), (2, ['"quotes" stay', " 'so'"])]


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
        ("a.tsv", "a\tb\n".encode("utf-16"), "a.tsv:1: not UTF-8"),
        ("a.csv", b'a,b\nc,"d\n', "a.csv:2: not CSV"),
        ("a.csv", b'a,b\nc,d\n"e"f,g\n', "a.csv:3: not CSV"),
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
