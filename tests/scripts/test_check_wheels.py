"""scripts/check_wheels.py on a folder of small wheels; with --all on the project's requirements."""

import subprocess
import sys
import zipfile

import pytest
from conftest import ROOT


def check(*words, timeout=60):
    command = [sys.executable, str(ROOT / "scripts/check_wheels.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


def make_wheel(folder, name, tag):
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-{tag}.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        wheel.writestr(f"{info}/RECORD", "")


def test_wheels_and_markers_are_those_of_the_other_machine(tmp_path):
    for name, tag in (
        ("many", "cp312-cp312-manylinux2014_aarch64"),
        ("many", "cp312-cp312-manylinux2014_x86_64"),
        ("arm", "py3-none-manylinux_2_28_aarch64"),
        ("old", "py3-none-any"),
        ("new", "py3-none-any"),
        ("intel", "py3-none-manylinux2014_x86_64"),
    ):
        make_wheel(tmp_path, name, tag)
    file, options = tmp_path / "requirements.txt", ("--no-index", f"--find-links={tmp_path}", "--python", "3.12")
    file.write_text(
        'many\narm; platform_machine == "aarch64"\nintel; platform_machine == "x86_64"\n'
        'old; python_version < "3.12"\nnew; python_version == "3.12"\n'
    )
    done = check(file, *options)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "Python 3.12, aarch64, glibc 2.28: 3 wheels; of the requirements themselves:",
            *(f"  {name}.whl" for name in ("many-1.0-cp312-cp312-manylinux2014_aarch64", "arm-1.0-py3-none-manylinux_2_28_aarch64")),
            "  new-1.0-py3-none-any.whl",
        ],
    )
    file.write_text("many\nintel\n")
    done = check(file, *options)
    assert done.returncode == 1
    assert done.stdout.startswith("Python 3.12, aarch64, glibc 2.28: ERROR: Could not find a version that satisfies the requirement intel")


@pytest.mark.slow
def test_every_requirement_has_a_wheel_for_aarch64():
    if subprocess.run([sys.executable, "-m", "pip", "index", "versions", "easydict"], capture_output=True).returncode:
        pytest.skip("no package index can be reached")
    done = check(timeout=600)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("mindspore-") == 3
