"""The planner's tape of the tagger's head and loss."""

from typing import Any

from src.tasks.ner.options import QUERY_SIZE, NerOptions
from src.tasks.ner.tags import list_types

_TAGS = 32  # assumed until the data determine the labels; their share of memory is negligible
_TYPES = 10  # the same for a pointer, whose memory grows with them: --labels says which there are


def check(options: NerOptions, form: Any) -> None:
    """Raise a ValueError for a head that the planner does not know."""
    if options.has_lstm:
        raise ValueError(f"head={options.head} is not planned: of the NER heads softmax, crf and global_pointer are")
    if options.has_crf and form.unrolled:
        raise ValueError(f"head=crf is not planned on {form.target}, where the CRF works on pairs of tags")


def record_head(tape: Any, options: NerOptions, x: Any, words: Any) -> None:
    """Record the head of Tagger with TaggingLoss, or with CrfLoss, whose float64 recursion keeps its inputs and outputs; or of Pointer."""
    tape.part = "head"
    x = tape.dropout(x, options.model.hidden_dropout_prob)
    if options.is_pointer:
        _record_pointer(tape, x, len(list_types(options.labels)) or _TYPES)
        return
    tags = len(options.labels) or _TAGS
    logits = tape.cast(tape.linear("dense", x, tags), "float32")
    if not options.has_crf:
        tape.cross_entropy(logits)
        return
    transitions, ends = tape.parameter("crf.transitions", tags, tags), [tape.parameter(f"crf.{end}", tags) for end in ("start", "end")]
    tape.part = "loss"
    emissions = tape.cast(logits, "float64")
    paths = tape.add("CRF recursion", [emissions, transitions], emissions.shape, needs=[emissions], needs_result=True)
    tape.add("loss", [paths, emissions, *ends], ())


def _record_pointer(tape, x, types):
    """PointerHead and PointerLoss of pointer.py: after the last tokens' part is added, everything is [S, types, S]."""
    length = x.shape[0]
    query, key = (tape.cast(tape.linear(name, x, QUERY_SIZE), "float32") for name in ("query", "key"))
    both = tape.add("query and key", [query, key], (length, 2 * QUERY_SIZE))
    first, last = (tape.cast(tape.linear(name, both, types), "float32") for name in ("dense", "last"))
    query, key = (_rotate(tape, each) for each in (query, key))
    pairs = tape.product("scores", *(tape.cast(each, tape.form.compute_type) for each in (query, key)), (length, length))
    pairs = tape.add("scores + mask", [tape.cast(pairs, "float32")], (length, length))
    scores = (length, types, length)
    logits = tape.add("scores + first", [pairs, first], scores)
    logits = tape.add("scores + last", [logits, last], scores, passes=[logits])
    tape.part = "loss"
    others = tape.add("scores without labelled spans", [logits], scores, passes=[logits], scratch=logits.bytes)
    largest = tape.add("max", [others], (types,), needs=[others])
    shifted = tape.add("scores - max", [others, largest], scores, passes=[others])
    total = tape.add("sum", [tape.add("exp", [shifted], scores, needs_result=True)], (types,))
    tape.add("loss", [total, largest, tape.add("scores of labelled spans", [logits], (types,))], ())


def _rotate(tape, x):
    """RotaryPositions of positions.py."""
    turned = tape.scale("turned", x)
    return tape.sum("rotated", tape.scale("x cos", x), tape.scale("turned sin", turned))
