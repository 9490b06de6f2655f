"""Calls that MindSpore announces to remove are used in one file alone."""

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "src/framework.py"
LEAVING = {"assign", "assign_add", "assign_sub", "reverse_sequence", "hal", "set_context", "set_auto_parallel_context", "assign_value"}
FILES = [
    path
    for folder in ("src", "tests", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if path != HERE and "golden" not in path.parts
]


def uses(text):
    """Names of LEAVING that a module's text uses as attributes or imports from MindSpore."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mindspore"):
            found |= {alias.name for alias in node.names} | set(node.module.split("."))
    return found & LEAVING


def test_nothing_else_uses_calls_that_mindspore_will_remove():
    found = {str(path.relative_to(ROOT)): uses(path.read_text(encoding="utf-8")) for path in FILES}
    assert not {name: names for name, names in found.items() if names}


def test_uses_are_seen():
    assert uses("from mindspore import hal\nops.assign(a, b)\nmindspore.set_context(mode=0)\n") == {"hal", "assign", "set_context"}
    assert uses(HERE.read_text(encoding="utf-8")) == {"hal", "set_context", "set_auto_parallel_context"}


def test_processes_that_are_started_later_get_all_threads():
    code = "from src import framework\nimport subprocess\nsubprocess.run('echo threads=$OMP_NUM_THREADS', shell=True)"
    environ = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    told = [
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=given, capture_output=True, text=True).stdout.strip()
        for given in (environ, environ | {"OMP_NUM_THREADS": "3"})
    ]
    assert told == ["threads=", "threads=3"]
