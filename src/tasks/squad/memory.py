"""The memory planner's record of the head and loss for questions."""

from typing import Any

from src.tasks.defaults import check as check
from src.tasks.squad.options import SquadOptions


def record_head(tape: Any, options: SquadOptions, x: Any, words: Any) -> None:
    """Record the head of SpanFinder, two logits for each token, and SpanLoss.

    Args:
        tape: Tape of src/report. x, words: its tensors of the hidden states and of the word embeddings.
    """
    tape.part = "head"
    logits = tape.cast(tape.linear("span", x, 2), "float32")
    for end in ("first", "last"):
        tape.part = "head"
        tape.cross_entropy(tape.add(f"logits of the {end} token", [logits], logits.shape[:1]))
