"""A pretraining step of BERT-base on the CPU beside Hugging Face's, on the same real rows, and its share of the machine's peak.

    .venv/bin/python benchmarks/pretrain_step.py --peer huggingface --text ../shared/data/text_en/wikitext-2.valid.txt \
        --vocab_file ../shared/data/vocab/bert-base-uncased-vocab.txt

Batch 8, 128 tokens, 20 predictions, dropout 0.1, float32, gelu by erf. Ours is run_pretrain.py itself with AdamWeightDecay;
the peer is BertForPreTraining in PyTorch eager with fused AdamW, which makes the vocabulary's logits at every position;
`masked_only` is the same with a loss written by hand at the masked positions. Runs are interleaved, each a process of its
own; rates are medians over steps, without compilation and the first steps. Operations are those of our network's matrix
products, forward and backward; the peak is NumPy's, measured before every pair. Prints one JSON line.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from peak import numpy_matmul_peak

ROOT = Path(__file__).resolve().parent.parent
BATCH, LENGTH, PREDICTIONS, WARMUP = 8, 128, 20, 2


def make_rows(options, folder):
    """Records of the text for us; the same rows as arrays for the peer."""
    records = folder / "records" / "text.tfrecord"
    flags = ["--input_file", options.text, "--vocab_file", options.vocab_file, "--output_file", str(records), "--dupe_factor", "1"]
    subprocess.run([sys.executable, "-m", "src.build_records", *flags], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    from src.records.files import read_record_file
    from src.records.plan import Batch
    from src.records.record_set import RecordSet

    chunk = next(read_record_file(records, "bert"))
    rows = RecordSet(chunk.lengths, chunk.tokens, chunk.rows)
    count = BATCH * (options.steps + WARMUP)
    batch = Batch(np.arange(count) % len(chunk.lengths), count, LENGTH)
    names = ("input_ids", "input_mask", "token_type_ids", *chunk.rows)
    np.savez(folder / "rows.npz", **{name: rows.column(name, batch) for name in names})
    return records.parent, folder / "rows.npz"


def run_ours(options, records, folder):
    """Rows per second of each step behind the first ones."""
    flags = {
        "data_dir": records, "bert_config_file": options.config, "model.vocab_size": 30522, "batch_size": BATCH,
        "train_steps": options.steps + WARMUP, "log_steps": 1, "do_shuffle": "false", "enable_save_ckpt": "false",
        "optimizer": "AdamWeightDecay", "enable_global_norm": "true", "save_checkpoint_path": folder / "run",
        "enable_data_sink": "false", "device_target": "CPU", "seq_length": LENGTH,
    }  # fmt: skip
    command = [sys.executable, "run_pretrain.py", *(part for key, value in flags.items() for part in (f"--{key}", str(value)))]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    log = [json.loads(line) for line in (folder / "run/log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [record["samples_per_s"] for record in log if record.get("step", 0) > WARMUP]


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
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=2)
    options = parser.parse_args()
    operations = count_operations(json.loads((ROOT / options.config).read_text(encoding="utf-8")))
    found = {"ours": [], "peak": [], "huggingface": [], "huggingface_masked_only": []}
    with tempfile.TemporaryDirectory() as folder:
        records, rows = make_rows(options, Path(folder))
        for _ in range(options.pairs):
            found["peak"].append(numpy_matmul_peak())
            found["ours"].append(statistics.median(run_ours(options, records, Path(folder))))
            if options.peer != "none":
                found["huggingface"].append(run_peer(options, rows))
                found["huggingface_masked_only"].append(run_peer(options, rows, "--masked_only"))
    ours, peak = statistics.median(found["ours"]), statistics.median(found.pop("peak"))
    result = {"benchmark": "pretrain_step", "samples_per_s": {name: [round(rate, 2) for rate in rates] for name, rates in found.items()}}
    result |= {"gflops": round(ours * operations / 1e9, 1), "numpy_peak_gflops": round(peak / 1e9, 1)}
    result["share_of_peak"] = round(ours * operations / peak, 3)
    for name in ("huggingface", "huggingface_masked_only"):
        if found[name]:
            result[f"ratio_to_{name}"] = round(ours / statistics.median(found[name]), 3)
    print(json.dumps(result))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
