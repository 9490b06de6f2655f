"""Flags of other BERT programs and what stands for them here: one table for every run script.

Sources: google-research/bert and the programs that kept its flags (Perseus, bert_multi_gpu); NVIDIA's DeepLearningExamples and the
programs made from it; the model zoo's config files.
"""

from src.config.coercion import coerce
from src.log import logger

# their name -> ours, the first that the run script has; the values mean the same. Of a setting given twice the later flag counts.
ALIASES = {
    "vocab_file": ("vocab_file_path",),
    "init_checkpoint": ("load_pretrain_checkpoint_path", "load_checkpoint_path", "eval_ckpt"),
    "max_seq_length": ("seq_length",),
    "learning_rate": ("optimizer.learning_rate",),
    "train_batch_size": ("batch_size",),
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
    "output_dir": ("save_checkpoint_path",),
    "label_file_path": ("label2id_file_path",),
    "schema_file": ("schema_file_path", "schema_dir"),
    "optimizer": ("optimizer.name",),
    "loss_scale_value": ("precision.loss_scale_value",),
    "scale_factor": ("precision.scale_factor",),
    "scale_window": ("precision.scale_window",),
    "do_export": ("save_for_serving",),
}


def find_aliases(keys):
    """Their name -> ours, for a script whose settings have these keys."""
    found = {theirs: next((name for name in ours if name in keys), None) for theirs, ours in ALIASES.items() if theirs not in keys}
    return {theirs: ours for theirs, ours in found.items() if ours}


_DEVICE = "--device_target says where to run; auto takes an Ascend, else a GPU, else the CPU"
_DEVICES = "a process runs on one device; mpirun, msrun and python -m src.launch.local start several (docs/distributed.md)"
_CACHE = "the rows of a data file are kept in the cache folder of the output folder, and made anew where anything changes"

# accepted without effect, by the scripts that have no setting of the name; the text says what stands for it
IGNORED = {
    **dict.fromkeys(("use_tpu", "tpu_name", "tpu_zone", "gcp_project", "master", "use_gpu", "device"), _DEVICE),
    **dict.fromkeys(("num_tpu_cores", "num_gpu_cores", "use_perseus", "use_horovod", "local_rank", "use_env"), _DEVICES),
    **dict.fromkeys(("cache_dir", "skip_cache"), _CACHE),
    "use_xla": "networks are always compiled",
    "use_apex": "the optimisers are this program's own",
    "iterations_per_loop": "the data goes to the device step by step",
    "predict_batch_size": "prediction runs with --eval_batch_size; results do not depend on it",
    "eval_script": "the measure of the official script is computed here: src/metrics/squad.py",
    "bert_model": "the network's shape is read beside the weights, or from --bert_config_file",
    "json-summary": "figures and events of a run are in log.jsonl in the output folder",
    "disable-progress-bar": "a bar is drawn on terminals only",
    "verbose_logging": "what is unusual in the data is told without it",
    "skip_checkpoint": "evaluation reads the checkpoint of the training",
    "drop_last": "every row counts, those of a short last batch too",
    "workers": "batches are made beside the training",
}

# accepted when false; true is refused with the text
REFUSED = {
    "save_for_serving": "python -m src.export --task pretrain exports a pretrained network",
}

# each stands for settings that follow from its value
COMPUTED = {
    **dict.fromkeys(("use_fp16", "use_amp", "fp16", "amp"), "true: precision.compute_type auto; false: float32"),
    "loss_scale": "0: precision.loss_scale dynamic; above: static, and precision.loss_scale_value",
    "no_cuda": "true: device_target CPU",
    "gradient_accumulation_steps": "1; more are asked for by --accumulation_steps, of which each takes a batch",
}


def find_others(keys):
    """Flags of these tables besides the aliases, for a script whose settings have these keys."""
    return [key for key in (*IGNORED, *REFUSED, *COMPUTED) if key not in keys]


def describe(key):
    """The help text of one of the other flags."""
    return COMPUTED.get(key) or REFUSED.get(key) or f"no effect: {IGNORED[key]}"


def translate(flags, others):
    """Settings for what other programs' flags ask for, or one line that says why there are none.

    Args:
        flags: key -> text; the aliases stand there by our keys.
        others: what `find_others` gives.
    """
    given = {key: flags.pop(key) for key in others if key in flags}
    for key, text in given.items():
        if key in IGNORED:
            logger.info(f"--{key}={text} has no effect: {IGNORED[key]}")
        elif key in REFUSED and _is_true(key, text):
            raise ValueError(f"--{key}=true: {REFUSED[key]}")
    _check_accumulation(given.get("gradient_accumulation_steps", "1"))
    settings = _settle_precision(given)
    if "no_cuda" in given and _is_true("no_cuda", given["no_cuda"]):
        settings["device_target"] = "CPU"
    for key, value in settings.items():
        if flags.setdefault(key, value) != value:
            logger.info(f"--{key}={flags[key]} counts, not what the flags of other programs stand for")
    return flags


def _check_accumulation(text):
    """Google's descendants do not agree on what it divides."""
    if coerce(text, int, "gradient_accumulation_steps", {}) > 1:
        asked = f"--gradient_accumulation_steps={text}"
        raise ValueError(f"{asked}: programs differ in what it divides; give --accumulation_steps, and --train_batch_size of each of them")


def _settle_precision(given):
    """Settings that stand for the switches of mixed precision and the loss scale.

    Google's forks scale the loss by a constant under use_fp16; under use_amp, which wins, dynamically, as NVIDIA does under fp16
    and amp, where loss_scale does not say otherwise. `auto` is float16 on Ascend and GPU; the CPU computes in float32, where
    float16 has no fast kernels.
    """
    settings = {}
    switches = {key: _is_true(key, given[key]) for key in ("use_fp16", "use_amp", "fp16", "amp") if key in given}
    if switches:
        settings["precision.compute_type"] = "auto" if any(switches.values()) else "float32"
    if any(switches.values()):
        is_static = switches.pop("use_fp16", False) and not any(switches.values())
        settings["precision.loss_scale"] = "static" if is_static else "dynamic"
    scale = coerce(given.get("loss_scale", "0"), float, "loss_scale", {"minimum": 0})
    if scale:
        settings |= {"precision.loss_scale": "static", "precision.loss_scale_value": str(scale)}
    elif "loss_scale" in given:
        settings["precision.loss_scale"] = "dynamic"
    return settings


def _is_true(key, text):
    return coerce(text, bool, key, {})
