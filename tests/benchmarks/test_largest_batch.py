"""Recompute saves what it is for: peaks of real training steps, each in a process of its own."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT

from benchmarks import max_batch

SHAPE = {"vocab_size": 100, "hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 512}
ROWS, LENGTH, STATES = 64, 128, 64 * 128 * 128 * 4  # bytes of one layer's output


@pytest.fixture(scope="module")
def peaks(tmp_path_factory):
    config = tmp_path_factory.mktemp("shape") / "bert_config.json"
    config.write_text(json.dumps(SHAPE), encoding="utf-8")
    command = [
        sys.executable,
        "benchmarks/memory_trial.py",
        "--config",
        str(config),
        "--batch_size",
        str(ROWS),
        "--seq_length",
        str(LENGTH),
    ]
    command += ["--steps", "2", "--device_target", "CPU"]
    processes = [subprocess.Popen([*command, *flags], cwd=ROOT, stdout=subprocess.PIPE, text=True) for flags in ([], ["--use_recompute"])]
    return [json.loads(process.communicate(timeout=300)[0].splitlines()[-1]) for process in processes]


@pytest.mark.slow
def test_recompute_keeps_inputs_of_layers_alone(peaks):
    baseline, recompute = peaks
    assert recompute["loss"] == baseline["loss"]
    saved = (baseline["peak_bytes"] - recompute["peak_bytes"]) / STATES / SHAPE["num_hidden_layers"]
    assert saved > 10  # of a layer's output, each layer; 12 when it was measured


def test_bisection_finds_the_largest_batch(monkeypatch, capsys):
    tried = []

    def run_trial(options, flags, batch, steps=2):
        tried.append(batch)
        return {"sentences_per_s": 1.0} if batch <= 37 else None

    monkeypatch.setattr(max_batch, "run_trial", run_trial)
    assert max_batch.find_largest(None, [])[0] == 37
    assert tried == [1, 2, 4, 8, 16, 32, 64, 48, 40, 36, 38, 37]
    monkeypatch.setattr(max_batch, "run_trial", lambda *_, **__: None)
    assert max_batch.find_largest(None, []) == (0, None)
