"""Average the outputs of several trained networks, score the mean and write its predictions.

    python -m src.ensemble cola/seed-1 cola/seed-2 cola/seed-3 --output cola_ensemble
    python -m src.ensemble cola/fold-1 cola/fold-2 --output cola_ensemble --eval_data_file_path CoLA/dev.tsv

Each RUN is the output folder of a training of the same task, with the same labels. Classes: the mean of the probabilities; scores: the
mean; entities: of the tokens' probabilities, or of the scores of CRFs; questions: of the probabilities of an answer's first and last
token. The last two need the same tokens in all runs. Files and result lines are those of the run script, beside ensemble.json with the
scores of each run. Without the flags for files the rows are those that the first run evaluated and predicted.
"""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src import cli, signals
from src.config import loader
from src.config.model import describe_weights
from src.files import write_text
from src.formats import weights
from src.log import format_fields, logger
from src.tasks.task import Prepared, Task, find_tasks

_TRAINING = ("resume", "overwrite", "save_for_serving")  # switches that only a training has
_EVALUATIONS = ("eval_steps", "eval_epochs", "early_stopping", "best_metric", "save_finetune_checkpoint_path", "bert_config_file")
_FOLDS = ("folds", "fold", "fold_groups", "eval_json_path")  # that say which rows a run evaluates, besides the file


@dataclass(frozen=True)
class _Member:
    """One of the runs."""

    run: Path
    task: Task
    path: Path  # of its weights
    options: Any


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, check that the runs fit together, compute, average, report."""
    with cli.bad_input_exits():
        flags = _parse(argv)
        members = [_read_run(Path(run), flags) for run in flags.runs]
        for member in members[1:]:
            if member.task != members[0].task:
                raise ValueError(f"{member.run}: of the task {member.task.name}, {members[0].run} of {members[0].task.name}")
        with signals.held:
            from src.train import runtime  # imports MindSpore: after the options are known to be good

        options = runtime.start(members[0].options)
        started = {"device": options.device, "device_target": options.device_target, "precision": options.precision}
        prepared = [member.task.training.prepare(dataclasses.replace(member.options, **started)) for member in members]
        splits = [split for split in ("eval", "predict") if split in prepared[0].records]
        for split in splits:
            for member, each in zip(members[1:], prepared[1:]):
                _check_alike(split, members[0], prepared[0], member, each)
        _run(members, prepared, splits)


def _parse(argv):
    parser = cli.Parser(prog="python -m src.ensemble", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="output folder of a training")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="folder of the results")
    parser.add_argument("--eval_data_file_path", metavar="FILE", help="labelled rows to score, instead of those of the runs")
    parser.add_argument("--predict_data_file_path", metavar="FILE", help="rows to predict, instead of those of the runs")
    parser.add_argument(
        "--use_best", default="true", choices=("true", "false"), help="false: the newest checkpoint of each run, not the best"
    )
    parser.add_argument("--device_target", default="auto", help="as that of the run scripts")
    flags = parser.parse_args(argv)
    if len(flags.runs) < 2:
        raise ValueError(f"{flags.runs[0]}: one run alone is no ensemble; give two or more")
    return flags


def _read_run(run, flags):
    """The _Member of a run's folder, with options to evaluate and predict as the flags say."""
    path = run / "config.yaml"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; the output folder of a fine-tuning is expected")
    tree = loader.read_tree(str(path))
    folder = run / "ckpt" if (run / "ckpt").is_dir() else Path(tree.get("save_finetune_checkpoint_path") or run / "ckpt")
    weights_path = weights.find(folder, use_best=flags.use_best == "true")
    found = describe_weights(folder)
    tasks = find_tasks(found.trained_with)
    if not found.trained_with or not tasks:
        raise ValueError(f"{folder}: its config.json names no settings of a fine-tuning")
    task = tasks[0]
    if not task.averages:
        raise ValueError(f"{run}: is of the task {task.name}, whose outputs have no mean over several networks")
    given = bool(flags.eval_data_file_path), bool(flags.predict_data_file_path)
    own = bool(tree.get("do_eval") or tree.get("eval_steps") or tree.get("eval_epochs")), bool(tree.get("do_predict"))
    does_eval, does_predict = given if any(given) else own
    if not (does_eval or does_predict):
        raise ValueError(f"{run}: was trained without evaluation and prediction: give --eval_data_file_path or --predict_data_file_path")
    tree |= dict.fromkeys(_TRAINING, False) | dict.fromkeys(_EVALUATIONS)
    tree |= {"do_train": False, "do_eval": does_eval, "do_predict": does_predict, "output_dir": flags.output}
    tree |= {"load_finetune_checkpoint_path": str(folder), "device_target": flags.device_target}
    tree |= {key: value for key, value in found.trained_with.items() if tree.get(key) == []}  # what was tuned after config.yaml was written
    tree["vocab_file_path"] = found.vocab_file or tree.get("vocab_file_path")
    if flags.eval_data_file_path:
        tree |= {**{key: None for key in _FOLDS if key in tree}, "eval_data_file_path": flags.eval_data_file_path}
    if flags.predict_data_file_path:
        tree["predict_data_file_path"] = flags.predict_data_file_path
    known = {field.name for field in dataclasses.fields(task.options)}
    return _Member(run, task, weights_path, loader.build(task.options, {key: value for key, value in tree.items() if key in known}))


def _check_alike(split: str, first: _Member, prepared: Prepared, other: _Member, others: Prepared) -> None:
    """Check that two runs have the same labels and the same rows.

    Raises:
        ValueError: they have not; the message names the runs.
    """
    labels, their_labels = prepared.config.labels, others.config.labels
    if labels != their_labels:
        raise ValueError(f"{other.run}: its labels are {','.join(their_labels)}, those of {first.run} {','.join(labels)}")
    records, theirs = prepared.records[split], others.records[split]
    how = "give --eval_data_file_path" if split == "eval" else "give --predict_data_file_path"
    if prepared.sources.get(split) != others.sources.get(split) or not _same(records.rows, theirs.rows, "label_ids"):
        raise ValueError(f"{other.run}: its {split} rows are not those of {first.run}; {how} for all of them")
    same_tokens = np.array_equal(records.lengths, theirs.lengths) and _same(records.tokens, theirs.tokens, "input_ids")
    same_vocabulary = Path(first.options.vocab_file_path).read_bytes() == Path(other.options.vocab_file_path).read_bytes()
    if not same_tokens and (first.task.ensemble.PER_TOKEN or same_vocabulary and first.options.seq_length == other.options.seq_length):
        raise ValueError(f"{other.run}: its {split} rows have other tokens than those of {first.run}; the text or the tokenizer differs")


def _same(columns, others, name):
    return name not in columns or np.array_equal(columns[name], others[name], equal_nan=columns[name].dtype.kind == "f")


def _run(members: list[_Member], prepared: list[Prepared], splits: list[str]) -> None:
    """Run every network over every split; report the means."""
    from src.train import model_files, prediction  # after MindSpore has been imported with signals held

    task, first = members[0].task, prepared[0]
    averages = {split: task.ensemble.Average(first, split) for split in splits}
    evaluations: dict[str, prediction.Evaluation] = {}  # networks of one shape are compiled once
    scores = []
    for member, each in zip(members, prepared):
        shape = repr([each.config.model, each.config.trained_settings()])
        if shape not in evaluations:
            network = task.training.network(each.config)
            evaluations[shape] = prediction.Evaluation(network, task.ensemble.cell(network), task.training.INPUTS)
        evaluation = evaluations[shape]
        model_files.load_weights(evaluation.network, member.path, whole=True)
        for split in splits:
            outputs, _ = prediction.run_network(each.config, evaluation, each.records[split], f"{split} {member.run}")
            averages[split].add(evaluation.network, outputs)
            if split == "eval":
                alone = task.ensemble.Average(first, split)
                alone.add(evaluation.network, outputs)
                found = task.training.score(task.training.tune(first, alone.outputs()), alone.outputs())
                scores.append({"run": str(member.run), "weights": str(member.path), **found})
                logger.info(f"{member.run} {format_fields({key: value for key, value in found.items() if not isinstance(value, dict)})}")
    if "eval" in splits:
        first = task.training.tune(first, averages["eval"].outputs())
        results = task.training.report_evaluation(first, averages["eval"].outputs(), None)
        write_text(f"{first.config.output_dir}/ensemble.json", json.dumps({"runs": scores, "ensemble": results}, indent=2) + "\n")
    if "predict" in splits:
        task.training.report_predictions(first, averages["predict"].outputs())


if __name__ == "__main__":
    signals.watch()
    main()
