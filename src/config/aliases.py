"""Flags of other BERT programs and what stands for them here: one table for every run script.

Sources: google-research/bert and the programs that kept its flags (Perseus, bert_multi_gpu); the model zoo's config files.
"""

from src.config.coercion import coerce
from src.log import logger

# their name -> ours, the first that the run script has; the values mean the same
ALIASES = {
    "vocab_file": ("vocab_file_path",),
    "init_checkpoint": ("load_pretrain_checkpoint_path", "load_checkpoint_path", "eval_ckpt"),
    "max_seq_length": ("seq_length",),
    "learning_rate": ("optimizer.learning_rate",),
    "train_batch_size": ("batch_size",),
    "batch_size": ("train_batch_size", "eval_batch_size"),
    "num_train_epochs": ("epoch_num",),
    "num_train_steps": ("train_steps",),
    "warmup_proportion": ("optimizer.warmup_proportion",),
    "num_warmup_steps": ("optimizer.warmup_steps",),
    "save_checkpoints_steps": ("save_checkpoint_steps",),
    "input_file": ("data_dir", "eval_data_dir"),
    "output_dir": ("save_checkpoint_path",),
    "label_file_path": ("label2id_file_path",),
    "schema_file": ("schema_file_path", "schema_dir"),
    "optimizer": ("optimizer.name",),
    "loss_scale_value": ("precision.loss_scale_value",),
    "scale_factor": ("precision.scale_factor",),
    "scale_window": ("precision.scale_window",),
}


def find_aliases(keys):
    """Their name -> ours, for a script whose settings have these keys."""
    found = {theirs: next((name for name in ours if name in keys), None) for theirs, ours in ALIASES.items() if theirs not in keys}
    return {theirs: ours for theirs, ours in found.items() if ours}


_DEVICE = "--device_target says where to run; auto takes an Ascend, else a GPU, else the CPU"
_DEVICES = "one process runs on one device; several devices are not there yet"

# accepted without effect; the text says what stands for it
IGNORED = {
    **dict.fromkeys(("use_tpu", "tpu_name", "tpu_zone", "gcp_project", "master", "use_gpu"), _DEVICE),
    **dict.fromkeys(("num_tpu_cores", "num_gpu_cores", "use_perseus", "use_horovod"), _DEVICES),
    "use_xla": "networks are always compiled",
    "iterations_per_loop": "the data goes to the device step by step",
    "predict_batch_size": "prediction runs with --eval_batch_size; results do not depend on it",
}

# accepted when false; true is refused with the text
REFUSED = {
    "save_for_serving": "export for serving is not there yet",
    "do_export": "export for serving is not there yet",
}

MIXED_PRECISION = ("use_fp16", "use_amp")


def _mixed_precision(use_fp16, use_amp):
    """Settings that stand for the two switches (False where not given).

    Google's forks scale the loss by a constant under use_fp16 and dynamically under use_amp, which wins. `auto` is
    float16 on Ascend and GPU; the CPU computes in float32, where float16 has no fast kernels.
    """
    if use_amp:
        return {"precision.compute_type": "auto", "precision.loss_scale": "dynamic"}
    if use_fp16:
        return {"precision.compute_type": "auto", "precision.loss_scale": "static"}
    return {"precision.compute_type": "float32"}


def describe(key, aliases):
    """The help text of a flag in these tables."""
    if key in aliases:
        return f"the same as --{aliases[key]}"
    if key in MIXED_PRECISION:
        return "true: precision.compute_type auto; false: float32"
    return REFUSED.get(key) or f"no effect: {IGNORED[key]}"


def translate(flags, aliases):
    """Flags by our names; those of other programs give what stands for them, or one line that says why nothing does."""
    for key in [key for key in IGNORED if key in flags]:
        logger.info(f"--{key}={flags.pop(key)} has no effect: {IGNORED[key]}")
    for key in [key for key in REFUSED if key in flags]:
        if _is_true(key, flags.pop(key)):
            raise ValueError(f"--{key}=true: {REFUSED[key]}")
    if flags.keys() & set(MIXED_PRECISION):
        switches = [key in flags and _is_true(key, flags.pop(key)) for key in MIXED_PRECISION]
        for key, value in _mixed_precision(*switches).items():
            if flags.setdefault(key, value) != value:
                logger.info(f"--{key}={flags[key]} counts, not what {' and '.join(MIXED_PRECISION)} stand for")
    for key in [key for key in aliases if key in flags]:
        if aliases[key] in flags:
            raise ValueError(f"--{key} and --{aliases[key]} are the same setting: give one of them")
        flags[aliases[key]] = flags.pop(key)
    return flags


def _is_true(key, text):
    return coerce(text, bool, key, {})
