"""Golden numbers of Google's own network (bert-tensorflow 1.0.1) on a published tiny checkpoint: tests/golden/tensorflow_bert.npz.

    .venv-tf/bin/python tests/golden/make_tensorflow_bert.py CHECKPOINT_FOLDER        (TensorFlow 2.21, as TensorFlow 1)

CHECKPOINT_FOLDER: keras_bert_tiny_tf, with bert_config.json and bert_model.ckpt. The network and the heads of pretraining are
Google's functions; what they call of TensorFlow 1 that TensorFlow 2 lacks, tf.layers.dense and tf.contrib.layers.layer_norm, is
written anew here. `gelu_tanh/`: as Google's code has the activation; `gelu/`: with erf, as the paper has it. The
checkpoint's weights are so small that both agree to nine digits; under `times_factor/` all but LayerNorm's gamma are multiplied by
`factor`, so that each part of the network shows in the outputs.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import tensorflow as tf

FACTOR = 30
v1 = tf.compat.v1


def dense(inputs, units, activation=None, name="dense", kernel_initializer=None):
    with v1.variable_scope(name):
        kernel = v1.get_variable("kernel", [inputs.shape[-1], units], initializer=kernel_initializer)
        outputs = v1.matmul(inputs, kernel) + v1.get_variable("bias", [units], initializer=v1.zeros_initializer())
    return outputs if activation is None else activation(outputs)


def layer_norm(inputs, begin_norm_axis, begin_params_axis, scope):
    assert begin_norm_axis == begin_params_axis == -1
    with v1.variable_scope(scope, default_name="LayerNorm"):
        beta = v1.get_variable("beta", inputs.shape[-1:], initializer=v1.zeros_initializer())
        gamma = v1.get_variable("gamma", inputs.shape[-1:], initializer=v1.ones_initializer())
    mean, variance = v1.nn.moments(inputs, [-1], keepdims=True)
    return v1.nn.batch_normalization(inputs, mean, variance, beta, gamma, 1e-12)  # contrib's epsilon for float32


class TensorFlow1:
    """What Google's modules find as `tensorflow`."""

    layers = SimpleNamespace(dense=dense)
    contrib = SimpleNamespace(layers=SimpleNamespace(layer_norm=layer_norm))

    def __getattr__(self, name):
        return getattr(v1, name)


sys.modules["tensorflow"] = TensorFlow1()
from bert import modeling, run_pretraining

sys.modules["tensorflow"] = tf


def make_inputs(config):
    rng = np.random.default_rng(0)
    places = np.arange(8)[None, :]
    return {
        "input_ids": rng.integers(0, config.vocab_size, (3, 8)).astype(np.int32),
        "input_mask": (places < np.array([[8], [5], [2]])).astype(np.int32),
        "token_type_ids": (places >= np.array([[4], [3], [8]])).astype(np.int32),
        "masked_lm_positions": np.array([[1, 6], [0, 4], [1, 1]], np.int32),
    }


def logits_below(log_probs):
    """Google's functions return log-softmax alone."""
    assert log_probs.op.type == "LogSoftmax"
    return log_probs.op.inputs[0]


def run(config, checkpoint, inputs, factor):
    with v1.Graph().as_default(), v1.Session() as session:
        ids, mask, types, positions = (v1.constant(array) for array in inputs.values())
        model = modeling.BertModel(config, is_training=False, input_ids=ids, input_mask=mask, token_type_ids=types)
        shape = inputs["masked_lm_positions"].shape
        _, _, masked_lm = run_pretraining.get_masked_lm_output(
            config, model.get_sequence_output(), model.get_embedding_table(), positions, v1.zeros(shape, v1.int32), v1.ones(shape)
        )
        _, _, next_sentence = run_pretraining.get_next_sentence_output(config, model.get_pooled_output(), v1.zeros([3], v1.int32))
        outputs = {
            "embedding_output": model.get_embedding_output(),
            "all_encoder_layers": v1.stack(model.get_all_encoder_layers()),
            "sequence_output": model.get_sequence_output(),
            "pooled_output": model.get_pooled_output(),
            "masked_lm_logits": v1.reshape(logits_below(masked_lm), [*shape, config.vocab_size]),
            "next_sentence_logits": logits_below(next_sentence),
        }
        v1.train.Saver(v1.trainable_variables()).restore(session, checkpoint)
        if factor != 1:
            session.run([variable.assign(variable * factor) for variable in v1.trainable_variables() if "gamma" not in variable.name])
        return session.run(outputs)


def main():
    folder = Path(sys.argv[1])
    v1.disable_eager_execution()
    config = modeling.BertConfig.from_json_file(str(folder / "bert_config.json"))
    inputs = make_inputs(config)
    saved = inputs | {"factor": FACTOR}
    for kind, activation in (("gelu_tanh", modeling.gelu), ("gelu", lambda x: tf.nn.gelu(x, approximate=False))):
        modeling.gelu = activation
        for prefix, factor in ((kind, 1), (f"times_factor/{kind}", FACTOR)):
            outputs = run(config, str(folder / "bert_model.ckpt"), inputs, factor)
            saved |= {f"{prefix}/{name}": array for name, array in outputs.items()}
    np.savez_compressed(Path(__file__).parent / "tensorflow_bert.npz", **saved)


if __name__ == "__main__":
    main()
