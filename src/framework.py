"""MindSpore calls that are announced to be removed and have no successor yet; only this file uses them."""

import os

import mindspore

_FUSION_MEGABYTES = 64

if "OMP_NUM_THREADS" not in os.environ:
    os.unsetenv("OMP_NUM_THREADS")  # imported, MindSpore sets it to 1 in the process, and its children would run on one thread


def name_gpu(number: int) -> str:
    """The name of a GPU, such as Tesla V100-SXM2-16GB."""
    return mindspore.hal.get_device_name(number, "GPU")


def run_as_graphs() -> None:
    """Compile cells from now on, instead of running them op by op.

    MindSpore 2.10 announces the end of `set_context`. The mode is its only setting without an interface of its own.
    """
    mindspore.set_context(mode=mindspore.GRAPH_MODE)


def set_jit_level(level: str) -> None:
    """Set how far Ascend's compiler fuses: O0 kernel by kernel, O1 with fused graphs."""
    mindspore.set_context(jit_config={"jit_level": level})


def sum_gradients_in_groups(world_size: int) -> None:
    """Sum gradients over ranks in groups of about _FUSION_MEGABYTES, not one by one.

    MindSpore names `AutoParallel` as the successor of `set_auto_parallel_context`, but it has no data parallelism. Without that mode
    each gradient is summed separately (2.10: 27 sums a step for a one-layer network instead of 3), whatever `Parameter.comm_fusion` says.
    """
    fusion = {"allreduce": {"mode": "size", "config": _FUSION_MEGABYTES}}
    mindspore.set_auto_parallel_context(parallel_mode="data_parallel", device_num=world_size, gradients_mean=False, comm_fusion=fusion)
