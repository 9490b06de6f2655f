"""TensorFlow reads what src/formats/tensorflow.py writes, and the other way about, bit for bit; one JSON line.

    PYTHONPATH=. .venv-tf/bin/python benchmarks/tensorflow_bundle.py [--megabytes 400] [--names 20000]

Arrays: random bits in a few large variables, scalars under many names (an index of several blocks). TensorFlow and our code lack
each other's packages, so ours runs as this file's command `ours` under .venv/bin/python; arrays pass between them as NumPy's files.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from peak_memory import peak_resident_bytes

KINDS = ["float32", "float16", "float64", "int32", "int64", "int8", "uint8", "int16"]


def make_arrays(megabytes, names):
    rng = np.random.default_rng(0)
    arrays = {f"scope_{number % 7}/layer_{number}/kernel": np.float32(rng.random()) for number in range(names)}
    for number, kind in enumerate(KINDS):
        count = (megabytes << 20) // len(KINDS) // np.dtype(kind).itemsize
        arrays[f"large/{kind}"] = rng.integers(0, 256, (count // 64 * 64 * np.dtype(kind).itemsize), np.uint8).view(kind).reshape(64, -1)
        arrays[f"empty/{number}"] = np.zeros((0, number), kind)
    return arrays


def store(folder, arrays):
    large = [array for name, array in arrays.items() if name.startswith("large/")]
    for number, array in enumerate(large):
        np.save(folder / f"{number}.npy", array)
    np.savez(folder / "small.npz", **{name: array for name, array in arrays.items() if not name.startswith("large/")})


def fetch(folder):
    """The arrays that `store` stored, the large ones mapped."""
    large = {f"large/{kind}": np.load(folder / f"{number}.npy", mmap_mode="r") for number, kind in enumerate(KINDS)}
    with np.load(folder / "small.npz") as small:
        return dict(small) | large


def same(found, expected):
    return (found.dtype, found.shape, found.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())


def peak_mb():
    return peak_resident_bytes() >> 20


def run_ours(folder):
    """Our side: write `ours` of the stored arrays, read `theirs`."""
    from src.formats import tensorflow

    arrays = fetch(folder)
    before = peak_mb()
    start = time.perf_counter()
    tensorflow.write(folder / "ours", arrays)
    written = time.perf_counter()
    peak = peak_mb()
    found = tensorflow.read(folder / "theirs")
    read = time.perf_counter()
    result = {
        "our_write_s": round(written - start, 2),
        "our_read_s": round(read - written, 2),
        "our_peak_mb": [before, peak, peak_mb()],
    }
    equal = set(found) == set(arrays) and all(same(found[name], arrays[name]) for name in arrays)
    print(json.dumps(result | {"ours_read_theirs": equal}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--names", type=int, default=20_000)
    parser.add_argument("command", nargs="*", help="ours FOLDER: as this program calls itself")
    args = parser.parse_args()
    if args.command:
        run_ours(Path(args.command[1]))
        return
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arrays = make_arrays(args.megabytes, args.names)
        store(folder, arrays)
        names = sorted(arrays)
        start = time.perf_counter()
        tf.raw_ops.SaveV2(
            prefix=str(folder / "theirs"), tensor_names=names, shape_and_slices=[""] * len(names), tensors=[arrays[key] for key in names]
        )
        result = {"variables": len(names), "megabytes": args.megabytes, "their_write_s": round(time.perf_counter() - start, 2)}
        command = [".venv/bin/python", __file__, "ours", str(folder)]
        result |= json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        reader = tf.train.load_checkpoint(str(folder / "ours"))
        equal = set(reader.get_variable_to_shape_map()) == set(names)
        result["they_read_ours"] = equal and all(same(np.asarray(reader.get_tensor(key)), np.asarray(arrays[key])) for key in names)
        for ending in (".index", ".data-00000-of-00001"):
            one, other = ((folder / f"{prefix}{ending}").read_bytes() for prefix in ("ours", "theirs"))
            result[f"same_bytes{ending[:6]}"] = one == other
        result["index_kb"] = (folder / "ours.index").stat().st_size >> 10
    print(json.dumps(result))
    sys.exit(not (result["they_read_ours"] and result["ours_read_theirs"]))


if __name__ == "__main__":
    main()
