"""Input without bound: long lines, files that unpack to far more, many rows."""

import csv
import gzip
import json
import time
import tracemalloc

import pytest

from src import build_vocab
from src.files import read_bytes, text_limit
from src.records import record_set
from src.records.record_set import cached_records, join_in_chunks
from src.tasks.classifier import rows as classifier_rows
from src.tasks.classifier.data_sets import make_data_set
from src.tasks.classifier.rows import encode_examples, read_examples
from src.tasks.ner import rows as ner_rows
from src.tasks.ner.encoding_report import EncodingReport
from src.tasks.ner.rows import encode_rows
from src.tasks.ner.tagged_text import read_plain, read_tagged
from src.tasks.ner.tags import list_labels, make_tag_set
from src.tasks.pretrain.corpus.text import MAX_CHARS, _cut, read_corpus, split_sentences
from src.tasks.pretrain.corpus.tokens import Sentence, cut_lines
from src.tasks.squad.file import read_squad
from src.text.columns import TextColumn
from src.text.lines import read_lines
from src.text.tables import read_rows

MB = 1 << 20


@pytest.fixture
def one_mb():
    """A limit of 1 MB for texts that are held at once."""
    before = text_limit()
    text_limit(MB)
    yield
    text_limit(before)


# long lines


def test_a_long_line_is_cut_in_linear_time():
    line = "x" * 32_000_000  # copying the rest at each cut took 10 s, by index it takes a few hundredths
    started = time.process_time()
    assert set(map(len, _cut(line))) == {MAX_CHARS}
    assert time.process_time() - started < 2


def test_a_long_sentence_is_cut_at_spaces_or_else_anywhere():
    words = "word " * 5000
    assert list(map(len, split_sentences(words))) == [9999, 9999, 4999] and " ".join(split_sentences(words)) == words.strip()
    assert split_sentences("a" * 10_001) == ["a" * 10_000, "a"]
    assert split_sentences(f"{'a' * 9_999} \u3000\t b") == ["a" * 9_999, "b"]
    assert split_sentences("") == split_sentences(" \t") == []


def test_a_line_of_a_block_is_as_long_as_a_sentence():
    line = f"{'One. ' * 3000}{'x' * 30_000}"
    blocks = list(cut_lines(["short", line, "", "last. One"], 1000))
    assert [part for block in blocks for part in block] == ["short", *split_sentences(line), "", "last. One"]
    assert [type(part) for part in (blocks[0][0], blocks[0][1], blocks[-1][-1])] == [str, Sentence, str]
    assert max(sum(map(len, block)) for block in blocks) < 1000 + MAX_CHARS


def test_the_vocabulary_is_made_from_sentences(tmp_path):
    line = "the cats sat. The dogs sat on a cat! " * 1000
    for name, text in {"long": line, "short": line.replace(". ", ".\n").replace("! ", "!\n")}.items():
        (tmp_path / name).write_text(text * 2)
    assert build_vocab.train([tmp_path / "long"], 60) == build_vocab.train([tmp_path / "short"], 60)
    assert max(map(len, build_vocab._read([tmp_path / "long"], None, None, "text"))) <= MAX_CHARS


@pytest.mark.parametrize("line", ["<doc " + 'title="' * 20_000, "<doc " + "a" * 200_000, '<doc title="' + '"' * 100_000 + ">"])
def test_a_line_like_a_tag_is_read_in_linear_time(line, tmp_path):
    (tmp_path / "a.txt").write_text(line)
    started = time.process_time()
    assert len(list(read_corpus([tmp_path / "a.txt"], "plain"))) == 2 and list(read_corpus([tmp_path / "a.txt"]))
    assert time.process_time() - started < 2


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("end", [b"\n", b"\r"])
def test_a_line_beyond_the_limit_is_named(pack, end, tmp_path, one_mb):
    path = tmp_path / "a.txt"
    path.write_bytes(pack(end.join([b"a", b"b" * MB, b"c", b"d"])))
    text_limit(MB + 1)
    assert [len(line) for _, line in read_lines(path)] == [1, MB, 1, 1]
    text_limit(MB)
    with pytest.raises(ValueError, match=r"a.txt:2: a line of more than 1 MB; --max_text_mb raises this limit"):
        list(read_lines(path))


# files that unpack to more


def test_a_file_that_unpacks_to_more_than_the_limit_is_refused_early(tmp_path, one_mb):
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(gzip.compress(b"x" * 64 * MB))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"a.tsv.gz: unpacks to more than 1 MB; --max_text_mb raises this limit"):
        read_rows(path)
    assert tracemalloc.get_traced_memory()[1] < 8 * MB
    tracemalloc.stop()
    text_limit(64 * MB)
    assert len(read_bytes(path)) == 64 * MB


def test_a_long_context_is_refused_by_its_place(tmp_path):
    path = tmp_path / "a.json"
    paragraphs = [{"context": "a" * length, "qas": [{"id": str(length), "question": "b" * 5}]} for length in (10, 11)]
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    assert len(read_squad(path)) == len(read_squad(path, max_context_chars=11)) == 2
    raise_limit = "--max_context_chars raises this limit"
    with pytest.raises(ValueError, match=rf"paragraphs\[1\]: a context of 11 characters, more than 10; {raise_limit}"):
        read_squad(path, max_context_chars=10)
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": "a", "qas": [{"id": "1", "question": "b" * 5}]}]}]}))
    with pytest.raises(ValueError, match=rf"paragraphs\[0\].qas\[0\]: a question of 5 characters, more than 4; {raise_limit}"):
        read_squad(path, max_context_chars=4)


def test_a_field_of_a_csv_may_be_long_whatever_another_library_has_set(tmp_path):
    (tmp_path / "a.csv").write_text(f"text,label\n{'a' * 200_000},1\n")
    csv.field_size_limit(131_072)  # as importing MindSpore leaves it
    assert len(read_rows(tmp_path / "a.csv")[1][1][0]) == 200_000


# many rows


def test_a_column_of_texts_is_a_sequence_of_them():
    texts = ["a", "", "é漢😀", "last"]
    column = TextColumn(texts)
    assert list(column) == texts and [column[number] for number in range(-4, 4)] == texts * 2
    assert column[1:3] == texts[1:3] and column[::-1] == texts[::-1] and len(column) == 4 and "é漢😀" in column
    with pytest.raises(IndexError):
        column[4]


class LetterTokenizer:
    vocabulary = {"[UNK]": 0}

    def encode(self, texts):
        return [list(text.encode()) for text in texts]

    def encode_with_offsets(self, texts):
        return [([ord(letter) for letter in text], [(number, number + 1) for number in range(len(text))]) for text in texts]

    def join(self, first, second, max_length):
        return [101, *first, 102], [0] * (len(first) + 2)


WORDS = "the film was good"


def bytes_per_row(write, encode, folder, monkeypatch):
    """The memory at its peak that one more row takes.

    Args:
        write: writes a file with so many rows, and returns its path.
        encode: yields the rows for the records, from the file.
    """
    monkeypatch.setattr(record_set, "ROWS_AT_ONCE", 64)
    monkeypatch.setattr(classifier_rows, "CHUNK", 64)
    monkeypatch.setattr(ner_rows, "CHUNK", 64)
    peaks = []
    for count in (500, 1500):
        path = write(count)
        tracemalloc.start()
        found = cached_records(folder / f"cache/{count}", lambda path=path: join_in_chunks(encode(path)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(found.lengths) == count
    return (peaks[1] - peaks[0]) / 1000


TABLES = {
    "tsv": ("text\tlabel\n", f"{WORDS} {{}}\tpositive\n"),
    "csv": ("text,label\n", f"{WORDS} {{}},positive\n"),
    "jsonl": ("", f'{{{{"text": "{WORDS} {{}}", "label": "positive"}}}}\n'),
}


@pytest.mark.parametrize("ending", TABLES)
def test_a_row_of_a_table_takes_little_more_than_its_text(ending, tmp_path, monkeypatch):
    def write(count):
        header, row = TABLES[ending]
        (tmp_path / f"a.{ending}").write_text(header + "".join(map(row.format, range(count))))
        return tmp_path / f"a.{ending}"

    def encode(path):
        examples = read_examples(path, make_data_set("custom", "text_a=text,label=label"), True)
        return encode_examples(path, examples, LetterTokenizer(), ("negative", "positive"), 64)

    assert bytes_per_row(write, encode, tmp_path, monkeypatch) < 200  # Python's objects took 2,600


TAGGED = {
    "json": f'{{{{"text": "{WORDS} {{}}", "label": {{{{"x": {{{{"good": [[13, 16]]}}}}}}}}}}}}\n',
    "txt": "".join(f"{letter} O\n" for letter in WORDS.replace(" ", "")) + "good{} B-x\n\n",
    "plain": f"{WORDS} {{}}\n",
}


@pytest.mark.parametrize("form", TAGGED)
def test_a_tagged_sentence_takes_little_more_than_its_text(form, tmp_path, monkeypatch):
    def write(count):
        (tmp_path / "a.txt").write_text("".join(map(TAGGED[form].format, range(count))))
        return tmp_path / "a.txt"

    def encode(path):
        sentences = read_plain(path) if form == "plain" else read_tagged(path).sentences
        return encode_rows(sentences, LetterTokenizer(), make_tag_set(list_labels(("x",), "BIO")), 64, False, EncodingReport())

    assert bytes_per_row(write, encode, tmp_path, monkeypatch) < 300  # Python's objects took 5,000
