"""Flags of other BERT programs and the settings that they stand for: tables for all run scripts.

Sources: google-research/bert and the programs that kept its flags (Perseus, bert_multi_gpu); NVIDIA's DeepLearningExamples and the
programs made from it; the model zoo's config files; PaddlePaddle's BERT with recompute (PaddleFleetX, examples/recompute/bert).
"""

from collections.abc import Collection
from typing import Any

_SHAPE = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "initializer_range",
)

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
    "do_test": ("do_predict",),  # a classifier has the setting
    "random_seed": ("seed",),
    "shuffle": ("train_data_shuffle",),
    # the model zoo's flags for pretraining
    "epoch_size": ("epoch_num",),
    "do_shuffle": ("train_data_shuffle",),
    "load_checkpoint_path": ("load_pretrain_checkpoint_path",),
    "save_checkpoint_path": ("save_finetune_checkpoint_path", "output_dir"),
    "schema_dir": ("schema_file_path",),
    "eval_ckpt": ("load_pretrain_checkpoint_path",),
    # values of its config.py and its YAML files
    **{name: (f"model.{name}",) for name in _SHAPE},
    **{name: (f"optimizer.{name}",) for name in ("end_learning_rate", "power", "decay_steps", "beta1", "beta2", "eps", "momentum")},
}
_NOT_BESIDE = {"eval_ckpt": "train_steps"}  # no aliases for a script with these settings: a training starts from other weights


def find_aliases(keys: Collection[str]) -> dict[str, str]:
    """Other programs' names -> ours, for a script whose settings have these keys."""
    found = {theirs: next((name for name in ours if name in keys), None) for theirs, ours in ALIASES.items() if theirs not in keys}
    return {theirs: ours for theirs, ours in found.items() if ours and _NOT_BESIDE.get(theirs) not in keys}


_DEVICE = "--device_target chooses the device; auto takes an Ascend, else a GPU, else the CPU"
_DEVICES = "a process runs on one device; mpirun, msrun and python -m src.launch.local start several (docs/distributed.md)"
_EXECUTOR = "it sets up PaddlePaddle's executor, which is not used here"
EXPORT_FLAGS = ("export_batch_size", "export_ckpt_file", "export_file_name", "file_format")  # of the model zoo's export.py
_MODELARTS = "it belongs to enable_modelarts, which is refused: copy data and weights before the run and results after it"
_EXPORT = "python export.py takes it, and python -m src.export has flags of its own"
_PROFILE = "no profile is written; log.jsonl in the output folder has the rates"
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
    **dict.fromkeys(("profile", "enable_profiling"), _PROFILE),
    **dict.fromkeys(("data_url", "train_url", "checkpoint_url", "data_path", "output_path", "load_path"), _MODELARTS),
    **dict.fromkeys(EXPORT_FLAGS, _EXPORT),
    "description": "the name of the script says the task",
    "use_pynative_mode": "networks are always compiled",
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
    "enable_modelarts": (True, "copy data and weights from the object storage before the run, and give their local paths"),
}

PRECISION = ("use_fp16", "use_amp", "fp16", "amp", "use_mix_precision")
# name -> the settings that follow from its value
COMPUTED = {
    **dict.fromkeys(PRECISION, "true: precision.compute_type auto; false: float32"),
    "loss_scale": "0: precision.loss_scale dynamic; above: static, and precision.loss_scale_value",
    "loss_scaling": "beside --use_fp16 true: precision.loss_scale_value",
    "use_relative_positions": "true: model.position_embedding_type learned; false: absolute",
    "compute_type": "mstype.float16 or mstype.float32: precision.compute_type",
    "dtype": "mstype.float32 only: parameters and what the encoder gives are float32",
    "no_cuda": "true: device_target CPU",
    "use_cuda": "false: device_target CPU",
    "lr_scheduler": "linear_warmup_decay: optimizer.schedule polynomial, power 1, down to 0; noam_decay: optimizer.schedule noam",
    "validation_set_dir": "eval_data_dir, and train_with_eval true",
    "gradient_accumulation_steps": "1; --accumulation_steps asks for more, each with a batch of its own",
    "enable_lossscale": "false: precision.loss_scale none",
    "enable_global_norm": "true: optimizer.clip global_norm",
}

_NEEDED = {  # only for a script that has the setting
    **dict.fromkeys((*PRECISION, "loss_scale", "loss_scaling", "enable_lossscale"), "precision.loss_scale"),
    **dict.fromkeys(("no_cuda", "use_cuda"), "device_target"),
    **dict.fromkeys(("compute_type", "dtype"), "precision.compute_type"),
    "use_relative_positions": "model.position_embedding_type",
    "validation_set_dir": "train_with_eval",
    "num_class": "do_train",
    "lr_scheduler": "optimizer.schedule",
    "gradient_accumulation_steps": "accumulation_steps",
    "enable_global_norm": "optimizer.clip",
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
