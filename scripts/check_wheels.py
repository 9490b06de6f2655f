"""Whether every requirement has a wheel for another machine, by pip's own resolver. Only metadata is fetched; nothing is installed.

    .venv/bin/python scripts/check_wheels.py                              # aarch64 with glibc 2.28, Python 3.10 to 3.12
    .venv/bin/python scripts/check_wheels.py --glibc 2.17 --python 3.11   # an older system
    .venv/bin/python scripts/check_wheels.py requirements.txt --extra-index-url=URL

Options that this command does not know go to pip, their values behind an equals sign. Exit code 1, with pip's reason, where a wheel is
missing. A wheel `none-any` may still hold a machine's own code: MindSpore's of that name holds aarch64's alone.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = [ROOT / name for name in ("requirements.txt", "requirements-serve.txt", "requirements-dev.txt")]
# pip reads `platform_machine` and `python_version` of markers from the machine that it runs on, whatever --platform says.
PIP = """
import platform, runpy, sys
machine, version = sys.argv[1:3]
del sys.argv[1:3]
platform.machine = lambda: machine
platform.python_version = lambda: f"{version}.0"
platform.python_version_tuple = lambda: (*version.split("."), "0")
runpy.run_module("pip", run_name="__main__")
"""


def resolve(files, machine, glibc, python, pip_options):
    """What pip would install.

    Returns:
        list of dict: the "install" part of pip's report.

    Raises:
        ValueError: with pip's reason.
    """
    newest, oldest = int(glibc.removeprefix("2.")), 17  # manylinux2014 is glibc 2.17
    platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in range(newest, oldest - 1, -1)]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-c", PIP, machine, python, "install", "--dry-run", "--ignore-installed", "--quiet"]
        command += ["--disable-pip-version-check", f"--report={report}", f"--target={folder}/none", *platforms]
        command += [f"--platform=manylinux2014_{machine}", "--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
        command += [*pip_options, *(word for file in files for word in ("-r", str(file)))]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise ValueError(" ".join(lines or done.stderr.splitlines()[-3:]))
        return json.loads(report.read_text())["install"]


def main(argv=None):
    """Print the wheels; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", default=FILES, help="requirements [those of scripts/setup.sh dev]")
    parser.add_argument("--machine", default="aarch64", help="as `uname -m` names it [aarch64]")
    parser.add_argument("--glibc", default="2.28", help="of the system [2.28]")
    parser.add_argument("--python", nargs="+", default=["3.10", "3.11", "3.12"], metavar="VERSION", help="[3.10 3.11 3.12]")
    options, pip_options = parser.parse_known_args(argv)
    if not re.fullmatch(r"2\.[0-9]{1,2}", options.glibc):
        parser.error(f"--glibc={options.glibc}: a version such as 2.28 is expected")
    failed = False
    for python in options.python:
        title = f"Python {python}, {options.machine}, glibc {options.glibc}"
        try:
            packages = resolve(options.files, options.machine, options.glibc, python, pip_options)
        except ValueError as error:
            print(f"{title}: {error}")
            failed = True
            continue
        asked = [package["download_info"]["url"].rsplit("/", 1)[-1] for package in packages if package["requested"]]
        print(f"{title}: {len(packages)} wheels; of the requirements themselves:", *asked, sep="\n  ")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
