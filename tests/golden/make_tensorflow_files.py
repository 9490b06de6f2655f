"""Checkpoints that TensorFlow wrote, in every form that src/formats/tensorflow.py meets, and their arrays: tests/golden/tensorflow/.

.venv-tf/bin/python tests/golden/make_tensorflow_files.py
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

FOLDER = Path(__file__).parent / "tensorflow"
TYPES = ["bool", "complex64", "complex128", *(f"float{bits}" for bits in (16, 32, 64))]
TYPES += [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)]


def save(name, tensors, slices=None):
    """In the order of the names, as tf.train.Saver does."""
    tensors = dict(sorted(tensors.items()))
    tf.raw_ops.SaveV2(
        prefix=str(FOLDER / name),
        tensor_names=list(tensors),
        shape_and_slices=slices or [""] * len(tensors),
        tensors=list(tensors.values()),
    )


def make_plain():
    """All types, an odd number of bytes before the others, and more names than stand between two whole ones."""
    arrays = {f"layer/{name}": (np.arange(6).reshape(2, 3) / 4 - 0.5).astype(name) for name in TYPES}
    arrays |= {f"layer/{number}/kernel": np.full((1, 2, 1), number, np.int8) for number in range(12)}
    return arrays | {"global_step": np.int64(1 << 40), "empty": np.zeros((0, 3), np.float32), "a": np.array([True])}


def main():
    FOLDER.mkdir(exist_ok=True)
    plain = make_plain()
    save("plain.ckpt", plain)
    base = np.linspace(-2, 2, 9, dtype=np.float32).reshape(3, 3)
    half = tf.cast(base, tf.bfloat16)
    scalar = tf.constant(1.625, tf.bfloat16)
    save("texts.ckpt", {"bfloat16": half, "bfloat16_scalar": scalar, "kernel": base, "text": tf.constant(["one", "", "three"])})
    for number in range(3):
        save(f"part{number}.ckpt", {f"shard/{number}": base + number, f"also/{number}": np.full(2, number, np.int32)})
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(FOLDER / f"part{number}.ckpt") for number in range(3)], destination_prefix=str(FOLDER / "shards.ckpt")
    )
    save("slices.ckpt", {"bias": base[0], "table": base[:2]}, ["", "4 3 0,2:-"])
    expected = {f"plain/{name}": array for name, array in plain.items()}
    expected |= {"texts/bfloat16": tf.cast(half, tf.float32), "texts/bfloat16_scalar": np.float32(1.625), "texts/kernel": base}
    for number in range(3):
        expected |= {f"shards/shard/{number}": base + number, f"shards/also/{number}": np.full(2, number, np.int32)}
    np.savez_compressed(FOLDER / "expected.npz", **expected)


if __name__ == "__main__":
    main()
