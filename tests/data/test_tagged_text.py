import gzip
import json
import logging
from collections import Counter

import pytest

from src.log import logger
from src.tasks.ner.tagged_text import Sentence, read_plain, read_tagged
from src.tasks.ner.tags import list_labels, make_tag_set
from src.text.tables import read_text

MSRA_TYPES = {"LOCATION": "LOC", "ORGANIZATION": "ORG", "PERSON": "PER"}


@pytest.fixture
def read(tmp_path):
    """`read(content)` is the TaggedText of a file of this content (str or bytes)."""

    def read(data, name="a.txt", **options):
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return read_tagged(path, **options)

    return read


@pytest.fixture
def log(monkeypatch, caplog):
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level(logging.INFO, "bert")
    return caplog


def row(text, label=None, **more):
    return json.dumps({"text": text, **({} if label is None else {"label": label}), **more}, ensure_ascii=False) + "\n"


def names(sentence):
    return [(entity.type, sentence.text[entity.start : entity.end]) for entity in sentence.entities]


def count_types(sentences):
    return Counter(entity.type for sentence in sentences for entity in sentence.entities)


# CLUENER


def test_json_lines_give_texts_spans_and_lines(read):
    label = {"game": {"魔兽": [[6, 7], [0, 1]]}, "name": {"é": [[3, 3]], "魔兽": [[6, 7]]}}
    data = "\n" + row("魔兽xé，c魔兽", label) + "\r\n" + row(" {x}", id=3) + row("a", {}) + row("b\tO", {"name": {}}).rstrip("\n")
    expected = [
        Sentence("魔兽xé，c魔兽", (("game", 0, 2), ("name", 3, 4), ("game", 6, 8), ("name", 6, 8)), 2),
        Sentence(" {x}", (), 4),
        Sentence("a", (), 5),
        Sentence("b\tO", (), 6),
    ]
    for content in (data.encode(), data.replace("\n", "\r\n").encode(), gzip.compress(data.encode()), b"\xef\xbb\xbf" + data.encode()):
        found = read(content, "a.bmes")
        assert (found.scheme, found.sentences) == (None, expected)


GOOD = row("浙商银行", {"company": {"浙商银行": [[0, 3]]}})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (row("ab", {"x": {"b": [[1, 2]]}}), r'"label", x, \'b\': span \[1, 2\] is not inside the text of 2 characters'),
        ('{"text": "ab", "entities": {"x": {"b": [[1, 2]]}}}', r'"entities", x, \'b\': span \[1, 2\] is not inside'),
        (row("ab", {"x": {"b": [[-1, 1]]}}), r"span \[-1, 1\] is not inside"),
        (row("ab", {"x": {"b": [[1, 0]]}}), r"span \[1, 0\] is not inside"),
        (row("ab", {"x": {"b": [[0, 1]]}}), r"span \[0, 1\] of the text is 'ab'"),
        (row("ab", {"x": {"": [[0, 0]]}}), r"\[0, 0\] of the text is 'a'"),
        (row("ab", {"x": {"b": [[1.0, 1]]}}), r"'b': found \[1.0, 1\], expected \[start, last\]"),
        (row("ab", {"x": {"b": [[True, True]]}}), r"found \[True, True\]"),
        (row("ab", {"x": {"b": [["1", "1"]]}}), r"found \['1', '1'\]"),
        (row("ab", {"x": {"b": [[1, 1, 1]]}}), r"found \[1, 1, 1\]"),
        (row("ab", {"x": {"b": [1, 1]}}), r"found 1, expected"),
        (row("ab", {"x": {"b": None}}), r"found None, expected"),
        (row("ab", {"x": [["b", 1, 1]]}), '"label" is not of the form'),
        (row("ab", {"": {"b": [[1, 1]]}}), '"label" is not of the form'),
        (row("ab", ["x"]), '"label": found x, expected'),
        ('{"text": "ab", "label": null}\n', '"label" is not of the form'),
        (row(""), '"text" is empty'),
        (row(" \u3000"), '"text" is empty'),
        (row(5), "\"text\" is missing or no string; found the keys \\['text'\\]"),
        ('{"sentence": "ab"}', "\"text\" is missing or no string; found the keys \\['sentence'\\]"),
        ('{"text": "a", "label": {"x": {}, "x": {}}}', "key 'x' twice"),
        ('{"text": "\\ud83d"}', "surrogates not allowed"),
        ('{"text": "ab", "label": {"\\udc00": {"b": [[1, 1]]}}}', "surrogates not allowed"),
        ('{"text": "\\u0000"}', "NUL character"),
        ('{"text": "a\0"}', "NUL character"),
        ('{"text": "ab"', "no JSON object in one line: Expecting"),
        ("[]", "no JSON object in one line: found"),
        ("{}", "no JSON object in one line: found"),
        ("中\tO", "no JSON object in one line"),
        ('{"text": ' + "[" * 100_000, "no JSON object in one line: nested too deeply"),
        ('{"text": "a", "id": ' + "1" * 5000 + "}", "no JSON object in one line: Exceeds"),
        (row("ab").encode()[:-4] + b"\xb0\xa1", "not UTF-8"),
    ],
)
def test_defect_of_json_lines_names_file_and_line(read, data, message):
    with pytest.raises(ValueError, match=f"a.txt:3: .*{message}"):
        read((GOOD + "\n").encode() + (data if isinstance(data, bytes) else data.encode()))
    assert names(read(GOOD).sentences[0]) == [("company", "浙商银行")]


# Tagged text


TAGGED = "中\tB-LOC\n国\tI-LOC\n的\tO\n\n李\tB-PER\n\n\n京\tB-LOC\n沪\tB-LOC\n"


@pytest.mark.parametrize(
    "data",
    [
        TAGGED,
        TAGGED.replace("\t", " "),
        TAGGED.replace("\t", "  "),
        TAGGED.replace("\n", "\r\n"),
        TAGGED.replace("\n", "\r"),
        TAGGED.replace("-LOC", "-LOC\u00a0").replace("O\n", "\u200bO\u3000\n"),
        TAGGED.replace("\n", " \n"),
        TAGGED.rstrip("\n"),
        TAGGED + "\n\n",
        "\ufeff" + TAGGED,
        TAGGED.replace("-", "_"),
        gzip.compress(TAGGED.encode(), mtime=0),
    ],
)
def test_form_of_tagged_text_does_not_matter(read, data):
    cities = Sentence("京沪", (("LOC", 0, 1), ("LOC", 1, 2)), 8)
    expected = [Sentence("中国的", (("LOC", 0, 2),), 1), Sentence("李", (("PER", 0, 1),), 5), cities]
    for name in ("a.conll", "a.json", "a.xml", "a.bmes.gz"):
        found = read(data, name)
        assert (found.scheme, found.sentences) == ("BIO", expected)


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ("B-a I-a I-a O B-b", "BIO"),
        ("I-a I-a I-a O I-b", "BIO"),
        ("B-a I-a E-a O S-b", "BIOES"),
        ("B-a I-a L-a O U-b", "BIOES"),
        ("B_a M_a E_a O S_b", "BMES"),
        ("B-a I-a I-a O S-b", "BIOS"),
        ("I-a I-a E-a O E-b", "IOE"),
        ("B-a I-a E-a O B-b", "BIOE"),
        ("B-a M-a E-a O B-b", "BMES"),
    ],
)
def test_scheme_is_that_of_the_whole_file(read, tags, scheme):
    rows = [f"{character} {tag}" for character, tag in zip("甲乙丙丁戊", tags.split())]
    found = read("\n".join(["子 O", "", *rows]))
    assert (found.scheme, names(found.sentences[1])) == (scheme, [("a", "甲乙丙"), ("b", "戊")])


def test_inner_tags_that_begin_an_entity_are_counted(read, log):
    found = read("a I-x\nb I-x\n\nc B-x\nd I-y\n").sentences
    assert [names(sentence) for sentence in found] == [[("x", "ab")], [("x", "c"), ("y", "d")]]
    (record,) = log.records
    assert record.levelno == logging.INFO and "2 entities are not tagged as BIO has it (the first in line 1)" in record.getMessage()


def test_entities_without_an_end_or_a_beginning_are_read_and_counted(read, log):
    found = read("a O\n\nb S-x\nc B-x\nd M-x\n\ne B-x\nf E-x\ng E-x\n").sentences
    assert [names(sentence) for sentence in found] == [[], [("x", "b"), ("x", "cd")], [("x", "ef"), ("x", "g")]]
    (record,) = log.records
    assert "2 entities are not tagged as BMES has it (the first in line 4)" in record.getMessage()


def test_clean_tags_are_read_without_a_word(read, log):
    read(TAGGED)
    read("a S-x\nb B-x\nc E-x\n")
    assert not log.records


def test_only_tab_and_space_separate_columns(read):
    rows = "\u3000\tO\n\xa0 B-x\n  I-x\n \tI-x\n\u2028 O\n\x85\tO\n"
    (sentence,) = read(rows).sentences
    assert sentence == Sentence("\u3000\xa0  \u2028\x85", (("x", 1, 4),), 1)


def test_text_that_begins_like_xml_or_json_is_tagged_text_by_its_tags(read):
    for first in ("<", "{", "[", "<unk>", '{"'):
        assert names(read(f"\n{first}\tB-x\n").sentences[0]) == [("x", first)]


def test_words_are_joined_by_spaces_except_next_to_wide_characters(read):
    rows = ["-DOCSTART- O", "", "EU B-ORG", "rejects O", "Peter B-PER", "Blackburn I-PER", ""]
    rows += ["在 O", "Windows B-X", "10 I-X", "上 O", "，a O", "b O"]
    found = read("\n".join(rows)).sentences
    assert [sentence.text for sentence in found] == ["EU rejects Peter Blackburn", "在Windows 10上，a b"]
    assert [names(sentence) for sentence in found] == [[("ORG", "EU"), ("PER", "Peter Blackburn")], [("X", "Windows 10")]]
    assert [sentence.line for sentence in found] == [3, 8]


def test_rows_without_labels_are_for_prediction_only(read):
    found = read('{"text": "a", "label": {}}\n{"id": 7, "text": "b"}\n')
    assert [sentence.id for sentence in found.sentences] == [None, 7]
    with pytest.raises(ValueError, match='f:2: no "label"'):
        found.labelled_sentences("f")
    assert read('{"text": "a", "label": {}}\n').labelled_sentences("f")[0].text == "a"


def test_each_entity_of_tagged_text_knows_its_line(read):
    assert read("\na B-x\nb O\nc B-y\nd I-y\n").sentences[0].entity_lines == (2, 4)
    assert read("West B-x\nHam I-x\nwon O\nLeeds B-x\n").sentences[0].entity_lines == (1, 4)


def test_a_few_glued_tokens_do_not_make_words_of_letters(read):
    (sentence,) = read("N B-ORG\nB I-ORG\nA I-ORG\n在 O\n2018 O\n年 O\n").sentences
    assert sentence.text == "NBA在2018年"


def test_characters_are_joined_without_spaces(read):
    assert read("W B-x\nT I-x\nO I-x\n的 O\n1 O\n").sentences == [Sentence("WTO的1", (("x", 0, 3),), 1)]


@pytest.mark.parametrize("token", ["21", "👍🏽", "Ａ１"])
def test_token_of_several_characters_shifts_no_entity(read, token):
    (sentence,) = read(f"a O\nb O\n{token} O\n王 B-PER\n某 I-PER\n{token} B-X\n到 O\n李 S-PER\n").sentences
    assert sentence.text == f"ab{token}王某{token}到李"
    assert names(sentence) == [("PER", "王某"), ("X", token), ("PER", "李")]
    assert sentence.entity_lines == (4, 6, 8)


def test_positions_in_words_are_no_text(read, log):
    word = "".join(f"{letter}{position}\tO\n" for position, letter in enumerate("abcdefghi31k"))
    (sentence,) = read(f"科0\tB-X\n技1\tI-X\n{word}10\tO\n来0\tB-X\n").sentences
    assert (sentence.text, names(sentence)) == ("科技abcdefghi31k1来", [("X", "科技"), ("X", "来")])
    assert "the number behind each character is its position in a word" in log.text


@pytest.mark.parametrize("rows", ["A1 B-x\nA2 I-x\n", "A0 B-x\nB O\nC1 O\n", "v0 B-x\nw0 O\n", "一0 O\n二1 O\n三 O\n", "0 O\n1 O\n"])
def test_digits_that_are_no_positions_in_words_are_text(read, rows):
    (sentence,) = read(rows).sentences
    assert sentence.text.replace(" ", "") == "".join(row.split()[0] for row in rows.splitlines())


@pytest.mark.parametrize(
    ("rows", "is_told"), [("口0 O\n腔1 O\n溃2 O\n疡 O\n", True), ("A1 B-x\nA2 I-x\n", True), ("于 O\n2018 O\n12 O\n", False)]
)
def test_digits_behind_most_characters_that_stay_text_are_told(read, rows, is_told, log):
    read(rows)
    assert ("tokens end with a digit, and it is taken for text" in log.text) == is_told


def test_mark_of_a_document_ends_a_sentence(read):
    found = read("-DOCSTART- -X- O O\na O\n-DOCSTART- O\nb O\n").sentences
    assert [(sentence.text, sentence.line) for sentence in found] == [("a", 2), ("b", 4)]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("国\tNN\tO", "number of columns 3 in .*; expected 2: a character and its tag"),
        ("国 n O O", "number of columns 4"),
        ("国", "number of columns 1 in '国'"),
        ("\tO", "number of columns 1"),
        (" O", "number of columns 1"),
        ("国\u3000O", "number of columns 1"),
        ("国\tX-LOC", "'X-LOC' is no tag; allowed: O, or one of B I M E S L U"),
        ("国\tB", "'B' is no tag"),
        ("国\tLOC", "'LOC' is no tag"),
        ("国\tM-LOC\n的\tO", "tags of two schemes mixed"),
        ("\0\tO", "NUL character"),
    ],
)
def test_defect_of_tagged_text_names_file_and_line(read, row, message):
    with pytest.raises(ValueError, match=f"a.txt:6: {message}"):
        read(f"中\tB-LOC\n国\tI-LOC\n\n在\tO\n中\tB-LOC\n{row}\n")


@pytest.mark.parametrize("data", ["just text\n", "text\n", "[\n", "a\tb\tc\n", "a\tb\n", "# id 1\n"])
def test_unknown_form_is_told_which_are_read(read, data):
    with pytest.raises(ValueError, match="a.txt:2: .*; CLUENER's and doccano's JSON, MSRA's XML, and .* are read too"):
        read("\n" + data)


@pytest.mark.parametrize("data", [b"", b"\n\n", b" \r\n\t\n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_empty_file_is_refused(read, data, tmp_path):
    with pytest.raises(ValueError, match="a.txt: the file is empty"):
        read(data)
    with pytest.raises(ValueError, match="a.txt: the file is empty"):
        read_plain(tmp_path / "a.txt")


def test_file_without_sentences_is_refused(read):
    with pytest.raises(ValueError, match="a.txt: no sentence"):
        read("-DOCSTART- O\n\n")
    with pytest.raises(ValueError, match="a.txt: no sentence"):
        read("<ROOT>\n</ROOT>")


def test_damaged_gzip_is_refused(read):
    with pytest.raises(ValueError, match="a.txt: damaged gzip"):
        read(gzip.compress(TAGGED.encode())[:-9])


def test_absent_file_is_told_as_absent(tmp_path):
    for function in (read_tagged, read_plain):
        with pytest.raises(FileNotFoundError, match="none.txt"):
            function(tmp_path / "none.txt")


# MSRA


XML = """<?xml version="1.0" encoding="UTF-8"?>
<ROOT>
<SENTENCE><w>到</w><w><NAMEX TYPE="PERSON">江</NAMEX></w><w>主席</w><w>&lt;</w></SENTENCE>
<S>
  <w>在<NAMEX TYPE="LOCATION">中国</NAMEX>，</w><!-- note --> <w><TIMEX TYPE="DATE">今<b>天</b></TIMEX>
  </w>混<w/>合
  <w>
    <NAMEX TYPE="ORGANIZATION"><NAMEX TYPE="LOCATION">北京</NAMEX>大学</NAMEX>
  </w>
</S>
</ROOT>
"""


def test_xml_loses_no_text_and_finds_entities_below_words(read):
    first, second = read(XML).sentences
    assert (first.text, names(first), first.line) == ("到江主席<", [("PERSON", "江")], 3)
    assert (second.text, second.line) == ("在中国， 今天混合北京大学", 4)
    assert names(second) == [("LOCATION", "中国"), ("DATE", "今天"), ("LOCATION", "北京"), ("ORGANIZATION", "北京大学")]


def test_class_filter_keeps_elements_by_name(read, log):
    assert names(read(XML, class_filter=("TIMEX", "NUMEX")).sentences[1]) == [("DATE", "今天")]
    assert [name for _, name in names(read(XML, class_filter=["NAMEX"]).sentences[1])] == ["中国", "北京", "北京大学"]
    with pytest.raises(ValueError, match="a.txt: no element NUMEX, which class_filter names; elements of entities: NAMEX, TIMEX"):
        read(XML, class_filter=("NUMEX",))
    assert not log.records
    read(TAGGED, class_filter=("NAMEX",))
    assert "class_filter has no effect" in log.text


@pytest.mark.parametrize("encoding", ["UTF-8", "utf-8", "GB18030", "GBK", "gb2312", "UTF-16"])
def test_declared_encoding_of_xml_counts(read, encoding):
    data = XML.replace("UTF-8", encoding).replace("国", "國").encode("gbk" if encoding == "gb2312" else encoding)
    for content in (data, gzip.compress(data), data.replace(b"\n", b"\r\n") if encoding != "UTF-16" else data):
        assert [sentence.text for sentence in read(content).sentences] == ["到江主席<", "在中國， 今天混合北京大学"]


def wrap(sentence, head=""):
    return f"{head}<ROOT>\n<S><w>a</w></S>\n{sentence}</ROOT>"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (wrap("<S><w>a</w>")[:-7], "a.txt:3: damaged XML"),
        (wrap("<S><w>a</S>\n"), "a.txt:3: damaged XML: mismatched tag"),
        (wrap("<S><w>&what;</w></S>"), "a.txt:3: damaged XML: undefined entity"),
        (wrap("<S><w>&#0;</w></S>"), "a.txt:3: damaged XML"),
        (wrap("<S><w>\0</w></S>"), "a.txt:3: damaged XML"),
        (wrap("<S><w>&#xD83D;</w></S>"), "a.txt:3: damaged XML"),
        (wrap("", "<" + "a" * 10), "a.txt:1: damaged XML"),
        (wrap("<S></S>\n"), r"a.txt:3: empty sentence \(S\)"),
        (wrap("<S><w> </w>\n</S>\n"), r"a.txt:4: empty sentence"),
        (wrap("text\n"), "a.txt:4: text outside a sentence: 'text'"),
        (wrap("<S><w><NAMEX>a</NAMEX></w></S>"), "a.txt:3: NAMEX without a TYPE"),
        (wrap('<S><w>\n<x TYPE="">a</x></w></S>'), "a.txt:4: x without a TYPE"),
        (wrap('<S><w><NAMEX TYPE="X"></NAMEX>a</w></S>'), "a.txt:3: NAMEX without text"),
        ('<S TYPE="X">a</S>', "a.txt:1: text outside a sentence"),
        ("<NAMEX>a</NAMEX>", "a.txt:1: NAMEX without a sentence around it"),
        (XML.replace("UTF-8", "klingon"), "a.txt:1: unknown encoding: klingon"),
        (XML.replace("UTF-8", "hex"), "a.txt:1: 'hex' is not a text encoding"),
        (XML.replace("UTF-8", "ascii"), "a.txt:3: not ascii, which the file declares"),
        (XML.replace("UTF-8", "unicode_escape"), "a.txt:1: 'unicode_escape' is not a text encoding"),
        (XML.replace("UTF-8", "punycode").encode() + b"a-" * 200_000, "a.txt:1: 'punycode' is not a text encoding"),  # took 44 s
        (XML.replace("UTF-8", "idna"), "a.txt:1: 'idna' is not a text encoding"),
        (XML.encode("gb18030"), "a.txt:3: not UTF-8"),
        (XML.encode("utf-16") + b"\n\n\0", "a.txt:12: not utf-16, which the file declares"),
        (gzip.compress(XML.encode("utf-16"))[:-9], "a.txt: damaged gzip"),
    ],
)
def test_defect_of_xml_names_file_and_line(read, data, message):
    with pytest.raises(ValueError, match=message):
        read(data)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>\n'


@pytest.mark.parametrize(
    "head",
    [
        BOMB,
        '<!DOCTYPE x [<!ENTITY b SYSTEM "file:///etc/passwd">]>\n',
        '<!DOCTYPE x [<!ENTITY % b SYSTEM "http://localhost/x.dtd"> %b;]>\n',
        '<!DOCTYPE x SYSTEM "http://localhost/x.dtd">\n',
        "<!DOCTYPE ROOT>\n",
    ],
)
def test_entity_bombs_external_entities_and_document_types_are_refused(read, head):
    for start in ("", '<?xml version="1.0"?>\n', '<?xml version="1.0" encoding="gbk"?>\n'):
        with pytest.raises(ValueError, match=f"a.txt:{1 + bool(start)}: XML with a document type of its own is refused"):
            read(wrap("<S><w>&b;</w></S>", start + head))


def test_deep_or_wide_xml_is_read_in_time(read):
    deep = wrap("<S>" + "<w>" * 100_000 + "x" + "</w>" * 100_000 + "</S>")
    blank = wrap("<S><w>" + " " * 200_000 + "x</w></S>")
    assert [[len(sentence.text) for sentence in read(data).sentences] for data in (deep, blank)] == [[1, 1], [1, 200_001]]


def test_white_space_around_a_type_makes_no_second_one(read):
    types = {"name": {"a": [[0, 0]]}, "name\u00a0": {"b": [[1, 1]]}}
    assert names(read(row("ab", types)).sentences[0]) == [("name", "a"), ("name", "b")]
    assert names(read(wrap('<S><w><NAMEX TYPE="PER&#160;">a</NAMEX></w></S>')).sentences[1]) == [("PER", "a")]
    with pytest.raises(ValueError, match="a.txt:2: white space inside the tag 'B-LOC\\\\xa0B'"):
        read("a O\nb B-LOC\u00a0B\n")


# Raw text


def test_plain_text_is_a_sentence_a_line(tmp_path):
    path = tmp_path / "a.json"
    for data in (b"\xef\xbb\xbfone O\r\n\r\n\x20 two\t\xe2\x80\xa8x\r\n", gzip.compress(b"one O\n\n  two\t\xe2\x80\xa8x")):
        path.write_bytes(data)
        assert read_plain(path) == [Sentence("one O", (), 1), Sentence("", (), 2), Sentence("  two\t\u2028x", (), 3)]
    path.write_bytes(b"a\n\n")
    assert [sentence.text for sentence in read_plain(path)] == ["a", ""]
    path.write_bytes(b"a\nb\0\n")
    with pytest.raises(ValueError, match="a.json:2: NUL"):
        read_plain(path)


# Real data


@pytest.mark.parametrize(
    ("name", "sentences", "characters", "begun_by_inner", "begun"),
    [
        ("msra_test_bio.txt", 3442, 172601, 0, {"LOC": 2886, "ORG": 1331, "PER": 1973}),
        pytest.param("msra_train_bio.txt.gz", 50658, 2169879, 6, {"LOC": 36517, "ORG": 20571, "PER": 17615}, marks=pytest.mark.slow),
    ],
)
def test_tags_of_msra_and_spans_say_the_same(shared_file, name, sentences, characters, begun_by_inner, begun):
    path = shared_file(f"msra_ner/{name}")
    labels = list_labels(("LOC", "ORG", "PER"), "BIO")
    tag_set, ids = make_tag_set(labels), {label: label_id for label_id, label in enumerate(labels)}
    found = read_tagged(path)
    assert (found.scheme, len(found.sentences), sum(len(sentence.text) for sentence in found.sentences)) == ("BIO", sentences, characters)
    tags = [[row.split("\t") for row in block.split("\n")] for block in read_text(path).strip("\n").split("\n\n")]
    changed = []
    for sentence, rows in zip(found.sentences, tags, strict=True):
        assert sentence.text == "".join(character for character, _ in rows)
        label_ids = [ids[tag] for _, tag in rows]
        spans = tag_set.find_spans(label_ids)
        again = tag_set.make_labels(len(rows), spans)
        assert tuple(spans) == sentence.entities and tag_set.find_spans(again) == spans
        changed += [(labels[old][0], labels[new][0]) for old, new in zip(label_ids, again) if old != new]
    assert changed == [("I", "B")] * begun_by_inner
    assert sum(count_types(found.sentences).values()) == sum(begun.values()) + begun_by_inner
    assert Counter(tag[2:] for rows in tags for _, tag in rows if tag[0] == "B") == begun


def test_xml_and_tags_of_msra_say_the_same(shared_file):
    tagged = read_tagged(shared_file("msra_ner/msra_test_bio.txt")).sentences
    tagged = [sentence for sentence in tagged if len(sentence.text) <= 200][:600]  # those that the XML was made of
    found = read_tagged(shared_file("msra_ner/xml_format/msra_dataset.reconstructed.xml"), class_filter=("NAMEX",)).sentences
    for ours, theirs in zip(found, tagged, strict=True):
        assert ours.text == theirs.text
        assert [entity._replace(type=MSRA_TYPES[entity.type]) for entity in ours.entities] == list(theirs.entities)


@pytest.mark.parametrize(("name", "sentences", "counts"), [("dev", 2318, [1951, 984, 884]), ("test", 4636, [3658, 2185, 1864])])
def test_peoples_daily_is_read(shared_file, name, sentences, counts):
    found = read_tagged(shared_file(f"chinesener_peoples_daily/example.{name}"))
    assert (found.scheme, len(found.sentences)) == ("BIO", sentences)
    assert count_types(found.sentences) == dict(zip(("LOC", "ORG", "PER"), counts))  # as many as there are B tags in the file


def test_cluener_keeps_every_span(shared_file):
    paths = [shared_file(f"cluener/{name}.json") for name in ("train", "dev", "test")]
    splits = [read_tagged(path).sentences for path in paths]
    assert [len(sentences) for sentences in splits] == [10748, 1343, 1345]
    assert [sum(count_types(sentences).values()) for sentences in splits] == [23971, 3072, 0]  # 27043 in all
    for path, sentences in zip(paths, splits):
        for number, (line, sentence) in enumerate(zip(path.read_text(encoding="utf-8").splitlines(), sentences, strict=True), 1):
            label = json.loads(line).get("label", {})
            spans = [(kind, start, last + 1) for kind, found in label.items() for places in found.values() for start, last in places]
            assert sentence.line == number and sorted(spans) == sorted(sentence.entities)
