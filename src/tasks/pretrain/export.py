"""An exported pretrained network: its heads as ONNX nodes. Shapes: B batch, S sequence, H hidden, P masked positions, V vocabulary."""

HEAD = ("masked_lm.dense", "next_sentence")


def settle(config, path):
    """The options as they are."""
    return config


def make_settings(config):
    """What the bundle tells of the task: nothing."""
    return {}


def make_examples(texts, questions, settings):
    """Pairs of tokenised texts on which graph and network are compared."""
    return list(zip(texts, texts[1:]))


def split_outputs(outputs, rows, lengths):
    """(arrays whose first axis is the rows', arrays of no row); the masked language model's of all rows are one in the network."""
    return [outputs[0].reshape(rows, -1, outputs[0].shape[-1]), outputs[1]], []


def add_head(graph, encoder, x, settings):
    """Logits of the masked tokens [B, P, V], the last matrix the word embeddings, and of the next sentence [B, 2].

    Returns:
        the outputs: name -> (value, sizes). The graph has one input more, masked_lm_positions [B, P].
    """
    model, scope, words = encoder.model, "masked_lm", "bert.embeddings.word.weight"
    positions = graph.add_input("masked_lm_positions", "batch", "predictions")
    places = graph.op("Cast", graph.op("Unsqueeze", positions, graph.integers(-1), scope=scope), to=7, scope=scope)  # [B, P, 1]
    masked = graph.op("GatherND", x, places, batch_dims=1, scope=scope)  # [B, P, H]
    masked = graph.op("Reshape", masked, graph.integers(-1, model.hidden_size), scope=scope)
    masked = graph.activate(model.hidden_act, graph.linear(f"{scope}.dense", masked), scope)
    masked = graph.normalise(f"{scope}.norm", masked, model.layer_norm_eps)
    table = graph.op("Transpose", graph.weight(words), perm=(1, 0), scope=scope)  # a Gemm's own would be lost on onnxruntime's quantiser
    logits = graph.op("Add", graph.op("MatMul", masked, table, scope=scope), graph.weight("masked_lm.bias"), scope=scope)  # [B * P, V]
    num_words = len(graph.array(words))
    shape = graph.op("Concat", graph.op("Shape", positions, scope=scope), graph.integers(num_words), axis=0, scope=scope)
    logits = graph.op("Reshape", logits, shape, scope=scope)
    weight, bias = graph.weight("next_sentence.weight"), graph.weight("next_sentence.bias")
    next_sentence = graph.linear_of_rows(encoder.pool(x), weight, bias, "next_sentence")
    return {"masked_lm_logits": (logits, ("batch", "predictions", num_words)), "next_sentence_logits": (next_sentence, ("batch", 2))}
