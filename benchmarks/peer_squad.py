"""The peer of run_squad.py: Hugging Face's run_qa recipe in PyTorch eager, by its own defaults, on files of SQuAD 1.1.

Windows that overlap by --doc_stride tokens, padded to the full length; AdamW (fused) without weight decay, linear decay without warm-up,
clipping at 1; an answer is the best of the 20 x 20 likeliest pairs of its windows. Scored by src.metrics.squad. Prints one JSON line.
Run in .venv-torch (benchmarks/peers.sh).

Source: transformers, examples/pytorch/question-answering. There, the start of an answer in a window's last word is a padding position, by
an oversight; here it is the word.
"""

import argparse
import gzip
import json
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, get_linear_schedule_with_warmup

ROOT = Path(__file__).resolve().parent.parent
NUM_BEST, LONGEST_ANSWER = 20, 30


def read_questions(path):
    """SQuAD's questions in the file's order, each with its paragraph as "context"."""
    with gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8") as file:
        data = json.load(file)["data"]
    paragraphs = (paragraph for article in data for paragraph in article["paragraphs"])
    return [{**question, "context": paragraph["context"]} for paragraph in paragraphs for question in paragraph["qas"]]


def encode(questions, tokenizer, options):
    """(inputs of each window, index of its question, character offsets of its tokens: None outside the paragraph)."""
    texts = [question["question"].lstrip() for question in questions], [question["context"] for question in questions]
    encoded = tokenizer(
        *texts, truncation="only_second", max_length=options.max_seq_length, stride=options.doc_stride,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    owners, offsets = encoded.pop("overflow_to_sample_mapping"), encoded.pop("offset_mapping")
    places = [[place if part == 1 else None for place, part in zip(row, encoded.sequence_ids(i))] for i, row in enumerate(offsets)]
    return dict(encoded), owners, places


def find_labels(answers, places):
    """(first, last) token of the first answer; [CLS] where the window does not hold all of it."""
    if not answers:
        return 0, 0
    begin, end = answers[0]["answer_start"], answers[0]["answer_start"] + len(answers[0]["text"])
    inside = [(i, place) for i, place in enumerate(places) if place]
    if begin < inside[0][1][0] or end > inside[-1][1][1]:
        return 0, 0
    return max(i for i, place in inside if place[0] <= begin), min(i for i, place in inside if place[1] >= end)


def batches(encoded, order, tokenizer, options):
    """(indexes of the windows, inputs) of each batch."""
    for start in range(0, len(order), options.batch_size):
        picked = order[start : start + options.batch_size]
        rows = {key: [values[i] for i in picked] for key, values in encoded.items()}
        yield picked, tokenizer.pad(rows, padding=options.padding, max_length=options.max_seq_length, return_tensors="pt")


def train(model, tokenizer, options):
    """(number of windows, windows per second without the first 5 steps)."""
    questions = read_questions(options.train)[: options.num_train]
    encoded, owners, places = encode(questions, tokenizer, options)
    labels = torch.tensor([find_labels(questions[owner]["answers"], row) for owner, row in zip(owners, places)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, eps=1e-8, weight_decay=0.0, fused=True)
    total = round(-(-len(owners) // options.batch_size) * options.epochs)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, total)
    model.train()
    rows, step, last, begun = 0, 0, options.max_steps or total, time.perf_counter()
    while step < last:
        for picked, batch in batches(encoded, torch.randperm(len(owners)).tolist(), tokenizer, options):
            start, end = labels[picked].unbind(1)
            model(**batch, start_positions=start, end_positions=end).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            step += 1
            rows += len(picked)
            if step == 5:
                rows, begun = 0, time.perf_counter()
            if step == last:
                break
    return len(owners), rows / (time.perf_counter() - begun)


def find_spans(start, end, places):
    """(score, first and last character) of each pair of likely tokens that can be an answer."""
    (starts, firsts), (ends, lasts) = ([part.tolist() for part in logits.topk(min(NUM_BEST, len(logits)))] for logits in (start, end))
    for start_score, first in zip(starts, firsts):
        for end_score, last in zip(ends, lasts):
            if first <= last < first + LONGEST_ANSWER and last < len(places) and places[first] and places[last]:
                yield start_score + end_score, places[first][0], places[last][1]


def predict(model, tokenizer, questions, options):
    """({question id: answer}, number of windows, windows per second of the network alone)."""
    encoded, owners, places = encode(questions, tokenizer, options)
    num_rows = min(len(owners), options.max_eval_rows or len(owners))
    model.eval()
    logits, begun = [], time.perf_counter()
    with torch.no_grad():
        for _, batch in batches(encoded, list(range(num_rows)), tokenizer, options):
            output = model(**batch)
            logits += zip(output.start_logits, output.end_logits)
    rate = num_rows / (time.perf_counter() - begun)
    spans = {owner: [] for owner in owners[:num_rows]}
    for owner, (start, end), row in zip(owners, logits, places):
        spans[owner] += find_spans(start, end, row)
    answers = {}
    for owner, found in spans.items():
        _, begin, end = max(found, key=lambda span: span[0], default=(0.0, 0, 0))
        answers[questions[owner]["id"]] = questions[owner]["context"][begin:end] or "empty"
    return answers, num_rows, rate


def score(questions, answers):
    """exact_match and f1 of the answered questions, by this project's measure, in this project's environment."""
    with tempfile.TemporaryDirectory() as folder:
        gold = [{"paragraphs": [{"qas": [question for question in questions if question["id"] in answers]}]}]
        paths = Path(folder, "gold.json"), Path(folder, "predictions.json")
        for path, content in zip(paths, ({"data": gold}, answers)):
            path.write_text(json.dumps(content), encoding="utf-8")
        command = [ROOT / ".venv/bin/python", "-m", "src.metrics.squad", *paths]
        return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--num_train", type=int, help="the first questions; default: all")
    parser.add_argument("--dev", required=True)
    parser.add_argument("--num_dev", type=int, help="questions at even distances; default: all")
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--learning_rate", type=float, default=5e-5)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--max_seq_length", type=int, default=384)
    parser.add_argument("--doc_stride", type=int, default=128)
    parser.add_argument("--padding", default="max_length", choices=("max_length", "longest"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max_steps", type=int, help="for rates alone, as --max_eval_rows")
    parser.add_argument("--max_eval_rows", type=int, help="scores are then those of the questions reached")
    parser.add_argument("--output_predictions", metavar="FILE")
    options = parser.parse_args()
    started = time.perf_counter()
    torch.manual_seed(options.seed)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForQuestionAnswering.from_pretrained(options.model, dtype=torch.float32)
    questions = read_questions(options.dev)
    if options.num_dev:
        questions = questions[:: len(questions) // options.num_dev][: options.num_dev]
    train_rows, train_rate = train(model, tokenizer, options)
    answers, eval_rows, eval_rate = predict(model, tokenizer, questions, options)
    if options.output_predictions:
        Path(options.output_predictions).write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8")
    result = {"peer": "huggingface", "seed": options.seed, "padding": options.padding, **score(questions, answers)}
    result |= {"train_rows": train_rows, "train_rows_per_s": train_rate, "eval_rows": eval_rows, "eval_rows_per_s": eval_rate}
    print(json.dumps(result | {"wall_s": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
