"""The pretraining data builder beside Google's create_pretraining_data.py on the same text and settings.

    .venv/bin/python benchmarks/builder.py TEXT --vocab vocab.txt --google_script FILE
    .venv/bin/python benchmarks/builder.py TEXT --vocab vocab.txt --memory 10 200

The first writes TEXT as a sentence a line, times both programs in turn (medians; imports are not counted) and compares the
statistics of their records over several seeds; it needs .venv-tf (`benchmarks/peers.sh tf`), whose `bert` package holds the
script. The second builds records from corpora of so many megabytes, TEXT's documents over and over in random order, and
prints peak resident memory. Each prints one JSON line.
"""

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOOGLE = """
import importlib.util, json, sys, time
import numpy as np
import tensorflow.compat.v1 as tf
sys.modules["tensorflow"] = tf
tf.logging.set_verbosity(tf.logging.ERROR)
script, mask_id = sys.argv[1], int(sys.argv[2])
spec = importlib.util.spec_from_file_location("script", script)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.FLAGS(sys.argv[2:])
started = time.perf_counter()
module.main(None)
seconds = time.perf_counter() - started
rows = {}
for record in tf.data.TFRecordDataset(module.FLAGS.output_file):
    for name, feature in tf.train.Example.FromString(record.numpy()).features.feature.items():
        rows.setdefault(name, []).append(feature.int64_list.value or feature.float_list.value)
rows = {name: np.array(values) for name, values in rows.items()}
real = rows["masked_lm_weights"] > 0
found = np.take_along_axis(rows["input_ids"], rows["masked_lm_positions"], 1)[real]
is_mask = found == mask_id
lengths = rows["input_mask"].sum(1)
kept = (found == rows["masked_lm_ids"][real]) & ~is_mask
print(json.dumps({
    "seconds": seconds, "instances": len(lengths), "mean_length": lengths.mean(), "padding_share": 1 - rows["input_mask"].mean(),
    "masked_share": real.sum() / lengths.sum(), "mask_share": is_mask.mean(), "keep_share": kept.mean(),
    "random_share": 1 - is_mask.mean() - kept.mean(), "random_next_share": rows["next_sentence_labels"].mean()}))
"""
OURS = """
import json, logging, os, sys, time
os.environ["TOKENIZERS_PARALLELISM"] = "false"
from src.config import loader
from src.tasks.pretrain.corpus import builder
from src.tasks.pretrain.corpus.options import BuilderOptions
open_writer, imports = builder.open_writer, []
def open_after_import(*arguments):
    started = time.perf_counter()
    if "mindrecord" in arguments:
        import src.records.mindrecord
    imports.append(time.perf_counter() - started)
    return open_writer(*arguments)
if __name__ == "__main__":
    logging.disable()
    builder.open_writer = open_after_import
    options = loader.load(BuilderOptions, sys.argv[1:])
    started = time.perf_counter()
    found = builder.build(options)
    print(json.dumps({**found, "seconds": time.perf_counter() - started - sum(imports)}))
"""
COMPARED = ["instances", "mean_length", "padding_share", "masked_share", "mask_share", "keep_share", "random_share", "random_next_share"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("--vocab", required=True)
    parser.add_argument("--google_script")
    parser.add_argument("--dupe_factor", default="5")
    parser.add_argument("--seeds", type=int, default=8, help="seeds that the statistics are compared over")
    parser.add_argument("--memory", type=int, nargs="+", help="sizes in megabytes")
    parser.add_argument("--formats", nargs="+", default=["tfrecord", "mindrecord"], help="that memory is measured of")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of worker processes that memory is measured of")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from src.tasks.pretrain.corpus.text import read_corpus, split_sentences

    lines = [part for line in read_corpus([options.text]) for part in (split_sentences(line) or [""])]
    with tempfile.TemporaryDirectory() as folder:
        result = measure_memory(options, lines, Path(folder)) if options.memory else compare(options, lines, Path(folder))
    print(json.dumps({"benchmark": "builder", **result}))


def compare(options, lines, folder):
    """Seconds of each program and their ratios; statistics with the distance of the means in standard errors."""
    text = folder / "text.txt"
    text.write_text("\n".join(lines) + "\n", encoding="utf-8")
    seconds, rows = {}, {"google": [], "ours": []}
    for seed in range(options.seeds):
        flags = [f"--input_file={text}", f"--vocab_file={options.vocab}", f"--dupe_factor={options.dupe_factor}", f"--random_seed={seed}"]
        rows["google"].append(run_google(options, [*flags, f"--output_file={folder / 'google.tfrecord'}"]))
        seconds.setdefault("google", []).append(rows["google"][-1]["seconds"])
        for file_format in ("tfrecord", "mindrecord"):
            for workers in (1, 2):
                found = run_ours(folder, [*flags, f"--output_file={folder / 'ours'}.{file_format}", f"--workers={workers}"])
                seconds.setdefault(f"{file_format}_{workers}", []).append(found["seconds"])
        rows["ours"].append(found)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "megabytes": round(text.stat().st_size / 1e6, 2),
        "dupe_factor": int(options.dupe_factor),
        "seconds": {name: round(value, 3) for name, value in medians.items()},
        "google_instances_per_s": round(statistics.mean(row["instances"] for row in rows["google"]) / medians["google"]),
        "ratio": {name: round(medians["google"] / value, 2) for name, value in medians.items() if name != "google"},
        "statistics": {name: compare_means(*([row[name] for row in rows[side]] for side in ("google", "ours"))) for name in COMPARED},
    }


def compare_means(google, ours):
    """Both means, and their difference in standard errors."""
    error = ((statistics.variance(google) + statistics.variance(ours)) / len(google)) ** 0.5
    means = statistics.mean(google), statistics.mean(ours)
    return {"google": round(means[0], 5), "ours": round(means[1], 5), "standard_errors": round((means[1] - means[0]) / error, 2)}


def run_google(options, flags):
    tokens = Path(options.vocab).read_text(encoding="utf-8").split("\n")
    command = [ROOT / ".venv-tf/bin/python", "-c", GOOGLE, options.google_script, str(tokens.index("[MASK]")), *flags]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def run_ours(folder, flags):
    script = folder / "ours.py"  # a file: worker processes import the main program by its name
    script.write_text(OURS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script, *flags], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure_memory(options, lines, folder):
    """Peak resident megabytes of the largest process, and seconds, for each size of corpus."""
    documents = ["\n".join(part) for is_text, part in groupby(lines, bool) if is_text]
    found = {}
    for size in options.memory:
        write_corpus(folder / "text.txt", documents, size * 1_000_000)
        for file_format, workers in itertools.product(options.formats, options.workers):
            found[f"{size}mb_{file_format}_{workers}"] = run_whole(options, folder, file_format, workers)
    return {"dupe_factor": int(options.dupe_factor), "runs": found}


def run_whole(options, folder, file_format, workers):
    """The command as a user runs it; its records are removed."""
    flags = [f"--input_file={folder / 'text.txt'}", f"--output_file={folder / 'ours'}.{file_format}", f"--vocab_file={options.vocab}"]
    flags += [f"--dupe_factor={options.dupe_factor}", f"--workers={workers}"]
    child = subprocess.Popen([sys.executable, "-m", "src.build_records", *flags], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise RuntimeError(f"build_records ended with status {status}")
    found = json.loads((folder / "ours.statistics.json").read_text(encoding="utf-8"))
    for path in folder.glob("ours.*"):
        path.unlink()
    cpu = usage.ru_utime + usage.ru_stime  # of the workers too
    megabytes = (folder / "text.txt").stat().st_size / 1e6
    return {
        "peak_resident_mb": round(usage.ru_maxrss / 1024),
        "instances": found["instances"],
        "seconds": found["seconds"],
        "cpu_seconds": round(cpu, 1),
        "mb_per_s": round(megabytes / found["seconds"], 2),
        "mb_per_cpu_s": round(megabytes / cpu, 2),
    }


def write_corpus(path, documents, num_bytes):
    generator = random.Random(0)
    with open(path, "w", encoding="utf-8") as file:
        while file.tell() < num_bytes:
            for document in generator.sample(documents, len(documents)):
                file.write(document + "\n\n")


if __name__ == "__main__":
    main()
