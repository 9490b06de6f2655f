"""Results of a run on questions: the result line, eval_results, and the predictions with their best alternatives."""

import json
from typing import Any

import numpy as np

from src.cli import not_input
from src.files import write_text
from src.log import logger
from src.tasks.results import write_results
from src.tasks.squad.answers import find_answers
from src.tasks.squad.measures import cmrc, squad_v1, squad_v2
from src.tasks.task import Prepared

Outputs = tuple[list[np.ndarray], list[np.ndarray]]  # start logits and end logits, a float32 [S] array for each row


def score(prepared: Prepared, outputs: Outputs) -> dict[str, Any]:
    """The measures of an evaluation.

    Args:
        prepared: holds rows and Questions of the eval split.

    Returns:
        dict of eval_loss (over the rows whose answer is known; None if there are none), num_examples (questions), exact_match and f1
        in percent, and whatever else the measure of the language and version gives.
    """
    return _measure(prepared, outputs, _answer(prepared, "eval", outputs))


def report_evaluation(prepared: Prepared, outputs: Outputs, global_step: int | None) -> dict[str, Any]:
    """Print the result as one line of JSON; write the predictions, eval_results.json and .txt.

    Returns:
        the content of eval_results.json.
    """
    config, answers = prepared.config, _answer(prepared, "eval", outputs)
    metrics = _measure(prepared, outputs, answers)
    _write(config, "", answers)
    print(json.dumps({key: value for key, value in metrics.items() if key not in ("eval_loss", "num_examples")}), flush=True)
    results = {"task": config.task_name, "global_step": global_step, "loss": metrics["eval_loss"], **metrics}
    write_results(config, results)
    return results


def tabulate(prepared: Prepared, outputs: Outputs) -> tuple[list[str], list[list[Any]]]:
    """Id, text, true answers (JSON), prediction and its probability for each question of an evaluation: header and rows."""
    answers, rows = _answer(prepared, "eval", outputs), []
    for question in prepared.sources["eval"]:
        gold = json.dumps([answer.text for answer in question.answers or ()], ensure_ascii=False)
        prediction = answers.predictions.get(question.id, "")
        likely = {entry["text"]: entry["probability"] for entry in answers.nbest.get(question.id, ())}
        rows.append([question.id, question.text, gold, prediction, f"{likely.get(prediction, 0.0):.9g}"])
    return ["id", "question", "answers", "prediction", "probability"], rows


def report_predictions(prepared: Prepared, outputs: Outputs) -> None:
    """Write the predictions; the file names begin with test_ where the run also evaluates other questions."""
    config, answers = prepared.config, _answer(prepared, "predict", outputs)
    _write(config, "test_" if config.do_eval else "", answers)


def _answer(prepared, split, outputs):
    config, records, questions = prepared.config, prepared.records[split], prepared.sources[split]
    threshold = config.null_score_diff_threshold if config.version_2_with_negative else None
    start_logits, end_logits = outputs
    with not_input():
        return find_answers(questions, records, start_logits, end_logits, config.n_best_size, config.max_answer_length, threshold)


def _measure(prepared, outputs, answers):
    config, questions = prepared.config, prepared.sources["eval"]
    gold = {question.id: [answer.text for answer in question.answers] for question in questions}
    metrics = {"eval_loss": _mean_loss(outputs, prepared.records["eval"]), "num_examples": len(gold)}
    if config.version_2_with_negative:
        found = squad_v2(gold, answers.predictions)
        best = squad_v2(gold, answers.non_null, answers.null_odds)  # with the thresholds that would have been best
        found |= {name: value for name, value in best.items() if name.startswith("best_")}
        del found["total"]  # num_examples
        return metrics | {"exact_match": found.pop("exact"), "f1": found.pop("f1")} | found
    if config.language == "zh":
        found = cmrc(gold, answers.predictions)
        return metrics | {"exact_match": found["EM"], "f1": found["F1"], "average": found["AVERAGE"]}
    return metrics | squad_v1(gold, answers.predictions)


def _mean_loss(outputs, records):
    """The training loss, averaged over the rows with a label."""
    losses = []
    labels = records.rows["start_positions"], records.rows["end_positions"]
    for length, start_logits, end_logits, start, end in zip(records.lengths, *outputs, *labels):
        if start >= 0:
            pairs = ((start_logits, start), (end_logits, end))
            losses.append(sum(_cross_entropy(logits[:length].astype(np.float64), position) for logits, position in pairs) / 2)
    return float(np.mean(losses)) if losses else None


def _cross_entropy(logits, position):
    return np.logaddexp.reduce(logits) - logits[position]


def _write(config, prefix, answers):
    files = {"predictions": answers.predictions, "nbest_predictions": answers.nbest, "null_odds": answers.null_odds}
    for name, values in files.items():
        write_text(f"{config.output_dir}/{prefix}{name}.json", json.dumps(values, ensure_ascii=False, indent=2) + "\n")
    logger.info(
        f"wrote {config.output_dir}/{prefix}predictions.json, {len(answers.predictions)} questions, and {prefix}nbest_predictions.json"
    )
