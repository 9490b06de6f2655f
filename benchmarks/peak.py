"""The machine's peak at float32 matrix products, as NumPy's BLAS reaches it; the yardstick of the training benchmarks.

    .venv/bin/python benchmarks/peak.py --threads 2

prints one JSON line.
"""

import argparse
import json
import time

import numpy as np
from threadpoolctl import threadpool_limits

SHAPES = ((1024, 768, 3072), (2048, 2048, 2048))  # a BERT-base feed-forward layer on 1024 tokens; a large square
REPEATS = 7


def numpy_matmul_peak(threads=2):
    """FLOP/s of the fastest of several float32 products [m, k] x [k, n], each 2 m k n operations."""
    rng = np.random.default_rng(0)
    best = 0.0
    with threadpool_limits(threads, user_api="blas"):
        for m, k, n in SHAPES:
            a, b = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
            out = a @ b  # the first product wakes the threads and touches the memory
            for _ in range(REPEATS):
                begun = time.perf_counter()
                np.matmul(a, b, out=out)
                best = max(best, 2 * m * k * n / (time.perf_counter() - begun))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    peak = numpy_matmul_peak(options.threads)
    print(json.dumps({"numpy": np.__version__, "threads": options.threads, "flops": peak, "gflops": round(peak / 1e9, 1)}))


if __name__ == "__main__":
    main()
