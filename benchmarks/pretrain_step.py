"""A pretraining step of BERT-base on the CPU beside Hugging Face's, on the same real rows, and its share of the machine's peak.

    .venv/bin/python benchmarks/pretrain_step.py --peer huggingface --text ../shared/data/text_en/wikitext-2.valid.txt \
        --vocab_file ../shared/data/vocab/bert-base-uncased-vocab.txt

Batch 8, 128 tokens, 20 predictions, dropout 0.1, gelu by erf. Ours is run_pretrain.py itself with AdamWeightDecay; the
peer is BertForPreTraining in PyTorch eager with fused AdamW, which makes the vocabulary's logits at every position;
`masked_only` is the same with a loss written by hand at the masked positions. `--types float32 bfloat16` adds both sides
with products in bfloat16: ours with `--precision.compute_type bfloat16`, the peer, masked_only, under `torch.autocast`.
Runs are interleaved, each a process of its own; rates are medians over steps, without compilation and the first steps.
Operations are those of our network's matrix products, forward and backward; the peak is NumPy's in float32, measured
before every round. Prints one JSON line.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from peak import numpy_matmul_peak

ROOT = Path(__file__).resolve().parent.parent
BATCH, LENGTH, PREDICTIONS, WARMUP = 8, 128, 20, 2
_AUTOCAST = {"float32": (), "bfloat16": ("--autocast",)}


def make_rows(options, folder):
    """Records of the text for us; the same rows as arrays for the peer."""
    records = folder / "records" / "text.tfrecord"
    flags = ["--input_file", options.text, "--vocab_file", options.vocab_file, "--output_file", str(records), "--dupe_factor", "1"]
    subprocess.run([sys.executable, "-m", "src.build_records", *flags], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    from src.records.files import read_record_file
    from src.records.plan import Batch
    from src.records.record_set import RecordSet
    from src.tasks.pretrain.records import LAYOUT

    chunk = next(read_record_file(records, LAYOUT))
    rows = RecordSet(chunk.lengths, chunk.tokens, chunk.rows)
    count = BATCH * (options.steps + WARMUP)
    batch = Batch(np.arange(count) % len(chunk.lengths), count, LENGTH)
    names = ("input_ids", "input_mask", "token_type_ids", *chunk.rows)
    np.savez(folder / "rows.npz", **{name: rows.column(name, batch) for name in names})
    return records.parent, folder / "rows.npz"


def run_ours(options, records, folder, compute_type):
    """Median rows per second of the steps behind the first ones."""
    flags = {
        "data_dir": records, "bert_config_file": options.config, "model.vocab_size": 30522, "batch_size": BATCH,
        "train_steps": options.steps + WARMUP, "log_steps": 1, "do_shuffle": "false", "enable_save_ckpt": "false",
        "optimizer": "AdamWeightDecay", "enable_global_norm": "true", "save_checkpoint_path": folder / "run",
        "enable_data_sink": "false", "device_target": "CPU", "seq_length": LENGTH, "precision.compute_type": compute_type,
    }  # fmt: skip
    command = [sys.executable, "run_pretrain.py", *(part for key, value in flags.items() for part in (f"--{key}", str(value)))]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, env=os.environ)  # make_rows has changed the process's own
    log = [json.loads(line) for line in (folder / "run/log.jsonl").read_text(encoding="utf-8").splitlines()]
    return statistics.median(record["samples_per_s"] for record in log if record.get("step", 0) > WARMUP)


def run_peer(options, rows, *flags):
    command = [ROOT / ".venv-torch/bin/python", "benchmarks/peer_pretraining.py", "--batches", rows, "--config", options.config]
    command += ["--vocab_size", "30522", "--batch_size", str(BATCH), "--steps", str(options.steps), "--warmup", str(WARMUP), *flags]
    output = subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return json.loads(output.strip().splitlines()[-1])["samples_per_s"]


def count_operations(config):
    """Operations of a row's matrix products, forward and backward (three times forward)."""
    size, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    layer = LENGTH * (4 * size * size + 2 * size * inner) + 2 * LENGTH * LENGTH * size
    heads = size * size + PREDICTIONS * (size * size + size * 30522)
    return 3 * 2 * (layers * layer + heads)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True)
    parser.add_argument("--vocab_file", required=True)
    parser.add_argument("--config", default="configs/networks/bert_base.json")
    parser.add_argument("--peer", default="none", choices=("none", "huggingface"))
    parser.add_argument("--types", nargs="+", default=["float32"], choices=("float32", "bfloat16"))
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=2)
    options = parser.parse_args()
    operations = count_operations(json.loads((ROOT / options.config).read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        records, rows = make_rows(options, Path(folder))
        sides = {"peak": numpy_matmul_peak}
        for compute_type in options.types:
            suffix = "" if compute_type == "float32" else f"_{compute_type}"
            sides[f"ours{suffix}"] = functools.partial(run_ours, options, records, Path(folder), compute_type)
            if options.peer == "huggingface":
                if compute_type == "float32":
                    sides["huggingface"] = functools.partial(run_peer, options, rows)
                sides[f"huggingface_masked_only{suffix}"] = functools.partial(
                    run_peer, options, rows, "--masked_only", *_AUTOCAST[compute_type]
                )
        rounds = [{name: run() for name, run in sides.items()} for _ in range(options.pairs)]
    rates = {name: [found[name] for found in rounds] for name in sides}
    medians = {name: statistics.median(found) for name, found in rates.items()}
    peak = medians.pop("peak")
    result = {"benchmark": "pretrain_step", "samples_per_s": {name: [round(rate, 2) for rate in rates[name]] for name in medians}}
    result["numpy_peak_gflops"] = round(peak / 1e9, 1)
    for name, rate in medians.items():
        result[f"gflops_{name}"] = round(rate * operations / 1e9, 1)
        result[f"share_of_peak_{name}"] = round(rate * operations / peak, 3)
        ours = name.replace("huggingface_masked_only", "ours").replace("huggingface", "ours")
        if ours != name:
            result[f"ratio_to_{name}"] = round(medians[ours] / rate, 3)
    print(json.dumps(result))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
