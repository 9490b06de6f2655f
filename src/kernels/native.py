"""Compile the kernels that plain ops cannot match on the CPU, on first use."""

import atexit
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mindspore

from src.files import cache_folder, make_folder, written_whole
from src.log import logger

_FOLDER = Path(__file__).parent
_SOURCES = ("native.cpp", "optimizers.cpp", "float32.cpp", "bfloat16.cpp", "attention.cpp")
_HEADERS = ("threads.h", "dropout.h", "sgemm.h", "bfloat16.h")
FLAGS = ("-std=c++17", "-O3", "-ffast-math", "-fPIC", "-pthread", "-c")
_LINK = ("-shared", "-pthread", "-ldl")
_BFLOAT16_FLAG = "avx512_bf16"  # as Linux names it; processors with AMX have it too


@functools.cache
def build() -> str | None:
    """Path of the compiled library, in ~/.cache/bert-mindspore if possible; None without a working C++ compiler.

    `$CXX` names the compiler (default g++); BERT_NATIVE=0 asks for plain ops. The file name is a hash of source, flags, compiler and
    processor, so that machines can share a home folder. Compiling and linking are separate steps: linked with -ffast-math, GCC
    before 13 adds code that makes the smallest numbers 0 in the whole process.
    """
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None or os.environ.get("BERT_NATIVE") == "0":
        logger.info("native kernels: none (no C++ compiler, or BERT_NATIVE=0); plain ops compute the same, slower")
        return None
    flags = (own_processor(platform.machine()), *FLAGS)
    sources = [(_FOLDER / name).read_bytes() for name in _SOURCES + _HEADERS]
    key = hashlib.sha256(repr((sources, flags, _LINK, compiler, describe_processor())).encode()).hexdigest()[:16]
    library = find_library(f"native-{key}.so")
    if not library.is_file():
        try:
            with written_whole(library) as temporary:
                compile_library(compiler, flags, temporary)
        except (OSError, subprocess.SubprocessError) as error:
            logger.warning(f"native kernels: none ({compiler}: {error}); plain ops compute the same, slower")
            return None
    if (threads := os.environ.get("OMP_NUM_THREADS", "")).isdecimal():  # Python's copy: the framework sets the process's own variable to 1
        ctypes.CDLL(str(library)).use_threads(int(threads))
    return str(library)


def compile_library(compiler: str, flags: Sequence[str], path: Path | str) -> None:
    """Compile the sources and link them.

    Raises:
        OSError, subprocess.SubprocessError: the compiler is missing, or fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        objects = [f"{folder}/{name}.o" for name in _SOURCES]
        compiling = [[*flags, "-o", made, str(_FOLDER / name)] for name, made in zip(_SOURCES, objects)]

        def run(command: Sequence[str]) -> None:
            subprocess.run([compiler, *command], check=True, capture_output=True, timeout=600)

        with ThreadPoolExecutor() as pool:
            list(pool.map(run, compiling))
        run(["-o", str(path), *objects, *_LINK])


def has_float32(library: str | None) -> bool:
    """Whether the kernels of float32.cpp can run here: in `library`, as `build` returned it, with the oneDNN of MindSpore's CPU plugin."""
    if library is None:
        return False
    folder = Path(mindspore.__file__).parent / "lib"
    for path in folder.glob("libdnnl.so.*"):
        ctypes.CDLL(str(path))  # loaded before the plugin, it is the one that the plugin uses
    return bool(ctypes.CDLL(library).has_float32_products())


def lacks_bfloat16(library: str | None) -> str | None:
    """Why the kernels of bfloat16.cpp cannot run here, in words; None if they can. They are in `library`, as `build` returned it."""
    if library is None:
        return "its kernels need a C++ compiler, and there is none (or BERT_NATIVE=0)"
    if _BFLOAT16_FLAG not in describe_processor().split():
        return "the processor lacks AVX512-BF16"
    if not hasattr(ctypes.CDLL(library), "pack_input"):
        return "the C++ compiler does not know AVX512-BF16"
    return None


def own_processor(machine: str) -> str:
    """The flag that compiles for the processor of this machine; on ARM, -march would choose instructions but not tune for it."""
    return "-mcpu=native" if machine in ("aarch64", "arm64") else "-march=native"


def find_library(name: str) -> Path:
    """The path of a library in the cache; without a home folder that can be written to, in one that lasts as long as the process."""
    try:
        library = cache_folder() / name
        if not library.is_file():
            make_folder(library.parent)
    except (RuntimeError, OSError):
        folder = tempfile.mkdtemp(prefix="bert-mindspore-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        library = Path(folder) / name
    return library


def describe_processor() -> str:
    """A description of the processor, on which `own_processor` compiles."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())
