"""Write distributed_cmd.sh: the commands that pretrain on all Ascend devices of this server, by a rank table.

The flags are the model zoo's. README.md beside this file says what is different.
"""

import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # it is run by its path, from anywhere

from src.cli import Parser, bad_input_exits
from src.files import write_text
from src.launch import commands, hccn
from src.launch.bash_script import as_script
from src.launch.hyper_parameters import read_flags
from src.launch.local import find_cores, plan_rank_table
from src.tasks.pretrain.sources import parse_sources

HERE = Path(__file__).resolve().parent
_TITLE = "made by scripts/ascend_distributed_launcher/get_distribute_pretrain_cmd.py"


def main(argv=None):
    """Write the file and print its name."""
    with bad_input_exits():
        print(write_commands(_make_parser().parse_args(argv)))


def write_commands(options):
    """Write --cmd_file; returns its path."""
    script, table = find(options.run_script_dir), find(options.hccl_config_dir)
    if script.suffix == ".sh":  # as the model zoo's page has it
        raise ValueError(f"--run_script_dir={options.run_script_dir}: a Python program is expected, run_pretrain.py")
    words = ["--device_target=Ascend", *read_flags(find(options.hyper_parameter_config_dir))]
    words.append(f"--data_dir={find_sources(options.data_dir)}")
    python = ".venv/bin/python" if (ROOT / ".venv/bin/python").exists() else "python"
    if script.is_relative_to(ROOT):  # the commands run there
        script = script.relative_to(ROOT)
    program = commands.Program(
        (python, str(script), *words),
        cores=find_cores(),
        bind=not options.no_bind,
        environ={**os.environ, "HCCL_CONNECT_TIMEOUT": str(options.hccl_time_out)},
    )
    asked = None if options.hccn_config_file == str(hccn.CONFIG) else find(options.hccn_config_file)
    job = plan_rank_table(program, table, asked)
    path = Path(options.cmd_file)
    write_text(path, as_script(job, ROOT, _TITLE))
    path.chmod(0o755)
    return path


def find(name):
    """The path of a file or folder: in the working directory, or, as the model zoo's scripts name their own, in this repository.

    Raises:
        FileNotFoundError: it is in neither.
    """
    for folder in (Path.cwd(), ROOT):
        if (folder / name).exists():
            return Path(os.path.normpath(folder / name))
    raise FileNotFoundError(2, f"no such file or folder, neither in {Path.cwd()} nor in {ROOT}", name)


def find_sources(text):
    """The records to train on by their paths: a folder or file, or several between commas, with weights after colons or without.

    Raises:
        ValueError, FileNotFoundError: naming what is amiss.
    """
    try:
        return str(find(text))
    except FileNotFoundError:
        weighted = [(find(source.path), source.weight) for source in parse_sources(text)]
    return ",".join(f"{path}" if weight is None else f"{path}:{weight}" for path, weight in weighted)


def _seconds(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a whole number from 1 is expected")
    return int(text)


def _make_parser():
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--run_script_dir", default="run_pretrain.py", metavar="FILE", help="the script that every rank runs [run_pretrain.py]")
    ini = HERE / "hyper_parameter_config.ini"
    add("--hyper_parameter_config_dir", default=str(ini), metavar="FILE", help="its flags [hyper_parameter_config.ini beside this script]")
    add("--data_dir", required=True, metavar="FOLDER", help="records to train on; or several, such as wiki:0.7,news:0.3")
    add("--hccl_config_dir", "--hccl_config", required=True, metavar="FILE", help="rank table of all servers")
    add("--hccl_time_out", type=_seconds, default=120, metavar="SECONDS", help="that ranks wait for each other [120]")
    add("--hccn_config_file", default=str(hccn.CONFIG), metavar="FILE", help=f"addresses of this server's devices [{hccn.CONFIG}]")
    add("--cmd_file", default="distributed_cmd.sh", metavar="FILE", help="is written [distributed_cmd.sh]")
    add("--no_bind", action="store_true", help="leave each process all cores, not its share of them")
    return parser


if __name__ == "__main__":
    main()
