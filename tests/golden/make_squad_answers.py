"""What Google's write_predictions (bert-tensorflow 1.0.1) makes of random logits for made-up text: tests/golden/squad_answers.json.gz.

    .venv-tf/bin/python tests/golden/make_squad_answers.py

n_best_size is the length of the rows, so that Google's candidates are all spans. Many scores are equal. `texts` are spans, by far the
best ones of their contexts, whose text Google takes from its whole words.
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

FLAGS = run_squad.FLAGS
SEQ_LENGTH, DOC_STRIDE, MAX_QUERY_LENGTH, MAX_ANSWER_LENGTH, THRESHOLD = 32, 6, 8, 7, 0.5
WORDS = ["the", "cat", "cats", "sat", "sats", "mat", "mats", "x", "(", ")", ",", ".", "x.", "(cat)", "mat,", "sat-mat", "cats'"]
CHINESE = [*"中国人民银行，。", "cat", "sats"]
PIECES = ["the", "cat", "sat", "mat", "x", "##s", "##cat", "##sat", *"(),.-'，。中国人民银行"]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *PIECES]
# (context, first and last token of the span)
TEXTS = [
    ("the  cat\nsat , x", 0, 2),  # white space
    ("the CATS sat", 2, 2),
    ("x Sats x", 2, 2),  # the piece ##s: Google finds the letter's first place in the word
    ("the ☃(cat) sat", 1, 1),  # [UNK]
    ("the (☃) sat", 2, 2),
    ("the (cat) sat", 2, 2),
    ("the (\u200bcat) sat", 2, 2),  # a character without token inside the word
    ("the (cát) sat", 2, 2),
    ("the (ca\u0301t) sat", 2, 2),  # the accent is a character of its own
    ("the cat\u0301, sat", 1, 1),
    ("中国人民", 1, 2),
    ("中国\u200b人民", 1, 2),
    ("中鿕国人", 1, 2),
]


def make_questions(rng):
    """Examples as read_squad_examples makes them: doc_tokens are what stands between spaces."""
    for number in range(40):
        pieces, separator = (CHINESE, "") if number % 4 == 3 else (WORDS, " ")
        context = separator.join(rng.choice(pieces) for _ in range(rng.choice((1, 3, 8, 20, 30, 45))))
        query = separator.join(rng.choice(pieces) for _ in range(rng.randint(1, 8)))
        yield run_squad.SquadExample(f"q{number}", query, context.split())


def make_rows(examples, tokenizer):
    features = []
    run_squad.convert_examples_to_features(examples, tokenizer, SEQ_LENGTH, DOC_STRIDE, MAX_QUERY_LENGTH, False, features.append)
    return features


def make_logits(rng, examples, features):
    """Of a question in two multiples of 1 / 2, else of 1 / 64; [CLS] is anywhere among the others, or apart."""
    null = [rng.uniform(0, 5) for _ in examples]
    for feature in features:
        unit = (2, 64)[feature.example_index % 2]
        pair = [[rng.gauss(0, 2.5) for _ in range(SEQ_LENGTH)] for _ in range(2)]
        for values in pair:
            values[0] = null[feature.example_index] + rng.gauss(0, 0.5)
        yield run_squad.RawResult(feature.unique_id, *([round(value * unit) / unit for value in values] for values in pair))


def predict(examples, features, results, version_2):
    """Contents of the files that write_predictions writes."""
    FLAGS.version_2_with_negative, FLAGS.null_score_diff_threshold = version_2, THRESHOLD
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / name for name in ("predictions", "nbest", "null_odds")}
        files = map(str, paths.values())
        run_squad.write_predictions(examples, features, results, SEQ_LENGTH, MAX_ANSWER_LENGTH, True, *files)
        return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


def save_row(feature, result):
    return {
        "question": feature.example_index,
        "context_start": min(feature.token_to_orig_map),
        "window_start": feature.doc_span_index * DOC_STRIDE,  # every window but the last one is longer than that
        "length": len(feature.tokens),
        "start_logits": result.start_logits,
        "end_logits": result.end_logits,
    }


def find_text(tokenizer, context, first, last):
    """Google's text of one span."""
    examples = [run_squad.SquadExample("q", "the", context.split())]
    (feature,) = make_rows(examples, tokenizer)
    logits = [[0.0] * SEQ_LENGTH for _ in range(2)]
    logits[0][first + 3] = logits[1][last + 3] = 20.0
    result = run_squad.RawResult(feature.unique_id, *logits)
    return predict(examples, [feature], [result], False)["predictions"]["q"]


def main():
    tf.logging.set_verbosity(tf.logging.ERROR)
    FLAGS([sys.argv[0]])
    rng = random.Random(1)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(VOCABULARY) + "\n")
        file.flush()
        tokenizer = tokenization.FullTokenizer(file.name, do_lower_case=True)
    examples = list(make_questions(rng))
    features = make_rows(examples, tokenizer)
    results = list(make_logits(rng, examples, features))
    saved = {
        "vocabulary": VOCABULARY,
        "n_best_size": SEQ_LENGTH,
        "max_answer_length": MAX_ANSWER_LENGTH,
        "null_threshold": THRESHOLD,
        "questions": [{"id": example.qas_id, "context": " ".join(example.doc_tokens)} for example in examples],
        "rows": [save_row(*pair) for pair in zip(features, results)],
        "version_1": predict(examples, features, results, False),
        "version_2": predict(examples, features, results, True),
        "texts": [{"context": text, "span": span, "google": find_text(tokenizer, text, *span)} for text, *span in TEXTS],
    }
    text = json.dumps(saved, separators=(",", ":"))
    (Path(__file__).parent / "squad_answers.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
