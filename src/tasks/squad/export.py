"""An exported network for questions: the settings of its bundle, and its head as ONNX nodes. Shapes: B batch, S sequence."""

import numpy as np

HEAD = ("head.span",)
_SETTINGS = ("seq_length", "doc_stride", "max_query_length", "language", "version_2_with_negative")
_ANSWERS = ("null_score_diff_threshold", "n_best_size", "max_answer_length")


def settle(config, path):
    """The options as they are."""
    return config


def make_settings(config):
    """What the bundle tells of the task: dict."""
    return {key: getattr(config, key) for key in (*_SETTINGS, *_ANSWERS)}


def make_examples(texts, questions, settings):
    """Pairs of tokenised texts, a question and a context, on which graph and network are compared."""
    return [(question, text) for question in questions for text in texts]


def split_outputs(outputs, rows, lengths):
    """(arrays whose first axis is the rows', arrays of no row): the logits without padding, whose -10000 is rounded to 0.001."""
    real = np.arange(outputs[0].shape[1]) < np.array(lengths)[:, None]
    return [logits * real for logits in outputs], []


def add_head(graph, encoder, x, settings):
    """Start and end logits [B, S], padding taken out.

    Returns:
        the outputs: name -> (value, sizes).
    """
    scope = "head.span"
    logits = graph.op("Split", graph.linear(scope, x), outputs=2, axis=-1, scope=scope)
    bias = encoder.negate_mask(scope)  # [B, S]
    parts = [graph.op("Add", graph.op("Squeeze", part, graph.integers(-1), scope=scope), bias, scope=scope) for part in logits]
    return {"start_logits": (parts[0], ("batch", "length")), "end_logits": (parts[1], ("batch", "length"))}
