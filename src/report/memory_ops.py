"""The ops of the encoder of src/models, recorded on a tape; memory.py of each task adds those of its head and loss.

Shapes of one sequence: S its length, H hidden, N heads, D head size, F feed-forward.
"""

from typing import Any

from src.config.model import ModelConfig
from src.config.training import DeviceSettings
from src.report.memory_tape import Tape, Tensor
from src.tasks.task import Task


def record(options: Any, form: DeviceSettings, task: Task, seq_length: int) -> Tape:
    """The Tape of a task's network and loss.

    Args:
        options: those of the task's run script.

    Raises:
        ValueError: the planner does not know the head, or how the training is regularised.
    """
    task.memory.check(options, form)
    _check_settings(options)
    tape = Tape(form, [part.replace("layers.", "layer.") for part in options.frozen_parts])
    model = options.model
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
    task.memory.record_head(tape, options, x, words)
    return tape


def takes_flash(form: DeviceSettings, model: ModelConfig, seq_length: int) -> bool:
    """Whether attention is FlashAttention of src/models/ascend.py, whose sizes must be multiples of 16."""
    suits = seq_length % 16 == 0 and model.hidden_size // model.num_attention_heads % 16 == 0
    return form.flash_attention and model.position_embedding_type == "absolute" and suits


def _check_settings(options):
    """Raise a ValueError for a setting that takes memory of which the planner does not know."""
    settings = [("adversarial", None), ("r_drop", None), ("multi_sample_dropout", 1)]  # with the values that are planned
    for name, planned in settings:
        if (value := getattr(options, name)) != planned:
            raise ValueError(f"{name}={value} is not planned: it makes more than one prediction of each row in a step")


def _embeddings(tape, model, seq_length):
    """Embeddings of bert.py: float32 [S, H], and the word table. The gradient of a lookup needs only the ids."""
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
    """SelfAttention of bert.py: [S, H] -> [S, H]; `relations` is None for absolute positions."""
    seq_length, size = x.shape
    heads = model.num_attention_heads
    by_head = (heads, seq_length, size // heads)
    pairs = (heads, seq_length, seq_length)
    if takes_flash(tape.form, model, seq_length):
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
    """RelativePositions.relations of positions.py: [S, S, D]. The framework merges the layers' where they are equal (sinusoidal)."""
    size = model.hidden_size // model.num_attention_heads
    rows = 2 * model.max_relative_position + 1
    if model.position_embedding_type == "learned":
        table = tape.parameter("attention.positions.table", rows, size)
    else:
        table = Tensor("sinusoids", (rows, size), per_row=False, learned=False)
    return tape.cast(tape.add("relations", [table], (seq_length, seq_length, size)), tape.form.compute_type)


def _relative(tape, name, x, relations, shape):
    """key_scores and value_context of positions.py: x rearranged by token, the product, and back by head."""
    y = tape.product(name, tape.swap(f"{name}: by token", x, x.shape), relations, shape)
    return tape.swap(f"{name}: by head", y, shape)
