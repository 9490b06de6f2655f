"""CPU time of one layer against the slots of a pack: how src/records/packing.py weighs attention.

    .venv/bin/python benchmarks/packing_work.py --hidden_size 768 --heads 12

The packs of each size L have the same number of slots in all, so that the time is a + b L. Prints the seconds of the forward and the
backward pass, the least of several, for each L; and a / b, by a straight line through all: the slots at which attention takes as long as
the rest of the layer. The time is that of all threads, so that other processes disturb little.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import mindspore
import numpy as np
from mindspore import Tensor, nn, ops

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from src import framework
from src.config.model import ModelConfig
from src.models.bert import Layer
from src.models.packing import make_pack_bias
from src.train import runtime


class Step(nn.Cell):
    """The gradients of a layer: of its input and of its weights."""

    def __init__(self, layer: Layer):
        super().__init__()
        self.gradient = ops.GradOperation(get_all=True, get_by_list=True, sens_param=True)
        self.weights = mindspore.ParameterTuple(layer.trainable_params())
        self.run = _Forward(layer)

    def construct(self, x: Tensor, rows: Tensor, key: Tensor, dout: Tensor) -> tuple:
        return self.gradient(self.run, self.weights)(x, make_pack_bias(rows), key, dout)


class _Forward(nn.Cell):
    def __init__(self, layer: Layer):
        super().__init__()
        self.layer = layer

    def construct(self, x: Tensor, mask_bias: Tensor, key: Tensor) -> Tensor:
        return self.layer(x, mask_bias, key, self.layer.weights())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden_size", type=int, default=768)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--total", type=int, default=2048, help="slots of all packs [%(default)s]")
    parser.add_argument("--slots", type=int, nargs="+", default=[64, 128, 256, 512], help="divisors of it [%(default)s]")
    parser.add_argument("--compute_type", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--repeats", type=int, default=8)
    flags = parser.parse_args()
    framework.run_as_graphs()
    mindspore.set_device("CPU")
    mindspore.set_seed(1)
    sizes = {"hidden_size": flags.hidden_size, "num_attention_heads": flags.heads, "intermediate_size": 4 * flags.hidden_size}
    config = ModelConfig(**sizes)
    step = Step(Layer(config, runtime.settings("CPU", flags.compute_type), 0).set_train())
    random = np.random.default_rng(0)
    x, dout = (Tensor(random.standard_normal((flags.total, flags.hidden_size), np.float32)) for _ in range(2))
    key = Tensor(np.array([1, 1], np.int32))
    shapes = {slots: Tensor(np.zeros((flags.total // slots, slots), np.int32)) for slots in flags.slots}
    least = dict.fromkeys(shapes, float("inf"))
    for repeat in range(flags.repeats + 1):  # the first compiles
        for slots, rows in shapes.items():
            begun = time.process_time()
            step(x, rows, key, dout)[0][0].asnumpy()
            if repeat:
                least[slots] = min(least[slots], time.process_time() - begun)
    slope, constant = np.polyfit(list(least), list(least.values()), 1)
    seconds = {slots: round(value, 4) for slots, value in least.items()}
    print(json.dumps({**sizes, "compute_type": flags.compute_type, "seconds": seconds, "equal_at": round(constant / slope)}))


if __name__ == "__main__":
    main()
