"""The runs of a fine-tuning script: one, or one for each of several seeds or folds and a summary."""

import dataclasses
import gc
import json
import math
import statistics
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.files import write_text
from src.formats import weights
from src.log import logger, start_up
from src.tasks.results import write_csv
from src.tasks.task import Prepared, Task
from src.train import checkpoint, loop, model_card, model_files, prediction, resume

_SUMMARIES = {"seeds": "seed_results.json", "folds": "fold_results.json"}
_OUT_OF_FOLD = "out_of_fold.csv"
# the last two are printed under other names
_NOT_PRINTED = ("global_step", "num_examples", "num_tokens", "num_entities", "loss", "eval_accuracy")


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        config: its settings.
        results: the measures of its evaluation; None without one, and on ranks that do not write.
        header, rows: of out_of_fold.csv, if a fold was held out.
    """

    config: Any
    results: dict[str, Any] | None
    header: list[str]
    rows: list[list[Any]]


def run(task: Task, options: Any) -> list[Run]:
    """Train, evaluate and predict according to the options.

    With `seeds` or `folds`, each run has its own folder in output_dir, and seed_results.json or fold_results.json there holds the mean,
    the sample deviation, the maximum and the values of every measure; with `folds`, out_of_fold.csv has a row for each row of the
    training file, predicted by the run that did not train on it.

    Args:
        options: FineTuneOptions whose device is started.

    Returns:
        the runs; an empty list on ranks that do not write.
    """
    runs = []
    for part in options.for_runs():
        runs.append(_run_once(task, part))
        gc.collect()  # graphs and their parameters are in reference cycles
    if not options.device.writes:
        return []
    results = [each.results for each in runs if each.results is not None]
    if results and options.folds and not options.fold:
        rows = sorted(row for each in runs for row in each.rows)
        write_csv(f"{options.output_dir}/{_OUT_OF_FOLD}", runs[0].header, rows)
        logger.info(f"wrote {options.output_dir}/{_OUT_OF_FOLD}, {len(rows)} rows")
        _report(options, "folds", list(range(1, options.folds + 1)), results)
    elif results and options.seeds:
        _report(options, "seeds", list(options.seeds), results)
    elif results:
        for name in _SUMMARIES.values():
            Path(options.output_dir, name).unlink(missing_ok=True)  # left by other runs in the same folder
    return runs


def summarise(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Mean, sample deviation, maximum and values of every measure that all runs have."""
    summary = {}
    for name in results[0]:
        values: list[Any] = [result.get(name) for result in results]
        if all(isinstance(value, (int, float)) and math.isfinite(value) for value in values):
            deviation = statistics.stdev(values) if len(values) > 1 else 0.0
            summary[name] = {"mean": statistics.fmean(values), "deviation": deviation, "max": max(values), "values": values}
    return summary


def _run_once(task: Task, options: Any) -> Run:
    started = time.perf_counter()
    if options.fold:
        logger.info(f"fold {options.fold} of {options.folds}, in {options.output_dir}")
    start_up.begin()
    prepared = task.training.prepare(options)
    start_up.end("data")
    config = prepared.config
    if config.fold and config.do_train and not config.overwrite and resume.can_continue(config):
        prepared = dataclasses.replace(prepared, config=dataclasses.replace(config, resume=True))
    with resume.folder_taken(prepared.config) if config.do_train else nullcontext():  # until the weights trained here have been used
        done = _run_prepared(task, prepared)
    start_up.take()
    logger.info(f"end_to_end_s={time.perf_counter() - started:.1f}")
    return done


def _run_prepared(task: Task, prepared: Prepared) -> Run:
    config, results, evaluation = prepared.config, None, None
    header: list[str] = []
    rows: list[list[Any]] = []
    if config.do_train:
        if config.load_finetune_checkpoint_path:
            logger.warning("load_finetune_checkpoint_path is ignored: the weights trained in this run are used")
        evaluation = loop.fit(task, prepared)
    if evaluation is None and (config.do_eval or config.do_predict):
        evaluation = prediction.make_evaluation(task, config, task.training.network(config))
    if config.do_eval:
        path = find_trained(task, config) if config.device.writes else None
        outputs = prediction.predict(task, prepared, "eval", path, evaluation)
        prepared = task.training.tune(prepared, outputs)
        if path is not None:
            if prepared.config != config:
                _keep_tuned(prepared.config, path)
            results = task.training.report_evaluation(prepared, outputs, checkpoint.step_of(path))
            if config.do_train:
                for folder in {Path(config.checkpoint_dir), path.parent}:
                    model_card.write_card(folder, task.name, prepared.config, config.load_pretrain_checkpoint_path, results)
            if config.fold:
                columns, found = task.training.tabulate(prepared, outputs)
                header = ["row", "fold", *columns]
                rows = [[number + 1, config.fold, *row] for number, row in zip(prepared.held_out, found, strict=True)]
    if config.do_predict:
        path = find_trained(task, config) if config.device.writes else None
        outputs = prediction.predict(task, prepared, "predict", path, evaluation)
        if path is not None:
            task.training.report_predictions(prepared, outputs)
    return Run(prepared.config, results, header, rows)


def _keep_tuned(config: Any, path: Path) -> None:
    """Keep the settings that the evaluation of this run's own weights has chosen beside them."""
    folder = Path(config.checkpoint_dir)
    if not path.resolve().is_relative_to(folder.resolve()):
        logger.warning(f"{path}: is none of this run's checkpoints, so that what was tuned is not kept with it: eval_results.json tells it")
        return
    for described in {folder, path.parent}:
        model_files.keep_settings(described, config.trained_settings())


def find_trained(task: Task, config: Any) -> Path:
    """The fine-tuned weights to use: after training, the best checkpoint in the folder if it is kept and `use_best`, else the newest.

    Without training, the first that exists of load_finetune_checkpoint_path, that checkpoint, and load_pretrain_checkpoint_path
    (with which Google's scripts name a trained model for prediction).

    Raises:
        FileNotFoundError: none of them exists.
    """
    if config.load_finetune_checkpoint_path and not config.do_train:
        return weights.find(config.load_finetune_checkpoint_path, use_best=config.use_best)
    best = checkpoint.find_best(config.checkpoint_dir, task.training.PREFIX) if config.use_best else None
    found = [best] if best else checkpoint.find_checkpoints(config.checkpoint_dir, task.training.PREFIX)
    if not found and config.load_pretrain_checkpoint_path and not config.do_train:
        return weights.find(config.load_pretrain_checkpoint_path, use_best=config.use_best)
    if not found:
        raise FileNotFoundError(
            f"{config.checkpoint_dir}: no {task.training.PREFIX} checkpoint here; train first or give --load_finetune_checkpoint_path"
        )
    return found[-1]


def _report(options: Any, kind: str, numbers: list[int], results: list[dict[str, Any]]) -> None:
    """Write and print the summary of several runs; kind: seeds or folds, whose `numbers` they are."""
    summary = summarise(results)
    described = {"task": results[0]["task"], kind: numbers}
    write_text(f"{options.output_dir}/{_SUMMARIES[kind]}", json.dumps(described | summary, indent=2) + "\n")
    listed = ",".join(map(str, numbers))
    for name, figures in summary.items():
        if name not in _NOT_PRINTED and not name.endswith("_total"):
            mean, deviation, largest = figures["mean"], figures["deviation"], figures["max"]
            print(f"{kind}={listed} {name} {mean:.6f} ± {deviation:.6f}, max (mean) {largest:.6f} ({mean:.6f})", flush=True)
