"""Rank tables for tests, changes that spoil them, and a way to run the commands."""

import json
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import pytest
from conftest import exit_code

from src.launch import hccn
from src.launch.rank_table import main
from src.launch.rank_table_file import Device, Server, Table, to_json

GOLDEN = """\
{
    "version": "1.0",
    "server_count": "1",
    "server_list": [
        {
            "server_id": "10.0.0.1",
            "device": [
                {
                    "device_id": "6",
                    "device_ip": "192.168.7.6",
                    "rank_id": "0"
                },
                {
                    "device_id": "7",
                    "device_ip": "192.168.7.7",
                    "rank_id": "1"
                }
            ],
            "host_nic_ip": "reserve"
        }
    ],
    "status": "completed"
}
"""


@pytest.fixture
def no_ascend(monkeypatch, tmp_path):
    """Hide Ascend devices that this machine may have."""
    monkeypatch.setattr(hccn, "CONFIG", tmp_path / "etc" / "hccn.conf")
    monkeypatch.setattr(hccn, "TOOL", tmp_path / "driver" / "hccn_tool")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)


def make_table(*counts):
    """A table with a server 10.0.0.N for each number of devices."""
    servers, rank = [], 0
    for number, count in enumerate(counts, 1):
        servers.append(Server(f"10.0.0.{number}", tuple(Device(i, f"192.168.{number}.{i + 1}", rank + i) for i in range(count))))
        rank += count
    return Table(tuple(servers))


def make_super_pods(*pods):
    """A table of super pods, given as the numbers of devices of their servers; a pod numbers its devices from 16777216."""
    names = [(f"pod_{number}", start) for number, counts in enumerate(pods) for start in accumulate(counts[:-1], initial=1 << 24)]
    table = make_table(*(count for counts in pods for count in counts))
    servers = []
    for server, (name, start) in zip(table.servers, names):
        devices = tuple(replace(device, super_device_id=start + index) for index, device in enumerate(server.devices))
        servers.append(replace(server, devices=devices, super_pod_id=name))
    return Table(tuple(servers))


def without_addresses(table):
    """The same table without any device_ip."""
    return Table(
        tuple(replace(server, devices=tuple(replace(device, device_ip="") for device in server.devices)) for server in table.servers)
    )


def make_tree(*counts):
    return json.loads(to_json(make_table(*counts)))


def make_legacy(*counts):
    """A table in the form of hccl_single_machine_multi_rank.json and hccl_multi_machine_multi_rank.json."""
    devices = [(server.server_id, device) for server in make_table(*counts).servers for device in server.devices]
    instances = [
        {
            "devices": [{"device_id": str(device.device_id), "device_ip": device.device_ip}],
            "rank_id": str(device.rank_id),
            "server_id": server_id,
        }
        for server_id, device in devices
    ]
    count = str(len(devices))
    group = {"device_num": count, "server_num": str(len(counts)), "group_name": "", "instance_count": count, "instance_list": instances}
    return {
        "board_id": "0x0000",
        "chip_info": "910",
        "deploy_mode": "lab",
        "group_count": "1",
        "group_list": [group],
        "para_plane_nic_location": "device",
        "para_plane_nic_name": [f"eth{i}" for i in range(8)],
        "para_plane_nic_num": "8",
        "status": "completed",
        "hccl_config_json_spec": {"board_id": "an explanation"},
    }


def write(path, content):
    Path(path).write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def run(capsys, *argv):
    """Exit code, lines of stdout, lines of stderr."""
    code = exit_code(main, [str(word) for word in argv])
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err.splitlines()


def set_value(path, value):
    def change(tree):
        *way, last = path
        for step in way:
            tree = tree[step]
        tree[last] = value

    return change


def remove(*path):
    def change(tree):
        *way, last = path
        for step in way:
            tree = tree[step]
        del tree[last]

    return change
