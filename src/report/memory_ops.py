"""The networks of src/models as tapes: encoder, heads and losses, op by op in the order of their `construct`.

Shapes of one sequence: S its length, H hidden, N heads, D head size, F feed-forward, V vocabulary, P masked positions, C classes.
"""

import math

from src.report.memory_tape import Tape, Tensor

_CLASSES, _TAGS = 2, 32  # where the labels, which the data tell, are not known: they take next to nothing


def record(options, form, task, seq_length):
    """The Tape of a task's network and loss.

    Args:
        options: of the task's run script.
        form: Form of the ops.
        task: pretrain, classifier, ner or squad.
        seq_length: S.

    Raises:
        ValueError: a head that is not planned.
    """
    if getattr(options, "with_lstm", False):
        raise ValueError("with_lstm=true is not planned: of named entities the dense layer and the CRF are")
    if getattr(options, "use_crf", False) and form.target == "Ascend":
        raise ValueError("use_crf=true is not planned on Ascend, where the CRF goes over pairs of tags")
    if getattr(options, "head", "linear") != "linear":
        raise ValueError(f"head={options.head} is not planned: of the classifier's heads linear is")
    tape, model = Tape(form), options.model
    tape.part = "embeddings"
    if form.aclnn:
        tape.draw_masks(model, seq_length)
    x, words = _embeddings(tape, model, seq_length)
    relations = _relations(tape, model, seq_length) if model.position_embedding_type == "sinusoidal" else None
    for number in range(model.num_hidden_layers):
        tape.part = f"layer.{number}"
        if model.position_embedding_type == "learned":
            relations = _relations(tape, model, seq_length)
        x = _layer(tape, model, x, relations)
    {"pretrain": _pretraining, "classifier": _classifier, "ner": _tagger, "squad": _span_finder}[task](tape, options, x, words)
    return tape


def _embeddings(tape, model, seq_length):
    """Embeddings of bert.py: float32 [S, H], and the word table. A gradient of rows of a table needs the ids alone."""
    shape = (seq_length, model.hidden_size)
    ids = Tensor("ids", shape[:1], learned=False)
    words = tape.parameter("word.weight", model.vocab_size, model.hidden_size)
    segments = tape.parameter("token_type.weight", model.type_vocab_size, model.hidden_size)
    x = tape.sum("word + segment", tape.add("word rows", [words, ids], shape), tape.add("segment rows", [segments, ids], shape))
    if model.position_embedding_type == "absolute":
        positions = tape.parameter("position.weight", model.max_position_embeddings, model.hidden_size)
        if tape.form.aclnn:
            positions = tape.add("position rows", [positions], shape)
        x = tape.add("+ position", [x, positions], shape, passes=[x])
    return tape.dropout(tape.norm("norm", x), model.hidden_dropout_prob), words


def _layer(tape, model, x, relations):
    """Layer of bert.py: [S, H] -> [S, H]."""
    y = tape.dropout(_attention(tape, model, x, relations), model.hidden_dropout_prob)
    x = tape.norm("attention_norm", tape.sum("x + attention", x, y))
    y = tape.activation(model.hidden_act, tape.linear("intermediate", x, model.intermediate_size))
    y = tape.dropout(tape.linear("output", y, model.hidden_size), model.hidden_dropout_prob)
    return tape.norm("output_norm", tape.sum("x + feed-forward", x, y))


def _attention(tape, model, x, relations):
    """SelfAttention of bert.py: [S, H] -> [S, H]; `relations` for relative positions."""
    (seq_length, size), heads = x.shape, model.num_attention_heads
    by_head, pairs = (heads, seq_length, size // heads), (heads, seq_length, seq_length)
    if tape.form.takes_flash(model, seq_length):
        projected = [tape.linear(name, x, size) for name in ("query", "key", "value")]
        return tape.linear("attention.output", tape.flash_attention(*projected, model), size)
    query = tape.swap("query by head", tape.scale("query * 1 / sqrt D", tape.linear("query", x, size)), by_head)
    key = tape.swap("key by head", tape.linear("key", x, size), by_head)
    value = tape.swap("value by head", tape.linear("value", x, size), by_head)
    scores = tape.product("scores", query, key, pairs)
    if relations:
        scores = tape.sum("scores + relative", scores, _relative(tape, "relative scores", query, relations, pairs))
    mask_bias = Tensor("mask bias", (seq_length,), learned=False)
    probs = tape.dropout(tape.softmax(scores, mask_bias), model.attention_probs_dropout_prob)
    probs = tape.cast(probs, tape.form.compute_type)
    context = tape.product("context", probs, value, by_head)
    if relations:
        context = tape.sum("context + relative", context, _relative(tape, "relative context", probs, relations, by_head))
    return tape.linear("attention.output", tape.swap("context by token", context, x.shape), size)


def _relations(tape, model, seq_length):
    """RelativePositions.relations of positions.py: [S, S, D]; the framework makes one of those that are equal in all layers."""
    size = model.hidden_size // model.num_attention_heads
    rows, name = 2 * model.max_relative_position + 1, "attention.positions.table"
    is_learned = model.position_embedding_type == "learned"
    table = tape.parameter(name, rows, size) if is_learned else Tensor(name, (rows, size), per_row=False, learned=False)
    return tape.cast(tape.add("relations", [table], (seq_length, seq_length, size)), tape.form.compute_type)


def _relative(tape, name, x, relations, shape):
    """key_scores and value_context of positions.py: x by place, the product, and back by head."""
    y = tape.product(name, tape.swap(f"{name}: by place", x, x.shape), relations, shape)
    return tape.swap(f"{name}: by head", y, shape)


def _pooler(tape, model, x):
    """The end of Bert in bert.py: [S, H] -> float32 [H]."""
    tape.part = "pooler"
    cls = tape.add("[CLS]", [x], (model.hidden_size,))
    return tape.tanh(tape.cast(tape.linear("pooler", cls, model.hidden_size), "float32"))


def _cross_entropy(tape, logits):
    """ops.logsumexp, op by op as the framework writes it, minus the logit of the label; on Ascend the log of softmax there."""
    tape.part = "loss"
    rows = logits.shape[:-1]
    if tape.form.aclnn:
        picked = tape.add("logit of the label", [tape.add("log softmax", [logits], logits.shape, needs_result=True)], rows)
        tape.add("loss", [picked], ())
        return
    largest = tape.add("max", [logits], rows, needs=[logits])
    shifted = tape.add("logits - max", [logits, largest], logits.shape, passes=[logits])
    total = tape.add("sum", [tape.add("exp", [shifted], logits.shape, needs_result=True)], rows)
    picked = tape.add("logit of the label", [logits], rows)
    tape.add("loss", [total, largest, picked], ())


def _pretraining(tape, options, x, words):
    """Pretraining and PretrainingLoss of pretraining.py: logits of P masked tokens."""
    model, kind = options.model, tape.form.compute_type
    predictions = min(options.max_predictions_per_seq or count_predictions(x.shape[0]), x.shape[0])
    pooled = _pooler(tape, model, x)
    tape.part = "masked_lm"
    y = tape.add("masked tokens", [x], (predictions, model.hidden_size))
    y = tape.norm("norm", tape.activation(model.hidden_act, tape.linear("dense", y, model.hidden_size)))
    logits = tape.product("logits", tape.cast(y, kind), tape.cast(words, kind), (predictions, model.vocab_size))
    logits = tape.cast(logits, "float32")
    logits = tape.add("logits + bias", [logits, tape.parameter("bias", model.vocab_size)], logits.shape, passes=[logits])
    tape.part = "next_sentence"
    sentence_logits = tape.cast(tape.linear("next_sentence", pooled, 2), "float32")
    _cross_entropy(tape, logits)
    _cross_entropy(tape, sentence_logits)


def count_predictions(seq_length):
    """Masked tokens of a row where neither settings nor records tell: 15 %, as in BERT's own records."""
    return math.ceil(0.15 * seq_length)


def _classifier(tape, options, x, words):
    """Classifier with LinearHead of heads.py, and ClassificationLoss of losses.py."""
    pooled = _pooler(tape, options.model, x)
    tape.part = "head"
    pooled = tape.dropout(pooled, options.model.hidden_dropout_prob)
    logits = tape.cast(tape.linear("dense", pooled, options.num_class or len(options.labels) or _CLASSES), "float32")
    tape.part = "loss"
    tape.add("loss", [tape.add("log softmax", [logits], logits.shape, needs_result=True)], ())


def _tagger(tape, options, x, words):
    """Tagger of tagger.py with TaggingLoss, or with the CRF and CrfLoss, whose recursion in float64 keeps what it takes and gives."""
    tape.part = "head"
    x = tape.dropout(x, options.model.hidden_dropout_prob)
    tags = len(options.labels) or _TAGS
    logits = tape.cast(tape.linear("dense", x, tags), "float32")
    if not options.use_crf:
        _cross_entropy(tape, logits)
        return
    transitions, ends = tape.parameter("crf.transitions", tags, tags), [tape.parameter(f"crf.{end}", tags) for end in ("start", "end")]
    tape.part = "loss"
    emissions = tape.cast(logits, "float64")
    paths = tape.add("CRF recursion", [emissions, transitions], emissions.shape, needs=[emissions], needs_result=True)
    tape.add("loss", [paths, emissions, *ends], ())


def _span_finder(tape, options, x, words):
    """SpanFinder of span.py with SpanLoss: two logits a token."""
    tape.part = "head"
    logits = tape.cast(tape.linear("span", x, 2), "float32")
    for end in ("first", "last"):
        tape.part = "head"
        _cross_entropy(tape, tape.add(f"logits of the {end} token", [logits], logits.shape[:1]))
