"""What is wrong with a rank table of version 1.0 or 1.2: each fault in one line, with its place in the file.

    {"version": "1.0", "server_count": "1", "server_list": [
        {"server_id": "10.0.0.1", "device": [{"device_id": "0", "device_ip": "192.98.92.1", "rank_id": "0"}, …], "host_nic_ip": "reserve"}
    ], "status": "completed"}

All values are strings. Version 1.2 adds super pods (rank_table_super_pods.py). Other keys, such as host_ip and device_port, are left
to HCCL.
Sources: HCCL's own reader (topoinfo_ranktableConcise.cc, config.cc), which stops at the first fault, after all processes have started;
CANN 9.0, HCCL user guide, "Rank Table Configuration" of Atlas A3 and A2 training products (hiascend.com, hcclug_000066 and hcclug_000067).
"""

import re
from dataclasses import dataclass, replace

from src.launch import rank_table_super_pods as super_pods
from src.launch.addresses import identify, is_reachable, parse_address
from src.launch.checked_json import check_other_values, describe, find_repeated_keys, find_repeats, take_list, take_number, take_text

VERSIONS = ("1.0", "1.2")

_NAME = re.compile(r"[0-9A-Za-z]([0-9A-Za-z_.-]{0,61}[0-9A-Za-z])?")  # HCCL: below 64 characters
_DIGITS_AND_DOTS = re.compile(r"[0-9.]*\.[0-9.]*")


@dataclass(frozen=True)
class Row:
    """A device of a table; a value is None where the file has none that can be read.

    server: what tells the servers apart, whatever their server_id.
    device_ip: "" where the file gives none.
    super_device_id, super_pod_id: of version 1.2, where the table has super pods.
    places: key -> where the file has it, such as server_list[0].device[3].rank_id.
    """

    server: object
    server_id: str | None
    device_id: int | None = None
    device_ip: str | None = None
    rank_id: int | None = None
    super_device_id: int | None = None
    super_pod_id: str | None = None
    places: dict | None = None


def find_faults(tree, server_ip=None, device_ips=()):
    """All faults of a parsed table.

    Args:
        tree: what checked_json.load gives.
        server_ip: the server_id of this server, which must be in the table.
        device_ips: addresses of this server's devices, one of which must be in the table.

    Returns:
        list of str, empty for a good table.
    """
    rows, faults = read_rows(tree)
    if server_ip and identify(server_ip) not in {identify(row.server_id) for row in rows if row.server_id}:
        faults.append(f"this server is not in the table: no server_id is {server_ip}")
    if device_ips and not {identify(text) for text in device_ips} & {identify(row.device_ip) for row in rows if row.device_ip}:
        faults.append(f"this server is not in the table: no device_ip is one of {', '.join(device_ips)}")
    return faults


def read_rows(tree):
    """The devices of a parsed table in the order of the file, and its faults."""
    faults = find_repeated_keys(tree)
    if is_legacy(tree):
        return [], [*faults, "group_list: this is a table of version 0.x; `python -m src.launch.rank_table upgrade FILE` writes it as 1.0"]
    version = take_text(tree, "version", "", faults, allowed=VERSIONS)
    take_text(tree, "status", "", faults, allowed=("completed",))
    servers = take_list(tree, "server_list", "", faults)
    if version != "1.2" or "server_count" in tree:  # which may leave it out
        count = take_number(tree, "server_count", "", faults)
        if None not in (servers, count) and count != len(servers):
            faults.append(f'server_count="{count}": server_list has {len(servers)}')
    members = super_pods.read_members(tree, version, faults)
    check_other_values(tree, ("version", "status", "server_count", "server_list", "super_pod_list"), "", faults)
    by_server = [_read_server(server, f"server_list[{index}]", members is not None, faults) for index, server in enumerate(servers or ())]
    ids = [(rows[0].server_id, f"server_list[{index}].server_id") for index, rows in enumerate(by_server)]
    faults += find_repeats((text and identify(text), place, text) for text, place in ids)
    rows = [row for rows in by_server for row in rows]
    if members is not None:
        faults += super_pods.find_stray_servers(ids, members)
        pods = {member.server: member.super_pod_id for member in reversed(members)}
        rows = [replace(row, super_pod_id=pods.get(row.server_id and identify(row.server_id))) for row in rows]
    return rows, faults + find_row_faults(rows) + super_pods.find_row_faults(rows)


def _read_server(server, place, in_super_pod, faults):
    """At least one row: where the devices cannot be read, one without values."""
    server_id = take_server_id(server, place, faults)
    devices = take_list(server, "device", place, faults)
    if isinstance(server, dict) and "host_nic_ip" in server:
        take_text(server, "host_nic_ip", place, faults)
    check_other_values(server, ("server_id", "device", "host_nic_ip"), place, faults)
    rows = []
    for index, device in enumerate(devices or ()):
        at = f"{place}.device[{index}]"
        row = read_device(place, server_id, (device, at), (device, at), faults)
        rows.append(super_pods.read_device(row, device, at, faults) if in_super_pod else row)
    return rows or [Row(place, server_id)]


def take_server_id(owner, place, faults):
    """An address or a name; None, and a fault, where there is none."""
    text = take_text(owner, "server_id", place, faults)
    if text is None:
        return None
    looks_like_address = _DIGITS_AND_DOTS.fullmatch(text) or ":" in text
    if parse_address(text) is None if looks_like_address else not _NAME.fullmatch(text):
        faults.append(describe(place, "server_id", text, "an IP address, or a name of letters, digits and ._- below 64 characters,"))
        return None
    return text


def read_device(server, server_id, device, ranked, faults):
    """The row of a device.

    Args:
        server, server_id: those of the Row.
        device: (object, place) that holds device_id and device_ip.
        ranked: (object, place) that holds rank_id: the device, in version 0.x another.
    """
    tree, place = device
    device_id = take_number(tree, "device_id", place, faults)
    device_ip = "" if isinstance(tree, dict) and "device_ip" not in tree else take_text(tree, "device_ip", place, faults)
    address = device_ip and parse_address(device_ip)
    if device_ip and not (address and is_reachable(address)):
        faults.append(describe(place, "device_ip", device_ip, "the IP address of a device, such as 192.98.92.1,"))
        device_ip = None
    rank_id = take_number(ranked[0], "rank_id", ranked[1], faults)
    check_other_values(tree, ("device_id", "device_ip", "rank_id"), place, faults)
    places = {"device_id": f"{place}.device_id", "device_ip": f"{place}.device_ip", "rank_id": f"{ranked[1]}.rank_id"}
    return Row(server, server_id, device_id, device_ip, rank_id, places=places)


def find_row_faults(rows):
    """Faults of devices beside each other: ranks, devices and addresses that are there twice, ranks that are missing."""
    ranked = [row for row in rows if row.rank_id is not None]
    faults = find_repeats((row.rank_id, row.places["rank_id"], row.rank_id) for row in ranked)
    faults += find_repeats(
        ((row.server, row.device_id), row.places["device_id"], row.device_id) for row in rows if row.device_id is not None
    )
    faults += find_repeats((identify(row.device_ip), row.places["device_ip"], row.device_ip) for row in rows if row.device_ip)
    if len(ranked) == len(rows):  # else the ranks that are missing may be those that cannot be read
        faults += [
            f'{row.places["rank_id"]}="{row.rank_id}": a rank below the number of devices, {len(rows)}, is expected'
            for row in rows
            if row.rank_id >= len(rows)
        ]
        missing = sorted(set(range(len(rows))) - {row.rank_id for row in rows})
        faults += [f"no device has rank {', '.join(map(str, missing[:20]))}{', ...' if missing[20:] else ''}"] if missing else []
    faults += _find_missing_addresses(rows)
    versions = {identify(row.device_ip).version for row in rows if row.device_ip}
    if len(versions) > 1 and len({row.server for row in rows}) > 1:
        faults.append("device_ip: IPv4 and IPv6 are mixed; HCCL connects several servers by one of them")
    return faults


def _find_missing_addresses(rows):
    """A fault of each device without device_ip, where HCCL needs it, or other devices have it.

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
    return [f"{row.places['device_ip']} is missing: {reason}" for row in without]


def is_legacy(tree):
    """Whether it has the form of version 0.x."""
    return isinstance(tree, dict) and "group_list" in tree and "server_list" not in tree


def find_unkept_keys(tree):
    """What a good table holds besides the values that Row has room for."""
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
