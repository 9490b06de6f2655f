"""Pretraining rows read from their record files, beside the copy of all rows that fine-tuning keeps.

    .venv/bin/python benchmarks/streaming.py RECORDS --rows 10000000 --copy_rows 1000000

RECORDS is a file or a folder of records; it is repeated under other names (hard links) until there are so many rows. Prints one JSON line:
bytes on disk for a row of the files, of the index and of the copy, rows a second when each is made, the seconds from a new process to
the first batch with the index there, milliseconds for all columns of a batch by either way (rows are random), and resident memory.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.records.files import find_record_files
from src.records.plan import Batch
from src.records.record_set import RecordSet, cached_records
from src.records.streamed import RowFile, StreamedRecords
from src.tasks.pretrain.rows import PretrainRows
from src.tasks.pretrain.task import INPUTS, LAYOUT, TARGETS, _read

COLUMNS = [name for name in (*INPUTS, *TARGETS) if name != "weights"]
START = """
import sys, time
started = time.perf_counter()
from src.config import loader
from src.tasks.task import TASKS
task = TASKS["pretrain"]
options = loader.load(task.options, sys.argv[1:])
from src.records import pipeline
from src.train import loop, runtime
from src.train.checkpoint import Position
imported = time.perf_counter() - started
prepared = task.training.prepare(runtime.start(options))
plan = loop._plan_training(prepared.config, prepared.records["train"].lengths, Position(0, 0, options.train_batch_size, 1, False), None)
dataset = pipeline.make_dataset(prepared.records["train"], plan, task.training.INPUTS + task.training.TARGETS)
next(dataset.create_tuple_iterator(num_epochs=1, output_numpy=True))
import resource
print("RESULT", time.perf_counter() - started, imported, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


class Copy(RecordSet):
    """The copy, as PretrainRows wants its records."""

    @property
    def predictions(self):
        return self.rows["masked_lm_weights"].sum(1)


def repeat(records, folder, num_rows):
    """Links to the files until they have so many rows, and the number of rows."""
    files = find_record_files(records)
    counts = [sum(1 for _ in RowFile(path, ()).places()) for path in files]
    total, number = 0, 0
    while total < num_rows:
        for path, count in zip(files, counts):
            link = folder / f"{number:04d}{path.suffix or '.tfrecord'}"
            for source, target in ((path, link), (Path(f"{path}.db"), Path(f"{link}.db"))):
                if source.is_file():
                    os.link(source, target)
            total, number = total + count, number + 1
    return total


def size_of(folder):
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def start(data, work):
    flags = [f"--data_dir={data}", f"--cache_dir={work}/cache", f"--output_dir={work}/out", "--train_batch_size=32", "--train_steps=100"]
    flags += ["--bert_network=base", "--model.vocab_size=30522", "--enable_data_sink=false"]
    found = subprocess.run([sys.executable, "-c", START, *flags], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    seconds, imported, megabytes = next(line for line in found.splitlines() if line.startswith("RESULT")).split()[1:]
    return {"seconds": round(float(seconds), 2), "of_these_imports": round(float(imported), 2), "peak_mb": int(megabytes)}


def time_batches(rows, num_rows, batch_size, times=60):
    """Median milliseconds for all columns of random batches."""
    random, found = np.random.default_rng(0), []
    for _ in range(times):
        row_ids = random.integers(0, num_rows, batch_size)
        batch = Batch(row_ids, batch_size, 128, update=((0, row_ids),))
        started = time.perf_counter()
        for name in COLUMNS:
            rows.column(name, batch)
        found.append(time.perf_counter() - started)
    return round(1000 * float(np.median(found)), 3)


def evict(folder):
    """Drop files from the system's file cache."""
    for path in folder.iterdir():
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("records")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--copy_rows", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path(options.records).resolve().parent) as work:
        data = Path(work, "data")
        data.mkdir()
        num_rows = repeat(options.records, data, options.rows)
        result = {"rows": num_rows, "files": {"number": len(find_record_files(data)), "bytes_per_row": round(size_of(data) / num_rows, 1)}}
        first = start(data, work)
        index = size_of(f"{work}/cache/index")
        made = first["seconds"] - first["of_these_imports"]
        result["index"] = {"bytes_per_row": round(index / num_rows, 1), "rows_per_s": round(num_rows / made), "first_start": first}
        result["start_with_index"] = [start(data, work) for _ in range(3)]
        (folder,) = (path for path in Path(work, "cache/index").iterdir() if path.is_dir())
        streamed = StreamedRecords(find_record_files(data), LAYOUT, cached_records(folder, list))

        settings = SimpleNamespace(num_samples=options.copy_rows, schema_file_path=None)
        started = time.perf_counter()
        copy = cached_records(Path(work, "copy"), lambda: (chunk for _, chunk in _read(settings, find_record_files(data))))
        seconds = time.perf_counter() - started
        count = len(copy.lengths)
        result["copy"] = {"rows": count, "bytes_per_row": round(size_of(f"{work}/copy") / count, 1), "rows_per_s": round(count / seconds)}
        for batch_size in (32, 256):
            both = {"streamed": streamed, "copy": Copy(copy.lengths, copy.tokens, copy.rows)}
            result[f"ms_per_batch_of_{batch_size}"] = {
                name: time_batches(PretrainRows(rows), min(count, num_rows), batch_size) for name, rows in both.items()
            }
        evict(data)
        result["ms_per_batch_of_256"]["streamed, not in the file cache"] = time_batches(PretrainRows(streamed), num_rows, 256, 20)
        result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps(result))


if __name__ == "__main__":
    main()
