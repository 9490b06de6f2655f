"""The planner's tape of the classifier's head and loss."""

from typing import Any

from src.tasks.classifier.options import ClassifierOptions

_CLASSES = 2  # assumed until the data determine the labels; their share of memory is negligible


def check(options: ClassifierOptions, form: Any) -> None:
    """Raise a ValueError for a head or rows that the planner does not know."""
    if options.has_choices:
        raise ValueError(f"task_name={options.task_name} is not planned: a question is as many rows as it has choices")
    if options.head != "linear":
        raise ValueError(f"head={options.head} is not planned: of the classifier's heads only linear is")


def record_head(tape: Any, options: ClassifierOptions, x: Any, words: Any) -> None:
    """Record LinearHead of network.py and ClassificationLoss of losses.py."""
    pooled = tape.pooler(options.model, x)
    tape.part = "head"
    pooled = tape.dropout(pooled, options.model.hidden_dropout_prob)
    logits = tape.cast(tape.linear("dense", pooled, options.num_class or len(options.labels) or _CLASSES), "float32")
    tape.part = "loss"
    tape.add("loss", [tape.add("log softmax", [logits], logits.shape, needs_result=True)], ())
