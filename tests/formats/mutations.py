"""Damaged copies of files, and checks of how a reader treats them."""

import random

import numpy as np

COUNT = 2000


def mutate(rng, data, other):
    """A copy of `data` that is truncated, or has flipped bits, a part replaced, moved or repeated, or changed numbers."""
    data = bytearray(data)
    start, end = sorted(rng.choices(range(len(data) + 1), k=2))
    kind = rng.randrange(5)
    if kind == 0:
        for _ in range(rng.choice((1, 1, 1, 2, 8))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[start:]
    elif kind == 2:
        data[start:end] = rng.choice((b"", bytes(end - start), other[start:end], data[start:end] * 2, rng.randbytes(end - start)))
    elif kind == 3:
        target = rng.randrange(len(data))
        data[target : target + 48] = data[start : start + 48]
    else:
        for _ in range(rng.choice((1, 1, 3))):
            offset = rng.randrange(len(data))
            size = rng.choice((1, 1, 2, 4, 8))
            number = int.from_bytes(data[offset : offset + size], "little") + rng.choice((1, -1, 16, 127, 128, 1 << 31, 1 << 62))
            data[offset : offset + size] = (number % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(data)


def overwrite(path, data):
    """Write a file without emptying it first: a hundred times faster where an emptied file is flushed to disk each time."""
    if not path.exists():
        path.touch()
    with open(path, "r+b") as file:
        file.write(data)
        file.truncate()


def read_damaged(path, read, seed, count=COUNT):
    """Yield (data, arrays) for many damaged copies of a file; the arrays are None if the copy was properly refused.

    Args:
        path: the file, restored at the end.
        read: returns a dict of arrays.
    """
    original = path.read_bytes()
    rng = random.Random(seed)
    other = rng.randbytes(len(original))
    for _ in range(count):
        data = mutate(rng, original, other)
        overwrite(path, data)
        try:
            found = read()
            assert all(isinstance(name, str) and isinstance(array, np.ndarray) for name, array in found.items())
        except (ValueError, FileNotFoundError) as error:
            assert str(error).startswith(str(path.parent)), error
            found = None
        yield data, found
    overwrite(path, original)


def assert_bits(found, expected):
    """Assert equal names, types, shapes and bits."""
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name
