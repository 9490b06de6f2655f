"""Flags of other BERT programs and what stands for them here: one table for every run script.

Sources: google-research/bert and the programs that kept its flags (Perseus, bert_multi_gpu).
"""

# their name -> ours; the values mean the same
ALIASES = {
    "vocab_file": "vocab_file_path",
    "init_checkpoint": "load_pretrain_checkpoint_path",
    "max_seq_length": "seq_length",
    "learning_rate": "optimizer.learning_rate",
    "num_train_epochs": "epoch_num",
    "warmup_proportion": "optimizer.warmup_proportion",
    "save_checkpoints_steps": "save_checkpoint_steps",
}

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


def mixed_precision(use_fp16, use_amp):
    """Settings that stand for the two switches (None where not given).

    Google's forks scale the loss by a constant under use_fp16 and dynamically under use_amp, which wins. `auto` is
    float16 on Ascend and GPU; the CPU computes in float32, where float16 has no fast kernels.
    """
    if use_amp:
        return {"precision.compute_type": "auto", "precision.loss_scale": "dynamic"}
    if use_fp16:
        return {"precision.compute_type": "auto", "precision.loss_scale": "static"}
    return {"precision.compute_type": "float32"}
