"""Measures of pretraining, from sums for each row."""

import math

import numpy as np
from numpy.typing import ArrayLike


def pretraining_metrics(rows: ArrayLike) -> dict[str, float]:
    """Google's four measures and the perplexity.

    Args:
        rows: float [rows, 5]: loss sum, number correct and number of masked tokens; loss and correctness of the next sentence.

    Returns:
        dict: masked_lm_accuracy and masked_lm_loss over all masked tokens, next_sentence_accuracy and next_sentence_loss
        over all rows, perplexity exp(masked_lm_loss), num_examples.
    """
    values = np.asarray(rows, np.float64)
    loss, correct, count, next_loss, next_correct = values.sum(0)
    masked_lm_loss = float(loss / max(count, 1))
    return {
        "masked_lm_accuracy": float(correct / max(count, 1)),
        "masked_lm_loss": masked_lm_loss,
        "next_sentence_accuracy": float(next_correct / len(values)),
        "next_sentence_loss": float(next_loss / len(values)),
        "perplexity": math.exp(min(masked_lm_loss, 700.0)),
        "num_examples": len(values),
    }
