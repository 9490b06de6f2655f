"""The peer: Hugging Face's text-classification recipe in PyTorch eager, by its own Trainer's defaults, on one task's files.

AdamW (fused), linear decay with 10 % warm-up, clipping at 1, dynamic padding of random batches; prints one JSON line.
Run in .venv-torch (benchmarks/peers.sh).
"""

import argparse
import json
import time
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, BertTokenizerFast, get_linear_schedule_with_warmup


def read_cola(path):
    rows = [line.split("\t") for line in Path(path).read_text(encoding="utf-8").rstrip("\n").split("\n")]
    return [row[3] for row in rows], [int(row[1]) for row in rows]


def batches(encoded, labels, order, size, tokenizer, padding, length):
    for start in range(0, len(order), size):
        picked = order[start : start + size]
        batch = tokenizer.pad({"input_ids": [encoded[i] for i in picked]}, padding=padding, max_length=length, return_tensors="pt")
        yield batch, torch.tensor([labels[i] for i in picked])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--dev", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--max_steps", type=int, default=0)
    parser.add_argument("--padding", default="longest", choices=("longest", "max_length"))
    options = parser.parse_args()
    started = time.perf_counter()
    torch.manual_seed(options.seed)
    torch.set_num_threads(2)
    tokenizer = BertTokenizerFast.from_pretrained(options.model)
    model = AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=2)
    (texts, labels), (dev_texts, dev_labels) = read_cola(options.train), read_cola(options.dev)
    encoded = tokenizer(texts, truncation=True, max_length=128)["input_ids"]
    dev_encoded = tokenizer(dev_texts, truncation=True, max_length=128)["input_ids"]
    decayed = [p for n, p in model.named_parameters() if "bias" not in n and "LayerNorm" not in n]
    kept = [p for n, p in model.named_parameters() if "bias" in n or "LayerNorm" in n]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": kept, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=5e-5, eps=1e-8, fused=True)
    per_epoch = -(-len(encoded) // 32)
    total = per_epoch * options.epochs
    schedule = get_linear_schedule_with_warmup(optimizer, int(total * 0.1), total)
    model.train()
    rows, step, seconds = 0, 0, 0.0
    for _ in range(options.epochs):
        order = torch.randperm(len(encoded)).tolist()
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
            if step == options.max_steps:
                break
        if step == options.max_steps:
            break
    model.eval()
    predicted, begun = [], time.perf_counter()
    with torch.no_grad():
        for batch, _ in batches(dev_encoded, dev_labels, list(range(len(dev_encoded))), 32, tokenizer, options.padding, 128):
            predicted += model(**batch).logits.argmax(1).tolist()
    eval_seconds = time.perf_counter() - begun
    from sklearn.metrics import matthews_corrcoef

    result = {
        "mcc": matthews_corrcoef(dev_labels, predicted),
        "train_samples_per_s": rows / seconds,
        "eval_samples_per_s": len(predicted) / eval_seconds,
        "wall_s": time.perf_counter() - started,
    }
    print(json.dumps({"peer": "huggingface", "seed": options.seed, "padding": options.padding, **result}))


if __name__ == "__main__":
    main()
