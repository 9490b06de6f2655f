"""Fine-tuning and exports compiled for Ascend by scripts/try_ascend.sh. Settings that do not touch the same operators share a dry run."""

import functools
import json

import dry_runs
import numpy as np
import pytest
from conftest import WORDS
from dry_runs import NEEDS_TOOL, find_network, try_ascend

from src.bundle.graphs import MindirGraph

SHORT = {"seq_length": 8, "bucket_list": 8}  # where a loop over the length is unrolled


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return dry_runs.write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def finetune(data, tmp_path):
    """`finetune(task, modes, file, **flags)`: the report of a run script; modes: train, eval, predict."""
    return functools.partial(dry_runs.finetune, data, tmp_path)


UNCOMPILED = """
import mindspore
from mindspore import nn
mindspore.set_context(mode=mindspore.GRAPH_MODE)
mindspore.set_device("Ascend")
class Network(nn.Cell):
    def construct(self, x):
        return x.absent_method()
Network()(mindspore.Tensor([1.0]))
"""


@pytest.mark.slow
@NEEDS_TOOL
def test_what_the_front_end_cannot_compile_leaves_no_file(tmp_path):
    script = tmp_path / "uncompiled.py"
    script.write_text(UNCOMPILED, encoding="utf-8")
    assert try_ascend(tmp_path, script, code=1, options=["--output_dir", tmp_path / "kept"])["networks"] == []
    assert list((tmp_path / "kept").rglob("analyze_fail.ir"))


CLASSES = {"task_name": "custom", "columns": "text_a=text,label=label"}


@pytest.mark.slow
@NEEDS_TOOL
@pytest.mark.parametrize("flags", [{"head": "rcnn", **SHORT}, {"head": "cnn", "cnn_batch_norm": "true"}], ids=lambda flags: flags["head"])
def test_heads_of_classification_compile(finetune, flags):
    report = finetune("classifier", ("train", "eval"), "classes.tsv", **CLASSES, **flags)
    find_network(report, "TrainStep")
    find_network(report, "Classifier")


@pytest.mark.slow
@NEEDS_TOOL
def test_classification_and_its_export_compile_and_the_exported_graph_runs_on_the_cpu(finetune, tmp_path):
    report = finetune("classifier", ("train", "eval", "predict"), "classes.tsv", **CLASSES, eval_steps=1)
    find_network(report, "TrainStep")
    find_network(report, "Classifier")
    command = ["-m", "src.export", "--task", "classifier", "--checkpoint", tmp_path / "out", "--output", tmp_path / "bundle"]
    find_network(try_ascend(tmp_path, *command, "--file_format", "MINDIR", "--device_target", "Ascend"), "Classifier")
    (logits,) = MindirGraph(tmp_path / "bundle/model.mindir").run(*np.ones((3, 2, 5), np.int32))
    assert logits.shape == (2, 2)


@pytest.mark.slow
@NEEDS_TOOL
def test_regression_compiles(finetune):
    report = finetune("classifier", ("train", "eval"), "scores.tsv", **CLASSES, num_class=1)
    find_network(report, "TrainStep")
    find_network(report, "Classifier")


@pytest.mark.slow
@NEEDS_TOOL
def test_several_labels_a_text_compile(finetune, data, tmp_path):
    rows = (data / "classes.tsv").read_text(encoding="utf-8").replace("\tpositive", "\tpositive,short")
    (tmp_path / "labels.tsv").write_text(rows, encoding="utf-8")
    flags = {"class_weights": "balanced", "focal_gamma": 2, "r_drop": 1, "tune_thresholds": "each", "eval_steps": 1}
    report = finetune("classifier", ("train", "eval"), tmp_path / "labels.tsv", **CLASSES, multi_label="true", **flags)
    find_network(report, "TrainStep")


@pytest.mark.slow
@NEEDS_TOOL
def test_multiple_choice_compiles(finetune, tmp_path):
    rows = [f"the {word},it,was good,was bad,{'ran fast' if number % 2 else ''},{number % 2}" for number, word in enumerate(WORDS)]
    (tmp_path / "train.csv").write_text("\n".join(["sent1,sent2,ending0,ending1,ending2,label", *rows]) + "\n", encoding="utf-8")
    report = finetune("classifier", ("train", "eval", "predict"), tmp_path / "train.csv", task_name="swag", r_drop=1)
    find_network(report, "TrainStep")
    find_network(report, "Classifier")


@pytest.mark.slow
@NEEDS_TOOL
@pytest.mark.parametrize("flags", [{}, {"use_crf": "true", "with_lstm": "true", **SHORT}], ids=["softmax", "lstm-crf"])
def test_tagging_compiles(finetune, flags):  # a CRF alone: test_regularisers_compile
    report = finetune("ner", ("train", "eval", "predict"), "ner.txt", **flags)
    find_network(report, "TrainStep")
    find_network(report, "Tagger")


@pytest.mark.slow
@NEEDS_TOOL
def test_a_pointer_compiles(finetune):
    report = finetune("ner", ("train", "eval", "predict"), "ner.txt", head="global_pointer", r_drop=1)
    find_network(report, "TrainStep")
    find_network(report, "PointerScores")


@pytest.mark.slow
@NEEDS_TOOL
def test_question_answering_compiles(finetune):
    report = finetune("squad", ("train", "eval", "predict"), "squad.json", doc_stride=4, max_query_length=4)
    find_network(report, "TrainStep")
    find_network(report, "SpanFinder")


@pytest.mark.slow
@NEEDS_TOOL
@pytest.mark.parametrize(
    "flags", [{"objective": "cosine"}, {"objective": "simcse", "pooling": "cls"}], ids=lambda flags: flags["objective"]
)
def test_sentence_embeddings_compile(finetune, flags):
    report = finetune("embedding", ("train", "eval", "predict"), "pairs.tsv", columns="text_a=anchor,text_b=positive,score=score", **flags)
    find_network(report, "TrainStep")
    find_network(report, "Embedder")


PACKED = {  # task -> data file and flags
    "classifier": ("classes.tsv", {**CLASSES, "head": "rcnn", "seq_length": 8}),
    "ner": ("ner.txt", {"use_crf": "true", "model.position_embedding_type": "learned", "seq_length": 8}),
    "squad": ("squad.json", {"doc_stride": 4, "max_query_length": 4, "precision.compute_type": "bfloat16", "model.hidden_size": 32}),
}


@pytest.mark.slow
@NEEDS_TOOL
@pytest.mark.parametrize("task", PACKED)
def test_packed_rows_compile(finetune, tmp_path, task):
    file, flags = PACKED[task]
    report = finetune(task, ("train", "eval"), file, **flags, bucket_list="", packing="true")
    (step,) = find_network(report, "TrainStep")
    names = {name for graph in step["graphs"] for name in graph["operators"]}
    assert {"FlashAttentionScore", "FlashAttentionScoreGrad"} <= names or task != "squad"
    find_network(report, "WithPacking")
    steps = [json.loads(line) for line in (tmp_path / "out/log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [step["step"] for step in steps if "step" in step] == [1, 2]


REGULARISED = {
    "classifier": [
        {"adversarial": "fgm", "ema": 0.9, "layerwise_decay": 0.9, "r_drop": 1, "focal_gamma": 2, "optimizer.name": "AdamWeightDecay"},
        {"adversarial": "pgd", "adversarial_steps": 2, "multi_sample_dropout": 3, "label_smoothing": 0.1},
        {"freeze": "embeddings,layers.0", "head_learning_rate": 0.01, "optimizer.name": "Lamb", "head": "cnn"},
    ],
    "ner": [{"use_crf": "true", "crf_learning_rate": 0.1, "r_drop": 1, "ema": 0.9, **SHORT}],
    "squad": [{"r_drop": 1, "adversarial": "fgm", "freeze": "layers.0"}],
}


@pytest.mark.slow
@NEEDS_TOOL
@pytest.mark.parametrize(
    ("task", "flags"),
    [(task, flags) for task, several in REGULARISED.items() for flags in several],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_regularisers_compile(finetune, task, flags):
    file, settings = {
        "classifier": ("classes.tsv", CLASSES),
        "ner": ("ner.txt", {}),
        "squad": ("squad.json", {"doc_stride": 4, "max_query_length": 4}),
    }[task]
    find_network(finetune(task, ("train", "eval"), file, **settings, **flags), "TrainStep")
