"""Rank tables of version 0.x, which MindSpore's first releases took.

    {"board_id": "0x0000", "chip_info": "910", "deploy_mode": "lab", "group_count": "1", "group_list": [
        {"device_num": "8", "server_num": "1", "group_name": "", "instance_count": "8", "instance_list": [
            {"devices": [{"device_id": "0", "device_ip": "192.98.92.1"}], "rank_id": "0", "server_id": "10.0.0.1"}, …]}
    ], "para_plane_nic_location": "device", "para_plane_nic_name": ["eth0", …], "para_plane_nic_num": "8", "status": "completed"}

Version 1.0 has no counterpart of the other keys. Source: config/hccl_single_machine_multi_rank.json and
hccl_multi_machine_multi_rank.json of the old MindSpore repository, whose addresses are placeholders.
"""

from typing import Any

from src.launch.addresses import identify
from src.launch.checked_json import describe, find_repeated_keys, take_list, take_number, take_text
from src.launch.rank_table_faults import find_row_faults, is_legacy, read_device, take_server_id
from src.launch.rank_table_row import Row


def read_legacy_rows(tree: Any) -> tuple[list[Row], list[str]]:
    """The devices of a parsed table of version 0.x in file order, and its faults."""
    if isinstance(tree, dict) and not is_legacy(tree):
        return [], ["group_list is missing: not a table of version 0.x"]
    faults = find_repeated_keys(tree)
    take_text(tree, "status", "", faults, allowed=("completed",))
    groups = take_list(tree, "group_list", "", faults)
    if groups is None:
        return [], faults
    if len(groups) > 1:
        faults.append(f"group_list has {len(groups)} groups: a single group of all devices is expected, as version 1.0 has no groups")
    group, path = groups[0], "group_list[0]"
    instances = take_list(group, "instance_list", path, faults)
    rows = [_read_instance(instance, f"{path}.instance_list[{index}]", faults) for index, instance in enumerate(instances or ())]
    if rows:
        _check_count(group, "instance_count", len(rows), path, faults)
        _check_count(group, "device_num", len(rows), path, faults)
        if all(row.server_id for row in rows):
            _check_count(group, "server_num", len({row.server for row in rows}), path, faults)
    return rows, faults + find_row_faults(rows)


def _read_instance(instance: Any, path: str, faults: list[str]) -> Row:
    """The Row of an instance, which is one rank on one device."""
    server_id = take_server_id(instance, path, faults)
    server = server_id and identify(server_id)
    devices = take_list(instance, "devices", path, faults)
    if devices is None:
        rank_id = take_number(instance, "rank_id", path, faults)
        return Row(server, server_id, rank_id=rank_id, paths={"rank_id": f"{path}.rank_id"})
    if len(devices) > 1:
        faults.append(f"{path}.devices has {len(devices)}: one device for each rank is expected")
    return read_device(server, server_id, (devices[0], f"{path}.devices[0]"), (instance, path), faults)


def _check_count(group: dict[str, Any], key: str, count: int, path: str, faults: list[str]) -> None:
    """Append a fault if the file gives a wrong count: the list may have lost a part. It may give none."""
    found = take_number(group, key, path, faults) if key in group else count
    if found is not None and found != count:
        faults.append(describe(path, key, str(found), f'"{count}"'))
