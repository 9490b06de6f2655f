"""The peer of memory_trial.py: the same steps with Hugging Face's BertForSequenceClassification in PyTorch eager.

    .venv-torch/bin/python benchmarks/peer_memory.py --config configs/networks/bert_base.json --layers 6 --batch_size 16

Random tokens without padding, fused AdamW, clipping by the global norm, dropout as the config says; --use_recompute is Transformers'
gradient checkpointing. Prints one JSON line as memory_trial.py does.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
from peak_memory import peak_resident_bytes
from transformers import BertConfig, BertForSequenceClassification


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--layers", type=int, help="in place of the config's")
    parser.add_argument("--seq_length", type=int, default=128)
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--use_recompute", action="store_true")
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args()
    torch.manual_seed(1)
    shape = json.loads(Path(options.config).read_text(encoding="utf-8"))
    shape |= {"num_hidden_layers": options.layers} if options.layers else {}
    model = BertForSequenceClassification(BertConfig(**shape)).train()
    if options.use_recompute:
        model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    ids = torch.randint(0, shape["vocab_size"], (options.batch_size, options.seq_length))
    labels, seconds = torch.randint(0, 2, (options.batch_size,)), []
    for _ in range(options.steps):
        begun = time.perf_counter()
        loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - begun)
    result = {"device": "CPU", "batch_size": options.batch_size, "peak_bytes": peak_resident_bytes(), "loss": loss.item()}
    print(json.dumps(result | {"sentences_per_s": options.batch_size / statistics.median(seconds[1:])}))


if __name__ == "__main__":
    main()
