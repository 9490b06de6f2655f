"""Measures of the similarity of pairs: NumPy arrays in, a dict out."""

import numpy as np
from scipy.stats import pearsonr, spearmanr


def take_cosines(vectors: np.ndarray) -> np.ndarray:
    """The cosine of the first two vectors of each row: float [rows, K, H] -> float64 [rows]."""
    first, second = (vectors[:, number].astype(np.float64) for number in (0, 1))
    return (first * second).sum(1) / np.maximum(np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1), 1e-12)


def similarity_metrics(cosines: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Measures of cosines against scores.

    Args:
        cosines: float [rows].
        targets: float [rows], scores divided by the largest.

    Returns:
        num_examples; eval_loss (mean squared difference); spearman_correlation and pearson_correlation if both vary.
    """
    metrics = {"num_examples": len(targets), "eval_loss": float(np.mean((cosines - targets) ** 2))}
    if len(set(cosines)) > 1 and len(set(targets)) > 1:
        metrics["spearman_correlation"] = float(spearmanr(targets, cosines).statistic)
        metrics["pearson_correlation"] = float(pearsonr(targets, cosines).statistic)
    return metrics
