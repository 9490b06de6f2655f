"""Damaged copies of files, and what a reader may do with them."""

import random

import numpy as np

COUNT = 2000


def mutate(rng, data, other):
    """`data` with flipped bits, cut off, with a part replaced, moved or repeated, or with a number bumped."""
    data, (start, end) = bytearray(data), sorted(rng.choices(range(len(data) + 1), k=2))
    kind = rng.randrange(5)
    if kind == 0:
        for _ in range(rng.choice((1, 1, 1, 2, 8))):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[start:]
    elif kind == 2:
        data[start:end] = rng.choice((b"", bytes(end - start), other[start:end], data[start:end] * 2, rng.randbytes(end - start)))
    elif kind == 3:
        place = rng.randrange(len(data))
        data[place : place + 48] = data[start : start + 48]
    else:
        for _ in range(rng.choice((1, 1, 3))):
            place, size = rng.randrange(len(data)), rng.choice((1, 1, 2, 4, 8))
            number = int.from_bytes(data[place : place + size], "little") + rng.choice((1, -1, 16, 127, 128, 1 << 31, 1 << 62))
            data[place : place + size] = (number % (1 << 8 * size)).to_bytes(size, "little")
    return bytes(data)


def overwrite(path, data):
    """As write_bytes; where a file that is first emptied goes to the disk each time, a hundred times as fast."""
    if not path.exists():
        path.touch()
    with open(path, "r+b") as file:
        file.write(data)
        file.truncate()


def read_damaged(path, read, seed, count=COUNT):
    """Yield (data, arrays) of each of many damaged copies of a file; None for the arrays if the copy was refused as it should be.

    Args:
        path: the file, restored at the end.
        read: () -> dict of arrays.
    """
    original, rng = path.read_bytes(), random.Random(seed)
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
    """Same names, types, shapes and bits."""
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name
