"""Pretraining rows read from their record files, beside the copy of all rows that fine-tuning keeps.

    .venv/bin/python benchmarks/streaming.py RECORDS --rows 10000000 --read_rows 500000

RECORDS is a file of records. Index and copy are made of its first rows. The index is then repeated, for so many rows in links to the
file. Prints one JSON line: bytes on disk for a row of the file, of the index and of the copy; rows per second, and per second of CPU time,
when each is made; milliseconds of CPU time for all columns of a batch by either way (rows are random); the seconds from a new process to
the first batch with the index of all rows there; resident memory.
"""

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.records.files import find_record_files
from src.records.plan import Batch
from src.records.record_set import RecordSet, cached_records, fingerprint_file, make_key
from src.records.streamed import StreamedRecords, make_index
from src.tasks.pretrain.records import LAYOUT, read_chunks
from src.tasks.pretrain.rows import PretrainRows
from src.tasks.pretrain.task import INPUTS, TARGETS

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


def repeat(records, index, folder, num_rows):
    """Links to the file, and for each the index of its first rows, as Chunks; together so many rows."""
    columns, count = dict(index.rows), len(index.lengths)
    for number in range(-(-num_rows // count)):
        link = folder / f"{number:04d}{records.suffix}"
        for source, target in ((records, link), (Path(f"{records}.db"), Path(f"{link}.db"))):
            if source.is_file():
                os.link(source, target)
        yield RecordSet(index.lengths, {}, {**columns, "file": np.full(count, number, np.uint32)}, largest=index.largest)


def timed(make):
    """What a function returns, and the seconds and the CPU seconds that it took."""
    started, cpu = time.perf_counter(), time.process_time()
    return make(), time.perf_counter() - started, time.process_time() - cpu


def size_of(folder):
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def start(data, work):
    flags = [f"--data_dir={data}", f"--cache_dir={work}/cache", f"--output_dir={work}/out", "--train_batch_size=32", "--train_steps=100"]
    flags += ["--bert_network=base", "--model.vocab_size=30522", "--enable_data_sink=false"]
    found = subprocess.run([sys.executable, "-c", START, *flags], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    seconds, imported, megabytes = next(line for line in found.splitlines() if line.startswith("RESULT")).split()[1:]
    return {"seconds": round(float(seconds), 2), "of_these_imports": round(float(imported), 2), "peak_mb": int(megabytes)}


def time_batches(rows, num_rows, batch_size, times=60):
    """Median milliseconds of CPU time, which other processes hardly change, for all columns of random batches."""
    random, found = np.random.default_rng(0), []
    for _ in range(times):
        row_ids = random.integers(0, num_rows, batch_size)
        batch = Batch(row_ids, batch_size, 128, update=((0, row_ids),))
        started = time.process_time()
        for name in COLUMNS:
            rows.column(name, batch)
        found.append(time.process_time() - started)
    return round(1000 * float(np.median(found)), 3)


def evict(folder):
    """Drop files from the system's file cache."""
    for path in filter(Path.is_file, folder.iterdir()):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--read_rows", type=int, default=500_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.records.resolve().parent) as work:
        data, paths = Path(work, "data"), [options.records]
        data.mkdir()
        chunks = {
            "index": lambda: make_index(paths, LAYOUT, "masked_lm_weights", read_chunks(paths, LAYOUT, None, options.read_rows)),
            "copy": lambda: (chunk for _, chunk in read_chunks(paths, LAYOUT, None, options.read_rows)),
        }
        result, found = {}, {}
        for name, make in chunks.items():
            found[name], seconds, cpu = timed(functools.partial(cached_records, Path(work, name), make))
            count = len(found[name].lengths)
            rates = {"rows_per_s": round(count / seconds), "rows_per_cpu_s": round(count / cpu)}
            result[name] = {"rows": count, "bytes_per_row": round(size_of(f"{work}/{name}") / count, 1), **rates}
        streamed, copy = StreamedRecords(paths, LAYOUT, found["index"]), found["copy"]
        result["file_bytes_per_row"] = round(float(found["index"].rows["size"].mean()))
        for batch_size in (32, 256):
            both = {"streamed": streamed, "copy": Copy(copy.lengths, copy.tokens, copy.rows, streamed.maxima())}
            result[f"ms_per_batch_of_{batch_size}"] = {
                name: time_batches(PretrainRows(rows), count, batch_size) for name, rows in both.items()
            }
        evict(options.records.parent)
        result["ms_per_batch_of_256"]["streamed, not in the file cache"] = time_batches(PretrainRows(streamed), count, 256, 20)
        many = list(repeat(options.records.resolve(), found["index"], data, options.rows))
        key = make_key("pretraining", *map(fingerprint_file, find_record_files(data)), None)
        large = cached_records(Path(work, "cache/index", f"train-{key}"), lambda: many)
        result["large_index"] = {"rows": len(large.lengths), "mb": size_of(f"{work}/cache/index") >> 20}
        result["start_with_index"] = [start(data, work) for _ in range(3)]
        result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps(result))


if __name__ == "__main__":
    main()
