"""Some training steps of one batch in a process of its own: how much memory they took, and how fast they were.

    .venv/bin/python benchmarks/memory_trial.py --config configs/networks/bert_base.json --seq_length 128 --batch_size 16 --use_recompute

Random tokens without padding, dropout as the config says. On the CPU memory is the process's peak resident set, what
the framework, its compilation and the parameters take included: differences between batch sizes are activations. On another device it
is the device's. Prints one JSON line; ends with another exit code where the memory does not suffice.
"""

import argparse
import dataclasses
import json
import statistics
import sys
import time
from pathlib import Path

import mindspore
import numpy as np
from mindspore import Tensor
from peak_memory import peak_resident_bytes

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from src import framework
from src.config.model import ModelConfig, describe_weights
from src.config.parts import expand_parts
from src.config.training import OptimizerConfig, PrecisionConfig
from src.models.losses import ClassificationLoss, WithLoss
from src.optim import parts
from src.optim.factory import make_optimizer
from src.records import pipeline
from src.records.packing import Packing, make_columns
from src.tasks.classifier import task as classifier
from src.tasks.classifier.network import Classifier
from src.tasks.ner import task as ner
from src.tasks.ner.pointer import Pointer, PointerLoss
from src.tasks.pretrain import task as pretrain
from src.tasks.pretrain.network import Pretraining, PretrainingLoss
from src.train import runtime
from src.train.loss_scale import make_loss_scale
from src.train.step import TrainStep


def make_batch(options, config):
    """Columns of a batch, as the task's network and loss take them."""
    rng = np.random.default_rng(0)
    rows, length, predictions = options.batch_size, options.seq_length, options.predictions
    columns = {
        "input_ids": rng.integers(0, config.vocab_size, (rows, length)),
        "input_mask": np.ones((rows, length)),
        "token_type_ids": np.zeros((rows, length)),
        "label_ids": rng.integers(0, 2, rows),
        "masked_lm_positions": np.sort(rng.random((rows, length)).argsort(1)[:, :predictions], 1),
        "masked_lm_ids": rng.integers(0, config.vocab_size, (rows, predictions)),
        "next_sentence_labels": rng.integers(0, 2, rows),
    }
    columns = {name: values.astype(np.int32) for name, values in columns.items()}
    if options.task == "pointer":  # a token with each type
        spans = [(number % options.types, 1 + number, 1 + number) for number in range(8)]
        columns["label_ids"] = np.tile(np.array(spans, np.int32), (rows, 1, 1))
    columns |= {"masked_lm_weights": np.ones((rows, predictions), np.float32), "weights": np.ones(rows, np.float32)}
    return columns | {"rows_per_token": np.float32(1 / predictions)}


def make_packed_batch(options, config):
    """The columns of a batch of packs, each filled by rows of equal length, and those that tell where the rows stand."""
    rows, length = options.batch_size * options.rows_per_pack, options.seq_length // options.rows_per_pack
    columns = make_batch(argparse.Namespace(**vars(options) | {"batch_size": rows, "seq_length": length}), config)
    return columns | make_columns(np.full(rows, length), length, Packing(options.batch_size, options.seq_length))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--layers", type=int, help="in place of the config's")
    parser.add_argument("--task", default="classifier", choices=("classifier", "pretrain", "pointer"))
    parser.add_argument("--types", type=int, default=10, help="entity types of a pointer [%(default)s]")
    parser.add_argument("--seq_length", type=int, default=128)
    parser.add_argument("--predictions", type=int, default=20, help="masked tokens a row [%(default)s]")
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--rows_per_pack", type=int, default=1, help="rows of equal length in each of --batch_size packs [%(default)s]")
    parser.add_argument("--use_recompute", action="store_true")
    parser.add_argument("--compute_type", default="auto")
    parser.add_argument("--optimizer", default="AdamWeightDecay", choices=("Lamb", "AdamWeightDecay", "AdamW", "Momentum"))
    parser.add_argument("--clip", default="global_norm", choices=("global_norm", "per_parameter", "none"))
    parser.add_argument("--freeze", default="", help="parts that are not trained, such as embeddings,layers.0-5")
    parser.add_argument("--loss_scale", default="dynamic", choices=("dynamic", "none"), help="in float16 [%(default)s]")
    parser.add_argument("--device_target", default="auto")
    parser.add_argument("--jit_level", default="O0", choices=("O0", "O1"), help="of Ascend's compiler [%(default)s]")
    parser.add_argument("--plain_attention", action="store_true", help="on Ascend: no flash attention")
    parser.add_argument("--device_memory", type=float, help="GB that the framework may take on a GPU or Ascend")
    parser.add_argument("--steps", type=int, default=3, help="the first, with its compilation, does not count for the rate [%(default)s]")
    options = parser.parse_args()
    try:
        config = ModelConfig(**describe_weights(None, options.config).model)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if options.layers:
        config = dataclasses.replace(config, num_hidden_layers=options.layers)
    if options.rows_per_pack < 1 or options.seq_length % options.rows_per_pack:
        parser.error("--seq_length must be a multiple of --rows_per_pack")
    if options.batch_size < 1 or options.steps < 2 or not 1 <= options.predictions <= options.seq_length <= config.max_position_embeddings:
        parser.error("1 row, 2 steps, and 1 <= --predictions <= --seq_length <= the network's positions are expected")
    target = runtime.available_devices()[0] if options.device_target == "auto" else options.device_target
    framework.run_as_graphs()
    mindspore.set_device(target)
    if options.device_memory and target != "CPU":
        mindspore.runtime.set_memory(max_size=f"{options.device_memory}GB")
    flash = not options.plain_attention
    device = runtime.settings(target, options.compute_type, recompute=options.use_recompute, flash_attention=flash)
    if target == "Ascend":
        framework.set_jit_level(options.jit_level)
    mindspore.set_seed(1)
    if options.task == "pretrain":
        task, network, loss = pretrain, Pretraining(config, device), PretrainingLoss(device.aclnn)
    elif options.task == "pointer":
        task, network, loss = ner, Pointer(config, device, options.types, options.seq_length), PointerLoss()
    else:
        task, network, loss = classifier, Classifier(config, device, 2), ClassificationLoss()
    parts.freeze(network, expand_parts([part for part in options.freeze.split(",") if part], config.num_hidden_layers))
    settings = OptimizerConfig(name=options.optimizer, learning_rate=1e-5)
    library = device.native_library
    optimizer = make_optimizer(settings, network.trainable_params(), 1000, device.aclnn, native_library=library)
    loss_scale = make_loss_scale(PrecisionConfig(loss_scale=options.loss_scale), device.compute_type)
    packs = options.rows_per_pack > 1
    step = TrainStep(WithLoss(network, loss, len(task.INPUTS), packs), optimizer, loss_scale, clip=options.clip, native_library=library)
    columns = make_packed_batch(options, config)
    batch, seconds = [Tensor(columns[name]) for name in task.INPUTS + task.TARGETS + (pipeline.PACKING if packs else ())], []
    for _ in range(options.steps):
        begun = time.perf_counter()
        found = step(*batch)[0].asnumpy().item()
        seconds.append(time.perf_counter() - begun)
    peak = peak_resident_bytes() if target == "CPU" else mindspore.runtime.max_memory_allocated()
    result = {"device": target, "batch_size": options.batch_size, "peak_bytes": peak, "loss": found}
    print(
        json.dumps(result | {"first_step_s": round(seconds[0], 2), "sentences_per_s": options.batch_size / statistics.median(seconds[1:])})
    )


if __name__ == "__main__":
    main()
