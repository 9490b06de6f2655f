"""Types on the public names of every module: that they are there, and that they agree."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "src").rglob("*.py"))]


def find_untyped(tree):
    """Line and name of each public function, method or __init__ that lacks a type of an argument or of its result."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and (node.name == "__init__" or not node.name.startswith("_")):
            own = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
            arguments = [each for each in own if each is not None and each.arg not in ("self", "cls")]
            has_result = node.returns is not None or node.name == "__init__"  # which returns nothing
            if not has_result or any(each.annotation is None for each in arguments):
                yield f"{node.lineno}: {node.name}"


@pytest.mark.parametrize("file", FILES)
def test_public_functions_have_types(file):
    assert not list(find_untyped(ast.parse((ROOT / file).read_text(encoding="utf-8"))))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f(x: int) -> int: ...", []),
        ("def f(x) -> int: ...", ["1: f"]),
        ("def f(x: int): ...", ["1: f"]),
        ("def f(*, x=1) -> int: ...", ["1: f"]),
        ("def f(*xs, **options) -> int: ...", ["1: f"]),
        ("def _f(x): ...", []),
        ("class A:\n    def __init__(self, x: int): ...", []),
        ("class A:\n    def __init__(self, x): ...", ["2: __init__"]),
        ("class A:\n    @property\n    def x(self): ...", ["3: x"]),
    ],
)
def test_untyped_functions_are_found(source, found):
    assert list(find_untyped(ast.parse(source))) == found


@pytest.mark.slow
def test_types_agree():
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
