"""What the library that a checkpoint was made for computes with it: Hugging Face's Transformers on PyTorch, both optional."""

import contextlib
import importlib.metadata
import importlib.util
import json
import warnings
from pathlib import Path

import numpy as np

_HEADS = ("ForPreTraining", "ForMaskedLM", "ForNextSentencePrediction", "ForSequenceClassification", "ForTokenClassification")
_HEADS += ("ForQuestionAnswering",)
_OLDEST, _WITHOUT_NEZHA = (4, 40), (5, 0)  # some versions before 4.40 run code that is hidden in a .bin file
_ON_POOLER = ("ForPreTraining", "ForNextSentencePrediction", "ForSequenceClassification")


def find_transformers(folder):
    """The installed libraries that can run the network of a Hugging Face folder, such as "transformers 5.23.0, torch 2.13.0".

    Returns:
        str; None where one is not installed, Transformers is too old, or it has no such network: NEZHA since version 5;
        learned relative positions and the name gelu_tanh in any.
    """
    try:
        versions = {name: importlib.metadata.version(name) for name in ("transformers", "torch")}
    except importlib.metadata.PackageNotFoundError:
        return None
    number, config = _parse(versions["transformers"]), _read_config(folder)
    is_nezha = _family(config) == "Nezha"
    relative = config.get("use_relative_positions") is True or (config.get("use_relative_position") is True and not is_nezha)
    unknown = relative or config.get("position_embedding_type", "absolute") == "learned" or config.get("hidden_act") == "gelu_tanh"
    if unknown or number < _OLDEST or (is_nezha and number >= _WITHOUT_NEZHA):
        return None
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def run_transformers(folder, input_ids, input_mask, token_type_ids):
    """Everything that the network of a Hugging Face folder computes on the way, in float32.

    The class is the one that config.json names; without one that is known here, BertModel or NezhaModel.

    Args:
        folder: with config.json and weights. input_ids, input_mask, token_type_ids: int [B, S].

    Returns:
        dict of float32 arrays by the keys of src/convert/network.py.

    Raises:
        ValueError: parameters that the class needs are missing or of another shape.
    """
    import torch

    config = _read_config(folder)
    names = [name for name in config.get("architectures") or () if name in {_family(config) + head for head in _HEADS}]
    head = names[0].removeprefix(_family(config)) if names else "Model"
    with _silence():
        network, missing = _load(folder, _family(config) + head)
        with torch.no_grad():
            inputs = [torch.from_numpy(np.asarray(array, np.int64)) for array in (input_ids, input_mask, token_type_ids)]
            found = network(*inputs, output_hidden_states=True, return_dict=True)
            outputs = dict(zip(_name_states(len(found.hidden_states)), found.hidden_states))
            pooler = network.base_model.pooler
            if pooler is not None and not missing:
                outputs["pooled"] = pooler(found.hidden_states[-1])
            outputs |= _name_logits(head, found)
    outputs = {name: tensor.numpy() for name, tensor in outputs.items()}
    if "start" in outputs:
        outputs["span"] = np.stack((outputs.pop("start"), outputs.pop("end")), -1)
    return outputs


def _load(folder, class_name):
    """The network in evaluation mode, and what it misses: nothing, or the pooler that a bare encoder can do without.

    With these classes no code of the folder runs, and Transformers reads .bin files by PyTorch's restricted unpickler.
    """
    import torch
    import transformers

    dtype = "dtype" if _parse(transformers.__version__) >= (5,) else "torch_dtype"
    options = {"local_files_only": True, "attn_implementation": "eager", dtype: torch.float32}
    options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}  # they are named below, with what is missing
    try:
        network, report = getattr(transformers, class_name).from_pretrained(folder, **options)
    except Exception as error:  # of any kind: it reads what others wrote
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ValueError(f"{folder}: Transformers cannot load it as {class_name}: {reason}") from error
    mismatched = {each if isinstance(each, str) else each[0] for each in report["mismatched_keys"]}
    missing = set(report["missing_keys"]) - mismatched
    optional = set() if class_name.endswith(_ON_POOLER) else {name for name in missing if "pooler." in name}
    faults = [*(f"{name} is missing" for name in sorted(missing - optional)), *(f"{name} has another shape" for name in sorted(mismatched))]
    if faults:
        raise ValueError(f"{folder}: {class_name} of Transformers cannot be run: {', '.join(faults[:5])}{', ...' * (len(faults) > 5)}")
    return network.eval(), optional


def _name_states(number):
    return ["embeddings", *(f"layer {layer}" for layer in range(number - 1))]


def _name_logits(head, found):
    """What stands on the encoder, by the names of network.py."""
    if head == "ForPreTraining":
        return {"masked_lm": found.prediction_logits, "next_sentence": found.seq_relationship_logits}
    if head == "ForQuestionAnswering":
        return {"start": found.start_logits, "end": found.end_logits}
    names = {"ForMaskedLM": "masked_lm", "ForNextSentencePrediction": "next_sentence"}
    return {} if head == "Model" else {names.get(head, "head"): found.logits}


def _parse(version):
    """Major and minor number."""
    return tuple(int(part) for part in version.split(".")[:2])


def _family(config):
    return "Nezha" if config.get("model_type") == "nezha" else "Bert"


def _read_config(folder):
    return json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))


@contextlib.contextmanager
def _silence():
    """No progress bars and notices: what matters of them is raised, or in the report of the conversion."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def find_tensorflow():
    """The installed TensorFlow, such as "tensorflow 2.21.0"; None where it is not."""
    if importlib.util.find_spec("tensorflow") is None:
        return None
    import tensorflow

    return f"tensorflow {tensorflow.__version__}"


def read_tensorflow(prefix):
    """The variables of a checkpoint as TensorFlow reads them: name -> array."""
    import tensorflow

    reader = tensorflow.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
