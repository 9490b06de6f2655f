"""The oldest MindSpore that requirements.txt allows."""

import os
import subprocess

import pytest
from conftest import ROOT

TESTS = ("tests/train", "tests/optim", "tests/models")


@pytest.mark.slow
def test_networks_and_training_pass_with_mindspore_27():
    python = os.environ.get("BERT_TEST_MINDSPORE_27")
    if not python:
        pytest.skip("BERT_TEST_MINDSPORE_27 is not set; see CONTRIBUTING.md")
    version = subprocess.run([python, "-c", "import mindspore; print(mindspore.__version__)"], capture_output=True, text=True, timeout=120)
    assert version.stdout.split()[-1].startswith("2.7."), version.stdout + version.stderr
    done = subprocess.run([python, "-m", "pytest", "-q", *TESTS], cwd=ROOT, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stdout[-4000:]
