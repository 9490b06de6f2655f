"""Checks of MindSpore, the C++ compiler and the kernels that it compiles, by a process of their own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from src.doctor.finding import NOTE, OK, TO_DO, Finding
from src.doctor.machine import check_devices

_PROBE = ("-m", "src.doctor.probe")
TIMEOUT = 600  # seconds; the first compilation of the kernels takes some


def check_framework() -> Iterator[Finding]:
    """Whether MindSpore computes, its devices, and the kernels of the CPU."""
    found = _ask()
    if isinstance(found, str):
        yield Finding(TO_DO, "MindSpore", found)
        return
    target = found["devices"][0]
    if found["product"] == 4.0:
        yield Finding(OK, "MindSpore", f"{found['version']}, computes on {target}")
    else:
        yield Finding(TO_DO, "MindSpore", f"{found['version']}: a product on {target} is {found['product']}, not 4; --device_target CPU")
    yield from check_devices(found["devices"])
    yield from _check_kernels(found)


def _ask() -> dict[str, Any] | str:
    """What the probe prints, or why it failed."""
    command = [sys.executable, *_PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return f"no answer in {TIMEOUT} s"
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["nothing is said"]
        return f"does not run (exit code {done.returncode}): {said[-1]}; bash scripts/setup.sh installs what it needs"
    return json.loads(lines[-1])


def _check_kernels(found: dict[str, Any]) -> Iterator[Finding]:
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if found["library"] is None:
        reason = "BERT_NATIVE=0" if os.environ.get("BERT_NATIVE") == "0" else "install g++, or name a compiler with CXX"
        yield Finding(NOTE, "compiled kernels", f"none, so that the CPU computes the same slower: {reason}")
        return
    yield Finding(OK, "compiled kernels", f"{found['library']}, by {compiler}")
    if not found["float32"]:
        yield Finding(NOTE, "float32 products", "those of MindSpore: oneDNN's are not found in its package")
    if found["lacks_bfloat16"]:
        yield Finding(NOTE, "bfloat16 products", f"not here: {found['lacks_bfloat16']}")
    else:
        yield Finding(OK, "bfloat16 products", "--precision.compute_type bfloat16")
