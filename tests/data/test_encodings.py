"""Data in other encodings than UTF-8: by a byte order mark, or as --encoding says; every reader gives the same as for UTF-8."""

import gzip
import io
import json

import pytest

from src import encodings, predict
from src.tasks.ner.tagged_text import read_plain, read_tagged
from src.tasks.pretrain.corpus.text import read_corpus
from src.tasks.squad.file import read_squad
from src.text.lines import read_lines
from src.text.tables import read_rows, read_text

TEXT = "这是一句话，\té😀\r\n他们的\t李\r\n"
TAGGED = "在\tO\n中\tB-LOC\n国\tI-LOC\n的\tO\n"
SQUAD = {"data": [{"paragraphs": [{"context": "他在中国的一个地方。", "qas": [{"id": "q", "question": "在？"}]}]}]}
READERS = {
    "lines": (lambda path, encoding: list(read_lines(path, encoding)), TEXT),
    "text": (read_text, TEXT),
    "table": (lambda path, encoding: read_rows(path, None, encoding), TEXT),
    "tagged": (lambda path, encoding: read_tagged(path, (), encoding), TAGGED),
    "entities": (lambda path, encoding: read_tagged(path, (), encoding), '{"text": "中国的", "label": [[0, 2, "LOC"]]}\n'),
    "plain": (read_plain, TEXT),
    "corpus": (lambda path, encoding: list(read_corpus([path], None, encoding)), TEXT),
    "corpus_json": (lambda path, encoding: list(read_corpus([path], None, encoding)), '{"text": "这是一句话"}\n' * 3),
    "instances": (lambda path, encoding: list(predict.read_instances(path, True, encoding)), TEXT),
    "squad": (read_squad, json.dumps(SQUAD, ensure_ascii=False)),
}
NAMES = {"gb18030": "gbk", "utf-16": None, "utf-16-le": "UTF-16LE", "utf-16-be": "utf_16_be", "utf-32": None, "utf-8-sig": "gb18030"}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("encoding", NAMES)
def test_encoding_does_not_change_what_is_read(reader, encoding, tmp_path):
    read, text = READERS[reader]
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode())
    expected = read(path, None)
    for pack in (bytes, gzip.compress):
        path.write_bytes(pack(text.encode(encoding)))
        assert read(path, encodings.check_encoding(NAMES[encoding])) == expected


@pytest.mark.parametrize("reader", [name for name in READERS if name != "squad"])
def test_another_encoding_is_named_with_the_likely_one(reader, tmp_path):
    read, text = READERS[reader]
    path = tmp_path / "a.txt"
    path.write_bytes(b"x\tO\n" * (reader == "tagged") + text.encode("gb18030"))
    line = 2 if reader == "tagged" else 1
    with pytest.raises(ValueError, match=f"a.txt:{line}: not UTF-8: .*; give --encoding gb18030, utf-16 or another, probably gb18030$"):
        read(path, None)


def test_squads_form_in_another_encoding_is_refused(tmp_path):
    (tmp_path / "a.json").write_bytes(json.dumps(SQUAD, ensure_ascii=False).encode("gb18030"))
    with pytest.raises(ValueError, match="a.json: not JSON: not UTF-8: .* probably gb18030$"):
        read_squad(tmp_path / "a.json")


def test_text_that_is_not_in_the_named_encoding_is_refused_by_its_line(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_bytes("一\t1\n二\t2\n".encode("gb18030") + b"\x80\xff\t3\n")
    for read in (lambda: read_rows(path, None, "gb18030"), lambda: list(read_lines(path, "gb18030"))):
        with pytest.raises(ValueError, match="a.tsv:3: not gb18030, which its byte order mark or --encoding says"):
            read()


def test_utf8_that_is_read_as_another_encoding_is_told(tmp_path, capsys):
    path = tmp_path / "a.tsv"
    path.write_text("联通一下中国的\n", encoding="utf-8")
    list(read_lines(path, "latin-1"))
    read_text(path, "latin-1")
    assert capsys.readouterr().out.count("is read as --encoding latin-1 says, but it seems to be UTF-8") == 2
    path.write_text("plain\n")
    assert read_text(path, "gb18030") == "plain\n"
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "codec"),
    [("GB2312", "gb18030"), ("gbk", "gb18030"), ("cp936", "gb18030"), ("utf8", None), ("UTF-8-SIG", None), ("Big5", "big5"), (None, None)],
)
def test_name_of_an_encoding(name, codec):
    assert encodings.check_encoding(name) == codec


@pytest.mark.parametrize("name", ["", "utf-99", "hex", "rot13", "gb18030\0"])
def test_unknown_encoding_is_refused(name):
    with pytest.raises(ValueError, match="encoding=.*: no such encoding; Python's names are known, such as gb18030"):
        encodings.check_encoding(name)


CHINESE = "在这个地方，他们说的话我不会再听了。"


@pytest.mark.parametrize(
    ("data", "likely"),
    [
        (CHINESE.encode("gb18030"), "gb18030"),
        ("在這個地方，他們說的話我不會再聽了。".encode("big5"), "big5"),
        (CHINESE.encode("utf-16-le"), "utf-16-le"),
        (CHINESE.encode("utf-16-be"), "utf-16-be"),
        ("a\tO\n".encode("utf-16-le"), "utf-16-le"),
        ("a\tO\n".encode("utf-16-be"), "utf-16-be"),
        ("un café noir, s'il vous plaît".encode("latin-1"), None),
        (b"\xff\xff\xff", None),
    ],
)
def test_likely_encoding(data, likely):
    assert encodings.guess(data) == likely


def test_transcoded_files_are_read_in_any_portions():
    for encoding in ("gb18030", "utf-16", "utf-32"):
        data = (TEXT * 5000).encode(encoding)
        file = io.BufferedReader(encodings.Transcoded(io.BytesIO(data), encoding), 7)
        portions = [file.read(size) for size in (1, 10, 1001, -1)]
        assert b"".join(portions).decode() == TEXT * 5000
