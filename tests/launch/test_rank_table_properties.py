"""Properties of random tables, good and spoiled."""

import contextlib
import copy
import ipaddress
import json
import random
import re
from pathlib import Path

import pytest
from rank_tables import (  # no_ascend is a fixture
    GOLDEN,
    make_legacy,
    make_super_pods,
    make_table,
    no_ascend,  # noqa: F401
    without_addresses,
    write,
)

from src.launch import rank_table_file
from src.launch.rank_table import read_table
from src.launch.rank_table_faults import read_rows
from src.launch.rank_table_file import Device, Server, Table, merge, read_legacy_table, to_json

pytestmark = pytest.mark.usefixtures("no_ascend")


def make_random_table(rng):
    """A table with random numbers of servers and devices, ids, ranks, addresses and names."""
    counts = [rng.randint(1, 8) for _ in range(rng.randint(1, 5))]
    ranks = rng.sample(range(sum(counts)), sum(counts))
    ips = iter(rng.sample(range(1, 1 << 16), sum(counts)))
    salt = rng.randrange(1 << 20)
    servers = []
    for number, count in enumerate(counts):
        devices = tuple(Device(i, str(ipaddress.ip_address((172 << 24) + next(ips))), ranks.pop()) for i in rng.sample(range(16), count))
        servers.append(Server(rng.choice([f"node_{salt}_{number}", str(ipaddress.ip_address((10 << 24) + salt * 5 + number))]), devices))
    return Table(tuple(servers))


def test_a_written_table_is_read_back():
    rng = random.Random(2)
    for _ in range(50):
        table = make_random_table(rng)
        write("table.json", to_json(table))
        assert read_table("table.json") == table
        assert all(value == "reserve" for value in re.findall(r'"host_nic_ip": "(.*)"', to_json(table)))


def test_merged_tables_hold_all_servers_and_count_their_ranks_on():
    rng = random.Random(3)
    for _ in range(50):
        tables = [make_random_table(rng) for _ in range(rng.randint(1, 4))]
        addresses_of = [{device.device_ip for server in table.servers for device in server.devices} for table in tables]
        if len(set.union(*addresses_of)) < sum(map(len, addresses_of)):
            with pytest.raises(ValueError, match="device_ip"):
                merge(list(enumerate(tables)))
            continue
        write("table.json", to_json(merge(list(enumerate(tables)))))
        merged = read_table("table.json")
        by_rank = sorted((device.rank_id, device.device_ip) for server in merged.servers for device in server.devices)
        one_by_one = [sorted((d.rank_id, d.device_ip) for server in table.servers for d in server.devices) for table in tables]
        assert [ip for _, ip in by_rank] == [ip for rows in one_by_one for _, ip in rows]
        assert [server.server_id for server in merged.servers] == [server.server_id for table in tables for server in table.servers]


JUNK = ["", "0", "1", "2", "-1", "01", "1.5", "x", "10.0.0.1", "192.168.1.1", "192.168.2.2", "fd00::1", "1.0", "1.2", "completed"]
JUNK += [0, 1, -1, 1.5, None, True, [], {}, ["0"], {"rank_id": "0"}, "10.0.0.999", "node", "a b", "[ip]", "٣", "1" * 40]
JUNK += ["reserve", "0.0.0.0"]


def find_nodes(tree):
    """(container, key) of every value in a tree."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], (dict, list)):
            yield from find_nodes(tree[key])


def mutate(tree, rng):
    container, key = rng.choice(list(find_nodes(tree)))
    other, other_key = rng.choice(list(find_nodes(tree)))
    kind = rng.randrange(5)
    if kind == 0:
        container[key] = copy.deepcopy(rng.choice(JUNK))
    elif kind == 1:
        del container[key]
    elif kind == 2:
        container[key] = copy.deepcopy(other[other_key])
    elif kind == 3 and isinstance(container, list):
        container.append(copy.deepcopy(container[key]))
    elif isinstance(container[key], str) and isinstance(other[other_key], str):
        container[key], other[other_key] = other[other_key], container[key]  # often still a good table


def find_super_pods(tree, servers):
    """Server -> super pod of a good table."""
    assert tree["version"] == "1.2"
    assert type(tree["super_pod_list"]) is list and tree["super_pod_list"]
    names = [pod["super_pod_id"] for pod in tree["super_pod_list"]]
    assert len(set(names)) == len(names) and all(type(name) is str and name for name in names)
    members = [(server["server_id"], pod["super_pod_id"]) for pod in tree["super_pod_list"] for server in pod["server_list"]]
    assert all(type(pod["server_list"]) is list and pod["server_list"] for pod in tree["super_pod_list"])
    assert sorted(name for name, _ in members) == sorted(server["server_id"] for server in servers)
    pods = dict(members)
    devices = [(pods[server["server_id"]], device, server["server_id"]) for server in servers for device in server["device"]]
    assert all(device["super_device_id"] == str(int(device["super_device_id"])) for _, device, _ in devices)
    assert all(0 <= int(device["super_device_id"]) < 2**32 - 1 for _, device, _ in devices)
    assert len({(pod, device["super_device_id"]) for pod, device, _ in devices}) == len(devices)
    by_rank = sorted((int(device["rank_id"]), pod, server) for pod, device, server in devices)
    changes = list(zip(by_rank, by_rank[1:]))
    assert sum(a[1] != b[1] for a, b in changes) == len(names) - 1
    assert sum(a[2] != b[2] for a, b in changes) == len(servers) - 1
    return pods


def is_good(tree):
    """Whether a tree is a good table, checked independently of the program."""
    try:
        servers = tree["server_list"]
        assert type(servers) is list and servers
        count = tree["server_count"] if tree["version"] == "1.0" else tree.get("server_count", str(len(servers)))
        assert (tree["version"] in ("1.0", "1.2"), tree["status"], count) == (True, "completed", str(len(servers)))
        assert not any(type(value) in (int, float, bool, type(None)) for value in tree.values())
        devices = [device for server in servers for device in server["device"]]
        assert all(type(server["device"]) is list and server["device"] for server in servers)
        assert all(type(value) is str for server in servers for key, value in server.items() if key != "device")
        assert all(type(value) is str for device in devices for value in device.values())
        assert sorted(device["rank_id"] for device in devices) == sorted(map(str, range(len(devices))))
        for server in servers:
            ids = [device["device_id"] for device in server["device"]]
            assert len(set(ids)) == len(ids) and all(text == str(int(text)) and 0 <= int(text) < 10**9 for text in ids)
        ips = [device["device_ip"] for device in devices if device.get("device_ip") != "" and "device_ip" in device]
        pods = find_super_pods(tree, servers) if "super_pod_list" in tree else {}
        assert len(ips) == len(devices) or not ips and (len(servers) == 1 or len(set(pods.values())) == 1)
        ips = [ipaddress.ip_address(text) for text in ips]
        assert len(set(ips)) == len(ips) and not any(ip.is_unspecified for ip in ips)
        assert len(servers) == 1 or len({ip.version for ip in ips}) <= 1
        names = [server["server_id"] for server in servers]
        assert len(set(names)) == len(names)
        for name in names:
            if re.search(r"[^\w.-]|^\W|\W$", name) or not name or re.fullmatch(r"[\d.]*\.[\d.]*", name):
                ipaddress.ip_address(name)
            assert name.isascii() and len(name) < 64
    except (AssertionError, KeyError, TypeError, ValueError, AttributeError, IndexError):
        return False
    return True


def test_exactly_the_good_ones_of_many_changed_tables_are_read():
    rng, verdicts = random.Random(4), []
    for _ in range(2000):
        counts = [rng.randint(1, 3) for _ in range(rng.randint(1, 3))]
        tables = (make_table(*counts), make_super_pods(counts), make_super_pods(*([count] for count in counts)))
        tree = json.loads(to_json(rng.choice([*tables, without_addresses(rng.choice(tables))])))
        for _ in range(rng.randint(1, 2)):
            mutate(tree, rng)
        good = is_good(tree)
        try:
            table = rank_table_file.make_table("table.json", *read_rows(tree))  # what read_table does, without 2000 files
        except ValueError as error:
            assert not good, (tree, error)
            assert str(error).startswith("table.json: ") and "\n" not in str(error)
        else:
            assert good, tree
            assert table.world_size == sum(len(server["device"]) for server in tree["server_list"])
        verdicts.append(good)
    assert 100 < sum(verdicts) < 1900  # both kinds occur


def test_a_changed_table_of_version_0_is_refused_or_upgraded_to_a_good_one():
    rng, read = random.Random(5), 0
    for _ in range(300):
        tree = make_legacy(*(rng.randint(1, 3) for _ in range(rng.randint(1, 3))))
        mutate(tree, rng)
        write("table.json", tree)
        try:
            text = to_json(read_legacy_table("table.json"))
        except ValueError as error:
            assert str(error).startswith("table.json: ")
        else:
            read += 1
            assert is_good(json.loads(text))
    assert 30 < read < 270  # both kinds occur


def test_changed_bytes_raise_no_other_error():
    rng = random.Random(6)
    for _ in range(300):
        data = bytearray(GOLDEN.encode())
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        Path("table.json").write_bytes(data)
        with contextlib.suppress(ValueError):
            assert is_good(json.loads(to_json(read_table("table.json"))))
