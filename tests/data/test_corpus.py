import bz2
import gzip
import json
import sys

import pytest

from src.tasks.pretrain.corpus.text import find_files, read_corpus, split_sentences


def read(path):
    return list(read_corpus([path]))


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


DOC = """<doc id="1" url="https://x/1" title="Cats &amp; dogs">
Cats &amp; dogs

One line.

Two &lt;lines&gt;.
</doc>
<doc id="2" url="https://x/2" title="Empty">
</doc>
<doc id="3" url="https://x/3" title="More">
More

Three.
</doc>
"""


def test_blank_lines_divide_documents_of_plain_text(tmp_path):
    assert read(write(tmp_path / "a", "\n\none\n two \n\n\nthree\r\n")) == ["one", "two", "", "three", ""]


def test_a_file_ends_a_document(tmp_path):
    paths = [write(tmp_path / "a", "one"), write(tmp_path / "b", "two\n")]
    assert list(read_corpus(paths)) == ["one", "", "two", ""]


def test_wikiextractor_documents_lose_their_title_line(tmp_path):
    assert read(write(tmp_path / "a", DOC)) == ["One line.", "Two <lines>.", "", "", "Three.", ""]


def test_wikiextractor_json_lines_give_the_same(tmp_path):
    rows = [("Cats & dogs", "Cats & dogs\n\nOne line.\n\nTwo &lt;lines&gt;.\n"), ("Empty", ""), ("More", "More\nThree.")]
    lines = "".join(json.dumps({"id": "1", "url": "", "title": title, "text": text}) + "\n" for title, text in rows)
    assert read(write(tmp_path / "a", lines)) == read(write(tmp_path / "b", DOC))


def test_a_format_that_is_given_for_another_file_leaves_its_end(tmp_path):
    paths = [write(tmp_path / "a", "one\n"), write(tmp_path / "b", "two\n" + DOC)]
    assert list(read_corpus(paths, "doc"))[:5] == ["one", "", "two", "", "One line."]


def test_a_text_without_a_title_keeps_its_first_line(tmp_path):
    assert read(write(tmp_path / "a", json.dumps({"text": "None\none"}))) == ["None", "one", ""]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_a_json_text_end_as_those_of_files(end, tmp_path):
    assert read(write(tmp_path / "a", json.dumps({"title": "T", "text": end.join(["T", "one", "", "two"])}))) == ["one", "two", ""]


def test_wikitext_is_divided_at_its_titles(tmp_path):
    text = " \n = One = \n \n First paragraph . \n \n = = Section = = \n \n Second . \n \n = Two = \n \n = = S = = \n Third . \n"
    assert read(write(tmp_path / "a", text)) == ["First paragraph .", "Second .", "", "Third .", ""]


def test_a_paragraph_like_a_heading_leaves_plain_text_plain(tmp_path, capsys):
    path = write(tmp_path / "a", "One.\n\n= x + y =\n\nTwo.\n")
    assert read(path) == ["One.", "", "= x + y =", "", "Two.", ""]
    assert f"{path}: input_format=plain, recognised by its beginning; --input_format gives another: " in capsys.readouterr().out


def test_a_part_of_wikitext_is_told_by_its_headings(tmp_path, capsys):
    text = " Rest . \n \n = = Section = = \n \n More . \n \n = Two = \n \n Third . \n"
    assert read(write(tmp_path / "a", text)) == ["Rest .", "More .", "", "Third .", ""]
    assert "input_format=wikitext" in capsys.readouterr().out


def test_a_given_format_counts_whatever_the_text_looks_like(tmp_path, capsys):
    text = "= One =\n\nFirst.\n"
    path = write(tmp_path / "a", text)
    assert list(read_corpus([path], "plain")) == ["= One =", "", "First.", ""]
    assert list(read_corpus([path], "wikitext")) == ["First.", ""]
    assert list(read_corpus([write(path, '{"text": "x"}\n')], "plain")) == ['{"text": "x"}', ""]
    with pytest.raises(ValueError, match="a:1: not JSON"):
        list(read_corpus([write(path, text)], "json"))
    assert capsys.readouterr().out == ""


def test_each_change_of_format_is_told_once(tmp_path, capsys):
    texts = {"a": "x", "b": "y", "c": "= T =\n\nz", "d": "= U =\n\nz"}
    list(read_corpus([write(tmp_path / name, text) for name, text in texts.items()]))
    told = [line.partition(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert told == [f"{tmp_path}/a: input_format=plain", f"{tmp_path}/c: input_format=wikitext"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
@pytest.mark.parametrize("end", [b"\r", b"\r\n"])
def test_line_ends_do_not_matter(tmp_path, pack, end):
    text = b"one\ntwo\n\nthree\n" * 10_000  # more than is looked at, with ends at the edges of what is read at once
    assert read(write(tmp_path / "a", pack(text.replace(b"\n", end)))) == read(write(tmp_path / "b", text))
    assert read(write(tmp_path / "a", pack(DOC.encode().replace(b"\n", end)))) == read(write(tmp_path / "b", DOC))


def test_a_carriage_return_inside_a_line_is_text_and_told(tmp_path, capsys):
    path = write(tmp_path / "a", "one\ntwo\rthree\r\r\nfour\n")
    assert read(path) == ["one", "two\rthree", "four", ""]
    assert f"{path}: carriage returns inside lines=1 (the first in line 2)" in capsys.readouterr().out


def compress_zstd(data):
    zstandard = pytest.importorskip("zstandard", reason="the optional library zstandard is not installed")
    half = len(data) // 2  # two frames
    return b"".join(zstandard.ZstdCompressor().compress(part) for part in (data[:half], data[half:]))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, compress_zstd])
def test_compressed_files_are_told_by_their_content(tmp_path, compress):
    assert read(write(tmp_path / "text.txt", compress(DOC.encode()))) == read(write(tmp_path / "b", DOC))


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, compress_zstd])
def test_a_truncated_compressed_file_is_refused_by_name(tmp_path, compress):
    data = compress("\n".join(map(str, range(100_000))).encode())
    with pytest.raises(ValueError, match=r"a:\d+: damaged (gzip|bz2|zstd) file"):
        read(write(tmp_path / "a", data[: len(data) // 2]))


def test_a_broken_json_line_is_named(tmp_path):
    with pytest.raises(ValueError, match="a:2: not JSON"):
        read(write(tmp_path / "a", '{"text": "one"}\n{"text": "tw\n'))


@pytest.mark.parametrize("line", ['{"text": 3}', '{"title": "x"}', "[1]", '{"text": "\\ud800"}'])
def test_a_json_line_without_text_is_named(tmp_path, line):
    with pytest.raises(ValueError, match="a:2: .*text"):
        read(write(tmp_path / "a", '{"text": "one"}\n' + line))


def test_bytes_that_are_not_utf8_are_named(tmp_path):
    with pytest.raises(ValueError, match="a:3: not UTF-8"):
        read(write(tmp_path / "a", b"one\ntwo\n\xff\xfe\n"))


@pytest.mark.parametrize("data", [b"", b" \n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_skipped_aloud(tmp_path, data, capsys):
    assert list(read_corpus([write(tmp_path / "a", data), write(tmp_path / "b", "x")])) == ["x", ""]
    assert f"{tmp_path / 'a'}: the file is empty; skipped" in capsys.readouterr().out


def test_a_byte_order_mark_is_no_text(tmp_path):
    assert read(write(tmp_path / "a", b"\xef\xbb\xbfone\n")) == ["one", ""]


def test_globs_are_sorted_and_no_file_is_read_twice(tmp_path):
    for name in ("b", "a", "c"):
        write(tmp_path / name, "x")
    (tmp_path / "folder").mkdir()
    assert find_files(f"{tmp_path}/*,{tmp_path}/a") == [f"{tmp_path}/{name}" for name in "abc"]
    with pytest.raises(FileNotFoundError, match="none-"):
        find_files(f"{tmp_path}/*, {tmp_path}/none-*")
    with pytest.raises(ValueError, match="input_file"):
        find_files(" , ")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("One sentence", ["One sentence"]),
        ("It ran. The dog sat! Why? 3 dogs.", ["It ran.", "The dog sat!", "Why?", "3 dogs."]),
        ("Mr. Smith met J. R. Tolkien in the U.S. Senate. He left.", ["Mr. Smith met J. R. Tolkien in the U.S. Senate.", "He left."]),
        ("It cost 3.50 dollars, e.g. Nothing.", ["It cost 3.50 dollars, e.g. Nothing."]),
        ('He said "Stop." "No." (She ran.) End.', ['He said "Stop."', '"No."', "(She ran.)", "End."]),
        ("He cried! and left.", ["He cried! and left."]),
        ("the cat sat . The dog ran .", ["the cat sat .", "The dog ran ."]),
        ("他说：“你好。”然后走了！真的？！是的……好；完", ["他说：“你好。”", "然后走了！", "真的？！", "是的……", "好；", "完"]),
        ("他在2020年。In English. 中文。", ["他在2020年。", "In English.", "中文。"]),
        ("...", ["..."]),
        ("", []),
    ],
)
def test_lines_are_split_into_sentences(line, expected):
    assert split_sentences(line) == expected


@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_of_documents_is_like_lines_of_them(indent, tmp_path):
    rows = [{"title": "T", "text": "T\n\none\ntwo"}, {"id": 2, "text": "three"}]
    path = write(tmp_path / "a", json.dumps(rows, indent=indent))
    assert read(path) == ["one", "two", "", "three", ""]
    write(path, json.dumps([*rows, {"text": 5}], indent=1))
    with pytest.raises(ValueError, match='a:10: expected a JSON object with a string "text"'):
        read(path)


@pytest.mark.parametrize("name", ["text_en/wikitext-2.valid.txt", "text_en/enwiki_AA_wiki_00.doc.txt", "text_zh/zhwiki_wiki_00.json"])
def test_splitting_sentences_again_changes_nothing_in_real_text(shared_file, name):
    sentences = [sentence for line in read(shared_file(name)) for sentence in split_sentences(line)]
    assert len(sentences) > 5000
    assert [part for sentence in sentences for part in split_sentences(sentence)] == sentences


def test_splitting_loses_only_white_space(shared_file):
    for line in read(shared_file("text_zh/zhwiki_wiki_00.json")):
        assert "".join("".join(split_sentences(line)).split()) == "".join(line.split())


@pytest.mark.parametrize("letter", ["a", "a ", ". ", "。", ".", '"', "A. "])
def test_a_huge_line_is_cut(letter):
    line = (letter * 200_000).strip()
    parts = split_sentences(line)
    assert max(map(len, parts)) <= 10_000
    assert "".join("".join(parts).split()) == "".join(line.split())


def test_real_files_have_the_documents_that_they_name(shared_file):
    counts = {"text_en/wikitext-2.valid.txt": 60, "text_en/wikitext-2.test.txt": 62, "text_en/enwiki_AA_wiki_00.doc.txt": 111}
    for name, count in {**counts, "text_zh/zhwiki_wiki_00.json": 64, "sample_text/sample_text.txt": 3}.items():
        assert read(shared_file(name)).count("") == count
    documents = shared_file("text_zh/zhwiki_wiki_00.doc.txt")
    assert read(documents) == read(shared_file("text_zh/zhwiki_wiki_00.json"))


def test_a_damaged_zstd_file_is_refused_by_name(tmp_path):
    data = bytearray(compress_zstd(b"some text\n" * 1000))
    for changed in (data + b"more", data[:-1], b"\x28\xb5\x2f\xfd\xff\xff"):
        with pytest.raises(ValueError, match=r"a:\d+: damaged zstd file"):
            read(write(tmp_path / "a", bytes(changed)))


@pytest.mark.parametrize("form", [0x50, 0x5F])
def test_a_zstd_file_may_begin_with_a_frame_to_be_skipped(tmp_path, form):
    skipped = bytes([form]) + b"\x2a\x4d\x18" + (20_000).to_bytes(4, "little") + bytes(20_000)
    data = skipped + compress_zstd(DOC.encode()) + skipped
    assert read(write(tmp_path / "a", data)) == read(write(tmp_path / "b", DOC))
    with pytest.raises(ValueError, match=r"a:\d+: damaged zstd file"):
        read(write(tmp_path / "a", data[:-1]))


def test_libraries_that_are_absent_are_named(tmp_path, monkeypatch):
    for name in ("zstandard", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=f"{tmp_path}/a: a .zst file, which needs the library zstandard: pip install zstandard"):
        read(write(tmp_path / "a", b"\x28\xb5\x2f\xfd"))
    with pytest.raises(ValueError, match=f"{tmp_path}/a: a Parquet file, which needs the library pyarrow: pip install 'pyarrow<25'"):
        read(write(tmp_path / "a", b"PAR1"))


def test_json_lines_may_have_their_text_under_another_key(tmp_path):
    path = write(tmp_path / "a", '{"content": "one\\ntwo", "text": "no"}\n\n{"content": "&lt;three"}\n')
    assert list(read_corpus([path], text_column="content")) == ["one", "two", "", "<three", ""]
    with pytest.raises(ValueError, match='a:1: expected a JSON object with a string "body", as --text_column says'):
        list(read_corpus([path], text_column="body"))


def write_parquet(path, **columns):
    pyarrow = pytest.importorskip("pyarrow", reason="the optional library pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table(columns), path, row_group_size=100)
    return path


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_a_null_is_an_empty_document_and_told(kind, tmp_path, capsys):
    texts = ["one", None, None, "two"]
    if kind == "json":
        path = write(tmp_path / "a", "".join(json.dumps({"text": text}) + "\n" for text in texts))
    else:
        path = write_parquet(tmp_path / "a", text=texts)
    assert read(path) == ["one", "", "", "", "two", ""]
    assert f"{path}: nulls in text=2 (the first in {'line' if kind == 'json' else 'row'} 2) are empty documents" in capsys.readouterr().out


def test_a_column_of_parquet_files_is_read(tmp_path):
    texts = ["one\n two \n\nthree", None, "", "&lt;four"] * 200
    path = write_parquet(tmp_path / "a", body=texts, number=list(range(800)))
    expected = ["one", "two", "three", "", "", "", "&lt;four", ""] * 200
    assert list(read_corpus([path], text_column="body")) == expected
    assert list(read_corpus([path], "parquet", text_column="body")) == expected


def test_bad_parquet_files_are_refused_by_name(tmp_path):
    path = write_parquet(tmp_path / "a", body=["one"] * 2000, number=list(range(2000)))
    with pytest.raises(ValueError, match="a: no column 'text'; --text_column names one of body, number"):
        read(path)
    with pytest.raises(ValueError, match="a: the column 'number' has int64; --text_column names one of string"):
        list(read_corpus([path], text_column="number"))
    data = path.read_bytes()
    for changed in (data[:-20], data[:4], data[:1000] + b"\xff" * 3000 + data[4000:]):
        with pytest.raises(ValueError, match="a: damaged Parquet file"):
            list(read_corpus([write(tmp_path / "a", changed)], text_column="body"))
    with pytest.raises(ValueError, match="b: damaged Parquet file"):
        list(read_corpus([write(tmp_path / "b", "one\n")], "parquet"))
