"""Names of the same parameter here and in other systems."""

import re

# ours -> Hugging Face's, `{}` stands for the layer's number
_HUGGINGFACE = {
    "bert.embeddings.word.weight": "bert.embeddings.word_embeddings.weight",
    "bert.embeddings.position.weight": "bert.embeddings.position_embeddings.weight",
    "bert.embeddings.token_type.weight": "bert.embeddings.token_type_embeddings.weight",
    "bert.embeddings.norm.*": "bert.embeddings.LayerNorm.*",
    "bert.encoder.layers.{}.attention.query.*": "bert.encoder.layer.{}.attention.self.query.*",
    "bert.encoder.layers.{}.attention.key.*": "bert.encoder.layer.{}.attention.self.key.*",
    "bert.encoder.layers.{}.attention.value.*": "bert.encoder.layer.{}.attention.self.value.*",
    "bert.encoder.layers.{}.attention.positions.table": "bert.encoder.layer.{}.attention.self.relative_positions_encoding.table",
    "bert.encoder.layers.{}.attention.output.*": "bert.encoder.layer.{}.attention.output.dense.*",
    "bert.encoder.layers.{}.attention_norm.*": "bert.encoder.layer.{}.attention.output.LayerNorm.*",
    "bert.encoder.layers.{}.intermediate.*": "bert.encoder.layer.{}.intermediate.dense.*",
    "bert.encoder.layers.{}.output.*": "bert.encoder.layer.{}.output.dense.*",
    "bert.encoder.layers.{}.output_norm.*": "bert.encoder.layer.{}.output.LayerNorm.*",
    "bert.pooler.*": "bert.pooler.dense.*",
    "head.dense.*": "classifier.*",
    "head.span.*": "qa_outputs.*",
    "masked_lm.dense.*": "cls.predictions.transform.dense.*",
    "masked_lm.norm.*": "cls.predictions.transform.LayerNorm.*",
    "masked_lm.bias": "cls.predictions.bias",
    "next_sentence.*": "cls.seq_relationship.*",
}
_BACKBONE_PREFIXES = ("embeddings.", "encoder.", "pooler.")
_OTHER_SPELLINGS = {  # of Google's first port, and of NVIDIA's layers that fuse dense and activation
    "LayerNorm.gamma": "LayerNorm.weight",
    "LayerNorm.beta": "LayerNorm.bias",
    ".dense_act.": ".dense.",
}
_NOT_WEIGHTS = re.compile(  # buffers, and the masked language model's table and bias under a second name
    r"(^|\.)(embeddings\.position_ids|embeddings\.token_type_ids|positions_encoding|predictions\.decoder\.(weight|bias))$"
)


def _compile(template):
    pattern = re.escape(template).replace(r"\{\}", r"(\d+)").replace(r"\*", r"(weight|bias)")
    return re.compile(f"^{pattern}$")


def _to_format(template):
    return template.replace("*", "{}")


_FROM_HUGGINGFACE = [(_compile(theirs), _to_format(ours)) for ours, theirs in _HUGGINGFACE.items()]
_TO_HUGGINGFACE = [(_compile(ours), _to_format(theirs)) for ours, theirs in _HUGGINGFACE.items()]


def from_huggingface(name):
    """Our name of a Hugging Face parameter; None for buffers; the name itself where we have no such parameter."""
    if _NOT_WEIGHTS.search(name):
        return None
    name = name.removeprefix("module.")  # of PyTorch's wrapper for several devices
    if name.startswith(_BACKBONE_PREFIXES):  # saved from a bare BertModel
        name = "bert." + name
    if name.startswith("nezha."):
        name = "bert." + name.removeprefix("nezha.")
    for other, usual in _OTHER_SPELLINGS.items():
        name = name.replace(other, usual)
    return _translate(name, _FROM_HUGGINGFACE)


def to_huggingface(name):
    """Hugging Face's name of one of our parameters; the name itself where it has none."""
    return _translate(name, _TO_HUGGINGFACE)


def _translate(name, table):
    for pattern, target in table:
        match = pattern.match(name)
        if match:
            return target.format(*match.groups())
    return name
