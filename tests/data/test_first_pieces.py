"""Taggers whose words have the tag of their first piece, as run_ner.py of Hugging Face trains them."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from src.config import loader
from src.records.record_set import Chunk, RecordSet, join_rows
from src.tasks.ner import inputs as ner_inputs
from src.tasks.ner import results as ner_results
from src.tasks.ner import serving as bundle_ner
from src.tasks.ner.encoding_report import INSIDE
from src.tasks.ner.options import NerOptions
from src.tasks.ner.rows import encode_sentences, find_continuations, find_entities, merge_windows
from src.tasks.ner.tagged_text import Sentence
from src.tasks.ner.tags import Entity, list_labels, make_tag_set
from src.tasks.task import Prepared
from src.text.tokenization import Tokenizer

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "first_pieces.json").read_text(encoding="utf-8"))
BIOES = make_tag_set(list_labels(("PER", "LOC"), "BIOES"))


@pytest.fixture
def tokenizer(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(GOLDEN["vocabulary"]) + "\n", encoding="utf-8")
    return Tokenizer(tmp_path / "vocab.txt", True)


def predict(tokenizer, texts, seq_length, **settings):
    """Entities (type, start, end) that a bundle finds by the golden file's scores of tokens."""
    description = SimpleNamespace(settings={"seq_length": seq_length, **settings}, labels=GOLDEN["labels"])
    rows, memory = bundle_ner.encode(description, tokenizer, texts)
    outputs = [(np.array(GOLDEN["scores"], np.float32)[input_ids],) for input_ids, _ in rows]
    found = bundle_ner.decode(description, memory, outputs, None)
    return [[[entity[key] for key in ("type", "start", "end")] for entity in each["entities"]] for each in found]


def test_entities_are_those_of_the_pipeline_of_transformers(tokenizer):
    assert predict(tokenizer, GOLDEN["texts"], 100, tagged_pieces="first") == GOLDEN["entities"]
    assert predict(tokenizer, GOLDEN["texts"], 100) != GOLDEN["entities"]


@pytest.mark.parametrize("seq_length", [3, 5, 8, 17])
def test_windows_change_no_entity_of_whole_words(seq_length, tokenizer):
    assert predict(tokenizer, GOLDEN["texts"], seq_length, tagged_pieces="first") == GOLDEN["entities"]  # the scores see no context


def encode(tokenizer, text, *entities, seq_length=32, windows=True):
    sentence = Sentence(text, tuple(Entity(*entity) for entity in entities), 1)
    rows, report = encode_sentences([sentence], tokenizer, BIOES, seq_length, windows, tagged_pieces="first")
    return rows, [reason for *_, reason in report.unaligned]


@pytest.mark.parametrize(
    ("text", "entity", "labels", "reasons"),
    [
        ("washcat was dad", (0, 7), "S - O O", []),  # wash ##cat was dad
        ("washcat was dad", (0, 11), "B - E O", []),
        ("was washcats dad", (0, 16), "B I - - E", []),
        ("washcat was dad", (0, 4), "O - O O", [INSIDE]),
        ("washcat was dad", (4, 7), "O - O O", [INSIDE]),
        ("qqq was", (0, 3), "S O", []),  # one [UNK]
        ("qqq was", (1, 2), "O O", [INSIDE]),
        ("中国was", (1, 2), "O S O", []),
    ],
)
def test_label_of_a_word_is_that_of_its_first_piece(text, entity, labels, reasons, tokenizer):
    (row,), found = encode(tokenizer, text, ("PER", *entity))
    written = [BIOES.labels[label_id][0] if label_id >= 0 else "-" for label_id in row["label_ids"][1:-1]]
    assert (" ".join(written), found) == (labels, reasons)


@pytest.mark.parametrize("seq_length", [3, 4, 5, 7, 12])
def test_labels_of_windows_give_the_entities_back(seq_length, tokenizer):
    text = "washcats was dad washcat cat washwadst cat dad"
    entities = (Entity("PER", 0, 12), Entity("LOC", 17, 24), Entity("LOC", 29, 42))
    (whole,), _ = encode(tokenizer, text, *entities)
    rows, _ = encode(tokenizer, text, *entities, seq_length=seq_length)
    columns = ([np.array(row[name]) for row in rows] for name in ("starts", "ends", "label_ids"))
    ((starts, ends, label_ids),) = merge_windows([0] * len(rows), [len(row["starts"]) for row in rows], *columns)
    assert (starts.tolist(), ends.tolist()) == (whole["starts"][1:-1], whole["ends"][1:-1])
    assert ((label_ids < 0) == (np.array(whole["label_ids"][1:-1]) < 0)).all()
    assert find_entities(BIOES, whole["starts"], whole["ends"], whole["label_ids"]) == list(entities)


def test_tags_of_other_pieces_count_neither_in_scores_nor_in_predictions(tokenizer, tmp_path):
    labels, sentence = list_labels(("PER",), "BIO"), Sentence("washcats was dad", (Entity("PER", 0, 8), Entity("PER", 13, 16)), 1)
    (tmp_path / "dev.txt").write_text("washcats B-PER\nwas O\ndad B-PER\n")
    rows, _ = encode_sentences([sentence], tokenizer, make_tag_set(labels), 32, True, tagged_pieces="first")
    chunk = join_rows(rows)
    records = RecordSet(chunk.lengths, chunk.tokens, chunk.rows)
    tags = np.array([[2, 1, 2, 1, 0, 1, 2, 2]])  # [CLS] wash ##cat ##s was dad [SEP] and padding
    flags = ["--do_eval=true", f"--eval_data_file_path={tmp_path}/dev.txt", "--tagged_pieces=first", f"--output_dir={tmp_path}"]
    config = loader.load(NerOptions, [*flags, f"--labels={','.join(labels)}"])
    prepared = Prepared(config, {"eval": records, "predict": records}, tokenizer, {"eval": [sentence], "predict": [sentence]})
    metrics = ner_results.score(prepared, (tags, [1.0], [3.0]))
    assert (metrics["f1"], metrics["accuracy"], metrics["num_tokens"], metrics["num_entities"]) == (1, 1, 3, 2)
    ner_results.report_predictions(prepared, (tags,))
    (line,) = (tmp_path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert [entity["text"] for entity in json.loads(line)["entities"]] == ["washcats", "dad"]


def test_ready_made_rows_keep_the_labels_of_first_pieces(tokenizer):
    ids = [tokenizer.vocabulary[token] for token in ["[CLS]", "wash", "##cat", "##s", "was", "dad", "[SEP]"]]
    chunk = Chunk(np.array([7]), {"input_ids": np.array(ids), "label_ids": np.array([0, 1, 2, 0, 0, 2, 0])}, {})
    tag_set = make_tag_set(list_labels(("PER",), "BIO"))
    every = ner_inputs.complete_records("a.mindrecord", chunk, 0, tag_set, tokenizer, ())
    first = ner_inputs.complete_records("a.mindrecord", chunk, 0, tag_set, tokenizer, find_continuations(tokenizer))
    assert every.tokens["label_ids"].tolist() == [-1, 1, 2, 0, 0, 1, -1]
    assert first.tokens["label_ids"].tolist() == [-1, 1, -1, -1, 0, 1, -1]
