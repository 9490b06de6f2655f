"""The settings that follow from the values of other programs' flags: those of aliases.py that are no mere names."""

from collections.abc import Mapping
from typing import Any

from src.config.aliases import COMPUTED, IGNORED, PRECISION, REFUSED
from src.config.coercion import coerce
from src.log import logger

_SWITCHES = {  # the model zoo's -> the value that chooses a setting, and that setting
    "enable_lossscale": (False, "precision.loss_scale", "none"),
    "enable_global_norm": (True, "optimizer.clip", "global_norm"),
}
_SCHEDULERS = {
    "linear_warmup_decay": {"optimizer.schedule": "polynomial", "optimizer.power": "1", "optimizer.end_learning_rate": "0"},
    "noam_decay": {"optimizer.schedule": "noam"},
}


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
    if "use_relative_positions" in given:
        is_relative = _is_true("use_relative_positions", given["use_relative_positions"])
        settings["model.position_embedding_type"] = "learned" if is_relative else "absolute"
    if "compute_type" in given:
        settings["precision.compute_type"] = given["compute_type"].removeprefix("mstype.")
    if (dtype := given.get("dtype", "float32").removeprefix("mstype.")) != "float32":
        raise ValueError(f"{dashes}dtype={dtype}: {COMPUTED['dtype']}; {dashes}compute_type sets the type of matrix products")
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
    switches = {key: _is_true(key, given[key]) for key in PRECISION if key in given}
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
