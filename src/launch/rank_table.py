"""Rank tables, which list the devices and servers that train together on Ascend without msrun.

    python -m src.launch.rank_table generate --device_num "[0,8)"      # on each server; prints the file that it writes
    python -m src.launch.rank_table merge A.json B.json                # one table for all servers, to be copied to each
    python -m src.launch.rank_table validate hccl_2s_16p.json

`generate --version 1.2` writes the table of a server in a super pod (Atlas A3), `upgrade` turns tables of version 0.x into 1.0, `show`
lists the devices of a table. Flags and file names are those of the model zoo's hccl_tools.py and merge_hccl.py.
"""

import argparse
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence, Sized
from pathlib import Path
from typing import Any

from src.cli import Parser, bad_input_exits
from src.files import write_text
from src.launch import checked_json, hccn, npu_smi
from src.launch.addresses import find_server_ip, is_reachable, parse_address
from src.launch.rank_table_faults import VERSIONS, find_faults, find_unkept_keys, read_rows
from src.launch.rank_table_file import (
    Device,
    Server,
    Table,
    check,
    find_notes,
    find_own_server,
    make_table,
    merge,
    read_legacy_table,
    read_table,
    to_json,
    to_text,
)

_VISIBLE = (
    "physical ids of the devices that this system has, such as 4,5,6,7 in a container; --device_num then counts in this list: "
    "[0,2) is 4,5 [0,1,2 and so on]"
)


def generate(options: argparse.Namespace) -> tuple[Table, str]:
    """The Table of this server alone, and the name of its file.

    Args:
        options: those of the command; addresses and numbers that are None are found on this machine.

    Raises:
        ValueError: a value is not allowed, or an address or number is not found.
    """
    logical, physical = _parse_devices(options.device_num, options.visible_devices)
    server_ip = options.server_ip
    if server_ip is None:
        server_ip = find_server_ip()
    elif not ((address := parse_address(server_ip)) and is_reachable(address)):
        raise ValueError(f"--server_ip={server_ip}: an IP address is expected by which other servers reach this one")
    numbers, super_pod_id = _find_super_devices(physical, options)
    addresses = dict.fromkeys(physical, "") if options.no_device_ip else hccn.require_addresses(physical, options.hccn_config_file)
    devices = tuple(Device(device, addresses[device], rank, numbers[device]) for rank, device in enumerate(physical))
    table = check("the generated table", Table((Server(server_ip, devices, super_pod_id),)))
    return table, f"hccl_{len(devices)}p_{''.join(map(str, logical))}_{server_ip}.json"


def _parse_devices(device_num: str, visible_devices: str | None) -> tuple[range, list[int]]:
    """The logical and the physical ids of the devices."""
    match = re.fullmatch(r"\s*\[\s*([0-9]{1,4})\s*,\s*([0-9]{1,4})\s*\)\s*", device_num)
    logical = range(int(match[1]), int(match[2])) if match else range(0)
    if not logical:
        raise ValueError(f'--device_num={device_num}: a range is expected, such as "[0,8)" for the devices 0 to 7')
    return logical, _parse_visible(visible_devices, logical) if visible_devices is not None else list(logical)


def _find_super_devices(physical: Sequence[int], options: argparse.Namespace) -> tuple[dict[int, Any], str | None]:
    """Device id -> number in the super pod, and the super pod's id; all None in version 1.0."""
    given = {"super_device_ids": options.super_device_ids, "super_pod_id": options.super_pod_id}
    if options.version != "1.2":
        for name, value in given.items():
            if value is not None:
                raise ValueError(f"--{name}={value}: only tables of --version 1.2 have super pods")
        return dict.fromkeys(physical), None
    if None not in given.values():
        numbers = options.super_device_ids.split(",")
        if len(numbers) != len(physical):
            raise ValueError(f"--super_device_ids={options.super_device_ids}: one number for each of {len(physical)} devices is expected")
        return dict(zip(physical, map(str.strip, numbers))), options.super_pod_id
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"--{name}={value}: --super_device_ids and --super_pod_id are given both, or neither")
    found = npu_smi.find_super_devices(physical)
    pods = sorted({pod for _, pod in found.values()})
    if len(pods) > 1:
        raise ValueError(f"npu-smi names several super pods for the devices of this server: {', '.join(pods)}")
    return {device: number for device, (number, _) in found.items()}, pods[0]


def _parse_visible(text: str, logical: range) -> list[int]:
    """The physical ids of the logical ones."""
    parts = [part.strip() for part in text.split(",")]
    if not all(re.fullmatch("[0-9]{1,4}", part) for part in parts) or len(set(map(int, parts))) < len(parts):
        raise ValueError(f"--visible_devices={text}: different device ids are expected, separated by commas, such as 4,5,6,7")
    if logical[-1] >= len(parts):
        given = f"--device_num=[{logical[0]},{logical[-1] + 1})"
        raise ValueError(f"{given}: at most [0,{len(parts)}) is allowed, the number of --visible_devices={text}")
    return [int(parts[index]) for index in logical]


def are_connected(physical: Collection[int]) -> bool:
    """Whether devices of an Ascend 910 server form a group: part or all of one of its two rings of four, or all of both.

    hccl_tools.py refuses other groups. Here they only cause a warning: servers since the 910B connect each device with all others,
    and the ids do not tell the two kinds apart, unless one is above 7.
    """
    return max(physical) > 7 or len(physical) == 8 or len({device // 4 for device in physical}) == 1


def _run_generate(options: argparse.Namespace) -> int:
    table, name = generate(options)
    physical = [device.device_id for device in table.servers[0].devices]
    if table.version == "1.0" and not are_connected(physical):
        ids = ", ".join(map(str, physical))
        _warn(
            f"devices {ids}: an Ascend 910 server connects only groups within 0 to 3, within 4 to 7, or all eight; newer ones connect any"
        )
    return _write(table, Path(options.output_dir, name))


def _run_validate(options: argparse.Namespace) -> int:
    try:
        tree = checked_json.load(options.file)
    except ValueError as error:
        print(error)
        return 1
    rows, faults = read_rows(tree)
    device_ips: list[str] = []
    if any(row.device_ip for row in rows) and (options.hccn_config_file or not options.server_ip):
        device_ids = sorted({row.device_id for row in rows if row.device_id is not None})
        device_ips = hccn.find_own_addresses(device_ids, options.hccn_config_file)
    faults = find_faults(tree, options.server_ip, device_ips)
    for fault in faults:
        print(f"{options.file}: {fault}")
    if faults:
        return 1
    table = make_table(options.file, rows, faults)
    if options.server_ip or device_ips:
        own = f"this server is {find_own_server(table, device_ips, [options.server_ip] if options.server_ip else []).server_id}"
    else:
        own = "not checked whether this server is in it: --server_ip is not given, addresses of devices are not found"
    pods = {server.super_pod_id for server in table.servers} - {None}
    counts = ", ".join([_count(table.servers, "server"), *([_count(pods, "super pod")] if pods else []), _count(rows, "rank")])
    print(f"{options.file}: good; version {tree['version']}, {counts}; {own}")
    if tree["version"] != table.version:
        _warn(f"{options.file}: version {tree['version']} without super_pod_list: HCCL reads it like version {table.version}")
    _tell_notes(options.file, table)
    return 0


def _run_merge(options: argparse.Namespace) -> int:
    trees = [(path, checked_json.load(path)) for path in options.files]
    merged = merge([(path, make_table(path, *read_rows(tree))) for path, tree in trees])
    for path, tree in trees:
        keys = find_unkept_keys(tree)
        if keys:
            _warn(f"{path}: not kept: {', '.join(keys)}")
    return _write(merged, Path(options.output_dir, f"hccl_{len(merged.servers)}s_{merged.world_size}p.json"), options.files)


def _run_upgrade(options: argparse.Namespace) -> int:
    table = read_legacy_table(options.file)
    old = Path(options.file)
    folder = old.parent if options.output_dir is None else Path(options.output_dir)
    return _write(table, folder / f"{old.stem}_v1.json")


def _run_show(options: argparse.Namespace) -> int:
    table = read_table(options.file)
    print(to_text(table))
    _tell_notes(options.file, table)
    return 0


def _write(table: Table, path: Path, inputs: Iterable[str] = ()) -> int:
    for name in inputs:
        if path.exists() and path.samefile(name):
            raise ValueError(f"{path}: the new table would overwrite one that is read; see --output_dir")
    write_text(path, to_json(table))
    print(path)
    _tell_notes(path, table)
    return 0


def _tell_notes(path: Path | str, table: Table) -> None:
    for note in find_notes(table):
        _warn(f"{path}: {note}")


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def _make_parser() -> Parser:
    parser = Parser(prog="python -m src.launch.rank_table", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")

    def add(run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(run.__name__.removeprefix("_run_"), help=text, description=text, allow_abbrev=False)
        command.set_defaults(run=run)
        return command

    hccn_file: dict[str, Any] = {"metavar": "FILE", "help": f"a hccn.conf, lines address_N=IP [hccn_tool is asked, then {hccn.CONFIG}]"}
    generated = add(_run_generate, "write the table of this server: hccl_{n}p_{ids}_{ip}.json")
    generated.add_argument("--device_num", metavar="[A,B)", default="[0,8)", help="devices from A to B - 1 [[0,8)]")
    generated.add_argument("--visible_devices", metavar="IDS", help=_VISIBLE)
    generated.add_argument("--server_ip", metavar="IP", help="address by which other servers reach this one [that of the default route]")
    generated.add_argument("--hccn_config_file", **hccn_file)
    generated.add_argument("--no_device_ip", action="store_true", help="leave out device addresses: one server or super pod needs none")
    generated.add_argument("--version", choices=VERSIONS, default=VERSIONS[0], help="1.2 for a server of a super pod (Atlas A3) [1.0]")
    generated.add_argument("--super_device_ids", metavar="IDS", help="numbers of the devices in the super pod [npu-smi is asked]")
    generated.add_argument("--super_pod_id", metavar="ID", help="number or name of the super pod [npu-smi is asked]")
    generated.add_argument("--output_dir", metavar="FOLDER", default=".", help="for the new table [.]")
    validated = add(_run_validate, "print every fault of a table; exit code 1 if there is any")
    validated.add_argument("file", metavar="FILE")
    validated.add_argument("--server_ip", metavar="IP", help="this server's server_id [its device addresses, if any, must be in the table]")
    validated.add_argument("--hccn_config_file", **hccn_file)
    merged = add(_run_merge, "write one table of several, ranks in their order: hccl_{servers}s_{ranks}p.json")
    merged.add_argument("files", nargs="+", metavar="FILE")
    merged.add_argument("--output_dir", metavar="FOLDER", default=".", help="for the new table [.]")
    upgraded = add(_run_upgrade, "write a table of version 0.x as 1.0: {name}_v1.json")
    upgraded.add_argument("file", metavar="FILE")
    upgraded.add_argument("--output_dir", metavar="FOLDER", help="for the new table [the folder of FILE]")
    add(_run_show, "print rank, server, device and address").add_argument("file", metavar="FILE")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    with bad_input_exits():
        options = _make_parser().parse_args(argv)
        return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
