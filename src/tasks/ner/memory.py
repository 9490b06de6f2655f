"""The planner's tape of the tagger's head and loss."""

from typing import Any

from src.tasks.ner.options import NerOptions

_TAGS = 32  # assumed until the data determine the labels; their share of memory is negligible


def check(options: NerOptions, form: Any) -> None:
    """Raise a ValueError for a head that the planner does not know."""
    if options.with_lstm:
        raise ValueError("with_lstm=true is not planned: of the NER heads only the dense layer and the CRF are")
    if options.use_crf and form.unrolled:
        raise ValueError(f"use_crf=true is not planned on {form.target}, where the CRF works on pairs of tags")


def record_head(tape: Any, options: NerOptions, x: Any, words: Any) -> None:
    """Record the head of Tagger with TaggingLoss, or with CrfLoss, whose float64 recursion keeps its inputs and outputs."""
    tape.part = "head"
    x = tape.dropout(x, options.model.hidden_dropout_prob)
    tags = len(options.labels) or _TAGS
    logits = tape.cast(tape.linear("dense", x, tags), "float32")
    if not options.use_crf:
        tape.cross_entropy(logits)
        return
    transitions, ends = tape.parameter("crf.transitions", tags, tags), [tape.parameter(f"crf.{end}", tags) for end in ("start", "end")]
    tape.part = "loss"
    emissions = tape.cast(logits, "float64")
    paths = tape.add("CRF recursion", [emissions, transitions], emissions.shape, needs=[emissions], needs_result=True)
    tape.add("loss", [paths, emissions, *ends], ())
