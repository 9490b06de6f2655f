"""Forms of tagged sentences besides a character and its tag a line and CLUENER's: more columns, pairs of columns, doccano's JSON."""

import json
import logging

import pytest

from src.log import logger
from src.tasks.ner.tagged_text import Sentence, read_tagged


@pytest.fixture
def read(tmp_path):
    def read(data, **options):
        path = tmp_path / "a.txt"
        path.write_text(data, encoding="utf-8", newline="")
        return read_tagged(path, **options)

    return read


def names(sentence):
    return [(entity.type, sentence.text[entity.start : entity.end]) for entity in sentence.entities]


CONLL = "-DOCSTART- -X- -X- O\n\nAda NNP B-NP B-PER\nLovelace NNP I-NP I-PER\nsaw VBD B-VP O\n\n-DOCSTART- -X- O O\n\nBath NNP B-NP B-LOC\n"


@pytest.mark.parametrize("separator", [" ", "\t", "  "])
def test_of_several_columns_the_first_is_the_word_and_the_last_its_tag(read, separator, caplog, monkeypatch):
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level(logging.INFO, "bert")
    found = read(CONLL.replace(" ", separator))
    assert [(sentence.text, sentence.line, names(sentence)) for sentence in found.sentences] == [
        ("Ada Lovelace saw", 3, [("PER", "Ada Lovelace")]),
        ("Bath", 9, [("LOC", "Bath")]),
    ]
    assert (found.scheme, found.sentences[0].entity_lines) == ("BIO", (3,))
    assert "columns=4: the first is the word, the last its tag" in caplog.text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a NN O\nb NN\n", "a.txt:2: number of columns 2 in 'b NN'; expected 3, as in the lines before"),
        ("a NN O\n\nb NN X O\n", "a.txt:3: number of columns 4"),
        ("a NN O\nb NN B-NP NN\n".replace(" B-NP", ""), "a.txt:2: 'NN' is no tag"),
        ("1\tAda\tB-PER\n2\tsaw\tO\n\n1\tBath\tB-LOC\n", "a.txt:1: the first column counts the words"),
        ("0 Ada B-PER\n1 saw O\n", "a.txt:1: the first column counts the words"),
        ("a B-x\nb I-x\nc x-B\n", "a.txt:3: 'x-B' is no tag; allowed: O, .*of all tags the prefix first, or the type, or no type"),
        ("a B\nb I\nc O\nd B-x\n", "a.txt:4: 'B-x' is no tag"),
        ("a NN O\n\tO\n", "a.txt:2: number of columns 1"),
    ],
)
def test_rows_that_do_not_fit_the_others_are_named(read, data, message):
    with pytest.raises(ValueError, match=message):
        read(data)


def test_type_may_stand_before_the_prefix(read):
    assert names(read("a ELE-B\nb ELE-I\nc O\nd SYM_S\n").sentences[0]) == [("ELE", "ab"), ("SYM", "d")]


def test_tags_without_a_type_are_entities(read):
    assert names(read("a B\nb I\nc O\nd B\n").sentences[0]) == [("ENTITY", "ab"), ("ENTITY", "d")]


def test_tab_and_space_may_be_tokens(read):
    assert read("a B-x\n\t\tI-x\n\t I-x\n  O\n \tO\nb B-x\n").sentences == [Sentence("a\t\t  b", (("x", 0, 3), ("x", 5, 6)), 1)]


PAIRS = [
    "李 某 在 京\tB-PER I-PER O B-LOC\n京\tB-LOC\n",
    "李某在京\tB-PER I-PER O B-LOC\n京\tB-LOC\n",
    "text_a\tlabel\n李\x02某\x02在\x02京\tB-PER\x02I-PER\x02O\x02B-LOC\n\n京\tB-LOC\n",
    "label\ttext_a\r\nB-PER I-PER O B-LOC\t李 某 在 京 \r\nB-LOC\t京\r\n",
    "PER-B PER-I O LOC-B\t李 某 在 京\nLOC-B\t京\n",
]


@pytest.mark.parametrize("data", PAIRS)
def test_a_sentence_and_its_tags_may_be_a_row(read, data):
    found = read(data)
    first = data.replace("\r", "").split("\n").index(next(line for line in data.replace("\r", "").split("\n") if "李" in line)) + 1
    last = data.count("\n")
    assert (found.scheme, found.sentences) == (
        "BIO",
        [Sentence("李某在京", (("PER", 0, 2), ("LOC", 3, 4)), first), Sentence("京", (("LOC", 0, 1),), last)],
    )
    assert [sentence.entity_lines for sentence in found.sentences] == [(first, first), (last,)]


def test_words_of_pairs_are_joined_by_spaces(read):
    assert read("Ada saw New York\tB-PER O B-LOC I-LOC\n").sentences[0].text == "Ada saw New York"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("李 某\tB-PER\n", "a.txt:2: 2 tokens and 1 tags"),
        ("李 某 在\tB-PER I-PER\n", "a.txt:2: 3 tokens and 2 tags"),
        ("李 某\n", "a.txt:2: number of columns 1; expected a sentence and its tags"),
        ("李 某\tO O\tx\n", "a.txt:2: number of columns 3"),
        ("李  某\tO O O\n", "a.txt:2: an empty token"),
        ("李 某\tO PER\n", "a.txt:2: 'PER' is no tag"),
    ],
)
def test_defect_of_a_pair_names_file_and_line(read, row, message):
    with pytest.raises(ValueError, match=message):
        read("甲 乙\tB-PER I-PER\n" + row)


def test_doccanos_spans_end_before_their_end(read):
    rows = [
        {"id": 7, "text": "李某在京", "label": [[3, 4, "LOC"], [0, 2, "PER"]]},
        {"text": "李某在京", "labels": [{"start_offset": 0, "end_offset": 2, "label": "PER", "id": 1}]},
        {"text": "李某在京", "entities": [{"start": 3, "end": 4, "type": " LOC", "text": "京"}], "relations": []},
        {"text": "甲", "label": []},
        {"text": "乙"},
    ]
    spans = [[("PER", "李某"), ("LOC", "京")], [("PER", "李某")], [("LOC", "京")], [], []]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    for data in (lines, lines.replace("}\n", "},\n"), json.dumps(rows, ensure_ascii=False), json.dumps(rows, indent=1)):
        found = read(data)
        assert [names(sentence) for sentence in found.sentences] == spans
        assert (found.sentences[0].id, found.scheme, found.unlabelled) == (7, None, found.sentences[4].line)
    assert [sentence.line for sentence in read(lines).sentences] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([[0, 3, "x"]], r"\[0, 3, 'x'\] is not inside the text of 2 characters"),
        ([[1, 1, "x"]], r"\[1, 1, 'x'\] is not inside"),
        ([[-1, 1, "x"]], "is not inside"),
        ([[0, 1]], r"found \[0, 1\], expected \[start, end, type\]"),
        ([["x", 0, 1]], "expected .start, end, type."),
        ([[0, True, "x"]], "expected .start, end, type."),
        ([[0, 1, " "]], "expected .start, end, type."),
        ([{"start": 0, "end": 1}], "expected .start, end, type."),
        ([{"start": 0, "end": 1, "start_offset": 0, "type": "x"}], "expected .start, end, type."),
        ([{"start": 0, "end": 1, "type": "x", "text": "ab"}], r"the text from 0 to 1 \(the end not included\) is 'a'"),
        ("x", '"label" is not of the form'),
    ],
)
def test_defect_of_a_span_names_file_and_line(read, label, message):
    with pytest.raises(ValueError, match=f"a.txt:2: .*{message}"):
        read('{"text": "甲"}\n' + json.dumps({"text": "ab", "label": label}) + "\n")
    with pytest.raises(ValueError, match='both "label" and "entities"'):
        read(json.dumps({"text": "ab", "label": "x", "entities": []}))


@pytest.mark.parametrize("name", ["train", "dev"])
def test_conll_2003_is_read(shared_file, name):
    found = read_tagged(shared_file(f"more/conll2003/{name}.txt"))
    assert {entity.type for sentence in found.sentences for entity in sentence.entities} == {"PER", "LOC", "ORG", "MISC"}
    assert not any("  " in sentence.text for sentence in found.sentences)
