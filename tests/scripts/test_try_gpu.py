"""scripts/try_gpu.sh without a GPU: what it misses, and, with --all, the CPU in the GPU's stead."""

import os
import platform
import shutil
import subprocess

import pytest
from conftest import ROOT

HAS_GPU = pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there is an NVIDIA driver here")


def call(timeout=60, **environment):
    command = ["bash", "scripts/try_gpu.sh"]
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=timeout)


@HAS_GPU
def test_a_machine_without_a_driver_is_told():
    done = call()
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


@HAS_GPU
@pytest.mark.skipif(platform.machine() != "x86_64", reason="MindSpore has plugins for GPUs on x86-64 alone")
def test_libraries_that_a_plugin_does_not_find_are_named(tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA A100, 550.54, 8.0, 81920 MiB'\n")
    tool.chmod(0o755)
    done = call(PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    assert lines[1] == "NVIDIA A100, 550.54, 8.0, 81920 MiB"
    assert "libmindspore_gpu.so.11.6: not found: " in done.stdout and " libcudnn.so.8 " in lines[-1]
    assert "libmindspore" not in lines[-1].split(": ", 1)[1]  # the plugin's own libraries lie beside it
    assert done.stderr.startswith("error: no plugin finds all its libraries; ") and len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_the_cpu_agrees_with_itself():
    done = call(timeout=600, DEVICE="CPU")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": agree (bound ") == 8
