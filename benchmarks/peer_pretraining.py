"""The peer: pretraining with Hugging Face's BertForPreTraining in PyTorch eager; two modes.

    .venv-torch/bin/python benchmarks/peer_pretraining.py --batches FILE.npz --config configs/networks/bert_base.json --vocab_size 30522
        prints one JSON line with the speed, at dropout 0.1 with fused AdamW;
    ... --losses OUT.npz --weights FOLDER --optimizer Lamb
        trains the given weights without dropout by the loop that made tests/golden/pretraining.npz, and saves the losses [steps].

FILE.npz: input_ids, input_mask, segment_ids or token_type_ids [rows, S], masked_lm_positions, masked_lm_ids, masked_lm_weights
[rows, P], next_sentence_labels [rows] or [rows, 1]. Batch i is the i-th run of batch_size rows, from the start again after the last.
"""

import argparse
import itertools
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForPreTraining

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/golden"))
from make_pretraining import make_optimizer, train


def read_batches(path, size):
    """Endless batches: dicts of columns."""
    with np.load(path) as file:
        columns = {{"segment_ids": "token_type_ids"}.get(key, key): file[key] for key in file.files}
    columns["next_sentence_labels"] = columns["next_sentence_labels"].reshape(-1)
    num_batches = len(columns["input_ids"]) // size
    if num_batches == 0:
        raise ValueError(f"--batch_size={size}: {path} has {len(columns['input_ids'])} rows")
    for number in itertools.cycle(range(num_batches)):
        yield {key: value[number * size : (number + 1) * size] for key, value in columns.items()}


def make_inputs(batch):
    """A batch as BertForPreTraining takes it: labels [B, S], -100 where no token is masked."""
    labels = np.full(batch["input_ids"].shape, -100, np.int64)
    rows, slots = np.nonzero(batch["masked_lm_weights"])
    labels[rows, batch["masked_lm_positions"][rows, slots]] = batch["masked_lm_ids"][rows, slots]
    inputs = {name: batch[name] for name in ("input_ids", "token_type_ids")} | {"attention_mask": batch["input_mask"]}
    inputs |= {"labels": labels, "next_sentence_label": batch["next_sentence_labels"]}
    return {name: torch.from_numpy(value.astype(np.int64)) for name, value in inputs.items()}


def make_model(options, dropout):
    """BertForPreTraining with random weights, or with --weights: Hugging Face's folder, or a .safetensors file beside --config."""
    off = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    if options.weights and Path(options.weights).is_dir():
        return BertForPreTraining.from_pretrained(options.weights, dtype=torch.float32, **off)
    vocab_size = {"vocab_size": options.vocab_size} if options.vocab_size else {}
    model = BertForPreTraining(BertConfig(**json.loads(Path(options.config).read_text()) | off | vocab_size))
    if options.weights:
        found = model.load_state_dict(load_file(options.weights), strict=False)
        missing = [name for name in found.missing_keys if not name.startswith("cls.predictions.decoder.")]  # tied
        if missing or found.unexpected_keys:
            raise ValueError(f"{options.weights}: missing {missing}, unexpected {found.unexpected_keys}")
    return model


def masked_loss(model, inputs):
    """The model's own loss with the vocabulary's logits at the masked positions alone, which its forward does not offer."""
    labels, next_sentence = inputs["labels"], inputs["next_sentence_label"]
    names = ("input_ids", "token_type_ids", "attention_mask")
    sequence, pooled = model.bert(**{name: inputs[name] for name in names})[:2]
    real = labels >= 0
    loss = torch.nn.functional.cross_entropy(model.cls.predictions(sequence[real]), labels[real])
    return loss + torch.nn.functional.cross_entropy(model.cls.seq_relationship(pooled), next_sentence)


def measure_speed(model, batches, options):
    """Median rows per second and the seconds of each step after --warmup, the batch's conversion to tensors included."""
    optimizer, seconds = make_optimizer(options.optimizer, model, options.learning_rate), []
    model.train()
    for batch in itertools.islice(batches, options.warmup + options.steps):
        begun = time.perf_counter()
        inputs = make_inputs(batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.autocast):
            loss = masked_loss(model, inputs) if options.masked_only else model(**inputs).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - begun)
    seconds = seconds[options.warmup :]
    return {
        "samples_per_s": options.batch_size / statistics.median(seconds),
        "seconds_per_step": [round(value, 4) for value in seconds],
        "last_loss": loss.item(),
        "shape": list(batch["input_ids"].shape),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", required=True)
    parser.add_argument("--config", default="configs/networks/bert_base.json")
    parser.add_argument("--vocab_size", type=int, help="in place of the config's")
    parser.add_argument("--weights", help="initial weights; default: random")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=2, help="speed: steps before the measured ones")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dropout", type=float, default=0.1, help="speed only; 0 with --losses")
    parser.add_argument("--optimizer", default="AdamW", choices=("AdamW", "AdamWeightDecay", "Lamb"))
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    parser.add_argument("--masked_only", action="store_true", help="speed: logits at the masked positions alone")
    parser.add_argument("--autocast", action="store_true", help="speed: products in bfloat16 under torch.autocast")
    parser.add_argument("--losses", help="save the losses of training with polynomial decay to 0 over --steps")
    parser.add_argument("--warmup_steps", type=int, default=0, help="losses: steps of linear warm-up of the learning rate")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    batches = read_batches(options.batches, options.batch_size)
    model = make_model(options, 0.0 if options.losses else options.dropout)
    if options.losses:
        batches = itertools.islice(batches, options.steps)
        losses = train(model.eval(), batches, options.optimizer, options.learning_rate, options.warmup_steps, options.steps)
        np.savez(options.losses, **losses)
        result = {"first_loss": losses["losses"][0], "last_loss": losses["losses"][-1]}
    else:
        result = measure_speed(model, batches, options)
    print(json.dumps({"peer": "huggingface", "optimizer": options.optimizer, "torch": torch.__version__, **result}))


if __name__ == "__main__":
    main()
