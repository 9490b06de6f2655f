"""Faults of a rank table of version 1.0 or 1.2, each in one line that begins with the path of the value in the file.

    {"version": "1.0", "server_count": "1", "server_list": [
        {"server_id": "10.0.0.1", "device": [{"device_id": "0", "device_ip": "192.98.92.1", "rank_id": "0"}, …], "host_nic_ip": "reserve"}
    ], "status": "completed"}

All values are strings. Version 1.2 adds super pods (rank_table_super_pods.py). Other keys, such as host_ip and device_port, are left
to HCCL.
Sources: HCCL's own reader (topoinfo_ranktableConcise.cc, config.cc), which stops at the first fault, after all processes have started;
CANN 9.0, HCCL user guide, "Rank Table Configuration" of Atlas A3 and A2 training products (hiascend.com, hcclug_000066 and hcclug_000067).
"""

import re
from collections.abc import Collection, Hashable, Sequence
from dataclasses import replace
from typing import Any

from src.launch import rank_table_super_pods as super_pods
from src.launch.addresses import identify, is_reachable, parse_address
from src.launch.checked_json import check_other_values, describe, find_repeated_keys, find_repeats, take_list, take_number, take_text
from src.launch.rank_table_row import Row

VERSIONS = ("1.0", "1.2")

_NAME = re.compile(r"[0-9A-Za-z]([0-9A-Za-z_.-]{0,61}[0-9A-Za-z])?")  # HCCL: below 64 characters
_DIGITS_AND_DOTS = re.compile(r"[0-9.]*\.[0-9.]*")


def find_faults(tree: Any, server_ip: str | None = None, device_ips: Collection[str] = ()) -> list[str]:
    """All faults of a parsed table.

    Args:
        tree: the result of checked_json.load.
        server_ip: the server_id of this server, which must be in the table.
        device_ips: addresses of this server's devices, one of which must be in the table.
    """
    rows, faults = read_rows(tree)
    if server_ip and identify(server_ip) not in {identify(row.server_id) for row in rows if row.server_id}:
        faults.append(f"this server is not in the table: no server_id is {server_ip}")
    if device_ips and not {identify(text) for text in device_ips} & {identify(row.device_ip) for row in rows if row.device_ip}:
        faults.append(f"this server is not in the table: no device_ip is one of {', '.join(device_ips)}")
    return faults


def read_rows(tree: Any) -> tuple[list[Row], list[str]]:
    """The devices of a parsed table in file order, and its faults."""
    faults = find_repeated_keys(tree)
    if is_legacy(tree):
        return [], [*faults, "group_list: this is a table of version 0.x; `python -m src.launch.rank_table upgrade FILE` writes it as 1.0"]
    version = take_text(tree, "version", "", faults, allowed=VERSIONS)
    take_text(tree, "status", "", faults, allowed=("completed",))
    servers = take_list(tree, "server_list", "", faults)
    if version != "1.2" or "server_count" in tree:  # version 1.2 may leave it out
        count = take_number(tree, "server_count", "", faults)
        if servers is not None and count is not None and count != len(servers):
            faults.append(f'server_count="{count}": server_list has {len(servers)}')
    members = super_pods.read_members(tree, version, faults)
    check_other_values(tree, ("version", "status", "server_count", "server_list", "super_pod_list"), "", faults)
    by_server = [_read_server(server, f"server_list[{index}]", members is not None, faults) for index, server in enumerate(servers or ())]
    ids = [(rows[0].server_id, f"server_list[{index}].server_id") for index, rows in enumerate(by_server)]
    faults += find_repeats((text and identify(text), path, text) for text, path in ids)
    rows = [row for rows in by_server for row in rows]
    if members is not None:
        faults += super_pods.find_stray_servers(ids, members)
        pods = {member.server: member.super_pod_id for member in reversed(members)}
        rows = [replace(row, super_pod_id=pods.get(row.server_id and identify(row.server_id))) for row in rows]
    return rows, faults + find_row_faults(rows) + super_pods.find_super_pod_faults(rows)


def _read_server(server: Any, path: str, in_super_pod: bool, faults: list[str]) -> list[Row]:
    """The server's devices; a single row without values if they cannot be read."""
    server_id = take_server_id(server, path, faults)
    devices = take_list(server, "device", path, faults)
    if isinstance(server, dict) and "host_nic_ip" in server:
        take_text(server, "host_nic_ip", path, faults)
    check_other_values(server, ("server_id", "device", "host_nic_ip"), path, faults)
    rows = []
    for index, device in enumerate(devices or ()):
        device_path = f"{path}.device[{index}]"
        row = read_device(path, server_id, (device, device_path), (device, device_path), faults)
        rows.append(super_pods.read_super_device(row, device, device_path, faults) if in_super_pod else row)
    return rows or [Row(path, server_id)]


def take_server_id(owner: Any, path: str, faults: list[str]) -> str | None:
    """The server's address or name; otherwise None, and a fault."""
    text = take_text(owner, "server_id", path, faults)
    if text is None:
        return None
    looks_like_address = _DIGITS_AND_DOTS.fullmatch(text) or ":" in text
    if not (parse_address(text) if looks_like_address else _NAME.fullmatch(text)):
        faults.append(describe(path, "server_id", text, "an IP address, or a name of letters, digits and ._- below 64 characters,"))
        return None
    return text


def read_device(server: Hashable, server_id: str | None, device: tuple[Any, str], ranked: tuple[Any, str], faults: list[str]) -> Row:
    """The row of a device.

    Args:
        server, server_id: values of the Row.
        device: the object that holds device_id and device_ip, and its path.
        ranked: the object that holds rank_id, and its path: the device itself, except in version 0.x.
    """
    tree, path = device
    rank_tree, rank_path = ranked
    device_id = take_number(tree, "device_id", path, faults)
    device_ip = "" if isinstance(tree, dict) and "device_ip" not in tree else take_text(tree, "device_ip", path, faults)
    address = parse_address(device_ip) if device_ip else None
    if device_ip and not (address and is_reachable(address)):
        faults.append(describe(path, "device_ip", device_ip, "the IP address of a device, such as 192.98.92.1,"))
        device_ip = None
    rank_id = take_number(rank_tree, "rank_id", rank_path, faults)
    check_other_values(tree, ("device_id", "device_ip", "rank_id"), path, faults)
    paths = {"device_id": f"{path}.device_id", "device_ip": f"{path}.device_ip", "rank_id": f"{rank_path}.rank_id"}
    return Row(server, server_id, device_id, device_ip, rank_id, paths=paths)


def find_row_faults(rows: Sequence[Row]) -> list[str]:
    """Faults across devices: repeated ranks, devices and addresses; missing ranks and addresses; mixed kinds of addresses."""
    faults = find_repeats((row.rank_id, row.paths["rank_id"], row.rank_id) for row in rows if row.rank_id is not None)
    faults += find_repeats(
        ((row.server, row.device_id), row.paths["device_id"], row.device_id) for row in rows if row.device_id is not None
    )
    faults += find_repeats((identify(row.device_ip), row.paths["device_ip"], row.device_ip) for row in rows if row.device_ip)
    faults += _find_wrong_ranks(rows)
    faults += _find_missing_addresses(rows)
    addresses = [parse_address(row.device_ip) for row in rows if row.device_ip]
    if len({address.version for address in addresses if address}) > 1 and len({row.server for row in rows}) > 1:
        faults.append("device_ip: IPv4 and IPv6 are mixed; HCCL connects several servers by one of them")
    return faults


def _find_wrong_ranks(rows: Sequence[Row]) -> list[str]:
    """Faults of ranks that are too large, and of missing ones; none if a rank cannot be read, as that may be the missing one."""
    ranks = [row.rank_id for row in rows if row.rank_id is not None]
    if len(ranks) < len(rows):
        return []
    faults = [
        f'{row.paths["rank_id"]}="{rank}": a rank below the number of devices, {len(rows)}, is expected'
        for row, rank in zip(rows, ranks)
        if rank >= len(rows)
    ]
    if missing := sorted(set(range(len(rows))) - set(ranks)):
        faults.append(f"no device has rank {', '.join(map(str, missing[:20]))}{', ...' if missing[20:] else ''}")
    return faults


def _find_missing_addresses(rows: Sequence[Row]) -> list[str]:
    """A fault for each device without device_ip, if HCCL needs it or other devices have theirs.

    HCCL needs none within one server, nor within one super pod, whose devices are joined by HCCS.
    """
    without = [row for row in rows if row.device_ip == ""]
    pods = {row.super_pod_id for row in rows}
    if len({row.server for row in rows}) > 1 and (None in pods or len(pods) > 1):
        reason = "servers are connected by it, unless one super pod has them all"
    elif len(without) < len(rows):
        reason = "other devices have theirs"
    else:
        return []
    return [f"{row.paths['device_ip']} is missing: {reason}" for row in without]


def is_legacy(tree: Any) -> bool:
    """Whether a table has the form of version 0.x."""
    return isinstance(tree, dict) and "group_list" in tree and "server_list" not in tree


def find_unkept_keys(tree: dict[str, Any]) -> list[str]:
    """Keys of a good table whose values Row does not hold."""
    pods = tree.get("super_pod_list", [])
    keys = set(tree) - {"version", "status", "server_count", "server_list", "super_pod_list"}
    for pod in pods:
        keys |= set(pod) - {"super_pod_id", "server_list"}
        keys |= {key for member in pod["server_list"] for key in member} - {"server_id"}
    for server in tree["server_list"]:
        keys |= set(server) - {"server_id", "device", *(["host_nic_ip"] if server.get("host_nic_ip") == "reserve" else [])}
        kept = {"device_id", "device_ip", "rank_id", *(["super_device_id"] if pods else [])}
        keys |= {key for device in server["device"] for key in device} - kept
    return sorted(keys)
