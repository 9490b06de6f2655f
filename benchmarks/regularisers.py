"""What a training step costs with each regulariser, against a plain one: steps of all kinds in turn, in one process.

    .venv/bin/python benchmarks/regularisers.py --config configs/networks/bert_small.json --seq_length 64 --batch_size 32

A classifier on random tokens without padding, dropout 0.1, AdamWeightDecay. Prints one JSON line: median seconds of a step of each kind,
the median of its ratios to the plain step of the same round, and that of the ratios of the process's CPU time, which tells more on a
machine with other work.
"""

import argparse
import dataclasses
import json
import statistics
import time

import mindspore
from memory_trial import make_batch  # which adds the repository to the path
from mindspore import Tensor

from src import framework
from src.config.model import ModelConfig, describe_weights
from src.config.training import OptimizerConfig
from src.models.losses import ClassificationLoss, RDrop, WithLoss
from src.optim.factory import make_optimizer
from src.tasks.classifier import task as classifier
from src.tasks.classifier.network import Classifier
from src.train import runtime
from src.train.adversary import Attack
from src.train.step import TrainStep
from src.train.weight_average import WeightAverage

KINDS = {
    "plain": {},
    "fgm": {"attack": Attack(1.0, 1, 1.0)},
    "pgd": {"attack": Attack(1.0, 3, 0.3)},
    "r_drop": {"r_drop": 1.0},
    "ema": {"ema": 0.999},
    "multi_sample_dropout": {"samples": 4},
}


def make_step(kind, config, device):
    settings = KINDS[kind]
    network = Classifier(config, device, 2, samples=settings.get("samples", 1))
    settings_of_update = OptimizerConfig(name="AdamWeightDecay", learning_rate=1e-5)
    library = device.native_library
    optimizer = make_optimizer(settings_of_update, network.trainable_params(), 1000, device.aclnn, native_library=library)
    loss, inputs = ClassificationLoss(), len(classifier.INPUTS)
    if "samples" in settings:
        loss = classifier.of_samples(loss, settings["samples"])
    cell = RDrop(network, loss, inputs, settings["r_drop"]) if "r_drop" in settings else WithLoss(network, loss, inputs)
    average = WeightAverage(optimizer, settings["ema"]) if "ema" in settings else None
    return TrainStep(cell, optimizer, clip="global_norm", attack=settings.get("attack"), average=average, native_library=library)


def median_ratio(found, plain):
    return statistics.median(took / other for took, other in zip(found, plain))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--layers", type=int, help="in place of the config's")
    parser.add_argument("--seq_length", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    options.task, options.predictions = "classifier", 1  # of make_batch
    config = ModelConfig(**describe_weights(None, options.config).model)
    if options.layers:
        config = dataclasses.replace(config, num_hidden_layers=options.layers)
    framework.run_as_graphs()
    mindspore.set_device("CPU")
    device = runtime.settings("CPU")
    columns = make_batch(options, config)
    batch = [Tensor(columns[name]) for name in classifier.INPUTS + classifier.TARGETS]
    kinds = list(dict.fromkeys(["plain", *options.kinds]))
    steps = {kind: make_step(kind, config, device) for kind in kinds}
    seconds, cpu = {kind: [] for kind in kinds}, {kind: [] for kind in kinds}
    compiled = {}
    for number in range(options.rounds + 1):
        for kind, step in steps.items():
            begun, cpu_begun = time.perf_counter(), time.process_time()
            step(*batch)[0].asnumpy()
            took = time.perf_counter() - begun
            if number:
                seconds[kind].append(took)
                cpu[kind].append(time.process_time() - cpu_begun)
            else:
                compiled[kind] = round(took, 1)
    result = {
        kind: {
            "seconds": round(statistics.median(seconds[kind]), 4),
            "ratio": round(median_ratio(seconds[kind], seconds["plain"]), 3),
            "cpu_ratio": round(median_ratio(cpu[kind], cpu["plain"]), 3),
            "first_step_s": compiled[kind],
        }
        for kind in kinds
    }
    print(json.dumps(vars(options) | {"steps": result}))


if __name__ == "__main__":
    main()
