"""Every block of docs/formats.md is read by the reader that the page says."""

import re
from pathlib import Path

import pytest
from conftest import write_vocabulary

from src import predict
from src.tasks.classifier.choices import read_choices
from src.tasks.classifier.data_sets import DATA_SETS, make_data_set
from src.tasks.classifier.label_lists import count_names
from src.tasks.classifier.rows import read_examples
from src.tasks.label_file import read_labels
from src.tasks.ner.tagged_text import read_plain, read_tagged
from src.tasks.ner.tags import read_label_file
from src.tasks.pretrain.corpus.text import read_corpus
from src.tasks.squad.file import read_squad
from src.text.extension import read_words
from src.text.tokenization import Tokenizer

PAGE = Path(__file__).resolve().parent.parent / "docs/formats.md"
BLOCKS = re.findall(r"^```\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def count_examples(columns, name="custom"):
    return lambda path: len(read_examples(path, make_data_set(name, columns), name == "custom"))


def count_label_lists(columns):
    """Counts the labels of all texts."""

    def count(path):
        return sum(count_names(read_examples(path, make_data_set("custom", columns, None, ","), True).labels).values())

    return count


def count_label_forms(read):
    """Each line of the block is a file of its own."""

    def count(path):
        lines = path.read_text(encoding="utf-8").splitlines()
        for line in lines:
            path.write_text(line, encoding="utf-8")
            read(path)
        return len(lines)

    return count


def count_documents(path):
    return list(read_corpus([path])).count("")


NAMED = "text_a=text,label=label"
EXPECTED = [  # file name, reader that counts what it reads, count
    ("a.tsv", count_examples(NAMED), 2),
    ("a.tsv", count_examples("text_a=0,text_b=1,label=2"), 3),
    ("a.csv", count_examples(NAMED), 2),
    ("a.json", count_examples(NAMED), 3),
    ("a.json", count_examples(NAMED), 3),
    ("a.txt", count_examples(NAMED), 3),
    ("a.tsv", count_label_lists("text_a=text,label=labels"), 3),
    ("a.json", count_label_lists("text_a=text,label=labels"), 3),
    ("a.csv", count_label_lists("text_a=text,label=plot,label=ending"), 2),
    ("a.csv", lambda path: len(read_choices(path, True)), 2),
    ("a.json", lambda path: len(read_choices(path, True)), 2),
    ("labels", count_label_forms(read_labels), 3),
    ("labels.json", lambda path: len(read_labels(path)), 3),
    ("test.json", count_examples(None, "afqmc"), 3),
    *[("a.txt", lambda path: sum(len(each.entities) for each in read_tagged(path).sentences), count) for count in (1, 1, 3, 3, 4, 1)],
    ("a.txt", lambda path: len(read_plain(path)), 3),
    ("labels", count_label_forms(read_label_file), 3),
    ("a.json", lambda path: len(read_squad(path)), 2),
    *[("a", count_documents, count) for count in (1, 1, 1, 3)],
    ("a.txt", lambda path: len(read_words(path, Tokenizer(write_vocabulary(path.with_name("vocab.txt"))))), 3),
    ("a.txt", lambda path: len(list(predict.read_instances(path, True))), 3),
    ("a.jsonl", lambda path: len(list(predict.read_instances(path, True))), 3),
]


@pytest.mark.parametrize("number", range(len(EXPECTED)))
def test_lines_of_the_page_are_read(number, tmp_path):
    assert len(BLOCKS) == len(EXPECTED)
    name, count, expected = EXPECTED[number]
    path = tmp_path / name
    path.write_text(BLOCKS[number], encoding="utf-8")
    assert count(path) == expected


def test_sets_of_the_page_are_those_that_have_a_submission():
    rows = re.findall(r"^\| `(\w+)` \|.*\| `([\w.-]+)`[^|]*\|[^|]*\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == {name: data_set.submission for name, data_set in DATA_SETS.items() if data_set.submission}
