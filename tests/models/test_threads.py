"""The kernels of the CPU on one thread and on several: a process takes as many as OMP_NUM_THREADS says when it first calls one."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from test_native import KERNELS, run_here, softmax

from src.kernels import native

ROWS, SIZE = 611, 203  # four pieces of a loop, blocks of sums and tiles of a product, and a rest


def make_inputs():
    """kernel -> inputs, and the outputs to fill."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    x, dout, row, eps = draw(ROWS, SIZE), draw(ROWS, SIZE), draw(SIZE), np.array([1e-12], np.float32)
    scores = draw(13, 1, 47, SIZE)
    kernels = {
        "gelu": ((x,), (x,)),
        "gelu_gradient": ((x, dout), (x,)),
        "layer_norm": ((x, row, row, eps), (x,)),
        "layer_norm_gradient": ((x, row, eps, dout), (x, row, row)),
        "square_sum": ((x,), (np.float32(0),)),
        "swap_middle": ((scores,), (scores,)),
        "masked_softmax": ((scores, draw(13, 1, 1, SIZE)), (scores,)),
        "softmax_gradient": ((softmax(scores, -1), scores), (scores,)),
        "dropout": ((x, np.array([3, 5], np.int32), np.array([2, 2**22], np.int32)), (x,)),
    }
    if native.has_float32(native.build()):
        weight, bias = draw(530, SIZE), draw(530)
        kernels["float32_linear"] = (x, weight, bias), (draw(ROWS, 530),)
        kernels["float32_input_gradient"] = (draw(ROWS, 530), weight), (x,)
        kernels["float32_weight_gradient"] = (draw(ROWS, 530), x), (weight, bias)
    if native.lacks_bfloat16(native.build()) is None:
        rows, columns = np.zeros((640, 224), np.uint16), np.zeros((224, 640), np.uint16)
        first, second = rng.integers(0, 0x4000, (2, 640, 640)).astype(np.uint16)
        kernels["pack_input"] = kernels["pack_weight"] = (x,), (rows, columns)
        kernels["pack_gradient"] = (x,), (rows, columns, row)
        kernels["linear"] = (first, second, row, x), (x,)
        kernels["product"] = (first, second, x), (x,)
    return kernels


def digest(name, inputs, outputs):
    filled = run_here(name, [*inputs, *(np.zeros_like(array) for array in outputs)])[len(inputs) :]
    return hashlib.sha256(b"".join(array.tobytes() for array in filled)).hexdigest()


def run_alone(threads):
    """What the kernels give in a process of its own, a line each."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_kernels_run_on_several_threads_though_the_framework_sets_the_environment():
    library = native.build()
    if library is None or len(os.sched_getaffinity(0)) == 1:
        pytest.skip("no C++ compiler, or one processor")
    code = (
        "import os, time, mindspore\n"
        "from test_threads import make_inputs, digest\n"
        "digest('gelu', *make_inputs()['gelu'])\n"
        "count = lambda: sum('kernels' in open(f'/proc/self/task/{task}/comm').read() for task in os.listdir('/proc/self/task'))\n"
        "end = time.monotonic() + 20\n"
        "while count() < len(os.sched_getaffinity(0)) - 1 and time.monotonic() < end: time.sleep(0.05)\n"
        "print(count())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment["PYTHONPATH"] = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert int(done.stdout) == len(os.sched_getaffinity(0)) - 1, done.stderr


def test_results_do_not_depend_on_threads_or_on_other_callers():
    one, two = run_alone(1), run_alone(2)
    assert one == two
    assert {line.split("=")[0] for line in one} >= set(KERNELS)


if __name__ == "__main__":
    kernels = make_inputs()
    alone = {name: digest(name, *arrays) for name, arrays in kernels.items()}
    with ThreadPoolExecutor(4) as pool:  # as the framework's threads call them
        for name, found in pool.map(lambda name: (name, digest(name, *kernels[name])), list(kernels) * 10):
            assert found == alone[name], name
    print(*(f"{name}={value}" for name, value in alone.items()))
