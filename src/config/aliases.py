"""Flags of other BERT programs and the settings that they stand for: one table for all run scripts.

Sources: google-research/bert and the programs that kept its flags (Perseus, bert_multi_gpu); NVIDIA's DeepLearningExamples and the
programs made from it; the model zoo's config files; PaddlePaddle's BERT with recompute (PaddleFleetX, examples/recompute/bert).
"""

from collections.abc import Collection, Mapping
from typing import Any

from src.config.coercion import coerce
from src.log import logger

# their name -> our names, of which the first that the run script has is used. Values mean the same; the later of two flags wins.
ALIASES = {
    "vocab_file": ("vocab_file_path",),
    "init_checkpoint": ("load_pretrain_checkpoint_path",),
    "max_seq_length": ("seq_length",),
    "learning_rate": ("optimizer.learning_rate",),
    "batch_size": ("train_batch_size", "eval_batch_size"),
    "num_train_epochs": ("epoch_num",),
    "num_train_steps": ("train_steps",),
    "max_steps": ("train_steps",),
    "warmup_proportion": ("optimizer.warmup_proportion",),
    "num_warmup_steps": ("optimizer.warmup_steps",),
    "save_checkpoints_steps": ("save_checkpoint_steps",),
    "print_freq": ("log_steps",),
    "log_freq": ("log_steps",),
    "config_file": ("bert_config_file",),
    "weight_decay": ("optimizer.weight_decay",),
    "train_file": ("train_data_file_path",),
    "predict_file": ("predict_data_file_path",),
    "input_file": ("data_dir", "eval_data_dir"),
    "label_file_path": ("label2id_file_path",),
    "schema_file": ("schema_file_path",),
    "optimizer": ("optimizer.name",),
    "loss_scale_value": ("precision.loss_scale_value",),
    "scale_factor": ("precision.scale_factor",),
    "scale_window": ("precision.scale_window",),
    "do_export": ("save_for_serving",),
    "bert_config_path": ("bert_config_file",),
    "vocab_path": ("vocab_file_path",),
    "init_pretraining_params": ("load_pretrain_checkpoint_path",),
    "checkpoints": ("save_finetune_checkpoint_path", "output_dir"),
    "in_tokens": ("batch_in_tokens",),
    "max_seq_len": ("seq_length",),
    "epoch": ("epoch_num",),
    "warmup_steps": ("optimizer.warmup_steps",),
    "save_steps": ("save_checkpoint_steps",),
    "validation_steps": ("eval_steps",),
    "skip_steps": ("log_steps",),  # in pretraining only: fine-tuning has a setting of this name, which is Enflame's
    "do_val": ("do_eval",),
    "do_test": ("do_predict",),
    "random_seed": ("seed",),
    "shuffle": ("train_data_shuffle",),
    # the model zoo's flags for pretraining
    "epoch_size": ("epoch_num",),
    "do_shuffle": ("train_data_shuffle",),
    "load_checkpoint_path": ("load_pretrain_checkpoint_path",),
    "save_checkpoint_path": ("save_finetune_checkpoint_path", "output_dir"),
    "schema_dir": ("schema_file_path",),
    "eval_ckpt": ("load_pretrain_checkpoint_path",),
}
_NOT_BESIDE = {"eval_ckpt": "train_steps"}  # no aliases for a script with these settings: a training starts from other weights


def find_aliases(keys: Collection[str]) -> dict[str, str]:
    """Other programs' names -> ours, for a script whose settings have these keys."""
    found = {theirs: next((name for name in ours if name in keys), None) for theirs, ours in ALIASES.items() if theirs not in keys}
    return {theirs: ours for theirs, ours in found.items() if ours and _NOT_BESIDE.get(theirs) not in keys}


_DEVICE = "--device_target chooses the device; auto takes an Ascend, else a GPU, else the CPU"
_DEVICES = "a process runs on one device; mpirun, msrun and python -m src.launch.local start several (docs/distributed.md)"
_EXECUTOR = "it sets up PaddlePaddle's executor, which is not used here"
_CACHE = "the rows of a data file are kept in the output folder's cache folder, and made anew when anything changes"

# accepted without effect by scripts that have no setting of this name; the text says what to use instead
IGNORED = {
    **dict.fromkeys(("use_tpu", "tpu_name", "tpu_zone", "gcp_project", "master", "use_gpu", "device"), _DEVICE),
    **dict.fromkeys(("num_tpu_cores", "num_gpu_cores", "use_perseus", "use_horovod", "local_rank", "use_env"), _DEVICES),
    **dict.fromkeys(("cache_dir", "skip_cache"), _CACHE),
    "dataset_format": "records are recognised by their content",
    "eval_data_shuffle": "results do not depend on the order",
    "num_class": "the task and its labels determine the outputs",
    "use_xla": "networks are always compiled",
    "use_apex": "the optimisers are this program's own",
    "iterations_per_loop": "the data goes to the device step by step",
    "predict_batch_size": "prediction runs with --eval_batch_size; results do not depend on it",
    "eval_script": "the measure of the official script is computed here: src/tasks/squad/measures.py",
    "bert_model": "the network's shape is read beside the weights, or from --bert_config_file",
    "json-summary": "figures and events of a run are in log.jsonl in the output folder",
    "disable-progress-bar": "a bar is drawn on terminals only",
    "verbose_logging": "anything unusual in the data is logged without it",
    "skip_checkpoint": "evaluation needs the checkpoint of the training",
    "drop_last": "every row counts, even in a short last batch",
    "workers": "batches are made while the device trains",
    **dict.fromkeys(("use_fast_executor", "num_iteration_per_drop_scope", "num_threads", "enable_ce"), _EXECUTOR),
    "profile": "no profile is written; log.jsonl in the output folder has the rates",
    "verbose": "step lines and log.jsonl show what a run does",
    "shuffle_seed": "--seed also sets the order of the rows",
    "do_test": "pretrain_eval.py --eval_data_dir evaluates records",
    "test_set_dir": "pretrain_eval.py --eval_data_dir evaluates records",
    "generate_neg_sample": "the pairs of the next-sentence task are made with the records: python -m src.build_records",
}

# name -> (the value that is refused, the reason); the other value is accepted
REFUSED = {
    "save_for_serving": (True, "python -m src.export --task pretrain exports a pretrained network"),
    "weight_sharing": (False, "the masked LM's output weights are the word embeddings"),
}

_PRECISION = ("use_fp16", "use_amp", "fp16", "amp", "use_mix_precision")
# name -> the settings that follow from its value
COMPUTED = {
    **dict.fromkeys(_PRECISION, "true: precision.compute_type auto; false: float32"),
    "loss_scale": "0: precision.loss_scale dynamic; above: static, and precision.loss_scale_value",
    "loss_scaling": "beside --use_fp16 true: precision.loss_scale_value",
    "no_cuda": "true: device_target CPU",
    "use_cuda": "false: device_target CPU",
    "lr_scheduler": "linear_warmup_decay: optimizer.schedule polynomial, power 1, down to 0; noam_decay: optimizer.schedule noam",
    "validation_set_dir": "eval_data_dir, and train_with_eval true",
    "gradient_accumulation_steps": "1; --accumulation_steps asks for more, each with a batch of its own",
    "enable_lossscale": "false: precision.loss_scale none",
    "enable_global_norm": "true: optimizer.clip global_norm",
}

_NEEDED = {  # only for a script that has the setting
    **dict.fromkeys((*_PRECISION, "loss_scale", "loss_scaling", "enable_lossscale"), "precision.loss_scale"),
    **dict.fromkeys(("no_cuda", "use_cuda"), "device_target"),
    "validation_set_dir": "train_with_eval",
    "num_class": "do_train",
    "lr_scheduler": "optimizer.schedule",
    "gradient_accumulation_steps": "accumulation_steps",
    "enable_global_norm": "optimizer.clip",
}
_SWITCHES = {  # the model zoo's -> the value that chooses a setting, and that setting
    "enable_lossscale": (False, "precision.loss_scale", "none"),
    "enable_global_norm": (True, "optimizer.clip", "global_norm"),
}
_SCHEDULERS = {
    "linear_warmup_decay": {"optimizer.schedule": "polynomial", "optimizer.power": "1", "optimizer.end_learning_rate": "0"},
    "noam_decay": {"optimizer.schedule": "noam"},
}


def find_others(keys: Collection[str]) -> list[str]:
    """The flags in these tables that are no aliases, for a script whose settings have these keys."""
    taken = {*keys, *find_aliases(keys)}
    return [key for key in (*IGNORED, *REFUSED, *COMPUTED) if key not in taken and (key not in _NEEDED or _NEEDED[key] in keys)]


def rename(tree: dict[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """A YAML tree in which ALIASES are replaced by our names.

    Args:
        tree: nested.
        keys: the dotted names of the script's settings.

    Raises:
        ValueError: a setting is given by two names.
    """
    groups = {key.partition(".")[0] for key in keys if "." in key}
    theirs = {key: name for key, name in find_aliases(keys).items() if key not in groups}
    renamed = {key: value for key, value in tree.items() if key not in theirs}
    givers: dict[str, str] = {}  # our name -> the key that gave it
    for key in [key for key in tree if key in theirs]:
        group, _, leaf = theirs[key].rpartition(".")
        settings = renamed.setdefault(group, {}) if group else renamed
        if not isinstance(settings, dict):
            continue  # the loader refuses such a group
        if leaf in settings:
            raise ValueError(f"{key} and {givers.get(theirs[key], theirs[key])} are one setting; give one of them")
        settings[leaf] = tree[key]
        givers[theirs[key]] = key
    return renamed


def describe(key: str) -> str:
    """The help text of a flag that `find_others` gives."""
    if key in REFUSED:
        return REFUSED[key][1]
    return COMPUTED.get(key) or f"no effect: {IGNORED[key]}"


def translate(given: Mapping[str, Any], explicit: Mapping[str, Any], dashes: str) -> dict[str, Any]:
    """The settings that other programs' flags or keys stand for, apart from those that are given by our names too.

    Args:
        given: names of `find_others` -> values. Those without effect are named in a warning.
        explicit: our names -> values, of the same command line or file.
        dashes: what stands before a name in messages: "--" for flags.

    Raises:
        ValueError: something is asked for that is refused, or contradicts a setting.
    """
    for key, value in given.items():
        if key in IGNORED:
            logger.warning(f"{dashes}{key}={value} has no effect: {IGNORED[key]}")
        elif key in REFUSED and _is_true(key, value) == REFUSED[key][0]:
            raise ValueError(f"{dashes}{key}={value}: {REFUSED[key][1]}")
    _check_accumulation(given.get("gradient_accumulation_steps", 1))
    settings = _settle_precision(given)
    if _is_true("no_cuda", given.get("no_cuda", False)) or not _is_true("use_cuda", given.get("use_cuda", True)):
        settings["device_target"] = "CPU"
    if "lr_scheduler" in given:
        settings |= _find_schedule(given["lr_scheduler"])
    if given.get("validation_set_dir"):
        settings |= {"eval_data_dir": given["validation_set_dir"], "train_with_eval": "true"}
    for key, value in settings.items():
        if explicit.get(key, value) != value:
            logger.info(f"{dashes}{key}={explicit[key]} counts, not the flags of other programs")
    settings |= _settle_switches(given, settings | dict(explicit))
    return {key: value for key, value in settings.items() if key not in explicit}


def _settle_switches(given, others):
    """The settings that the model zoo's two switches choose; a ValueError if `others` choose something else."""
    settings = {}
    for switch, (when, key, value) in _SWITCHES.items():
        if switch in given and _is_true(switch, given[switch]) == when:
            if str(others.get(key, value)).lower() != value:
                raise ValueError(f"{switch}={str(when).lower()} and {key}={others[key]} contradict each other; give one of them")
            settings[key] = value
    return settings


def _check_accumulation(text):
    """Raise a ValueError if accumulation is asked for: the programs disagree on which batch size it divides."""
    if coerce(text, int, "gradient_accumulation_steps", {}) > 1:
        asked = f"--gradient_accumulation_steps={text}"
        raise ValueError(f"{asked}: programs differ in what it divides; give --accumulation_steps, and the --train_batch_size of each step")


def _find_schedule(name):
    if name not in _SCHEDULERS:
        raise ValueError(f"lr_scheduler={name} is not allowed: it must be one of {', '.join(_SCHEDULERS)}")
    return _SCHEDULERS[name]


def _settle_precision(given):
    """Settings that the switches of mixed precision and of the loss scale stand for.

    Google's forks scale the loss by a constant under use_fp16 and dynamically under use_amp, which takes precedence. NVIDIA's
    programs scale it dynamically under fp16 and amp unless loss_scale gives a constant, and PaddlePaddle does so under
    use_mix_precision; its constant under use_fp16 is loss_scaling. `auto` is float16 on Ascend and GPU, and float32 on the CPU,
    which has no fast float16 kernels.
    """
    settings = {}
    switches = {key: _is_true(key, given[key]) for key in _PRECISION if key in given}
    if switches:
        settings["precision.compute_type"] = "auto" if any(switches.values()) else "float32"
    if any(switches.values()):
        is_static = switches.pop("use_fp16", False) and not any(switches.values())
        settings["precision.loss_scale"] = "static" if is_static else "dynamic"
    if settings.get("precision.loss_scale") == "static" and "loss_scaling" in given:
        settings["precision.loss_scale_value"] = given["loss_scaling"]
    elif "loss_scaling" in given:
        logger.warning(f"--loss_scaling={given['loss_scaling']} has no effect: it goes with --use_fp16 true")
    scale = coerce(given.get("loss_scale", "0"), float, "loss_scale", {"minimum": 0})
    if scale:
        settings |= {"precision.loss_scale": "static", "precision.loss_scale_value": str(scale)}
    elif "loss_scale" in given:
        settings["precision.loss_scale"] = "dynamic"
    return settings


def _is_true(key, text):
    return coerce(text, bool, key, {})
