"""Trainings, evaluations and predictions of tiny networks compiled for Ascend by scripts/try_ascend.sh; nothing is computed there."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT, TINY, WORDS, exit_code, write_table

from src.bundle.graphs import MindirGraph
from src.launch import cann_stand_ins
from src.ranks import RankInfo
from src.report import ascend
from src.report.ascend_log import DryRun
from src.train import collectives, runtime

TIME_LIMIT = 1500  # seconds of one command on a busy machine; a loop on the device would never end
SEQ_LENGTH = 16
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", *LETTERS[1:], *(f"##{letter}" for letter in LETTERS)]


def _why_not():
    try:
        cann_stand_ins.check()
    except ValueError as error:
        return str(error)
    return ""


NEEDS_TOOL = pytest.mark.skipif(bool(_why_not()), reason=_why_not() or "-")


def try_ascend(folder, *command, code=0, options=(), **environ):
    """What a command's compilation for Ascend tells; the command must end with `code`; options are the script's."""
    report = folder / "report.json"
    before = set(os.listdir(ROOT))
    options = ["--json", report, "--time_limit", TIME_LIMIT, *options]
    words = [str(word) for word in ("bash", "scripts/try_ascend.sh", *options, sys.executable, *command)]
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, timeout=TIME_LIMIT + 60)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    assert not {"execute_order", "rank_0", "kernel_meta"} & (set(os.listdir(ROOT)) - before)
    return json.loads(report.read_text(encoding="utf-8"))


def find_network(report, name):
    """The networks of this name, which have kernels; a graph of reshapes alone has none."""
    found = [network for network in report["networks"] if name in network["network"]]
    assert found and all(sum(graph["aclnn"] for graph in network["graphs"]) for network in found)
    assert report["without_kernel"] == []
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a vocabulary, a network's shape, and a few rows of each task."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(1)
    sentences = [list(random.choice(WORDS, 7)) for _ in range(32)]
    tagged = [[f"{word}\t{'B-PET' if word in ('cat', 'dog') else 'O'}" for word in words] for words in sentences]
    questions = []
    for number, words in enumerate(sentences):
        answers = [{"text": words[2], "answer_start": len(" ".join(words[:2])) + 1}]
        questions.append({"context": " ".join(words), "qas": [{"id": str(number), "question": "it was", "answers": answers}]})
    files = {
        "vocab.txt": "\n".join(VOCABULARY),
        "bert_config.json": json.dumps({**TINY, "vocab_size": len(VOCABULARY)}),
        "text.txt": "\n\n".join("\n".join(f"{' '.join(words)} ." for words in sentences[start : start + 8]) for start in range(0, 32, 8)),
        "ner.txt": "\n\n".join(map("\n".join, tagged)),
        "squad.json": json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": questions}]}),
        "scores.tsv": "\n".join(["text\tlabel", *(f"{' '.join(words)}\t{len(words[0])}.5" for words in sentences)]),
    }
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n", encoding="utf-8")
    write_table(folder / "classes.tsv", 32, 1)
    return folder


@pytest.fixture(scope="module")
def records(data):
    """The folder of pretraining records."""
    shape = ["--max_seq_length", "16", "--max_predictions_per_seq", "3", "--workers", "1", "--file_format", "mindrecord"]
    files = ["--input_file", f"{data}/text.txt", "--output_file", f"{data}/records/text.mindrecord", "--vocab_file", f"{data}/vocab.txt"]
    done = subprocess.run([sys.executable, "-m", "src.build_records", *files, *shape], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return data / "records"


def list_flags(**flags):
    return [word for name, value in flags.items() for word in (f"--{name.replace('__', '.')}", str(value))]


@pytest.fixture
def pretrain(data, records, tmp_path):
    """`pretrain(**flags)`: the report of two updates."""

    def run(environ=(), **flags):
        common = {
            "device_target": "Ascend",
            "data_dir": records,
            "eval_data_dir": records,
            "cache_dir": data / "cache",
            "vocab_file_path": data / "vocab.txt",
            "bert_config_file": data / "bert_config.json",
            "save_checkpoint_path": tmp_path / "out",
            "batch_size": 2,
            "train_steps": 2,
            "log_steps": 1,
            "enable_data_sink": "false",
        }
        return try_ascend(tmp_path, "run_pretrain.py", *list_flags(**{**common, **flags}), **dict(environ))

    return run


@pytest.fixture
def finetune(data, tmp_path):
    """`finetune(task, modes, file, **flags)`: the report of a run script; modes: train, eval, predict."""

    def run(task, modes, file, **flags):
        common = {
            "device_target": "Ascend",
            "vocab_file_path": data / "vocab.txt",
            "bert_config_file": data / "bert_config.json",
            "output_dir": tmp_path / "out",
            "seq_length": SEQ_LENGTH,
            "bucket_list": SEQ_LENGTH,
            "train_batch_size": 4,
            "eval_batch_size": 16,
            "train_steps": 2,
            "log_steps": 1,
            "optimizer.name": "Momentum",  # the smallest update
        }
        for mode in modes:
            common |= {f"do_{mode}": "true", f"{mode}_data_file_path": data / file}
        return try_ascend(tmp_path, f"run_{task}.py", *list_flags(**{**common, **flags}))

    return run


PLANTED = """
import mindspore, numpy
from mindspore import nn, ops
mindspore.set_context(mode=mindspore.GRAPH_MODE)
mindspore.set_device("Ascend")
class Network(nn.Cell):
    def __init__(self):
        super().__init__()
        self.status = ops.operations.FloatStatus()
    def construct(self, x):
        return self.status(x * 2.0)
Network()(mindspore.Tensor(numpy.ones((2, 3), numpy.float32)))
"""


@NEEDS_TOOL
def test_an_operator_without_an_ascend_kernel_is_named(tmp_path):
    script = tmp_path / "planted.py"
    script.write_text(PLANTED, encoding="utf-8")
    assert try_ascend(tmp_path, script, code=1)["without_kernel"] == ["FloatStatus"]


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


@NEEDS_TOOL
def test_pretraining_with_lamb_has_a_kernel_for_every_operator(pretrain):
    report = pretrain(optimizer__name="Lamb")
    (step,) = find_network(report, "TrainStep")
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
        *({"optimizer__name": name} for name in ("AdamWeightDecay", "AdamW", "Momentum")),
        {"model__position_embedding_type": "sinusoidal", "optimizer__name": "Lamb"},
        {"model__position_embedding_type": "learned", "optimizer__name": "Lamb"},
        {"accumulation_steps": 2},
        {"use_recompute": "true"},
        *({"precision__compute_type": name} for name in ("float16", "bfloat16", "float32")),
        {"train_with_eval": "true", "eval_epochs": 0.5, "early_stopping": 1},
    ],
    ids=lambda flags: "-".join(map(str, flags.values())),
)
def test_pretraining_compiles(pretrain, flags):
    (step,) = find_network(pretrain(**{"optimizer__name": "AdamWeightDecay", **flags}), "TrainStep")
    assert step["launches"] > 100


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
    (step,) = find_network(pretrain(optimizer__name="Momentum", bert_config_file=tmp_path / "wide.json"), "TrainStep")
    names = {name for graph in step["graphs"] for name in graph["operators"]}
    assert {"FlashAttentionScore", "FlashAttentionScoreGrad"} <= names


@pytest.mark.slow
@NEEDS_TOOL
def test_a_chip_that_saturates_is_asked_for_its_overflow_status(pretrain):
    (step,) = find_network(pretrain(optimizer__name="Momentum", ascend_chip="910A"), "TrainStep")
    counts = [sum(graph["operators"].get(f"NPU{word}FloatStatusV2", 0) for graph in step["graphs"]) for word in ("Clear", "Get")]
    assert counts == [1, 1]


@pytest.mark.slow
@NEEDS_TOOL
def test_data_sink_compiles(pretrain):
    report = pretrain(optimizer__name="AdamWeightDecay", enable_data_sink="true", data_sink_steps=2)
    (step,) = find_network(report, "DataWrapper")  # the framework's name for a step that takes its data from a queue on the device
    assert sum(graph["operators"].get("GetNext", 0) for graph in step["graphs"]) == 1


@pytest.mark.slow
@NEEDS_TOOL
@pytest.mark.parametrize(
    "environ",
    [
        {"MS_WORKER_NUM": "8", "MS_NODE_ID": "0", "MS_ROLE": "MS_WORKER", "MS_SCHED_HOST": "127.0.0.1", "MS_SCHED_PORT": "8118"},
        {"RANK_TABLE_FILE": "/absent.json", "RANK_SIZE": "8", "RANK_ID": "0", "DEVICE_ID": "0"},
    ],
    ids=["msrun", "rank_table"],
)
def test_gradients_of_eight_ranks_are_summed_by_hccl(pretrain, environ):
    (step,) = find_network(pretrain(environ, optimizer__name="AdamWeightDecay"), "TrainStep")
    assert any(graph["operators"].get("AllReduce") and graph["other"] for graph in step["graphs"])


@pytest.mark.slow
@NEEDS_TOOL
@pytest.mark.parametrize(
    "flags",
    [{"head": "linear"}, {"head": "cnn"}, {"head": "rcnn"}, {"head": "cnn", "cnn_batch_norm": "true"}, {"eval_steps": "1"}],
    ids=lambda flags: "-".join(flags.values()),
)
def test_classification_compiles(finetune, flags):
    columns = "text_a=text,label=label"
    report = finetune("classifier", ("train", "eval", "predict"), "classes.tsv", task_name="custom", columns=columns, **flags)
    find_network(report, "TrainStep")
    find_network(report, "Classifier")


@pytest.mark.slow
@NEEDS_TOOL
def test_regression_compiles(finetune):
    report = finetune("classifier", ("train", "eval"), "scores.tsv", task_name="custom", columns="text_a=text,label=label", num_class=1)
    find_network(report, "TrainStep")
    find_network(report, "Classifier")


@pytest.mark.slow
@NEEDS_TOOL
def test_several_labels_a_text_compile(finetune, data, tmp_path):
    rows = (data / "classes.tsv").read_text(encoding="utf-8").replace("\tpositive", "\tpositive,short")
    (tmp_path / "labels.tsv").write_text(rows, encoding="utf-8")
    columns = {"task_name": "custom", "columns": "text_a=text,label=label", "multi_label": "true"}
    flags = {"class_weights": "balanced", "focal_gamma": 2, "r_drop": 1, "tune_thresholds": "each", "eval_steps": 1}
    report = finetune("classifier", ("train", "eval"), tmp_path / "labels.tsv", **columns, **flags)
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
@pytest.mark.parametrize("flags", [{}, {"use_crf": "true"}, {"use_crf": "true", "with_lstm": "true"}], ids=["softmax", "crf", "lstm-crf"])
def test_tagging_compiles(finetune, flags):
    report = finetune("ner", ("train", "eval", "predict"), "ner.txt", **flags)
    find_network(report, "TrainStep")
    find_network(report, "Tagger")


@pytest.mark.slow
@NEEDS_TOOL
def test_question_answering_compiles(finetune):
    report = finetune("squad", ("train", "eval", "predict"), "squad.json", doc_stride=4, max_query_length=4)
    find_network(report, "TrainStep")
    find_network(report, "SpanFinder")


PACKED = {  # task -> data file and flags
    "classifier": ("classes.tsv", {"task_name": "custom", "columns": "text_a=text,label=label", "head": "rcnn"}),
    "ner": ("ner.txt", {"use_crf": "true", "with_lstm": "true", "model.position_embedding_type": "learned"}),
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


@pytest.mark.slow
@NEEDS_TOOL
def test_packed_pretraining_compiles_with_data_sink(pretrain):
    find_network(pretrain(optimizer__name="Momentum", packing="true", enable_data_sink="true", data_sink_steps=2), "DataWrapper")


REGULARISED = {
    "classifier": [
        {"adversarial": "fgm", "ema": 0.9, "layerwise_decay": 0.9, "r_drop": 1, "focal_gamma": 2, "optimizer.name": "AdamWeightDecay"},
        {"adversarial": "pgd", "adversarial_steps": 2, "multi_sample_dropout": 3, "label_smoothing": 0.1},
        {"freeze": "embeddings,layers.0", "head_learning_rate": 0.01, "optimizer.name": "Lamb"},
    ],
    "ner": [{"use_crf": "true", "crf_learning_rate": 0.1, "r_drop": 1, "ema": 0.9}],
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
        "classifier": ("classes.tsv", {"task_name": "custom", "columns": "text_a=text,label=label"}),
        "ner": ("ner.txt", {}),
        "squad": ("squad.json", {"doc_stride": 4, "max_query_length": 4}),
    }[task]
    find_network(finetune(task, ("train", "eval"), file, **settings, **flags), "TrainStep")


@pytest.mark.slow
@NEEDS_TOOL
def test_evaluation_of_pretraining_compiles(pretrain, records, data, tmp_path):
    pretrain(optimizer__name="Momentum")
    weights = ["--eval_ckpt", tmp_path / "out", "--eval_data_dir", records, "--cache_dir", data / "cache", "--device_target", "Ascend"]
    find_network(try_ascend(tmp_path, "pretrain_eval.py", *weights), "Pretraining")


@pytest.mark.slow
@NEEDS_TOOL
def test_an_export_compiles_and_its_graph_runs_on_the_cpu(finetune, tmp_path):
    finetune("classifier", ("train",), "classes.tsv", task_name="custom", columns="text_a=text,label=label")
    command = ["-m", "src.export", "--task", "classifier", "--checkpoint", tmp_path / "out", "--output", tmp_path / "bundle"]
    find_network(try_ascend(tmp_path, *command, "--file_format", "MINDIR", "--device_target", "Ascend"), "Classifier")
    (logits,) = MindirGraph(tmp_path / "bundle/model.mindir").run(*np.ones((3, 2, 5), np.int32))
    assert logits.shape == (2, 2)


@pytest.fixture
def stand_ins(monkeypatch, tmp_path):
    """No library is made, so that any processor and MindSpore will do; nothing is compiled then."""
    monkeypatch.setattr(cann_stand_ins, "prepare", lambda: tmp_path / "cann/lib64")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["false"], []),
        (["true"], ["error: nothing was compiled for Ascend; the command needs --device_target Ascend"]),
    ],
)
def test_of_a_command_that_failed_itself_nothing_is_said(stand_ins, capsys, command, words):
    assert ascend.main(command) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.splitlines() == words


def test_that_no_operator_lacks_a_kernel_is_said_after_a_whole_run_alone():
    found = read_lines("\n".join(line for line in LOG.splitlines() if "TryBackoffCpu" not in line))
    line = "operators without an Ascend kernel: none"
    assert line in found.lines() and line not in found.lines(finished=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--json", "."], "error: --json .: is a folder; a file is expected"),
        (["--json", "setup/report.json"], "error: setup: File exists"),
        (["--time_limit", "0"], "--time_limit: 0: a whole number from 1 is expected"),
        (["--time_limit", "-1"], "--time_limit: -1: a whole number from 1 is expected"),
    ],
)
def test_bad_options_end_before_the_command_begins(stand_ins, monkeypatch, tmp_path, capsys, options, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "setup").touch()
    assert exit_code(ascend.main, [*options, "touch", "ran"]) == 2
    assert words in capsys.readouterr().err and not (tmp_path / "ran").exists()


LOG = """\
[INFO] RUNTIME_FRAMEWORK(7,7f,python):2026 [a.cc:1] Build] Status record: start compile function graph: 17_1_src_step_TrainStep_construct_19
[INFO] RUNTIME_FRAMEWORK(7,7f,python):2026 [a.cc:1] CompileGraph] Compile graph: 17_1_src_step_TrainStep_construct_19, Split
[INFO] RUNTIME_FRAMEWORK(7,7f,python):2026 [a.cc:1] RecursiveSetRunMode] Kernel graph: kernel_graph0, set run mode:KernelMode
[INFO] DEVICE(7,7f,python):2026 [a.cc:1] CollectOpSelectedType] Gather select aclop kernel
[INFO] DEVICE(7,7f,python):2026 [a.cc:1] TryBackoffCpu] Try to use backoff CPU kernel, node:Default/head/FloatStatus-op0
[INFO] DEVICE(7,7f,python):2026 [a.cc:1] PrintOpSelectedNum] Number of INTERNAL_KERNEL, OPAPI_KERNEL, ACL_KERNEL:
[INFO] DEVICE(7,7f,python):2026 [a.cc:1] PrintOpSelectedNum] 1 3 2 0 1 0 0 0\x20
[INFO] RUNTIME_FRAMEWORK(7,7f,python):2026 [a.cc:1] OptimizeNopNode] The reference relation of nopnode Default/Reshape-op0, index: 0
[INFO] SESSION(7,7f,python):2026 [a.cc:1] PrintGraphExecuteOrder] Index[0], node name[Default/word/Gather-op0], logic id[1]
[INFO] SESSION(7,7f,python):2026 [a.cc:1] PrintGraphExecuteOrder] Index[1], node name[Default/Reshape-op0], logic id[1]
[INFO] SESSION(7,7f,python):2026 [a.cc:1] PrintGraphExecuteOrder] Index[2], node name[Default/Mul-op0], logic id[1]
[INFO] RUNTIME_FRAMEWORK(7,7f,python):2026 [a.cc:1] CompileGraph] Compile graph: 18_2_✓2↓update_49, Split segments size: 2
[INFO] RUNTIME_FRAMEWORK(7,7f,python):2026 [a.cc:1] RecursiveSetRunMode] Kernel graph: kernel_graph1, set run mode:KernelMode
[INFO] SESSION(7,7f,python):2026 [a.cc:1] PrintGraphExecuteOrder] Index[0], node name[Default/Mul-op0], logic id[1]
[INFO] SESSION(7,7f,python):2026 [a.cc:1] PrintGraphExecuteOrder] Index[1], node name[Default/Mul-op1], logic id[1]
[INFO] SESSION(7,7f,python):2026 [a.cc:1] PrintGraphExecuteOrder] Index[2], node name[Default/StreamSend-op0], logic id[1]
[INFO] RUNTIME_FRAMEWORK(7,7f,python):2026 [a.cc:1] CompileGraph] Compile graph: 18_3_✗2↓update_54, Split segments size: 2
[INFO] RUNTIME_FRAMEWORK(7,7f,python):2026 [a.cc:1] RecursiveSetRunMode] Kernel graph: kernel_graph2, set run mode:KernelMode
[INFO] SESSION(7,7f,python):2026 [a.cc:1] PrintGraphExecuteOrder] Index[0], node name[Default/Add-op0], logic id[1]
[INFO] DEVICE(7,7f,python):2026 [a.cc:1] FreeDeviceMem] Max actual used memory size is 445440
[INFO] DEVICE(7,7f,python):2026 [a.cc:1] FreeDeviceMem] Max peak used memory size is 368640
[INFO] DEVICE(7,7f,python):2026 [a.cc:1] FreeDeviceMem] Max actual used memory size is 170496
"""


def read_lines(text):
    found = DryRun()
    assert all(found.read(line) for line in text.splitlines())
    return found


def test_a_log_tells_kernels_launches_memory_and_what_has_no_kernel():
    found = read_lines(LOG)
    report = found.describe()
    (network,) = report["networks"]
    first, update, _ = network["graphs"]
    assert network["network"] == "src_step_TrainStep"
    assert (first["aclnn"], first["aclop"], first["other"], first["launches"]) == (3, 2, 2, 2)  # a reshape launches nothing
    assert update["operators"] == {"Mul": 2, "StreamSend": 1} and update["function"] == "✓2↓update"
    assert (network["launches"], network["fewest_launches"]) == (4, 3)  # one side of the `if` runs
    assert report["aclop"] == ["Gather"] and report["without_kernel"] == ["FloatStatus"]
    assert report["peak_memory"] == {"tensors": 368640, "with_gaps": 445440}
    assert any("FloatStatus" in line for line in found.lines())


def test_what_a_command_says_itself_is_no_log():
    assert not DryRun().read("[rank 0] saved out/ckpt")


def test_the_value_of_a_tensor_is_log_to_its_end():
    entry = "[INFO] SESSION(7,7f,python):2026 [a.cc:1] CreateNewValueNode] Data sync for Tensor Tensor(shape=[2, 1], dtype=Float32, value="
    second = " [ 1.0e+00]])} map to front node: ValueNode<Tensor> Tensor(shape=[2, 1], dtype=Float32, value="
    value = ["[[ 1.0e+00]", " [ 1.0e+00]])}"]
    found = DryRun()
    assert all(found.read(line) for line in (entry, value[0], second, *value))
    assert not found.read("saved out/ckpt")


def test_networks_of_several_processes_keep_apart():
    lines = [line for name in ("7", "8") for line in LOG.replace("(7,", f"({name},").splitlines()[:11]]
    half = len(lines) // 2
    found = read_lines("\n".join(line for pair in zip(lines[:half], lines[half:]) for line in pair))
    assert [network.graphs[0].launches for network in found.networks] == [2, 2]


@pytest.mark.parametrize(
    ("environ", "size", "rank"),
    [
        ({}, "1", "0"),
        ({"MS_WORKER_NUM": "8", "MS_NODE_ID": "3", "MS_ROLE": "MS_WORKER", "MS_SCHED_HOST": "h", "MS_SCHED_PORT": "1"}, "8", "3"),
        ({"RANK_TABLE_FILE": "t.json", "RANK_SIZE": "4", "RANK_ID": "1", "DEVICE_ID": "1"}, "4", "1"),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, "2", "1"),
    ],
    ids=["alone", "msrun", "rank_table", "mpirun"],
)
def test_one_process_stands_for_a_rank_of_any_launcher(tmp_path, environ, size, rank):
    variables = ascend.environment(tmp_path, tmp_path / "lib64", environ)
    assert (variables["RANK_SIZE"], variables["RANK_ID"]) == (size, rank)
    assert not {"MS_ROLE", "MS_SCHED_HOST", "RANK_TABLE_FILE", "OMPI_COMM_WORLD_SIZE"} & variables.keys()


def test_a_rank_of_a_dry_run_goes_on_with_its_own_values(monkeypatch):
    """There a collective gives zeros, as every kernel does."""
    for name in ("_broadcast_cell", "_gather_cell"):
        monkeypatch.setattr(collectives, name, lambda: lambda tensor: tensor * 0)
    monkeypatch.setenv("MS_SIMULATION_LEVEL", "1")
    device = runtime.settings("Ascend", process=RankInfo("rank_table", 0, 8))
    values = np.array([3, 5])
    assert collectives.broadcast(device, values).tolist() == [3, 5]
    assert collectives.largest(device, 15) == 15
    assert len(collectives.gather_arrays(device, [values])) == 8


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("platform.machine", lambda: "aarch64", "aarch64"),
        ("importlib.metadata.version", lambda name: "2.7.1", "MindSpore 2.7.1: the dry run for Ascend was tried with 2.10.0"),
        ("importlib.util.find_spec", lambda name: SimpleNamespace(origin="/absent/__init__.py"), "plugin for Ascend"),
        ("shutil.which", lambda name: None if name == "nm" else name, "nm is not on PATH"),
    ],
    ids=["processor", "version", "plugin", "nm"],
)
def test_where_it_cannot_run_one_line_says_why(monkeypatch, capsys, name, value, words):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(name, value)
    assert exit_code(ascend.main, ["true"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and words in line
