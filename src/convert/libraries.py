"""Reference outputs from the library that a checkpoint was made for: Transformers on PyTorch, both optional; TensorFlow's reader."""

import contextlib
import importlib.metadata
import importlib.util
import json
import warnings
from pathlib import Path

import numpy as np

_HEADS = (
    "ForPreTraining",
    "ForMaskedLM",
    "ForNextSentencePrediction",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
)
_OLDEST = (4, 40)  # some earlier versions run code hidden in a .bin file
_WITHOUT_NEZHA = (5, 0)
_ON_POOLER = ("ForPreTraining", "ForNextSentencePrediction", "ForSequenceClassification")


def find_transformers(folder: Path | str) -> str | None:
    """The installed libraries that can run the network of a Hugging Face folder, such as "transformers 5.23.0, torch 2.13.0".

    Returns:
        None if one is not installed, Transformers is too old, or it lacks the network: NEZHA since version 5; learned relative
        positions and the name gelu_tanh in all versions.
    """
    try:
        versions = {name: importlib.metadata.version(name) for name in ("transformers", "torch")}
    except importlib.metadata.PackageNotFoundError:
        return None
    number = _parse(versions["transformers"])
    config = _read_config(folder)
    is_nezha = _family(config) == "Nezha"
    relative = config.get("use_relative_positions") is True or (config.get("use_relative_position") is True and not is_nezha)
    unknown = relative or config.get("position_embedding_type", "absolute") == "learned" or config.get("hidden_act") == "gelu_tanh"
    if unknown or number < _OLDEST or (is_nezha and number >= _WITHOUT_NEZHA):
        return None
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def run_transformers(
    folder: Path | str, input_ids: np.ndarray, input_mask: np.ndarray, token_type_ids: np.ndarray
) -> dict[str, np.ndarray]:
    """All hidden states and outputs of the network in a Hugging Face folder, in float32.

    The class is the one named in config.json, or BertModel or NezhaModel if that is not known here.

    Args:
        folder: has config.json and weights.
        input_ids, input_mask, token_type_ids: int [B, S].

    Returns:
        float32 arrays by the keys of src/convert/network.py.

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
    """The network in evaluation mode, and the names it lacks: none, or those of a pooler that it does not need.

    These classes run no code from the folder, and Transformers reads .bin files with PyTorch's restricted unpickler.
    """
    import torch
    import transformers

    dtype = "dtype" if _parse(transformers.__version__) >= (5,) else "torch_dtype"
    options = {"local_files_only": True, "attn_implementation": "eager", dtype: torch.float32}
    options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}  # the error below names them
    try:
        network, report = getattr(transformers, class_name).from_pretrained(folder, **options)
    except Exception as error:  # the file is untrusted and may cause any error
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
    """The heads' outputs, by the names of network.py."""
    if head == "ForPreTraining":
        return {"masked_lm": found.prediction_logits, "next_sentence": found.seq_relationship_logits}
    if head == "ForQuestionAnswering":
        return {"start": found.start_logits, "end": found.end_logits}
    names = {"ForMaskedLM": "masked_lm", "ForNextSentencePrediction": "next_sentence"}
    return {} if head == "Model" else {names.get(head, "head"): found.logits}


def _parse(version):
    """Major and minor version number."""
    return tuple(int(part) for part in version.split(".")[:2])


def _family(config):
    return "Nezha" if config.get("model_type") == "nezha" else "Bert"


def _read_config(folder):
    return json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))


@contextlib.contextmanager
def _silence():
    """Turn off progress bars and notices; errors are raised, and the rest is in the conversion report."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
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


def find_tensorflow() -> str | None:
    """The installed TensorFlow, such as "tensorflow 2.21.0"; None if there is none."""
    if importlib.util.find_spec("tensorflow") is None:
        return None
    import tensorflow

    return f"tensorflow {tensorflow.__version__}"


def read_tensorflow(prefix: Path | str) -> dict[str, np.ndarray]:
    """The variables of a checkpoint as read by TensorFlow: name -> array."""
    import tensorflow

    reader = tensorflow.train.load_checkpoint(str(prefix))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
