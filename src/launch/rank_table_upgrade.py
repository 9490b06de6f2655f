"""Rank tables of version 0.x, which MindSpore's first releases took.

    {"board_id": "0x0000", "chip_info": "910", "deploy_mode": "lab", "group_count": "1", "group_list": [
        {"device_num": "8", "server_num": "1", "group_name": "", "instance_count": "8", "instance_list": [
            {"devices": [{"device_id": "0", "device_ip": "192.98.92.1"}], "rank_id": "0", "server_id": "10.0.0.1"}, …]}
    ], "para_plane_nic_location": "device", "para_plane_nic_name": ["eth0", …], "para_plane_nic_num": "8", "status": "completed"}

Version 1.0 has nothing for the other keys. Source: config/hccl_single_machine_multi_rank.json and
hccl_multi_machine_multi_rank.json of the old MindSpore repository, whose addresses stand for the user's own.
"""

from src.launch.addresses import identify
from src.launch.checked_json import describe, find_repeated_keys, take_list, take_number, take_text
from src.launch.rank_table_faults import Row, find_row_faults, is_legacy, read_device, take_server_id


def read_legacy_rows(tree):
    """The devices of a parsed table of version 0.x in the order of the file, and its faults.

    Returns:
        tuple: list of rank_table_faults.Row, list of str.
    """
    if isinstance(tree, dict) and not is_legacy(tree):
        return [], ["group_list is missing: this is no table of version 0.x"]
    faults = find_repeated_keys(tree)
    take_text(tree, "status", "", faults, allowed=("completed",))
    groups = take_list(tree, "group_list", "", faults)
    if groups is None:
        return [], faults
    if len(groups) > 1:
        faults.append(f"group_list has {len(groups)} groups: one of all devices is expected, version 1.0 knows no groups")
    place = "group_list[0]"
    instances = take_list(groups[0], "instance_list", place, faults)
    rows = [_read_instance(instance, f"{place}.instance_list[{index}]", faults) for index, instance in enumerate(instances or ())]
    if rows:
        _check_count(groups[0], "instance_count", len(rows), place, faults)
        _check_count(groups[0], "device_num", len(rows), place, faults)
        if all(row.server_id for row in rows):
            _check_count(groups[0], "server_num", len({row.server for row in rows}), place, faults)
    return rows, faults + find_row_faults(rows)


def _read_instance(instance, place, faults):
    """An instance is what version 1.0 calls a device: one rank on one device."""
    server_id = take_server_id(instance, place, faults)
    server = server_id and identify(server_id)
    devices = take_list(instance, "devices", place, faults)
    if devices and len(devices) > 1:
        faults.append(f"{place}.devices has {len(devices)}: one device for each rank is expected")
    if devices is None:
        rank_id = take_number(instance, "rank_id", place, faults)
        return Row(server, server_id, rank_id=rank_id, places={"rank_id": f"{place}.rank_id"})
    return read_device(server, server_id, (devices[0], f"{place}.devices[0]"), (instance, place), faults)


def _check_count(group, key, count, place, faults):
    """A count may be absent; what is there must be right, or the list may have lost a part."""
    found = take_number(group, key, place, faults) if key in group else count
    if found is not None and found != count:
        faults.append(describe(place, key, str(found), f'"{count}"'))
