"""The benchmark of regularisers runs, on a tiny network."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT, TINY


@pytest.mark.slow
def test_steps_with_a_regulariser_are_timed_beside_plain_ones(tmp_path):
    config = tmp_path / "bert_config.json"
    config.write_text(json.dumps(TINY), encoding="utf-8")
    command = [sys.executable, "benchmarks/regularisers.py", "--config", config, "--seq_length", "8", "--batch_size", "2"]
    done = subprocess.run([*command, "--kinds", "ema", "--rounds", "1"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout.splitlines()[-1])["steps"]
    assert steps.keys() == {"plain", "ema"} and steps["ema"]["seconds"] > 0
