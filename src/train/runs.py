"""The runs of a fine-tuning script: one, or one for each of several seeds and a summary."""

import gc
import json
import math
import statistics
import time
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any

from src.files import write_text
from src.formats import weights
from src.log import logger
from src.train import checkpoint, loop, prediction
from src.train.resume import folder_taken

_SUMMARY = "seed_results.json"
# the last two are printed under other names
_NOT_PRINTED = ("global_step", "num_examples", "num_tokens", "num_entities", "loss", "eval_accuracy")


def run(task: ModuleType, options: Any) -> list[Any]:
    """Train, evaluate and predict according to the options.

    With `seeds`, each run has its own folder in output_dir, and seed_results.json there holds the mean, the sample deviation, the
    maximum and the values of every measure.

    Args:
        task: the module task.py of a task's package, see Task of src/tasks/task.py.
        options: FineTuneOptions whose device is started.

    Returns:
        the config of each run; an empty list on ranks that do not write.
    """
    configs, results = [], []
    for part in [options.for_seed(seed) for seed in options.seeds] or [options]:
        config, result = _run_once(task, part)
        configs.append(config)
        results.append(result)
        gc.collect()  # graphs and their parameters are in reference cycles
    if not options.device.writes:
        return []
    if options.seeds and options.do_eval:
        _report(options, results)
    elif options.do_eval:
        Path(options.output_dir, _SUMMARY).unlink(missing_ok=True)  # left by other runs in the same folder
    return configs


def summarise(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean, sample deviation, maximum and values of every measure that all runs have."""
    summary = {}
    for name in results[0]:
        values: list[Any] = [result.get(name) for result in results]
        if all(isinstance(value, (int, float)) and math.isfinite(value) for value in values):
            deviation = statistics.stdev(values) if len(values) > 1 else 0.0
            summary[name] = {"mean": statistics.fmean(values), "deviation": deviation, "max": max(values), "values": values}
    return summary


def _run_once(task, options):
    """One run; returns its final config, and the measures of its evaluation or None."""
    started = time.perf_counter()
    prepared = task.prepare(options)
    with folder_taken(prepared.config) if options.do_train else nullcontext():  # until the weights trained here have been used
        results = _run_prepared(task, prepared)
    logger.info(f"end_to_end_s={time.perf_counter() - started:.1f}")
    return prepared.config, results


def _run_prepared(task, prepared):
    config, results, evaluation = prepared.config, None, None
    if config.do_train:
        if config.load_finetune_checkpoint_path:
            logger.warning("load_finetune_checkpoint_path is ignored: the weights trained in this run are used")
        evaluation = loop.fit(task, prepared)
    if config.do_eval:
        path = find_trained(task, config) if config.device.writes else None
        outputs = prediction.predict(task, prepared, "eval", path, evaluation)
        if path is not None:
            results = task.report_evaluation(prepared, outputs, checkpoint.step_of(path))
    if config.do_predict:
        path = find_trained(task, config) if config.device.writes else None
        outputs = prediction.predict(task, prepared, "predict", path, evaluation)
        if path is not None:
            task.report_predictions(prepared, outputs)
    return results


def find_trained(task: ModuleType, config: Any) -> Path:
    """The fine-tuned weights to use: after training, the best checkpoint in the folder if it is kept and `use_best`, else the newest.

    Without training, the first that exists of load_finetune_checkpoint_path, that checkpoint, and load_pretrain_checkpoint_path
    (with which Google's scripts name a trained model for prediction).

    Raises:
        FileNotFoundError: none of them exists.
    """
    if config.load_finetune_checkpoint_path and not config.do_train:
        return weights.find(config.load_finetune_checkpoint_path, use_best=config.use_best)
    best = checkpoint.find_best(config.checkpoint_dir, task.NAME) if config.use_best else None
    found = [best] if best else checkpoint.find_checkpoints(config.checkpoint_dir, task.NAME)
    if not found and config.load_pretrain_checkpoint_path and not config.do_train:
        return weights.find(config.load_pretrain_checkpoint_path, use_best=config.use_best)
    if not found:
        raise FileNotFoundError(
            f"{config.checkpoint_dir}: no {task.NAME} checkpoint here; train first or give --load_finetune_checkpoint_path"
        )
    return found[-1]


def _report(options, results):
    summary = summarise(results)
    seeds = {"task": results[0]["task"], "seeds": list(options.seeds)}
    write_text(f"{options.output_dir}/{_SUMMARY}", json.dumps(seeds | summary, indent=2) + "\n")
    listed = ",".join(map(str, options.seeds))
    for name, figures in summary.items():
        if name not in _NOT_PRINTED and not name.endswith("_total"):
            mean, deviation, largest = figures["mean"], figures["deviation"], figures["max"]
            print(f"seeds={listed} {name} {mean:.6f} ± {deviation:.6f}, max (mean) {largest:.6f} ({mean:.6f})", flush=True)
