"""The peer: Hugging Face's text-classification recipe in PyTorch eager, by its own Trainer's defaults, on one task's files.

AdamW (fused), linear decay with 10 % warm-up, clipping at 1, dynamic padding of random batches; prints one JSON line.
Run in .venv-torch (benchmarks/peers.sh).
"""

import argparse
import csv
import gzip
import json
import time

import torch
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from transformers import AutoModelForSequenceClassification, BertTokenizerFast, get_linear_schedule_with_warmup

# task: (columns of the texts, column of the label, has a header, measure)
TASKS = {
    "cola": ((3,), 1, False, "mcc"),
    "mrpc": ((3, 4), 0, True, "accuracy"),
    "sst2": ((0,), 1, True, "accuracy"),
    "stsb": ((5, 6), 4, False, "spearman_correlation"),
}


def read_table(path, task):
    texts, label, header, _ = TASKS[task]
    with gzip.open(path, "rt", encoding="utf-8-sig") if path.endswith(".gz") else open(path, encoding="utf-8-sig") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[int(header) :]
    columns = [[row[place] for row in rows] for place in texts]
    return columns, [float(row[label]) if task == "stsb" else int(row[label]) for row in rows]


def batches(encoded, labels, order, size, tokenizer, padding, length):
    for start in range(0, len(order), size):
        picked = order[start : start + size]
        batch = tokenizer.pad(
            {key: [encoded[key][i] for i in picked] for key in encoded}, padding=padding, max_length=length, return_tensors="pt"
        )
        yield batch, torch.tensor([labels[i] for i in picked])


def measure(task, labels, predicted):
    if task == "stsb":
        return {"spearman_correlation": spearmanr(labels, predicted).statistic}
    scores = {"accuracy": accuracy_score(labels, predicted), "f1": f1_score(labels, predicted), "mcc": matthews_corrcoef(labels, predicted)}
    return {name: float(value) for name, value in scores.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="cola", choices=TASKS)
    parser.add_argument("--model", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--dev", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--learning_rate", type=float, default=5e-5)
    parser.add_argument("--max_steps", type=int, default=0)
    parser.add_argument("--padding", default="longest", choices=("longest", "max_length"))
    options = parser.parse_args()
    started = time.perf_counter()
    torch.manual_seed(options.seed)
    tokenizer = BertTokenizerFast.from_pretrained(options.model)
    num_labels = 1 if options.task == "stsb" else 2
    model = AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=num_labels)
    (texts, labels), (dev_texts, dev_labels) = read_table(options.train, options.task), read_table(options.dev, options.task)
    encoded = tokenizer(*texts, truncation=True, max_length=128)
    dev_encoded = tokenizer(*dev_texts, truncation=True, max_length=128)
    decayed = [p for n, p in model.named_parameters() if "bias" not in n and "LayerNorm" not in n]
    kept = [p for n, p in model.named_parameters() if "bias" in n or "LayerNorm" in n]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": kept, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, eps=1e-8, fused=True)
    total = round(-(-len(labels) // 32) * options.epochs)
    last = options.max_steps or total
    schedule = get_linear_schedule_with_warmup(optimizer, int(total * 0.1), total)
    model.train()
    rows, step, seconds = 0, 0, 0.0
    while step < last:
        order = torch.randperm(len(labels)).tolist()
        for batch, target in batches(encoded, labels, order, 32, tokenizer, options.padding, 128):
            begun = time.perf_counter()
            loss = model(**batch, labels=target).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            step += 1
            if step > 5:
                seconds, rows = seconds + time.perf_counter() - begun, rows + len(target)
            if step == last:
                break
    model.eval()
    predicted, begun = [], time.perf_counter()
    with torch.no_grad():
        for batch, _ in batches(dev_encoded, dev_labels, list(range(len(dev_labels))), 32, tokenizer, options.padding, 128):
            logits = model(**batch).logits
            predicted += (logits[:, 0] if num_labels == 1 else logits.argmax(1)).tolist()
    eval_seconds = time.perf_counter() - begun
    result = {
        **measure(options.task, dev_labels, predicted),
        "train_samples_per_s": rows / seconds,
        "eval_samples_per_s": len(predicted) / eval_seconds,
        "wall_s": time.perf_counter() - started,
    }
    print(json.dumps({"peer": "huggingface", "task": options.task, "seed": options.seed, "padding": options.padding, **result}))


if __name__ == "__main__":
    main()
