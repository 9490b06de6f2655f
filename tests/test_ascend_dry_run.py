"""Trainings, evaluations and predictions of tiny networks compiled for Ascend by scripts/try_ascend.sh; nothing is computed there."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys

import pytest
from conftest import NO_DROPOUT, ROOT, TINY, WORDS, write_table

from src.launch import cann_stand_ins

TIME_LIMIT = 240  # seconds of one command on a busy machine; a loop on the device would never end
POSITIONS = {"sinusoidal": "sinusoidal", "learned": "learned"}


def _why_not():
    try:
        cann_stand_ins.check()
    except ValueError as error:
        return str(error)
    return ""


pytestmark = pytest.mark.skipif(bool(_why_not()), reason=_why_not() or "-")


def try_ascend(folder, *command, environ=(), code=0):
    """What a command's compilation for Ascend tells; the command must end with `code`."""
    report = folder / "report.json"
    before = set(os.listdir(ROOT))
    options = ["--json", report, "--time_limit", TIME_LIMIT]
    words = [str(word) for word in ("bash", "scripts/try_ascend.sh", *options, sys.executable, *command)]
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, **dict(environ)}, capture_output=True, text=True, timeout=TIME_LIMIT + 60)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    assert not {"execute_order", "rank_0", "kernel_meta"} & (set(os.listdir(ROOT)) - before)
    return json.loads(report.read_text(encoding="utf-8"))


def find_network(report, name):
    """The networks of this name; each of their graphs has kernels."""
    found = [network for network in report["networks"] if name in network["network"]]
    assert found and all(graph["aclnn"] + graph["aclop"] + graph["other"] for network in found for graph in network["graphs"])
    assert report["without_kernel"] == []
    return found


PLANTED = """
import mindspore, numpy
from mindspore import nn, ops
from mindspore.ops.operations import _inner_ops
mindspore.set_context(mode=mindspore.GRAPH_MODE)
mindspore.set_device("Ascend")
class Network(nn.Cell):
    def construct(self, x):
        return _inner_ops.FloatStatus()(x * 2.0)
Network()(mindspore.Tensor(numpy.ones((2, 3), numpy.float32)))
"""
