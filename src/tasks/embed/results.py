"""Results of a run on embeddings: measures of evaluation, evaluation.csv, vectors or similarities of predictions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from src.files import written_whole
from src.log import logger
from src.tasks.embed.measures import similarity_metrics, take_cosines
from src.tasks.results import write_csv, write_results
from src.tasks.task import Prepared

_VECTORS, _SIMILARITIES = "vectors.npy", "predictions.csv"


def score(prepared: Prepared, outputs: Sequence[Any]) -> dict[str, float]:
    """Measures of an evaluation.

    Args:
        outputs: one list, the vectors float32 [2, H] of each row.
    """
    return similarity_metrics(take_cosines(np.stack(outputs[0])), _find_targets(prepared))


def _find_targets(prepared):
    return np.asarray(prepared.records["eval"].rows["scores"], np.float64) / prepared.config.largest_score


def report_evaluation(prepared: Prepared, outputs: Sequence[Any], global_step: int | None) -> dict[str, Any]:
    """Print the correlation; write eval_results.json and .txt, and evaluation.csv for the figures.

    Returns:
        The content of eval_results.json.
    """
    config, metrics = prepared.config, score(prepared, outputs)
    write_csv(f"{config.output_dir}/evaluation.csv", *tabulate(prepared, outputs))
    value = metrics.get(config.measure)
    print(f"Spearman Correlation {'undefined for these scores' if value is None else f'{value:.6f}'}", flush=True)
    results = {"task": config.task_name, "global_step": global_step, "loss": metrics["eval_loss"], **metrics}
    write_results(config, results)
    return results


def tabulate(prepared: Prepared, outputs: Sequence[Any]) -> tuple[list[str], list[list[str]]]:
    """The score, divided by the largest, and the cosine of each row of an evaluation: header and rows."""
    pairs = zip(_find_targets(prepared), take_cosines(np.stack(outputs[0])))
    return ["label", "predicted_label"], [[f"{true:.9g}", f"{found:.9g}"] for true, found in pairs]


def report_predictions(prepared: Prepared, outputs: Sequence[Any]) -> None:
    """Write vectors.npy, float32 [rows, H], of single texts, or predictions.csv with the similarity of each pair."""
    folder, texts = prepared.config.output_dir, prepared.sources["predict"].texts
    vectors = np.stack(outputs[0])
    if len(texts) == 1:
        name = _VECTORS
        with written_whole(f"{folder}/{name}") as temporary, open(temporary, "wb") as file:
            np.save(file, vectors[:, 0])
    else:
        name = _SIMILARITIES
        rows = [[first, second, f"{cosine:.9g}"] for first, second, cosine in zip(*texts[:2], take_cosines(vectors))]
        write_csv(f"{folder}/{name}", ["text_a", "text_b", "similarity"], rows)
    logger.info(f"wrote {folder}/{name}, {len(vectors)} rows")
