"""The texts and rows of sentence embeddings, and files of vectors."""

import json

import numpy as np
import pytest
from conftest import write_vocabulary

from src.records.plan import Batch
from src.records.record_set import cached_records
from src.records.vectors import VectorFile, read_vectors, to_floats
from src.tasks.embed.modules_file import read_modules
from src.tasks.embed.rows import TextRows, make_chunks
from src.tasks.embed.texts import read_texts
from src.text.tokenization import Tokenizer

BENCHMARK = 'main\tMSRvid\t2012\t0001\t5.000\tA "cat" sat.\tA cat was sitting.\nmain\tx\ty\t2\t0.5\tGood.\tBad.\tlicence\n'
READ = {
    "a text a line": ("train.txt", "the cat\na dog\n", None, [["the cat", "a dog"]], None),
    "pairs": ("train.tsv", "the cat\ta cat\na dog\tdogs\n", None, [["the cat", "a dog"], ["a cat", "dogs"]], None),
    "a header": ("train.tsv", "score\ttext_b\ttext_a\n0.5\tx\ty\n", None, [["y"], ["x"]], [0.5]),
    "SimCSE's header": ("nli.csv", 'sent0,sent1,hard_neg\n"a, b",c,d\n', None, [["a, b"], ["c"], ["d"]], None),
    "JSON": ("train.jsonl", '{"anchor": "a", "positive": "b", "negative": "c"}\n', None, [["a"], ["b"], ["c"]], None),
    "columns": ("train.tsv", "x\t3\ty\n", "text_a=2,text_b=0,score=1", [["y"], ["x"]], [3.0]),
}


@pytest.mark.parametrize("kind", READ)
def test_texts_are_read_by_their_columns(kind, tmp_path):
    name, text, columns, texts, scores = READ[kind]
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = read_texts(tmp_path / name, "custom", columns)
    assert [list(column) for column in found.texts] == texts
    assert (found.scores and list(found.scores)) == scores


def test_the_sts_benchmark_is_read_without_quoting(tmp_path):
    (tmp_path / "sts-train.csv").write_text(BENCHMARK, encoding="utf-8")
    found = read_texts(tmp_path / "sts-train.csv", "stsb", None)
    assert [list(column) for column in found.texts] == [['A "cat" sat.', "Good."], ["A cat was sitting.", "Bad."]]
    assert list(found.scores) == [5.0, 0.5]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("a\tb\nc\t\n", None, ":2: text_b is missing or blank; every row has text_a and text_b"),
        ("a\tb\nc\n", None, ":2: 1 columns, at least 2 expected"),
        ("a\tb\tc\n", None, ":1: 3 columns of unknown names: give --columns"),
        ("text_a\ttext_b\tscore\na\tb\tfour\n", None, ":2: the score 'four' is no finite number"),
        ("text_a\ttext_b\na\tb\n", "text_a=text_a,text_b=other", ":1: 0 columns 'other' in the header"),
        ("a\tb\n", "text_b=1", "columns=text_b=1: text_a is missing"),
        ("a\tb\n", "text_a=0,label=1", "expected text_a=NAME_OR_INDEX[,text_b=…][,negative=…][,score=…], found 'label=1'"),
        ("text_a\ttext_b\n", None, ": a header and no rows"),
    ],
)
def test_bad_texts_are_named_with_file_and_line(text, columns, message, tmp_path):
    (tmp_path / "train.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError) as error:
        read_texts(tmp_path / "train.tsv", "custom", columns)
    assert message in str(error.value)


def test_rows_hold_each_text_to_its_own_length(tmp_path):
    (tmp_path / "train.tsv").write_text("the cat sat\tgood\na dog\tit was very slow\n", encoding="utf-8")
    tokenizer = Tokenizer(write_vocabulary(tmp_path / "vocab.txt"))
    texts = read_texts(tmp_path / "train.tsv", "custom", None)
    records = cached_records(tmp_path / "cache", lambda: make_chunks(texts, tokenizer, 5, twice=False))
    rows = TextRows(records, 5.0)
    assert rows.lengths.tolist() == [5, 5]  # the last text is cut from 6
    batch = Batch(np.array([1, 0]), 2, 6)
    ids, mask = rows.column("input_ids", batch), rows.column("input_mask", batch)
    assert ids.shape == mask.shape == rows.column("token_type_ids", batch).shape == (2, 2, 6)
    assert mask.sum(2).tolist() == [[4, 5], [5, 3]] and not ids[mask == 0].any()
    shown = [[tokenizer.tokens[each] for each in text[text > 0]] for text in ids.reshape(4, 6)]
    assert shown[0] == ["[CLS]", "a", "dog", "[SEP]"] and shown[3] == ["[CLS]", "good", "[SEP]"]
    assert shown[1] == ["[CLS]", "it", "was", "very", "[SEP]"]


def write_modules(folder, *kinds, **pooling):
    modules = [{"idx": number, "name": str(number), "path": f"{number}_{kind}", "type": f"x.{kind}"} for number, kind in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling), encoding="utf-8")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 77}', encoding="utf-8")


def test_pooling_and_length_are_those_beside_the_weights(tmp_path, encoder):
    assert read_modules(encoder) == {"pooling": "mean", "seq_length": 256}
    assert read_modules(tmp_path) == {}
    write_modules(tmp_path, "Transformer", "Pooling", pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)
    assert read_modules(tmp_path) == {"pooling": "cls", "seq_length": 77}


@pytest.mark.parametrize(
    ("kinds", "pooling", "message"),
    [
        (("Transformer", "Pooling", "Dense"), {"pooling_mode": "mean"}, "modules.json: the module Dense is not supported"),
        (
            ("Transformer", "Pooling"),
            {"pooling_mode_max_tokens": True},
            "config.json: pooling max_tokens is not supported; mean and cls are",
        ),
    ],
)
def test_modules_that_would_give_other_vectors_are_refused(kinds, pooling, message, tmp_path):
    write_modules(tmp_path, *kinds, **pooling)
    with pytest.raises(ValueError, match=message):
        read_modules(tmp_path)


def test_vectors_are_the_same_bits_in_both_kinds_of_file(tmp_path):
    vectors = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
    results = [{"embedding": to_floats(vector)} for vector in vectors]
    file = VectorFile(tmp_path / "vectors.npy")
    for some in (results[:2], results[2:]):
        file.write(some)
    file.close()
    (tmp_path / "vectors.jsonl").write_text("".join(json.dumps(result) + "\n" for result in results), encoding="utf-8")
    assert len(json.dumps(results[0])) < 60  # no digits beyond float32
    for name in ("vectors.npy", "vectors.jsonl"):
        np.testing.assert_array_equal(read_vectors(tmp_path / name), vectors)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", '{"embedding": [1, 2]}\n{"embedding": [1]}\n', "x.jsonl:2: 1 numbers, the first vector has 2"),
        ("x.jsonl", '{"label": "a"}\n', 'x.jsonl:1: "embedding" with a list of numbers is expected'),
        ("x.jsonl", '{"embedding": ["a"]}\n', 'x.jsonl:1: "embedding" with a list of numbers is expected'),
        ("x.jsonl", '{"embedding": ["1"]}\n', 'x.jsonl:1: "embedding" with a list of numbers is expected'),
        ("x.jsonl", '{"embedding": [1, [2]]}\n', 'x.jsonl:1: "embedding" with a list of numbers is expected'),
        ("x.jsonl", f'{{"embedding": [{10**400}]}}\n', 'x.jsonl:1: "embedding" with a list of numbers is expected'),
        ("x.jsonl", '{"embedding": [1, NaN]}\n', "x.jsonl: NaN or infinity in row 0"),
        ("x.npy", "text", "x.npy: not a file of NumPy"),
    ],
)
def test_bad_files_of_vectors_are_named(name, content, message, tmp_path):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ValueError) as error:
        read_vectors(tmp_path / name)
    assert message in str(error.value)
