"""Dry runs for Ascend by scripts/try_ascend.sh: tiny networks are compiled, and nothing is computed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, TINY, WORDS, write_table

from src.launch import cann_stand_ins

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


def find_network(report, name, without_kernel=()):
    """The networks of this name, which have kernels (a graph of reshapes alone has none); no operator but those named lacks one."""
    found = [network for network in report["networks"] if name in network["network"]]
    assert found and all(sum(graph["aclnn"] for graph in network["graphs"]) for network in found)
    assert report["without_kernel"] == list(without_kernel)
    return found


def write_data(folder):
    """A vocabulary, a network's shape, and a few rows of each task; returns the folder."""
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
        "pairs.tsv": "\n".join(["anchor\tpositive\tscore", *(f"{' '.join(words)}\t{words[0]}\t{len(words[0])}.5" for words in sentences)]),
    }
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n", encoding="utf-8")
    write_table(folder / "classes.tsv", 32, 1)
    return folder


def make_records(data, objective="mlm_nsp", length=16, name=None):
    """A folder of pretraining records, made if it is not there."""
    folder = data / (name or ("records" if objective == "mlm_nsp" else f"records-{objective}"))
    if folder.exists():
        return folder
    shape = ["--max_seq_length", str(length), "--max_predictions_per_seq", "3", "--workers", "1", "--file_format", "mindrecord"]
    shape += ["--objective", objective]
    files = ["--input_file", f"{data}/text.txt", "--output_file", f"{folder}/text.mindrecord", "--vocab_file", f"{data}/vocab.txt"]
    done = subprocess.run([sys.executable, "-m", "src.build_records", *files, *shape], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def list_flags(**flags):
    given = {name.replace("__", "."): str(value) for name, value in flags.items() if value is not None}
    return [word for name, value in given.items() for word in (f"--{name}", value)]


def pretrain(data, folder, environ=(), script="run_pretrain.py", code=0, **flags):
    """The report of two updates, whose checkpoints are in folder/out; the script takes the flags and ends with `code`."""
    records = make_records(data, flags.get("objective", "mlm_nsp"))
    common = {
        "device_target": "Ascend",
        "data_dir": records,
        "eval_data_dir": records,
        "cache_dir": data / "cache",
        "vocab_file_path": data / "vocab.txt",
        "bert_config_file": data / "bert_config.json",
        "save_checkpoint_path": folder / "out",
        "batch_size": 2,
        "train_steps": 2,
        "log_steps": 1,
        "enable_data_sink": "false",
        "optimizer__name": "Momentum",  # the smallest update
    }
    return try_ascend(folder, script, *list_flags(**{**common, **flags}), code=code, **dict(environ))


def finetune(data, folder, task, modes, file, **flags):
    """The report of a run script; modes: train, eval, predict."""
    common = {
        "device_target": "Ascend",
        "vocab_file_path": data / "vocab.txt",
        "bert_config_file": data / "bert_config.json",
        "output_dir": folder / "out",
        "seq_length": SEQ_LENGTH,
        "bucket_list": SEQ_LENGTH,
        "train_batch_size": 4,
        "eval_batch_size": 16,
        "train_steps": 2,
        "log_steps": 1,
        "optimizer.name": "Momentum",
        "packing": "false",
    }
    for mode in modes:
        common |= {f"do_{mode}": "true", f"{mode}_data_file_path": data / file}
    return try_ascend(folder, f"run_{task}.py", *list_flags(**{**common, **flags}))
