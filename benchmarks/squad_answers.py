"""Answers from logits for all of SQuAD dev: our time on one core, the same by brute force, and what Google's write_predictions finds.

    taskset -c 0 .venv/bin/python benchmarks/squad_answers.py --data ../shared/data/squad/dev-v1.1.json.gz --vocab vocab.txt [--google]

Logits are random, with a few high ones for each question. Prints one JSON line. Brute force takes --searched questions; --google needs
.venv-tf (`benchmarks/peers.sh tf`) and some minutes. Google's windows, and so its answers, are compared where their lengths are ours.
"""

import argparse
import gzip
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SEQ_LENGTH, DOC_STRIDE, MAX_QUERY_LENGTH, N_BEST_SIZE, MAX_ANSWER_LENGTH = 384, 128, 64, 20, 30
GOOGLE = """
import json, sys, time
import numpy as np
import tensorflow.compat.v1 as tf
sys.modules["tensorflow"] = tf
from bert import run_squad, tokenization
tf.logging.set_verbosity(tf.logging.ERROR)
run_squad.FLAGS(sys.argv[:1])
folder, vocab, lower, seq_length, stride, query, n_best_size, max_answer_length = json.load(sys.stdin)
examples = run_squad.read_squad_examples(folder + "/questions.json", False)
tokenizer, features = tokenization.FullTokenizer(vocab, do_lower_case=lower), []
run_squad.convert_examples_to_features(examples, tokenizer, seq_length, stride, query, False, features.append)
saved, ours = np.load(folder + "/logits.npz"), {}
for number, length, begin in zip(saved["question"].tolist(), saved["lengths"].tolist(), saved["begins"].tolist()):
    ours.setdefault(number, []).append((length, begin))
of_question = {}
for feature in features:
    of_question.setdefault(feature.example_index, []).append(feature)
same = [n for n in of_question if [len(f.tokens) for f in of_question[n]] == [length for length, _ in ours.get(n, ())]]
used, results = [], []
for place, number in enumerate(same):
    for feature, (length, begin) in zip(of_question[number], ours[number]):
        feature.example_index = place
        used.append(feature)
        pair = [saved[name][begin:begin + length].tolist() + [-1e4] * (seq_length - length) for name in ("start", "end")]
        results.append(run_squad.RawResult(feature.unique_id, *pair))
chosen, seconds = [examples[number] for number in same], []
for version in (1, 2):
    run_squad.FLAGS.version_2_with_negative = version == 2
    files = [f"{folder}/{name}_{version}.json" for name in ("predictions", "nbest", "null_odds")]
    started = time.process_time()
    run_squad.write_predictions(chosen, used, results, n_best_size, max_answer_length, lower, *files)
    seconds.append(time.process_time() - started)
print(json.dumps(seconds))
"""


def make_logits(records, seed=1):
    """Start and end logits of each row, float32: noise, an answer of 1 to 5 tokens, some high ones, and a null score of its own."""
    rng = np.random.default_rng(seed)
    for length, first in zip(records.lengths, records.rows["context_start"]):
        start, end = rng.normal(-6, 2, (2, length)).astype(np.float32)
        answer = rng.integers(first, length - 1)
        start[answer] += 9
        end[min(answer + rng.integers(5), length - 2)] += 9
        for values in (start, end):
            values[rng.integers(first, length - 1, 3)] += 6
            values[0] = rng.normal(1, 3)
        yield start, end


def search(records, rows, start_logits, end_logits, context):
    """The best texts and their logits by the definition, span for span."""
    windows = []
    for row in rows:
        first, count = records.rows["context_start"][row], records.lengths[row] - records.rows["context_start"][row] - 1
        begin = int(records.lengths[:row].sum()) + first
        pairs = [records.tokens[name][begin : begin + count].tolist() for name in ("starts", "ends")]
        logits = [values[row][first : first + count].tolist() for values in (start_logits, end_logits)]
        windows.append((int(records.rows["window_start"][row]), int(count), *pairs, *logits))

    def measure(number, token):
        left, right = token - windows[number][0], windows[number][0] + windows[number][1] - 1 - token
        return min(left, right) + 0.01 * windows[number][1] if min(left, right) >= 0 else -1

    spans = []
    for number, (shift, count, starts, ends, start, end) in enumerate(windows):
        for first in range(count):
            if number == max(range(len(windows)), key=lambda other: measure(other, first + shift)):
                for last in range(first, min(count, first + MAX_ANSWER_LENGTH)):
                    score = start[first] + end[last]
                    spans.append((-score, number, -start[first], first, last, end[last], context[starts[first] : ends[last]]))
    best = {}
    for _, _, start_logit, _, _, end_logit, text in sorted(spans):
        best.setdefault(text, (text, -start_logit, end_logit))
        if len(best) == N_BEST_SIZE:
            break
    return list(best.values())


def list_best(entries):
    return [(entry["text"], entry["start_logit"], entry["end_logit"]) for entry in entries]


def count_equal(questions, records, logits, answers, count):
    """Of `count` questions, spread over the file, those with the list of brute force."""
    numbers, equal = np.linspace(0, len(questions) - 1, count).astype(int).tolist(), 0
    for number in numbers:
        rows = np.flatnonzero(records.rows["question"] == number).tolist()
        question = questions[number]
        equal += search(records, rows, *logits, question.context) == list_best(answers.nbest[question.id])
    return equal


def run_google(path, vocab, lower_case, records, logits):
    """CPU seconds, predictions and best lists of both versions."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(path).read_bytes()
        (Path(folder) / "questions.json").write_bytes(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        flat = {name: np.concatenate(values) for name, values in zip(("start", "end"), logits)}
        begins = np.cumsum(records.lengths, dtype=np.int64) - records.lengths
        np.savez(Path(folder) / "logits.npz", question=records.rows["question"], lengths=records.lengths, begins=begins, **flat)
        sizes = SEQ_LENGTH, DOC_STRIDE, MAX_QUERY_LENGTH, N_BEST_SIZE, MAX_ANSWER_LENGTH
        request = json.dumps([folder, str(vocab), lower_case, *sizes])
        done = subprocess.run([ROOT / ".venv-tf/bin/python", "-c", GOOGLE], input=request, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        files = [[json.loads((Path(folder) / f"{name}_{v}.json").read_text()) for name in ("predictions", "nbest")] for v in (1, 2)]
        return json.loads(done.stdout.splitlines()[-1]), files


def compare(answers, predictions, nbest):
    """Counts of Google's predictions by how they differ from ours."""
    counts = dict.fromkeys(("compared", "equal", "other_white_space", "other_text_of_that_span", "google_missed_the_best", "other"), 0)
    for key, text in predictions.items():
        ours = answers.predictions[key]
        (_, *own), (_, *google) = (next(entry for entry in list_best(found[key]) if entry[0]) for found in (answers.nbest, nbest))
        if text == ours:
            kind = "equal"
        elif sum(own) > sum(google):
            kind = "google_missed_the_best"
        elif own != google or not text or not ours:
            kind = "other"
        else:
            kind = "other_white_space" if text.split() == ours.split() else "other_text_of_that_span"
        counts[kind] += 1
        counts["compared"] += 1
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--vocab", required=True)
    parser.add_argument("--searched", type=int, default=500, help="questions that brute force takes [%(default)s]")
    parser.add_argument("--google", action="store_true")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from src.records.record_set import cached_records
    from src.tasks.squad.answers import find_answers
    from src.tasks.squad.file import read_squad
    from src.tasks.squad.windows import encode_questions
    from src.text.tokenization import Tokenizer

    questions, tokenizer = read_squad(options.data), Tokenizer(options.vocab)
    with tempfile.TemporaryDirectory() as folder:
        chunk, _ = encode_questions(questions, tokenizer, SEQ_LENGTH, DOC_STRIDE, MAX_QUERY_LENGTH, False, path=options.data)
        records = cached_records(Path(folder) / "records", lambda: [chunk])
        logits = list(zip(*make_logits(records)))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result, versions = {"benchmark": "squad_answers", "questions": len(questions), "rows": len(records.lengths)}, []
        for version, threshold in ((1, None), (2, 0.0)):
            started, used = time.perf_counter(), time.process_time()
            versions.append(find_answers(questions, records, *logits, N_BEST_SIZE, MAX_ANSWER_LENGTH, threshold))
            result[f"seconds_{version}"] = round(time.perf_counter() - started, 2)
            result[f"cpu_seconds_{version}"] = round(time.process_time() - used, 2)
            if version == 1:
                result["megabytes"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        count = min(options.searched, len(questions))
        result |= {"searched": count, "equal_to_brute_force": count_equal(questions, records, logits, versions[0], count)}
        if options.google:
            seconds, files = run_google(options.data, options.vocab, tokenizer.do_lower_case, records, logits)
            for version, (answers, found) in enumerate(zip(versions, files), 1):
                result[f"google_{version}"] = {"cpu_seconds": round(seconds[version - 1], 2), **compare(answers, *found)}
        print(json.dumps(result))


if __name__ == "__main__":
    main()
