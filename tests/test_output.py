"""What becomes of messages that cannot be written: the run goes on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.kernels import native

ROOT = Path(__file__).resolve().parent.parent
RUN = """
import sys
from src import cli
from src.log import logger, progress

with cli.bad_input_exits():
    for _ in range(2):
        logger.info("acc ± 1 😀")
        print("名", flush=True)
    for _ in progress(range(3)):
        pass
    if len(sys.argv) > 1:
        raise ValueError("bad 😀")
"""


def run(*flags, redirect="", **environment):
    command = ["bash", "-c", f'"$@" {redirect}', "bash", sys.executable, "-c", RUN, *flags]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONUTF8": "0", **environment}, capture_output=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("encoding", "lines"),
    [
        ("ascii", b"acc \\xb1 1 \\U0001f600\n\\u540d\n"),
        ("gbk", "acc ± 1 ".encode("gbk") + b"\\U0001f600\n" + "名\n".encode("gbk")),
        ("utf-8", "acc ± 1 😀\n名\n".encode()),
    ],
)
def test_a_character_that_the_terminal_lacks_is_written_as_its_code(encoding, lines):
    assert run(PYTHONIOENCODING=encoding) == (0, lines * 2, b"")
    assert run("fail", PYTHONIOENCODING="ascii")[::2] == (2, b"error: bad \\U0001f600\n")


def test_a_full_disk_behind_stdout_ends_no_run():
    warning = b"warning: standard output: No space left on device; the run goes on without it\n"
    assert run(redirect="> /dev/full") == (0, b"", warning)
    assert run("fail", redirect="> /dev/full 2>&1") == (2, b"", b"")


@pytest.mark.parametrize("redirect", [">&-", ">&- 2>&-", "| true"])
def test_output_that_nobody_reads_ends_no_run(redirect):
    assert run("fail", redirect=f"{redirect}; exit ${{PIPESTATUS[0]}}")[0] == 2
    assert run(redirect=f"{redirect}; exit ${{PIPESTATUS[0]}}") == (0, b"", b"")


def refuse(*_):
    raise RuntimeError("Could not determine home directory.")


def test_a_user_without_a_home_folder_has_kernels_in_a_temporary_one(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native.find_library("a.so") == tmp_path / "bert-mindspore/a.so"
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/none")
    assert native.find_library("a.so").parent.is_dir()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", refuse)
    assert native.find_library("a.so").parent.is_dir()
