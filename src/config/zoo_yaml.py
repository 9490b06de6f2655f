"""Settings files of the model zoo, such as its task_ner_config.yaml, as they are.

Their first YAML document has the values, the others describe them. Groups hold the values of each optimiser (optimizer_cfg) and of the
networks (bert_net_cfg; base_net_cfg and its like in pretraining), of which one is chosen; every other value is a flag of the zoo's
scripts, which src/config/aliases.py translates.
"""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from src.config import aliases, translation
from src.log import logger

_ROOT = Path(__file__).resolve().parents[2]
_OPTIMIZERS = ("AdamWeightDecay", "Lamb", "Momentum", "Thor")
_NETWORKS = ("base", "nezha", "large", "large_boost")
_DECAY_FILTER = {"layernorm", "bias"}
MISSING = "copy the model zoo's here, or leave --config_path out (docs/from_model_zoo.md, Settings files)"
_CONSTANT = {"schedule": "constant", "warmup_steps": 0, "weight_decay": 0}  # the zoo's Momentum has neither schedule nor decay
_OF_TRAINING = ("model.hidden_dropout_prob", "model.attention_probs_dropout_prob", "model.initializer_range")
_SHAPED = ("load_pretrain_checkpoint_path", "bert_config_file")  # settings that determine the shape of a network
# values of pretrain_config.yaml, which serves run_pretrain.py and pretrain_eval.py, that one of them does not have
_PRETRAINING = {
    *("distribute", "epoch_size", "device_num", "enable_save_ckpt", "enable_lossscale", "do_shuffle", "enable_data_sink"),
    *("data_sink_steps", "accumulation_steps", "allreduce_post_accumulation", "save_checkpoint_path", "load_checkpoint_path"),
    *("save_checkpoint_steps", "train_steps", "save_checkpoint_num", "data_dir", "optimizer", "enable_global_norm"),
    *("train_with_eval", "eval_samples", "eval_ckpt"),
}


def is_zoo(tree: Any) -> bool:
    """Whether the first document of a YAML file is one of the model zoo."""
    return isinstance(tree, dict) and bool(re.fullmatch(r"run_[a-z]+", str(tree.get("description"))))


def translate(
    tree: Mapping[str, Any], script: str, keys: Collection[str], flags: Mapping[str, str], makes_network: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings that a file of the model zoo stands for.

    Args:
        tree: its first document.
        script: the zoo's name of the run script, such as run_ner.
        keys: the dotted names of the script's settings.
        flags: the user's flags, by our names; they may choose another optimiser or network than the file.
        makes_network: whether the script makes a new network unless weights are given, as pretraining does.

    Returns:
        Setting -> value; and the network's shape, model.hidden_size and so on, which holds unless files beside the weights say otherwise.

    Raises:
        ValueError: the file belongs to another script, or asks for what is not here.
    """
    if tree["description"] != script:
        raise ValueError(f"description={tree['description']}: the file belongs to {tree['description']}.py")
    plain = _values(tree)
    ours_in_it = {key: value for key, value in plain.items() if key in keys}  # which a user has added, or which the zoo has too
    values = {**plain, **_choose_network(tree, flags), **_choose_optimizer(tree, flags), **ours_in_it}
    values = {key: value for key, value in values.items() if value not in ("", None)}
    _take_device(values)
    others, theirs = aliases.find_others(keys), aliases.find_aliases(keys)
    unread = [key for key in values if key in others and key in aliases.IGNORED]
    if told := sorted(set(unread) - set(aliases.EXPORT_FLAGS)):
        logger.info(f"without effect here: {', '.join(told)} (docs/from_model_zoo.md)")
    if script == "run_pretrain":
        unread += [key for key in values if key in _PRETRAINING and key not in {*keys, *theirs, *others}]
        unread += [key for key in values if key.startswith("optimizer.") and "optimizer.name" not in keys]
    settings = {theirs.get(key, key): value for key, value in values.items() if key not in unread}
    settings |= {key: values[key] for key in ours_in_it if key in values}
    given = {key: settings.pop(key) for key in others if key in settings}
    settings |= translation.translate(given, settings, "")
    shape = {key: value for key, value in settings.items() if key.startswith("model.") and key not in _OF_TRAINING}
    if makes_network and "bert_network" in keys and not any(flags.get(key) or settings.get(key) for key in _SHAPED):
        shape = {}  # a new network is made as the file has it
        if flags.get("vocab_file_path"):
            settings.pop("model.vocab_size", None)
    ours: dict[str, Any] = {}
    for key in [key for key in settings if key not in shape]:
        group, _, leaf = key.rpartition(".")
        (ours.setdefault(group, {}) if group else ours)[leaf] = settings[key]
    return ours, {key.removeprefix("model."): value for key, value in shape.items()}


def complete_shape(tree: dict[str, Any], shape: Mapping[str, Any], path: str | None) -> None:
    """Fill in the parts of the network's shape that nothing else determines; tell which others differ in the file.

    Args:
        tree: the settings, completed by the files beside the weights.
        shape: that of a file of the model zoo.
        path: the file.
    """
    model = tree.get("model", {})
    differing = [f"{key}={value} ({model[key]})" for key, value in shape.items() if key in model and str(model[key]) != str(value)]
    if differing:
        logger.warning(f"{path}: without effect, as flags, weights or vocabulary say otherwise: {', '.join(differing)}")
    if shape:
        tree["model"] = {**shape, **model}


def find_chosen(tree: Mapping[str, Any], flags: Mapping[str, str]) -> tuple[set[str], dict[str, str]]:
    """The groups and names of a file of the model zoo that count; and of these names those that stand for another of the zoo's."""
    if not is_zoo(tree):
        return set(), {}
    network = _name_network(tree, flags)
    optimizer = _name_group(str(_choose_optimizer(tree, flags)["optimizer"]))
    size = f"{network}_batch_size"
    return {"bert_net_cfg", f"{network}_net_cfg", size, optimizer, f"optimizer_cfg.{optimizer}"}, {size: "batch_size"}


def has_zoo_name(path: str) -> bool:
    """Whether a file is named like one of the model zoo's, such as task_ner_cpu_config.yaml."""
    return bool(re.fullmatch(r"(pretrain|task_\w+)_config\w*\.yaml", Path(path).name))


def find(path: str) -> str:
    """The settings file of this name; the zoo's ../../NAME, which starts from its src/model_utils, is beside the run scripts."""
    own = _ROOT / Path(path).name
    return str(own) if path.startswith("../../") and not Path(path).is_file() and own.is_file() else path


def _values(tree):
    """The values outside of the zoo's groups; those in groups of ours by their dotted names."""
    groups = {"description", "optimizer_cfg", "bert_net_cfg", *_OPTIMIZERS, *(f"{name}_net_cfg" for name in _NETWORKS)}
    sizes = {f"{name}_batch_size" for name in _NETWORKS}
    found: dict[str, Any] = {}
    for key in [key for key in tree if key not in groups | sizes]:
        found |= {f"{key}.{leaf}": value for leaf, value in tree[key].items()} if isinstance(tree[key], dict) else {key: tree[key]}
    return found


def _choose_network(tree, flags):
    """The network's shape, and in pretraining its batch size, which outweighs batch_size."""
    name = _name_network(tree, flags)
    shape = dict(_group(tree, "bert_net_cfg") or _group(tree, f"{name}_net_cfg"))
    if name == "large_boost" and shape.get("hidden_act") == "fast_gelu":  # PretrainOptions says that it is gelu
        del shape["hidden_act"]
    size = tree.get(f"{name}_batch_size")
    return shape | ({"batch_size": size} if size else {})


def _choose_optimizer(tree, flags):
    """The name and the values of one optimiser."""
    group = _group(tree, "optimizer_cfg") or tree
    name = str(flags.get("optimizer.name", group.get("optimizer", "Lamb")))
    values_of = _name_group(name)
    chosen = {} if values_of == "Thor" else dict(_group(group, values_of))  # OptimizerConfig refuses its name
    filtered = chosen.pop("decay_filter", None)
    if filtered is not None and {str(part).lower() for part in filtered} != _DECAY_FILTER:
        raise ValueError(f"decay_filter={filtered}: biases and layer normalisation do not decay, and all other weights do")
    constant = _CONSTANT if name.lower() == "momentum" else {}
    return {"optimizer": name, **{f"optimizer.{key}": value for key, value in {**constant, **chosen}.items()}}


def _name_network(tree, flags):
    return str(flags.get("bert_network", tree.get("bert_network", ""))).lower()


def _name_group(optimizer):
    """The optimiser's group of values; that of AdamWeightDecay for one that the zoo does not have."""
    return next((each for each in _OPTIMIZERS if each.lower() == optimizer.lower()), "AdamWeightDecay")


def _group(tree, name):
    group = tree.get(name, {})
    if not isinstance(group, dict):
        raise ValueError(f"{name}={group}: a group of settings is expected")
    return group


def _take_device(values):
    """Leave device and compute type to this machine where the file has the zoo's own values."""
    taken = []
    for key, own in (("device_target", "Ascend"), ("compute_type", "mstype.float16")):
        if values.get(key) == own:
            values[key] = "auto"
            taken.append(f"{key}={own}")
    if taken:
        logger.info(f"{' and '.join(taken)} of the file: auto here, as the device has it; a flag decides otherwise")
