"""The rows that Google's run_squad.py (bert-tensorflow 1.0.1) makes of made-up questions for training: tests/golden/squad_windows.json.gz.

    .venv-tf/bin/python tests/golden/make_squad_windows.py

The answers are words, without punctuation around them, or the first place of some Chinese characters: there Google finds their very tokens.
It leaves out those with a space that it takes for a character. `others` are answers where it finds more tokens, or the wrong ones.
"""

import gzip
import json
import random
import sys
import tempfile
from pathlib import Path

import tensorflow.compat.v1 as tf

sys.modules["tensorflow"] = tf  # bert-tensorflow was written for TensorFlow 1
from bert import run_squad, tokenization

WORDS = [
    "the",
    "cat",
    "Cats",
    "sat",
    "mats",
    "cát",
    "ca\u0301ts",
    "☃",
    "qq",
    "x.",
    "(cat)",
    "mat,",
    "sat-mat",
    "“the",
    "Ｘ",
    "cat\u00a0sat",
]
CHINESE = "中国人民银行，。"
PIECES = ["the", "cat", "sat", "mat", "x", "##s", "中", "国", "人", "民", "银", "行", *"(),.-，。“ｘ"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *PIECES]
# seq_length, doc_stride, max_query_length
LENGTHS = [(24, 5, 6), (24, 17, 4), (24, 40, 6), (10, 2, 6), (64, 16, 3), (512, 128, 64)]
# (context, answer, its start)
OTHERS = [
    ("the cats sat", "s", 7),
    ("the cats, sat", "at", 5),  # inside a token: Google takes the words
    ("x sat-mats. x", "at-mat", 3),
    ("sat cat-sat-cat", "cat", 12),  # Google: the first that looks like it in the words
    ("中国人民中国银行", "中国", 4),
]


def make_file(questions):
    """questions: list of (context, [(id, text, answers, is_impossible)])."""
    keys = ("id", "question", "answers", "is_impossible")
    return {"data": [{"paragraphs": [{"context": context, "qas": [dict(zip(keys, row)) for row in rows]}]} for context, rows in questions]}


def make_answer(rng, context, is_chinese):
    if is_chinese:
        begin = rng.randrange(len(context))
        text = context[begin : begin + rng.randint(1, 6)]
        return {"text": text, "answer_start": context.index(text)}
    words = context.split(" ")
    begin = rng.randrange(len(words))
    text = " ".join(words[begin : begin + rng.choice((1, 1, 2, 3, 8))])
    start = len(" ".join(words[:begin])) + bool(begin)
    bare = text.strip("(),.-“")
    return {"text": bare, "answer_start": start + text.index(bare)}


def make_questions(rng, with_impossible):
    for number in range(30):
        is_chinese = number % 4 == 3
        pieces, separator = (CHINESE, "") if is_chinese else (WORDS, " ")
        context, rows = separator.join(rng.choice(pieces) for _ in range(rng.choice((1, 3, 8, 20, 40, 70)))), []
        for k in range(2):
            text = separator.join(rng.choice(pieces) for _ in range(rng.randint(0, 8)))
            is_impossible = with_impossible and rng.random() < 0.4
            rows.append((f"q{number}.{k}", text, [] if is_impossible else [make_answer(rng, context, is_chinese)], is_impossible))
        yield context, rows


def make_rows(file, tokenizer, lengths, version_2=False):
    """By question id: the rows, each (input_ids, segment ids, context_start, window_start, start and end of the answer)."""
    run_squad.FLAGS.version_2_with_negative = version_2
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as saved:
        json.dump(file, saved)
        saved.flush()
        examples, features = run_squad.read_squad_examples(saved.name, is_training=True), []
    run_squad.convert_examples_to_features(examples, tokenizer, *lengths, True, features.append)
    rows = {}
    for feature in features:
        own = rows.setdefault(examples[feature.example_index].qas_id, [])
        length, context_start = sum(feature.input_mask), min(feature.token_to_orig_map)
        window_start = own[-1][3] + min(len(own[-1][0]) - context_start - 1, lengths[1]) if own else 0
        columns = feature.input_ids[:length], feature.segment_ids[:length], context_start, window_start
        own.append((*columns, feature.start_position, feature.end_position))
    return rows


def main():
    tf.logging.set_verbosity(tf.logging.ERROR)
    run_squad.FLAGS([sys.argv[0], "--vocab_file=-", "--bert_config_file=-", "--output_dir=-"])
    rng = random.Random(1)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(VOCABULARY) + "\n")
        file.flush()
        tokenizer = tokenization.FullTokenizer(file.name, do_lower_case=True)
    saved = {"vocabulary": VOCABULARY, "lengths": LENGTHS}
    for name, version_2 in (("version_1", False), ("version_2", True)):
        file = make_file(make_questions(rng, version_2))
        saved[name] = {"file": file, "rows": [make_rows(file, tokenizer, lengths, version_2) for lengths in LENGTHS]}
    others = []
    for context, text, start in OTHERS:
        answer = {"text": text, "answer_start": start}
        ((row,),) = make_rows(make_file([(context, [("q", "", [answer], False)])]), tokenizer, (64, 16, 8)).values()
        others.append({"context": context, **answer, "first": row[4] - row[2], "last": row[5] - row[2]})
    text = json.dumps({**saved, "others": others}, separators=(",", ":"))
    (Path(__file__).parent / "squad_windows.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
