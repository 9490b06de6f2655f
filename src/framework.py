"""What MindSpore says it will take away and has no successor for yet: every use of it stands here."""

import mindspore

_FUSION_MEGABYTES = 64


def run_as_graphs():
    """Cells called from now on are compiled, not run op by op.

    MindSpore 2.10 announces the end of `set_context`. Of its settings the mode alone has no interface of its own.
    """
    mindspore.set_context(mode=mindspore.GRAPH_MODE)


def set_jit_level(level):
    """How far Ascend's compiler fuses: O0 kernel by kernel, O1 with fused graphs."""
    mindspore.set_context(jit_config={"jit_level": level})


def sum_gradients_in_groups(world_size):
    """Gradients are summed over ranks in groups of about _FUSION_MEGABYTES, not one by one.

    MindSpore names `AutoParallel` as the successor of `set_auto_parallel_context`; it has no data parallelism. Without the mode
    each gradient is summed by itself (2.10: 27 sums a step of a network of one layer instead of 3), whatever `Parameter.comm_fusion` says.
    """
    fusion = {"allreduce": {"mode": "size", "config": _FUSION_MEGABYTES}}
    mindspore.set_auto_parallel_context(parallel_mode="data_parallel", device_num=world_size, gradients_mean=False, comm_fusion=fusion)
