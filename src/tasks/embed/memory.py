"""The planner's record of pooling and the contrastive loss. What it calls a sequence is one text: a row of pairs has two."""

from typing import Any

from src.tasks.defaults import check as check
from src.tasks.embed.options import EmbedOptions


def record_head(tape: Any, options: EmbedOptions, x: Any, words: Any) -> None:
    """Record the pooling of Embedder, and ContrastiveLoss with the candidates of one batch.

    Args:
        tape: Tape of src/report. x, words: its tensors of the hidden states and of the word embeddings.
    """
    tape.part = "head"
    shape = (options.model.hidden_size,)
    x = tape.add("mean" if options.pooling == "mean" else "[CLS]", [tape.cast(x, "float32")], shape)
    x = tape.add("vector of length 1", [x], shape, needs=[x], needs_result=True)
    tape.part = "loss"
    cosines = tape.add("cosines", [x], (options.train_batch_size,), needs=[x])
    tape.add("loss", [tape.add("log softmax", [cosines], cosines.shape, needs_result=True)], ())
