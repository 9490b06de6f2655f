"""Compile native.cpp, the kernels that plain ops cannot match on the CPU, on first use."""

import atexit
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from src.files import cache_folder, make_folder, written_whole
from src.log import logger

_SOURCE = Path(__file__).with_name("native.cpp")
FLAGS = ("-O3", "-ffast-math", "-fPIC", "-c")
_LINK = ("-shared",)


@functools.cache
def build():
    """Path of the compiled library, kept in ~/.cache/bert-mindspore if it can be; None where there is no C++ compiler that works.

    `$CXX` names the compiler (default g++); BERT_NATIVE=0 asks for plain ops. The file's name follows from source,
    flags, compiler and processor, so a home folder that several machines share serves each of them. Compiled and linked apart:
    linked with -ffast-math, GCC before 13 adds code that takes the smallest numbers for 0 in the whole process.
    """
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None or os.environ.get("BERT_NATIVE") == "0":
        logger.info("native kernels: none (no C++ compiler, or BERT_NATIVE=0); plain ops compute the same, slower")
        return None
    flags = (own_processor(platform.machine()), *FLAGS)
    key = hashlib.sha256(repr((_SOURCE.read_bytes(), flags, _LINK, compiler, _processor())).encode()).hexdigest()[:16]
    library = _place_library(f"native-{key}.so")
    if not library.is_file():
        try:
            with written_whole(library) as temporary:
                compile_library(compiler, flags, temporary)
        except (OSError, subprocess.SubprocessError) as error:
            logger.warning(f"native kernels: none ({compiler}: {error}); plain ops compute the same, slower")
            return None
    return str(library)


def compile_library(compiler, flags, path):
    """Compile native.cpp with the flags, and link it.

    Raises:
        OSError, subprocess.SubprocessError: the compiler is not there, or fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        for command in ((*flags, "-o", f"{folder}/native.o", _SOURCE), (*_LINK, "-o", path, f"{folder}/native.o")):
            subprocess.run([compiler, *command], check=True, capture_output=True, timeout=120)


def own_processor(machine):
    """The flag for all that the processor of a machine can; on ARM -march would choose the instructions alone, and tune for any."""
    return "-mcpu=native" if machine in ("aarch64", "arm64") else "-march=native"


def _place_library(name):
    """Its path; where the user has no home, or none that can be written to, in a folder that lasts as long as the process."""
    try:
        library = cache_folder() / name
        if not library.is_file():
            make_folder(library.parent)
    except (RuntimeError, OSError):
        folder = tempfile.mkdtemp(prefix="bert-mindspore-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        library = Path(folder) / name
    return library


def _processor():
    """What the flag depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
