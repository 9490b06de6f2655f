"""Pretraining compiled for Ascend by scripts/try_ascend.sh. Settings that do not touch the same operators share a dry run."""

import functools
import json

import dry_runs
import pytest
from dry_runs import NEEDS_TOOL, find_network, try_ascend


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dry_runs.write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def pretrain(data, tmp_path):
    """`pretrain(**flags)`: the report of two updates."""
    return functools.partial(dry_runs.pretrain, data, tmp_path)


PLANTED = """
import sys
sys.path.insert(0, "")
import numpy, mindspore
from mindspore import nn, ops
import run_pretrain
run_pretrain.main(sys.argv[1:])
class Network(nn.Cell):
    def __init__(self):
        super().__init__()
        self.status = ops.operations.FloatStatus()
    def construct(self, x):
        return self.status(x * 2.0)
Network()(mindspore.Tensor(numpy.ones((2, 3), numpy.float32)))
"""


@NEEDS_TOOL
def test_pretraining_with_lamb_has_a_kernel_for_every_operator_and_a_planted_one_that_has_none_is_named(pretrain, tmp_path):
    script = tmp_path / "pretrain.py"
    script.write_text(PLANTED, encoding="utf-8")
    report = pretrain(script=script, code=1, optimizer__name="Lamb")
    (step,) = find_network(report, "TrainStep", without_kernel=["FloatStatus"])
    forward = max((graph for graph in step["graphs"] if "↓" not in graph["function"]), key=lambda graph: graph["aclnn"])
    update = next(graph for graph in step["graphs"] if "✓" in graph["function"])
    assert any("Mat" in name or name == "Dense" for name in forward["operators"]) and update["operators"]["Sqrt"]
    assert step["fewest_launches"] < step["launches"] == sum(graph["launches"] for graph in step["graphs"] if "✗" not in graph["function"])
    assert update["aclop"] == update["operators"]["AssignAdd"] == 1  # the number of updates
    assert 0 < report["peak_memory"]["tensors"] <= report["peak_memory"]["with_gaps"]


@pytest.mark.slow
@NEEDS_TOOL
@pytest.mark.parametrize(
    "flags",
    [
        {"model__position_embedding_type": "sinusoidal", "optimizer__name": "AdamW", "use_recompute": "true"},
        {"model__position_embedding_type": "learned", "optimizer__name": "AdamWeightDecay", "accumulation_steps": 2},
        {"precision__compute_type": "bfloat16", "train_with_eval": "true", "eval_epochs": 0.5, "early_stopping": 1},
        {"precision__compute_type": "float32", "optimizer__name": "AdamWeightDecay"},
        {"objective": "mlm", "masking": "dynamic", "train_with_eval": "true", "eval_epochs": 0.5},
        {"objective": "mlm", "model__position_embedding_type": "sinusoidal", "packing": "true"},
        {"objective": "mlm_sop", "model__position_embedding_type": "learned", "train_with_eval": "true", "eval_epochs": 0.5},
    ],
    ids=lambda flags: "-".join(map(str, flags.values())),
)
def test_pretraining_compiles(pretrain, flags):
    report = pretrain(**flags)
    (step,) = find_network(report, "TrainStep")
    assert step["launches"] > 100
    if "objective" in flags and "train_with_eval" in flags:
        find_network(report, "MaskedLmScores" if flags["objective"] == "mlm" else "PretrainingScores")


@pytest.mark.slow
@NEEDS_TOOL
def test_graph_fusion_makes_fewer_launches_than_kernels_selected(pretrain):
    (step,) = find_network(pretrain(optimizer__name="AdamWeightDecay", jit_level="O1"), "TrainStep")
    assert any(name.startswith("GraphKernel") for graph in step["graphs"] for name in graph["operators"])
    assert step["launches"] < sum(graph["aclnn"] + graph["aclop"] for graph in step["graphs"])


@pytest.mark.slow
@NEEDS_TOOL
def test_attention_is_one_kernel_where_the_head_size_allows_it(pretrain, data, tmp_path):
    shape = {**json.loads((data / "bert_config.json").read_text(encoding="utf-8")), "hidden_size": 32}
    (tmp_path / "wide.json").write_text(json.dumps(shape), encoding="utf-8")
    (step,) = find_network(pretrain(bert_config_file=tmp_path / "wide.json"), "TrainStep")
    names = {name for graph in step["graphs"] for name in graph["operators"]}
    assert {"FlashAttentionScore", "FlashAttentionScoreGrad"} <= names


@pytest.mark.slow
@NEEDS_TOOL
def test_a_chip_that_saturates_is_asked_for_its_overflow_status_and_evaluates(pretrain, data, tmp_path):
    (step,) = find_network(pretrain(ascend_chip="910A"), "TrainStep")
    counts = [sum(graph["operators"].get(f"NPU{word}FloatStatusV2", 0) for graph in step["graphs"]) for word in ("Clear", "Get")]
    assert counts == [1, 1]
    records = ["--eval_data_dir", data / "records", "--cache_dir", data / "cache", "--device_target", "Ascend"]
    find_network(try_ascend(tmp_path, "pretrain_eval.py", "--eval_ckpt", tmp_path / "out", *records), "Pretraining")


@pytest.mark.slow
@NEEDS_TOOL
@pytest.mark.parametrize("packing", ["false", "true"])
def test_data_sink_compiles(pretrain, packing):
    report = pretrain(packing=packing, enable_data_sink="true", data_sink_steps=2)
    (step,) = find_network(report, "DataWrapper")  # the framework's name for a step that takes its data from a queue on the device
    assert sum(graph["operators"].get("GetNext", 0) for graph in step["graphs"]) == 1


@pytest.mark.slow
@NEEDS_TOOL
def test_both_stages_of_a_recipe_compile(pretrain, data, tmp_path):
    folders = [dry_runs.make_records(data, length=length, name=f"records{length}") for length in (16, 32)]
    stages = [{"data_dir": str(folder), "train_steps": steps} for folder, steps in zip(folders, (3, 2))]
    (tmp_path / "recipe.yaml").write_text(json.dumps({"stage_schedule": "stage", "stages": stages}), encoding="utf-8")
    report = pretrain(config_path=tmp_path / "recipe.yaml", data_dir=None, train_steps=None, optimizer__name="AdamWeightDecay")
    first, second = find_network(report, "TrainStep")
    assert first["launches"] > 100 and second["launches"] >= first["launches"]  # the second one's schedule begins anew
    assert (tmp_path / "out/checkpoint_bert-2_5.ckpt").is_file()


@pytest.mark.slow
@NEEDS_TOOL
def test_gradients_of_eight_ranks_are_summed_by_hccl(pretrain):
    """Ranks of other launchers are told apart in tests/report/test_ascend_log.py."""
    environ = {"RANK_TABLE_FILE": "/absent.json", "RANK_SIZE": "8", "RANK_ID": "0", "DEVICE_ID": "0"}
    (step,) = find_network(pretrain(environ=environ), "TrainStep")
    assert any(graph["operators"].get("AllReduce") and graph["other"] for graph in step["graphs"])


@pytest.mark.slow
@NEEDS_TOOL
def test_an_export_of_masked_words_compiles(pretrain, tmp_path):
    pretrain()
    command = ["-m", "src.export", "--task", "fill_mask", "--checkpoint", tmp_path / "out", "--output", tmp_path / "bundle"]
    find_network(try_ascend(tmp_path, *command, "--file_format", "MINDIR", "--device_target", "Ascend"), "WordPredictor")
