"""Random weights, whole in all that a network can have, and folders of them."""

import numpy as np

from src.bundle import folder as bundle_folder
from src.config.model import ModelConfig, describe_weights
from src.convert import conversion, parameters
from src.convert.description import Description, write_description
from src.formats import weights
from src.tasks.task import TASKS

SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
SIZES["max_position_embeddings"] = 32
POSITIONS = {
    "absolute": {},
    "sinusoidal": {"position_embedding_type": "sinusoidal", "max_relative_position": 5},
    "learned": {"position_embedding_type": "learned", "max_relative_position": 3},
}
HEADS = {
    "encoder": {},
    "pretraining": {"masked_lm.dense": 32, "masked_lm.norm": None, "masked_lm.bias": "vocab_size", "next_sentence": 2},
    "classifier": {"head.dense": 3},
    "tagger": {"head.dense": 5, "head.crf.transitions": (5, 5), "head.crf.start": 5, "head.crf.end": 5},
    "span": {"head.span": 2},
    "pointer": {"head.query": 64, "head.key": 64, "head.dense": (2, 128), "head.last": (2, 128)},
}
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"word{number}" for number in range(55))]
_WITHOUT_POOLER = ("tagger", "span", "pointer")


def make_model(positions="absolute", **settings):
    return ModelConfig(**{**SIZES, **POSITIONS[positions], **settings})


def make_weights(model, kind="encoder", seed=1):
    """Every parameter of a network, random and of order one: our name -> float32 array."""
    shapes = {name: [_resolve(model, size) for size in sizes] for name, sizes in parameters.encoder_shapes(model).items()}
    heads = {} if kind in _WITHOUT_POOLER else {"bert.pooler": model.hidden_size}
    for name, size in {**heads, **HEADS[kind]}.items():
        if name.endswith("bias") or ".crf." in name:
            shapes[name] = _resolve(model, size)
        elif isinstance(size, tuple):
            shapes |= {f"{name}.weight": size, f"{name}.bias": size[0]}
        else:
            width = model.hidden_size
            shapes |= {f"{name}.weight": (width,) if size is None else (size, width), f"{name}.bias": size or width}
    rng = np.random.default_rng(seed)
    return {name: (rng.standard_normal(shape) * 0.5).astype(np.float32) for name, shape in shapes.items()}


def _resolve(model, size):
    return getattr(model, size) if isinstance(size, str) else size


def write_model(folder, model=None, kind="encoder", target="mindspore", arrays=None, **described):
    """A folder of random weights in the form of `target`; gives it and our arrays."""
    model = model or make_model()
    arrays = arrays or make_weights(model, kind)
    vocabulary = "".join(f"{token}\n" for token in TOKENS).encode()
    fields = {
        "labels": (),
        "trained_with": {},
        "architecture": "",
        "problem_type": None,
        "vocabulary": vocabulary,
        "tokenizer": {"do_lower_case": True},
    }
    folder.mkdir(parents=True)
    conversion.write(folder, target, Description(model=model, warnings=(), **{**fields, **described}), arrays)
    return folder, arrays


def write_bundle(path, source, task, **settings):
    """A bundle of the weights in a folder, as src.export writes it, without a comparison with the network."""
    from src.export import onnx_graph  # needs onnx

    found = describe_weights(source)
    model, arrays = ModelConfig(**found.model), weights.read(source).arrays
    path.mkdir()
    with open(found.vocab_file, "rb") as file:
        described = Description(model, (), {}, "", None, file.read(), {"do_lower_case": True}, ())
    write_description(path, "mindspore", described, arrays)
    onnx_graph.save(onnx_graph.build(model, arrays, TASKS[task], settings), path / "model.onnx")
    bundle_folder.write(path, "tiny", task, settings, (), {"onnx": "model.onnx"})
    return path
