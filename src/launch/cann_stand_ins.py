"""Stand-ins for the libraries of CANN, so that MindSpore's own plugin for Ascend loads on a machine without an NPU.

Every function that the plugin needs from CANN returns 0, or the address of a zeroed buffer if its name says that it creates an
object; the classes in cann_classes.cpp keep their state. Nothing is computed: with MS_SIMULATION_LEVEL=1 MindSpore compiles a graph
for Ascend, selects a kernel for every node, plans the memory, and skips the launches.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from src.files import cache_folder, written_whole

TRIED_VERSIONS = ("2.10.0",)
_CLASSES = Path(__file__).with_name("cann_classes.cpp")
_ABI = "-D_GLIBCXX_USE_CXX11_ABI=0"  # as the plugin is built
_FOLDER = "ascend/cann/lib64"  # the plugin looks for these folder names in a library's path
_NAMES = """libgraph libge_runner libascendcl libmsprofiler libhccl libruntime libascend_hal libascendalog libc_sec libmmpa libnnopbase
libplatform libprofapi libregister libatb libacl_dvpp libacl_dvpp_mpi libacl_dvpp_op libopapi libaclnn_math libaclnn_ops_infer
libaclnn_ops_train libcust_opapi libacl_op libacl_op_compiler libacl_tdt_channel libacl_tdt_queue"""
_SYSTEM = ("libstdc++.so.6", "libm.so.6", "libc.so.6", "libgcc_s.so.1", "libgomp.so.1", "ld-linux-x86-64.so.2")
# kernel arguments: aclCreate... makes each, aclDestroy... frees it
_OBJECTS = "BoolArray DataBuffer FloatArray IntArray Scalar ScalarList Tensor TensorDesc TensorList"
# names that the plugin composes at run time, or looks up in libraries that are not searched here
_CACHE = """aclnnInit aclnnFinalize InitHugeMemThreadLocal UnInitHugeMemThreadLocal ReleaseHugeMem InitPTACacheThreadLocal
UnInitPTACacheThreadLocal AddTensorAddrToCachedList SetPTAHashKey CanUsePTACache PTAGetExecCache aclDestroyAclOpExecutor
aclSetAclOpExecutorRepeatable aclSetDynamicTensorAddr aclSetTensorAddr aclGetViewShape aclSetInputTensorAddr aclSetOutputTensorAddr
aclSetDynamicInputTensorAddr aclSetDynamicOutputTensorAddr AclSetInputTensorAddr AclSetOutputTensorAddr AclSetDynamicTensorAddr
AclSetTensorAddr aclsysGetCANNVersion"""
_NOT_CANN = ("Py", "_Py", "_ITM", "__gmon", "_ZTHN9mindspore")


def prepare() -> Path:
    """The folder of the stand-ins, made on first use and kept in ~/.cache/bert-mindspore.

    Raises:
        ValueError: see `check`; or the compiler fails.
    """
    version, library = check()
    compiler = os.environ.get("CXX", "g++")
    parts = (version, str(library), compiler, _CLASSES.read_bytes(), Path(__file__).read_bytes())
    folder = cache_folder() / f"cann-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        try:
            with written_whole(folder) as temporary:
                _make(temporary / _FOLDER, library, compiler)
        except subprocess.CalledProcessError as error:
            raise ValueError(f"the stand-ins for CANN cannot be made: {error.cmd[0]} says: {error.stderr}") from None
    return folder / _FOLDER


def check() -> tuple[str, Path]:
    """MindSpore's version, and the folder of its libraries.

    Raises:
        ValueError: another processor or version of MindSpore; or its plugin, the compiler or nm is absent.
    """
    if platform.machine() != "x86_64":
        raise ValueError(f"{platform.machine()}: the dry run for Ascend needs an x86-64 processor, its stand-ins are in that assembly")
    spec = importlib.util.find_spec("mindspore")
    if spec is None or spec.origin is None:
        raise ValueError("MindSpore is not installed; bash scripts/setup.sh does so")
    version = importlib.metadata.version("mindspore")
    if version not in TRIED_VERSIONS:
        raise ValueError(f"MindSpore {version}: the dry run for Ascend was tried with {', '.join(TRIED_VERSIONS)} alone")
    library = Path(spec.origin).parent / "lib"
    if not (library / "plugin/libmindspore_ascend.so.2").is_file():
        raise ValueError(f"{library}/plugin: MindSpore's plugin for Ascend, libmindspore_ascend.so.2, is not there")
    for program in (os.environ.get("CXX", "g++"), "nm"):
        if shutil.which(program) is None:
            raise ValueError(f"{program} is not on PATH; the dry run for Ascend makes stand-ins for CANN with GCC and nm")
    return version, library


def _make(folder: Path, library: Path, compiler: str) -> None:
    """Build one library, and link to it under each of CANN's names."""
    ascend = library / "plugin/ascend"
    plugin = [library / "plugin/libmindspore_ascend.so.2", library / "plugin/libmindspore_ops_ascend.so"]
    plugin += [ascend / "libmindspore_ascend_res_manager.so"]
    names = "libmindspore_graph_ir libd_collective libhccl_plugin libmindspore_symmetric_memory_kernels libmindspore_internal_kernels"
    users = [*plugin, *(ascend / f"{name}.so" for name in (*names.split(), "liblowlatency_collective"))]
    users += [*ascend.glob("ms_kernels_symmetric_memory/**/*.so"), *ascend.glob("ms_kernels_internal/internal_kernel/lib/*.so")]
    system = [_run(compiler, f"-print-file-name={name}").strip() for name in _SYSTEM]
    defined = _list_symbols("--defined-only", *users, *library.glob("*.so*"), *filter(os.path.exists, system))
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as work:
        classes = Path(work, "classes.o")
        _run(compiler, _ABI, "-fPIC", "-c", _CLASSES, "-o", classes)
        ours = set(_run("nm", "--defined-only", "--format=just-symbols", classes).split())
        wanted = {name for name in _list_symbols("--undefined-only", *users) - defined - ours if not name.startswith(_NOT_CANN)}
        objects = {name for name in wanted if name.startswith(("_ZTI", "_ZTV", "_ZTS"))}
        kernels = _find_names(plugin, rb"aclnn[A-Za-z0-9]+")
        runtime = _find_names([*plugin, *ascend.glob("*.so")], rb"acl(?!nn)[A-Za-z0-9]{4,60}")
        makers = {name for name in wanted - objects if "Instance" in name} | {f"aclCreate{name}" for name in _OBJECTS.split()}
        makers |= {name for name in runtime - wanted if "Create" in name and not name.startswith("aclrt") or name.endswith("Alloc")}
        functions = wanted | runtime | kernels | {f"{name}GetWorkspaceSize" for name in kernels} | set(_CACHE.split())
        functions |= {f"aclDestroy{name}" for name in _OBJECTS.split()}
        source = Path(work, "functions.S")
        source.write_text(_assemble(functions - objects - makers - ours, makers - ours, objects), encoding="ascii")
        _run(compiler, _ABI, "-shared", "-fPIC", "-o", folder / "stand_in.so", source, classes)
    for name in _NAMES.split():
        (folder / f"{name}.so").symlink_to("stand_in.so")
    package = folder.parent / "python/hccl"  # asked for its version when several ranks train
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "sys_version.py").write_text('__sys_version__ = "0.0"\n', encoding="ascii")


def _run(*command: Path | str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _list_symbols(flag: str, *paths: Path | str) -> set[str]:
    found = set()
    for path in paths:
        lines = subprocess.run(["nm", "-D", flag, path], capture_output=True, text=True).stdout.splitlines()
        found |= {line.split()[-1].split("@")[0] for line in lines if line}
    return found


def _find_names(paths: Iterable[Path], pattern: bytes) -> set[str]:
    """Names among the constant strings of libraries, which they look up with dlsym."""
    found: set[bytes] = set()
    for path in paths:
        found |= set(re.findall(rb"\x00(" + pattern + rb")(?=\x00)", path.read_bytes()))
    return {name.decode() for name in found}


def _assemble(zero: Iterable[str], makers: Iterable[str], objects: Iterable[str]) -> str:
    """Assembly of functions that return 0, functions that return the address of a buffer, and zeroed objects."""
    lines = [".text"]
    for names, body in ((zero, "xorl %eax, %eax\nret"), (makers, "leaq made(%rip), %rax\nret")):
        for name in sorted(names):
            lines.append(f".globl {name}\n.type {name}, @function\n{name}:")
        lines.append(body)
    lines.append(".bss\n.balign 64\nmade: .zero 65536")
    for name in sorted(objects):
        lines.append(f".globl {name}\n.type {name}, @object\n.size {name}, 256\n{name}: .zero 256")
    return "\n".join([*lines, '.section .note.GNU-stack, "", @progbits', ""])
