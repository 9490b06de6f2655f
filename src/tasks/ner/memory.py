"""The planner's tape of the tagger's head and loss."""

from typing import Any

from src.tasks.ner.options import NerOptions

_TAGS = 32  # where the labels, which the data tell, are not known: they take next to nothing


def check(options: NerOptions, form: Any) -> None:
    """Raises: ValueError: a head that is not planned."""
    if options.with_lstm:
        raise ValueError("with_lstm=true is not planned: of named entities the dense layer and the CRF are")
    if options.use_crf and form.target == "Ascend":
        raise ValueError("use_crf=true is not planned on Ascend, where the CRF goes over pairs of tags")


def record_head(tape: Any, options: NerOptions, x: Any, words: Any) -> None:
    """Tagger of network.py with TaggingLoss, or with the CRF and CrfLoss, whose recursion in float64 keeps what it takes and gives."""
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
