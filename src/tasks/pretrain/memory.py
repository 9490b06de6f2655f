"""The memory planner's record of pretraining's heads and losses."""

import math
from typing import Any

from src.tasks.defaults import check as check
from src.tasks.pretrain.objectives import OBJECTIVES
from src.tasks.pretrain.options import PretrainOptions


def record_head(tape: Any, options: PretrainOptions, x: Any, words: Any) -> None:
    """Record the heads of the network, with logits of P masked tokens, and its loss.

    Args:
        tape: Tape of src/report. x, words: its tensors of the hidden states and of the word embeddings.
    """
    model, kind = options.model, tape.form.compute_type
    predictions = min(options.max_predictions_per_seq or count_predictions(x.shape[0]), x.shape[0])
    pooled = tape.pooler(model, x) if OBJECTIVES[options.objective].pair else None
    tape.part = "masked_lm"
    y = tape.add("masked tokens", [x], (predictions, model.hidden_size))
    y = tape.norm("norm", tape.activation(model.hidden_act, tape.linear("dense", y, model.hidden_size)))
    shape, bias = (predictions, model.vocab_size), tape.parameter("bias", model.vocab_size)
    if tape.native:
        logits = tape.product("logits + bias", y, words, shape, bias)
    else:
        logits = tape.cast(tape.product("logits", tape.cast(y, kind), tape.cast(words, kind), shape), "float32")
        logits = tape.add("logits + bias", [logits, bias], shape, passes=[logits])
    if pooled is None:
        tape.cross_entropy(logits)
        return
    tape.part = "next_sentence"
    sentence_logits = tape.cast(tape.linear("next_sentence", pooled, 2), "float32")
    tape.cross_entropy(logits)
    tape.cross_entropy(sentence_logits)


def count_predictions(seq_length: int) -> int:
    """The masked tokens of a row where neither settings nor records give them: 15 %, as in BERT's own records."""
    return math.ceil(0.15 * seq_length)
