"""The planner's record of pooling and of the losses. What it calls a sequence is one text: a row of pairs has two."""

from typing import Any

from src.tasks.defaults import check as check


def record_head(tape: Any, options: Any, x: Any, words: Any) -> None:
    """Record the pooling of Embedder, and of a loss the cosine of each text: a batch's other cosines take little.

    Args:
        tape: Tape of src/report. x, words: its tensors of the hidden states and of the word embeddings.
        options: those that the planner has, of the model and of its updates.
    """
    tape.part = "head"
    x = tape.add("pooled", [tape.cast(x, "float32")], (options.model.hidden_size,))
    x = tape.add("vector of length 1", [x], x.shape, needs=[x], needs_result=True)
    tape.part = "loss"
    tape.add("loss", [tape.add("cosine", [x], (), needs=[x])], ())
