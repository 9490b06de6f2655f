import gzip
import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest

from src.tasks.ner.tags import Entity, find_spans, list_labels, make_tag_set, parse_tags, read_label_file, zoo_labels

GOLDEN = json.loads(gzip.decompress((Path(__file__).parent.parent / "golden" / "tagging.json.gz").read_bytes()))
NAMES = {"IOB1": "BIO", "IOB2": "BIO", "IO": "BIO", "IOE1": "IOE", "IOE2": "IOE"}  # what the schemes are called here; others by their name
SCHEMES = ("BIO", "BIOS", "IOE", "BIOE", "BIOES", "BMES")
FULL_SETS = [list_labels(("PER", "ORG"), scheme) for scheme in SCHEMES] + [zoo_labels(("PER", "ORG"))]


def spans_of(text, labels):
    tag_set = make_tag_set(labels.split())
    return [tuple(span) for span in tag_set.find_spans([tag_set.labels.index(tag) for tag in text.split()])]


@pytest.mark.parametrize(
    ("tag", "parts"),
    [
        ("O", ("O", "")),
        ("B-PER", ("B", "PER")),
        ("S_PER", ("S", "PER")),
        ("I-WORK_OF-ART", ("I", "WORK_OF-ART")),
        ("M__", ("M", "_")),
        ("E-地名", ("E", "地名")),
        ("L-PER", ("E", "PER")),
        ("U-PER", ("S", "PER")),
    ],
)
def test_tag_is_prefix_and_type(tag, parts):
    assert parse_tags([tag]) == {tag: parts}


@pytest.mark.parametrize("tag", ["", "0", "o", "B", "B-", "BPER", "X-PER", "b-PER", "O-PER", "[CLS]", "PER-B", " B-PER"])
def test_other_words_are_no_tags(tag):
    assert tag not in parse_tags(["B-a", "I-a", tag])
    with pytest.raises(ValueError, match="is no tag; allowed: O, or one of B I M E S L U"):
        make_tag_set(["O", "B-a", "I-a", tag])


@pytest.mark.parametrize(
    ("tags", "parsed"),
    [
        ("PER-B PER-I O", [("B", "PER"), ("I", "PER"), ("O", "")]),
        ("PER_S a-b_c-L", [("S", "PER"), ("E", "a-b_c")]),
        ("B I E O", [("B", "ENTITY"), ("I", "ENTITY"), ("E", "ENTITY"), ("O", "")]),
        ("B-E I-E", [("B", "E"), ("I", "E")]),  # both orders fit; the usual one counts
        ("S-B E-I PER-B", [("B", "S"), ("I", "E"), ("B", "PER")]),
    ],
)
def test_all_tags_have_one_form(tags, parsed):
    assert list(parse_tags(tags.split()).values()) == parsed
    labels = ["O", *tags.replace(" O", "").split()]
    assert make_tag_set(labels).find_spans(range(1, len(labels))) == find_spans([tag for tag in parsed if tag[1]])


def test_labels_of_reversed_and_of_untyped_tags_are_written_as_they_are():
    assert make_tag_set(["O", "PER-B", "PER-I"]).make_labels(3, [Entity("PER", 1, 3)]) == [0, 1, 2]
    assert make_tag_set(["O", "B", "I"]).make_labels(3, [Entity("ENTITY", 0, 2)]) == [1, 2, 0]


def test_order_of_labels():
    assert list_labels(("a", "b"), "BIO") == ("O", "B-a", "I-a", "B-b", "I-b")
    assert list_labels(("a",), "BIOES") == ("O", "B-a", "I-a", "E-a", "S-a")
    assert list_labels(("a",), "BMES", "_") == ("O", "B_a", "M_a", "E_a", "S_a")
    assert zoo_labels(("a", "b")) == ("O", "S_a", "B_a", "M_a", "E_a", "S_b", "B_b", "M_b", "E_b")


@pytest.mark.parametrize(
    ("labels", "scheme", "types"),
    [
        ("B-b I-b O B-a", "BIO", ("b", "a")),
        ("O I-a", "BIO", ("a",)),
        ("O B-a I-a E-a S-a", "BIOES", ("a",)),
        ("O B-a I-a L-a U-a", "BIOES", ("a",)),
        ("O B_a E_a S_a", "BIOES", ("a",)),
        ("O B_a M_a E_a S_a S_b", "BMES", ("a", "b")),
        ("O B-a I-a S-a", "BIOS", ("a",)),
        ("O I-a E-a", "IOE", ("a",)),
        ("O B-a I-a E-a", "BIOE", ("a",)),
        ("O B-a M-a E-a", "BMES", ("a",)),
        ("O I-a E-a S-a", "BIOES", ("a",)),
    ],
)
def test_scheme_follows_from_the_prefixes(labels, scheme, types):
    tag_set = make_tag_set(labels.split())
    assert (tag_set.scheme, tag_set.types, " ".join(tag_set.labels)) == (scheme, types, labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("B-a I-a", "no tag O"),
        ("O", "no tag but O"),
        ("", "no tag O"),
        ("O B-a O", "tag 'O' twice"),
        ("O B-a B_a", "tags 'B-a' and 'B_a' are the same"),
        ("O S-a U-a", "tags 'S-a' and 'U-a' are the same"),
        ("O B-a Q-a", "'Q-a' is no tag"),
        ("O B-a I-a PER-B", "'PER-B' is no tag"),
        ("O PER-B PER-I B", "'B' is no tag"),
        ("O B-a M-a I-a E-a", "two schemes mixed"),
        ("O M-a E-a", "M without any B"),
    ],
)
def test_defect_of_a_label_set_is_named(labels, message):
    with pytest.raises(ValueError, match=message):
        make_tag_set(labels.split())


@pytest.mark.parametrize("scheme", GOLDEN)
def test_spans_are_those_of_seqeval(scheme):
    golden = GOLDEN[scheme]
    tag_set = make_tag_set(golden["labels"])
    assert tag_set.scheme == NAMES.get(scheme, scheme)
    for name in ("gold", "predicted"):
        assert len(golden[name]) == 300
        for label_ids, spans in zip(golden[name], golden[f"{name}_spans"]):
            assert [list(span) for span in tag_set.find_spans(label_ids)] == spans


def test_inner_tag_that_continues_nothing_begins_an_entity_in_bio():
    labels = "O B-a I-a B-b I-b"
    assert spans_of("I-a I-a O I-b", labels) == [("a", 0, 2), ("b", 3, 4)]
    assert spans_of("B-a I-b I-b B-b I-a", labels) == [("a", 0, 1), ("b", 1, 3), ("b", 3, 4), ("a", 4, 5)]


def test_entity_ends_where_no_tag_continues_it():
    labels = "O B-a I-a E-a S-a B-b I-b E-b S-b"
    assert spans_of("B-a I-a I-a E-a S-b B-b E-b", labels) == [("a", 0, 4), ("b", 4, 5), ("b", 5, 7)]
    assert spans_of("B-a I-a O I-a E-a B-a E-b", labels) == [("a", 0, 2), ("a", 3, 5), ("a", 5, 6), ("b", 6, 7)]
    assert spans_of("B-a B-a E-a E-a", labels) == [("a", 0, 1), ("a", 1, 3), ("a", 3, 4)]
    assert spans_of("B-a S-a E-a", labels) == [("a", 0, 1), ("a", 1, 2), ("a", 2, 3)]


@pytest.mark.parametrize(
    ("labels", "length", "tags"),
    [
        ("O B-a I-a S-a", 3, "B-a I-a I-a"),  # BIOS
        ("O B-a I-a S-a", 1, "S-a"),
        ("O I-a E-a", 3, "I-a I-a E-a"),  # IOE
        ("O I-a E-a", 1, "E-a"),
        ("O B-a I-a E-a", 1, "B-a"),
        ("O B-a I-a E-a", 2, "B-a E-a"),
        ("O B-a M-a E-a", 1, "B-a"),
        ("O I-a", 2, "I-a I-a"),
        ("O B-a I-a B-b I-b E-b S-b", 2, "B-a I-a"),  # taggers whose data had no S or E of a type
        ("O B-a I-a B-b I-b E-b S-b", 1, "B-a"),
    ],
)
def test_entity_is_written_in_the_tags_that_its_type_has(labels, length, tags):
    tag_set = make_tag_set(labels.split())
    written = tag_set.make_labels(length + 1, [("a", 0, length)])
    assert [tag_set.labels[label_id] for label_id in written] == [*tags.split(), "O"]
    assert tag_set.find_spans(written) == [("a", 0, length)]


@pytest.mark.parametrize("labels", FULL_SETS)
def test_spans_survive_their_tags(labels):
    tag_set, generator = make_tag_set(labels), random.Random(1)
    for _ in range(300):
        length = generator.randint(0, 12)
        cuts = sorted({0, length, *generator.choices(range(length + 1), k=6)})
        parts = [(start, end) for start, end in zip(cuts, cuts[1:]) if generator.random() < 0.7]
        spans = [Entity(generator.choice(tag_set.types), start, end) for start, end in parts]
        assert tag_set.find_spans(tag_set.make_labels(length, generator.sample(spans, len(spans)))) == spans


@pytest.mark.parametrize("labels", FULL_SETS)
def test_permitted_sequences_are_those_that_their_spans_give_back(labels):
    tag_set = make_tag_set(labels)
    start, transitions, end = tag_set.allowed()
    assert start.dtype == transitions.dtype == end.dtype == bool
    assert start.shape == end.shape == (len(labels),) and transitions.shape == (len(labels), len(labels))
    for length in (1, 2, 3, 4):
        for sequence in itertools.product(range(len(labels)), repeat=length):
            permitted = start[sequence[0]] and end[sequence[-1]] and all(transitions[pair] for pair in itertools.pairwise(sequence))
            assert permitted == (tuple(tag_set.make_labels(length, tag_set.find_spans(sequence))) == sequence)


def test_sets_without_begin_tags_begin_with_inner_ones():
    tag_set = make_tag_set(["O", "I-a", "B-b", "I-b"])  # as IOB1 has them where no two of type a touch
    assert tag_set.find_spans([1, 1, 3, 2, 1, 0, 1]) == [("a", 0, 2), ("b", 2, 3), ("b", 3, 4), ("a", 4, 5), ("a", 6, 7)]
    assert tag_set.make_labels(7, [("a", 0, 2), ("b", 2, 4), ("a", 5, 6)]) == [1, 1, 2, 3, 0, 1, 0]
    start, transitions, end = tag_set.allowed()
    assert start.tolist() == [True, True, True, False] and end.all()
    assert transitions.all(axis=0).tolist() == [True, True, True, False]
    assert np.flatnonzero(transitions[:, 3]).tolist() == [2, 3]
    with pytest.raises(ValueError, match="no tag B-a"):
        tag_set.make_labels(4, [("a", 0, 2), ("a", 2, 3)])


@pytest.mark.parametrize(
    ("labels", "span", "message"),
    [
        ("O B-a I-a", ("b", 0, 1), "no tag I-b; their entity types: a"),
        ("O B-a", ("a", 0, 2), "no tag I-a"),
        ("O B-a S-a", ("a", 0, 2), "no tag I-a"),
        ("O B-a E-a B-b M-b E-b", ("a", 0, 3), "no tag M-a"),
        ("O B-a E-a S-a", ("a", 0, 3), "no tag I-a"),
        ("O B-a I-a", ("a", 3, 6), "entity a from 3 to 6 in a sequence of 5"),
        ("O B-a I-a", ("a", -1, 2), "entity a from -1 to 2"),
        ("O B-a I-a", ("a", 2, 2), "entity a from 2 to 2"),
    ],
)
def test_span_that_the_labels_cannot_tell_is_refused(labels, span, message):
    with pytest.raises(ValueError, match=message):
        make_tag_set(labels.split()).make_labels(5, [span])


def test_overlaps_and_unlabelled_places_are_not_encoded_or_decoded():
    tag_set = make_tag_set(["O", "B-a", "I-a"])
    with pytest.raises(AssertionError, match="overlap"):
        tag_set.make_labels(5, [("a", 0, 3), ("a", 2, 4)])
    with pytest.raises(AssertionError, match="unlabelled"):
        tag_set.find_spans([-1, 0, 1, -1])


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("name\nbook_title\n", zoo_labels(("name", "book_title"))),
        ("\ufeffname\r\nO2\r\n\r\n", zoo_labels(("name", "O2"))),
        ("O\nB-a\nI-a", ("O", "B-a", "I-a")),
        ("\nB-a\n\nI-a \nO\n", ("B-a", "I-a", "O")),
        ('{"I-a": 2, "O": 0, "B-a": 1}', ("O", "B-a", "I-a")),
        (' \n{"O": 2,\n "S_é\\u00e9": 0,\n "B_a": 1}\n', ("S_éé", "B_a", "O")),
        ('{"label2id": {"O": 0, "B-a": 1}}', ("O", "B-a")),
        ('{"tags": {"B-a": 1, "O": 0}}', ("O", "B-a")),
        ('{"id2label": {"1": "B-a", "0": "O"}, "label2id": {"O": 0, "B-a": 1}, "seed": 1}', ("O", "B-a")),
        ('{"1": "B-a", "0": "O"}', ("O", "B-a")),
        ('["O", "B-a"]', ("O", "B-a")),
        ("O\na-B\na-I", ("O", "a-B", "a-I")),
        ("O\nB\nI", ("O", "B", "I")),
    ],
)
def test_label_file_is_known_by_its_content(text, labels, tmp_path):
    for path, data in ((tmp_path / "labels", text.encode()), (tmp_path / "labels.gz", gzip.compress(text.encode()))):
        path.write_bytes(data)
        assert read_label_file(path) == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "labels.txt: the file is empty"),
        (b"name\n\xff\n", "labels.txt:2: not UTF-8"),
        (b"name\nbook\nname\n", "labels.txt:3: 'name' twice, first in line 1"),
        (b"name\na book\n", "labels.txt:2: found 'a book', expected one tag or one entity type"),
        (b"O\nB-a 1\n", "labels.txt:2: found 'B-a 1'"),
        (b"name\nna\0me\n", "labels.txt:2: found"),
        (b"O\nB-a\n\nname\n", "labels.txt:4: 'name' is no tag"),
        (b"O\nB-a\n[CLS]\n", "labels.txt:3: '.CLS.' is no tag"),
        (b"B-a\nI-a\n", "labels.txt: no tag O"),
        (b"O\n", "labels.txt: no tag but O"),
        (b"O\nB-a\nI-a\nM-a\n", "labels.txt: .*two schemes"),
        (b'{"O": 0,\n"B-a": }', "labels.txt:2: no JSON: Expecting value"),
        (b'{"O": 0,\n"B-a": 2}', "labels.txt:2: 'B-a' has id 2; the 2 tags need the ids 0 to 1"),
        (b'{"O": 0,\n"B-a": -1}', "labels.txt:2: 'B-a' has id -1"),
        (b'{"O": 0,\n"B-a": "1"}', "labels.txt:2: 'B-a' has id '1'"),
        (b'{"O": 0,\n"B-a": true}', "labels.txt:2: 'B-a' has id True"),
        (b'{"O": 0,\n"B-a": {"B-b": 1}}', "labels.txt:2: 'B-a' has id"),
        (b'{"O": 0,\n"B-a": 0}', "labels.txt:2: 'B-a' has id 0, which 'O' has too"),
        (b'{"O": 0, "O": 1}', "labels.txt: tag 'O' twice"),
        (b'{"O": 0, "a": 1}', "labels.txt: 'a' is no tag"),
        (b"{}", "labels.txt: no tag O"),
        (b'{"label2id": {"O": 0, "B-a": 1}, "id2label": {"0": "B-a", "1": "O"}}', "labels.txt: label2id and id2label contradict"),
        (b'["O", 1]', "labels.txt: expected an object {tag: id} or a list of tags"),
        (b'{"0": "O", "2": "B-a"}', "labels.txt:1: 'B-a' has id 2; the 2 tags need the ids 0 to 1"),
        (b'{"O": ' + b"[" * 100_000, "labels.txt: no JSON: .*recursion"),
        (b'{"O": ' + b"1" * 5000 + b"}", "labels.txt: no JSON: Exceeds"),
        (b'{"O": 0, "B-\\ud83d": 1}', "labels.txt: .*surrogates not allowed"),
    ],
)
def test_defect_of_a_label_file_names_file_and_line(text, message, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=message):
        read_label_file(path)


def test_absent_label_file_is_told_as_absent(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.txt"):
        read_label_file(tmp_path / "none.txt")
