"""Measures of classification, with scikit-learn and SciPy: NumPy arrays in, a dict out."""

import numpy as np
from scipy.special import log_softmax
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, matthews_corrcoef, precision_recall_fscore_support, roc_auc_score


def classification_metrics(logits: np.ndarray, label_ids: np.ndarray) -> dict[str, float]:
    """All measures that are defined for these labels.

    Args:
        logits: float [rows, classes].
        label_ids: int [rows].

    Returns:
        num_examples; eval_loss (mean cross-entropy); accuracy; precision, recall and f1, for class 1 if there are two classes,
        else the macro average over the classes that occur; mcc; spearman_correlation of predicted and true ids if both vary;
        auc of class 1 if there are two classes and both occur.
    """
    log_probs = log_softmax(np.asarray(logits, np.float64), axis=1)
    predicted = log_probs.argmax(1)
    binary = log_probs.shape[1] == 2
    precision, recall, f1, _ = precision_recall_fscore_support(
        label_ids, predicted, average="binary" if binary else "macro", zero_division=0
    )
    metrics = {
        "num_examples": len(label_ids),
        "eval_loss": -log_probs[np.arange(len(label_ids)), label_ids].mean(),
        "accuracy": accuracy_score(label_ids, predicted),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "mcc": matthews_corrcoef(label_ids, predicted) if len({*label_ids, *predicted}) > 1 else 0.0,
    }
    if len(set(label_ids)) > 1 and len(set(predicted)) > 1:
        metrics["spearman_correlation"] = spearmanr(label_ids, predicted).statistic
    if binary and len(set(label_ids)) == 2:
        metrics["auc"] = roc_auc_score(label_ids, log_probs[:, 1] - log_probs[:, 0])
    return {name: value if name == "num_examples" else float(value) for name, value in metrics.items()}


def regression_metrics(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Measures of a regression.

    Args:
        scores: predicted, float [rows].
        targets: true, float [rows].

    Returns:
        num_examples; eval_loss (mean squared error); pearson_correlation and spearman_correlation if both vary.
    """
    scores, targets = np.asarray(scores, np.float64), np.asarray(targets, np.float64)
    metrics = {"num_examples": len(targets), "eval_loss": float(np.mean((scores - targets) ** 2))}
    if len(set(scores)) > 1 and len(set(targets)) > 1:
        metrics["pearson_correlation"] = float(pearsonr(targets, scores).statistic)
        metrics["spearman_correlation"] = float(spearmanr(targets, scores).statistic)
    return metrics
