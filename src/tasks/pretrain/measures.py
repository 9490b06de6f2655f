"""Measures of pretraining, from sums for each row."""

import math

import numpy as np
from numpy.typing import ArrayLike


def pretraining_metrics(rows: ArrayLike, pair: str | None = "next_sentence") -> dict[str, float]:
    """Google's four measures and the perplexity.

    Args:
        rows: float [rows, 5]: loss sum, number correct and number of masked tokens; loss and correctness of the next sentence. Without
            a pair the last two are absent.
        pair: `pair` of the Objective.

    Returns:
        dict: masked_lm_accuracy and masked_lm_loss over all masked tokens, {pair}_accuracy and {pair}_loss over all rows, perplexity
        exp(masked_lm_loss), num_examples.
    """
    values = np.asarray(rows, np.float64)
    loss, correct, count, *of_pair = values.sum(0)
    masked_lm_loss = float(loss / max(count, 1))
    names = () if pair is None else (f"{pair}_accuracy", f"{pair}_loss")
    return {
        "masked_lm_accuracy": float(correct / max(count, 1)),
        "masked_lm_loss": masked_lm_loss,
        **{name: float(value / len(values)) for name, value in zip(names, reversed(of_pair), strict=True)},
        "perplexity": math.exp(min(masked_lm_loss, 700.0)),
        "num_examples": len(values),
    }
