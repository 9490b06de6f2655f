"""The kernels of native.cpp compared with NumPy in float64: on this machine and, with --all, on aarch64 in an emulator.

On Debian the compiler is the package g++-aarch64-linux-gnu, the emulator qemu-user.
"""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy.special import erf, softmax

from src.kernels import native

CROSS, EMULATOR, SYSTEM = "aarch64-linux-gnu-g++", "qemu-aarch64", "/usr/aarch64-linux-gnu"
KUNPENG_920 = "-mcpu=tsv110"


def run_here(name, arrays, library=None):
    """The outputs of a kernel of a library, by default of the one that the networks of this machine use."""
    library = library or native.build()
    if library is None:
        pytest.skip("no C++ compiler")
    arrays = [np.array(array) for array in arrays]
    shapes = [(ctypes.c_int64 * array.ndim)(*array.shape) for array in arrays]
    pointers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
    ndims = (ctypes.c_int * len(arrays))(*(array.ndim for array in arrays))
    shape_pointers = (ctypes.c_void_p * len(arrays))(*map(ctypes.addressof, shapes))
    assert ctypes.CDLL(library)[name](len(arrays), pointers, ndims, shape_pointers, None, None, None) == 0
    return arrays


@pytest.fixture(scope="session")
def run_on_aarch64(tmp_path_factory):
    missing = [program for program in (CROSS, EMULATOR) if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found: no check of the kernels on aarch64")
    folder = tmp_path_factory.mktemp("aarch64")
    native.compile_library(CROSS, (KUNPENG_920, *native.FLAGS), folder / "native.so")
    source = Path(__file__).with_name("run_kernel.cpp")
    subprocess.run([CROSS, "-O1", "-Wall", "-Werror", "-o", folder / "run_kernel", source, "-ldl"], check=True)

    def run(name, arrays):
        given = b"".join(np.array([array.ndim, *array.shape], np.int64).tobytes() + array.tobytes() for array in arrays)
        command = [EMULATOR, "-cpu", "max", "-L", SYSTEM, folder / "run_kernel", folder / "native.so", name]
        done = subprocess.run(command, input=np.int64(len(arrays)).tobytes() + given, capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, b"")
        ends = np.cumsum([array.nbytes for array in arrays])
        pieces = [done.stdout[end - array.nbytes : end] for array, end in zip(arrays, ends)]
        return [np.frombuffer(piece, array.dtype).reshape(array.shape) for piece, array in zip(pieces, arrays)]

    return run


def draw(*shape, scale=1.0):
    return (scale * np.random.default_rng(len(shape) + sum(shape)).standard_normal(shape)).astype(np.float32)


def gelu(x):
    return x * (1 + erf(x / np.sqrt(2))) / 2


def gelu_gradient(x, dout):
    return dout * ((1 + erf(x / np.sqrt(2))) / 2 + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi))


def normalise(x, eps):
    inverse = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)
    return (x - x.mean(-1, keepdims=True)) * inverse, inverse


def layer_norm(x, weight, bias, eps):
    return normalise(x, eps)[0] * weight + bias


def layer_norm_gradient(x, weight, eps, dout):
    normalised, inverse = normalise(x, eps)
    d = dout * weight
    dx = (d - d.mean(-1, keepdims=True) - normalised * (d * normalised).mean(-1, keepdims=True)) * inverse
    return dx, (dout * normalised).sum(0), dout.sum(0)


def masked_softmax(scores, mask):
    return softmax(scores + mask, -1)


def softmax_gradient(probs, dout):
    return probs * (dout - (probs * dout).sum(-1, keepdims=True))


EPS = np.array([1e-12], np.float32)
MASK = np.where(np.arange(9) < [[9], [4]], 0, -10000).astype(np.float32).reshape(2, 1, 1, 9)
# kernel -> inputs, and the function in NumPy
KERNELS = {
    "gelu": ((draw(40, 13, scale=3.0),), gelu),
    "gelu_gradient": ((draw(40, 13, scale=3.0), draw(13, 40).T.copy()), gelu_gradient),
    "layer_norm": ((draw(100, 37) + 5, draw(37), draw(37) + 1, EPS), layer_norm),
    "layer_norm_gradient": ((draw(100, 37) + 5, draw(37), EPS, draw(37, 100).T.copy()), layer_norm_gradient),
    "square_sum": ((draw(90, 100),), lambda x: np.array((x * x).sum())),
    "swap_middle": ((draw(2, 3, 5, 7),), lambda x: x.swapaxes(1, 2)),
    "masked_softmax": ((draw(2, 3, 4, 9, scale=4.0), MASK), masked_softmax),
    "softmax_gradient": ((softmax(draw(2, 3, 9), -1), draw(9, 2, 3).reshape(2, 3, 9)), softmax_gradient),
}


def check(run, name):
    inputs, formula = KERNELS[name]
    expected = formula(*(array.astype(np.float64) for array in inputs))
    expected = expected if isinstance(expected, tuple) else (expected,)
    outputs = run(name, [*inputs, *(np.zeros(array.shape, np.float32) for array in expected)])[len(inputs) :]
    for array, right in zip(outputs, expected):
        # roundings of float32 in the sums of the largest values, and the fit of GELU's distribution function
        np.testing.assert_allclose(array, right, rtol=4e-6, atol=4e-6 * max(1.0, np.abs(right).max() / 10))


def mix(x, key=0):
    """The hash of dropout.py."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D) ^ np.uint32(key)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def check_dropout(run):
    x, seed_and_step, numbers = draw(11, 30), np.array([7, -3], np.int32), np.array([5, round(0.3 * 2**24)], np.int32)
    seed, step = seed_and_step.view(np.uint32)
    with np.errstate(over="ignore"):
        first = mix(seed ^ mix(step + np.uint32(0x9E3779B9) * np.uint32(5)))
        second = mix(first + np.uint32(0x9E3779B9))
        kept = mix(np.arange(330, dtype=np.uint32) + first, second) >> np.uint32(8) >= numbers[1]
    outcome = run("dropout", [x, seed_and_step, numbers, np.zeros_like(x)])[3]
    assert 200 < kept.sum() < 260
    np.testing.assert_array_equal(outcome != 0, kept.reshape(x.shape))  # bit for bit: a resumed training may move to another machine
    np.testing.assert_allclose(outcome[outcome != 0], x[outcome != 0] / 0.7, rtol=1e-6)


def check_extremes(run):
    x = np.array([np.inf, -100, 100, np.nan, 1e-40], np.float32)
    values = run("gelu", [x, np.zeros_like(x)])[1]
    assert np.isposinf(values[0]) and abs(values[1]) < 1e-30 and abs(values[2] - 100) < 2e-5 and np.isnan(values[3])
    assert 0 < values[4] < 1e-40  # the smallest numbers do not become 0


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_computes_what_numpy_does(name):
    check(run_here, name)


def test_dropout_keeps_the_values_of_the_hash():
    check_dropout(run_here)


def test_gelu_passes_infinity_nan_and_the_smallest_numbers_on():
    check_extremes(run_here)


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_computes_on_aarch64_what_numpy_does(name, run_on_aarch64):
    check(run_on_aarch64, name)


@pytest.mark.slow
def test_dropout_keeps_the_same_values_on_aarch64(run_on_aarch64):
    check_dropout(run_on_aarch64)
    check_extremes(run_on_aarch64)


@pytest.mark.parametrize(("machine", "flag"), [("x86_64", "-march=native"), ("aarch64", "-mcpu=native"), ("arm64", "-mcpu=native")])
def test_the_compiler_is_told_the_own_processor_as_the_machine_has_it(machine, flag):
    assert native.own_processor(machine) == flag
