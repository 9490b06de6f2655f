"""Names of the same parameters here and in other systems.

Sources: transformers' modeling_bert.py and modeling_nezha.py; google-research/bert modeling.py, run_pretraining.py, run_classifier.py,
run_squad.py; the model zoo's bert_model.py, bert_for_pre_training.py, finetune_eval_model.py (and their names in r0.x).
"""

import re
from collections.abc import Iterator, Mapping

# kind, our name, Hugging Face's, Google's, the zoo's without its prefix "bert."
_NETWORK = """
table  bert.embeddings.word          bert.embeddings.word_embeddings       bert/embeddings/word_embeddings       bert_embedding_lookup
table  bert.embeddings.position      bert.embeddings.position_embeddings   bert/embeddings/position_embeddings   {P}.full_position_embedding
table  bert.embeddings.token_type    bert.embeddings.token_type_embeddings bert/embeddings/token_type_embeddings {P}.token_type_embedding
norm   bert.embeddings.norm          bert.embeddings.LayerNorm             bert/embeddings/LayerNorm             {P}.layernorm
dense  bert.pooler                   bert.pooler.dense                     bert/pooler/dense                     dense
dense  masked_lm.dense               cls.predictions.transform.dense       cls/predictions/transform/dense       cls1.dense
norm   masked_lm.norm                cls.predictions.transform.LayerNorm   cls/predictions/transform/LayerNorm   cls1.layernorm
bias   masked_lm                     cls.predictions                       cls/predictions                       cls1
output next_sentence                 cls.seq_relationship                  cls/seq_relationship/                 cls2.dense
output head.dense                    classifier                            -                                     dense_1
output head.span                     qa_outputs                            cls/squad/                            dense1
""".replace("{P}", "bert_embedding_postprocessor")
_LAYER = """
dense  attention.query   attention.self.query                  attention/self/query                  attention.attention.query_layer
dense  attention.key     attention.self.key                    attention/self/key                    attention.attention.key_layer
dense  attention.value   attention.self.value                  attention/self/value                  attention.attention.value_layer
dense  attention.output  attention.output.dense                attention/output/dense                attention.output.dense
norm   attention_norm    attention.output.LayerNorm            attention/output/LayerNorm            attention.output.layernorm
dense  intermediate      intermediate.dense                    intermediate/dense                    intermediate
dense  output            output.dense                          output/dense                          output.dense
norm   output_norm       output.LayerNorm                      output/LayerNorm                      output.layernorm
"""
_LAYERS = ("bert.encoder.layers.{}.", "bert.encoder.layer.{}.", "bert/encoder/layer_{}/", "bert_encoder.layers.{}.")
_WEIGHT, _BIAS = (".weight", ".weight"), (".bias", ".bias")
_ENDS = {  # kind -> the endings of the four names, for each parameter
    "table": ((*_WEIGHT, "", ".embedding_table"),),
    "dense": ((*_WEIGHT, "/kernel", ".weight"), (*_BIAS, "/bias", ".bias")),
    "norm": ((*_WEIGHT, "/gamma", ".gamma"), (*_BIAS, "/beta", ".beta")),
    "output": ((*_WEIGHT, "output_weights", ".weight"), (*_BIAS, "output_bias", ".bias")),  # Google's are [out, in], unlike its kernels
    "bias": ((*_BIAS, "/output_bias", ".output_bias"),),
}
POSITIONS = "bert.encoder.layers.{}.attention.positions.table"  # among the other systems, only the zoo has these
ZOOS_POSITIONS = "bert_encoder.layers.{}.attention.attention._generate_relative_positions_embeddings.embeddings_table"


def _expand() -> Iterator[tuple[str, ...]]:
    """(our name, Hugging Face's, Google's, the zoo's) of every parameter, with {} for the number of the layer."""
    for text, starts in ((_NETWORK, [""] * 4), (_LAYER, _LAYERS)):
        for line in text.strip().splitlines():
            kind, *names = line.split()
            for ends in _ENDS[kind]:
                yield tuple(start + name.strip("-") + end for start, name, end in zip(starts, names, ends))


ALL = list(_expand())
_TO_HUGGINGFACE = {ours: theirs for ours, theirs, _, _ in ALL}
_FROM_HUGGINGFACE = {theirs: ours for ours, theirs in _TO_HUGGINGFACE.items()}
_TO_TENSORFLOW = {ours: theirs for ours, _, theirs, _ in ALL}
_FROM_TENSORFLOW = {theirs: ours for ours, theirs in _TO_TENSORFLOW.items()}
_FROM_ZOO = {theirs: ours for ours, _, _, theirs in ALL} | {ZOOS_POSITIONS: POSITIONS}
_OURS = {*_TO_HUGGINGFACE, POSITIONS}

NUMBER = re.compile(r"(?<=\.layers\.)\d+(?=\.)|(?<=\.layer\.)\d+(?=\.)|(?<=/layer_)\d+(?=/)|(?<=^bert_encoder\.layers\.)\d+(?=\.)")
_WRAPPERS = ("module.", "_orig_mod.", "model.")  # added by PyTorch's DataParallel and compile, and by Lightning's modules
_BACKBONE_PREFIXES = ("embeddings.", "encoder.", "pooler.")
_OTHER_SPELLINGS = {  # from the first port of Google's code, and from NVIDIA's layers that fuse dense and activation
    "LayerNorm.gamma": "LayerNorm.weight",
    "LayerNorm.beta": "LayerNorm.bias",
    ".dense_act.": ".dense.",
}
_OLD_ZOO = {
    "bert_embedding_postprocessor.embedding_table": "bert_embedding_postprocessor.token_type_embedding.embedding_table",
    "bert_embedding_postprocessor.full_position_embeddings": "bert_embedding_postprocessor.full_position_embedding.embedding_table",
    "embeddings_for_position": "embeddings_table",
}
_NOT_WEIGHTS = re.compile(  # buffers, and the masked language model's table and bias under a second name
    r"(^|\.)(embeddings\.position_ids|embeddings\.token_type_ids|positions_encoding|predictions\.decoder\.(weight|bias))$"
)


def from_huggingface(name: str) -> str | None:
    """Our name of a Hugging Face parameter; None for buffers; the name itself if we have no such parameter."""
    if _NOT_WEIGHTS.search(name):
        return None
    while wrapper := next(filter(name.startswith, _WRAPPERS), ""):
        name = name.removeprefix(wrapper)
    if name.startswith(_BACKBONE_PREFIXES):  # saved from a bare BertModel
        name = "bert." + name
    if name.startswith("nezha."):
        name = "bert." + name.removeprefix("nezha.")
    for other, usual in _OTHER_SPELLINGS.items():
        name = name.replace(other, usual)
    return _translate(name, _FROM_HUGGINGFACE)


def to_huggingface(name: str) -> str:
    """Hugging Face's name of one of our parameters; the name itself if there is none."""
    return _translate(name, _TO_HUGGINGFACE)


def from_tensorflow(name: str) -> str:
    """Our name of a variable of Google's programs; the name itself if we have no such parameter."""
    return _translate(name, _FROM_TENSORFLOW)


def to_tensorflow(name: str) -> str:
    """The name of one of our parameters in Google's programs; the name itself if there is none."""
    return _translate(name, _TO_TENSORFLOW)


def from_zoo(name: str) -> str:
    """Our name of a parameter of the model zoo; the name itself if we have no such parameter."""
    theirs = re.sub(r"^(bert\.)+", "", name)
    for old, new in _OLD_ZOO.items():
        if theirs.endswith(old):
            theirs = theirs.removesuffix(old) + new
    ours = _translate(theirs, _FROM_ZOO)
    return name if ours == theirs else ours


def is_ours(name: str) -> bool:
    """Whether one of our networks has a parameter of this name."""
    return name.startswith("head.") or NUMBER.sub("{}", name) in _OURS


def _translate(name: str, table: Mapping[str, str]) -> str:
    number = NUMBER.search(name)
    if not number:
        return table.get(name, name)
    return table.get(NUMBER.sub("{}", name, count=1), name).replace("{}", number[0])
