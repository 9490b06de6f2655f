"""Try a command for Ascend on a machine without an NPU: `python -m src.report.ascend [options] COMMAND...`.

MindSpore's own Ascend plugin compiles each graph, selects its kernels and plans the memory; kernel launches are skipped, and every
output is 0. Only a real machine shows numbers, speed, and the checks that CANN itself makes. COMMAND runs in the current folder
and must select the device by --device_target Ascend; its outputs are meaningless and belong in a temporary folder.

The exit code is that of COMMAND, 1 if an operator has no Ascend kernel or nothing is compiled, or 124 after the time limit.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from src import signals
from src.cli import EXIT_BAD_INPUT, EXIT_CHECK_FAILED, Parser, bad_input_exits
from src.files import make_folder, write_text
from src.launch import cann_stand_ins
from src.launch.children import end_with_parent
from src.launch.commands import RANK_VARIABLES
from src.ranks import find_rank_info
from src.report.ascend_log import LOG_LEVELS, DryRun

EXIT_TIMED_OUT = 124  # as of the command `timeout`
_FUSED_FOR = "Ascend910B1"  # the chip that graph fusion (jit_level O1) asks for; a dry run has none
_SCHEDULER = ("MS_SCHED_HOST", "MS_SCHED_PORT")  # with these set, the framework would wait for msrun's scheduler
# variables with the folders of the framework's files; MS_OM_PATH takes analyze_fail.ir, what it could not compile
_FOLDERS = ("MS_DEV_SAVE_GRAPHS_PATH", "MS_COMPILER_CACHE_PATH", "MS_OM_PATH", "ASCEND_WORK_PATH")
_STATISTICS = re.compile(r"(Device MOC|MindSpore Used|MindSpore memory base|Used peak|Actual peak) .*\n|\n")  # printed by MindSpore at exit


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="python -m src.report.ascend", description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="write the report, and the kernels by operator, to this file")
    parser.add_argument("--output_dir", metavar="FOLDER", help="keep the framework's files and warnings here")
    parser.add_argument(
        "--time_limit", type=_seconds, default=900, metavar="SECONDS", help="needed as a `while` on the device may never end"
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND...")
    with bad_input_exits():
        options = parser.parse_args(argv)
        if not options.command or options.command[0].startswith("-"):
            parser.error("a command is expected, such as: python run_pretrain.py --device_target Ascend ...")
        if options.json:
            _check_file(Path(options.json))
        libraries = cann_stand_ins.prepare()
        with ExitStack() as stack:
            folder = Path(options.output_dir or stack.enter_context(tempfile.TemporaryDirectory())).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            code, found = run(options.command, folder, libraries, options.time_limit)
        for line in found.lines(finished=code == 0):
            print(line, flush=True)
        if options.json:
            text = json.dumps({"command": options.command, "exit_code": code, **found.describe()}, indent=1)
            write_text(options.json, f"{text}\n")
    if code == EXIT_TIMED_OUT:
        print(f"error: the command had not ended after {options.time_limit} s", file=sys.stderr)
    elif code == 0 and not found.networks:
        print("error: nothing was compiled for Ascend; the command needs --device_target Ascend", file=sys.stderr)
    return code or (EXIT_CHECK_FAILED if found.without_kernel or not found.networks else 0)


def _seconds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a whole number from 1 is expected")
    return int(text)


def _check_file(path: Path) -> None:
    """Raise an error now if the report could not be written to this path; its folder is made if absent."""
    if path.is_dir():
        raise ValueError(f"--json {path}: is a folder; a file is expected")
    make_folder(path.parent)


def run(command: list[str], folder: Path, libraries: Path, time_limit: float) -> tuple[int, DryRun]:
    """Run a command with the stand-in libraries; its own output is passed on, the framework's warnings go to FOLDER/log.txt.

    Returns:
        The command's exit code, 124 after the time limit; and the DryRun.
    """
    found = DryRun()
    expired = threading.Event()
    with _offload_folder_removed(), open(folder / "log.txt", "w", encoding="utf-8") as log:
        try:
            process = subprocess.Popen(
                command,
                env=environment(folder, libraries),
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=end_with_parent(os.getpid()),
            )
        except OSError as error:
            print(f"error: {command[0]}: {error.strerror}", file=sys.stderr)
            sys.exit(EXIT_BAD_INPUT)

        def end() -> None:
            expired.set()
            _kill(process)

        timer = threading.Timer(time_limit, end)
        timer.start()
        try:
            assert process.stderr is not None
            for raw in process.stderr:
                line = raw.decode(errors="replace")
                if found.read(line.rstrip("\n")):
                    if not line.startswith("[INFO]"):
                        log.write(line)
                elif not _STATISTICS.fullmatch(line):
                    sys.stderr.write(line)
            code = process.wait()
        finally:
            timer.cancel()
            _kill(process)
    if expired.is_set():
        return EXIT_TIMED_OUT, found
    return code if code >= 0 else 128 - code, found


def environment(folder: Path, libraries: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Environment of a dry run: stand-in libraries come first, launches are skipped, the log has the kernels, files go to `folder`.

    One process compiles one rank's graphs; it waits for no other rank and reads no rank table.
    """
    process = find_rank_info(environ)
    alone = {name: value for name, value in environ.items() if name not in (*RANK_VARIABLES, *_SCHEDULER)}
    levels = ",".join(f"{module}:{level}" for module, level in LOG_LEVELS.items())
    toolkit = libraries.parent
    paths = {"LD_LIBRARY_PATH": libraries, "PYTHONPATH": toolkit / "python"}
    return {
        **alone,
        "RANK_SIZE": str(process.world_size),
        "RANK_ID": str(process.rank or 0),
        "MS_SIMULATION_LEVEL": "1",
        "DVM_SOC_NAME": environ.get("DVM_SOC_NAME", _FUSED_FOR),
        **{name: ":".join(filter(None, (str(path), environ.get(name)))) for name, path in paths.items()},
        "ASCEND_HOME_PATH": str(toolkit),
        "ASCEND_OPP_PATH": str(toolkit / "opp"),
        "GLOG_v": "2",
        "MS_SUBMODULE_LOG_v": f"{{{levels}}}",
        **dict.fromkeys(_FOLDERS, str(folder)),
    }


def _kill(process):
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def _offload_folder_removed() -> Iterator[None]:
    """Remove the empty folder ./offload if the framework makes it; no variable sets its path."""
    folder = Path("offload")
    existed = folder.exists()
    try:
        yield
    finally:
        if not existed:
            with suppress(OSError):
                folder.rmdir()


if __name__ == "__main__":
    signals.watch()
    sys.exit(main())
