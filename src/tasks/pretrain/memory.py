"""The planner's tape of pretraining's heads and losses."""

import math


def check(options, form):
    """Every head is planned."""


def record_head(tape, options, x, words):
    """Pretraining and PretrainingLoss of network.py: logits of P masked tokens."""
    model, kind = options.model, tape.form.compute_type
    predictions = min(options.max_predictions_per_seq or count_predictions(x.shape[0]), x.shape[0])
    pooled = tape.pooler(model, x)
    tape.part = "masked_lm"
    y = tape.add("masked tokens", [x], (predictions, model.hidden_size))
    y = tape.norm("norm", tape.activation(model.hidden_act, tape.linear("dense", y, model.hidden_size)))
    logits = tape.product("logits", tape.cast(y, kind), tape.cast(words, kind), (predictions, model.vocab_size))
    logits = tape.cast(logits, "float32")
    logits = tape.add("logits + bias", [logits, tape.parameter("bias", model.vocab_size)], logits.shape, passes=[logits])
    tape.part = "next_sentence"
    sentence_logits = tape.cast(tape.linear("next_sentence", pooled, 2), "float32")
    tape.cross_entropy(logits)
    tape.cross_entropy(sentence_logits)


def count_predictions(seq_length):
    """Masked tokens of a row where neither settings nor records tell: 15 %, as in BERT's own records."""
    return math.ceil(0.15 * seq_length)
