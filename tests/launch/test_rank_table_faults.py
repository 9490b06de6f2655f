"""Messages about faulty tables, and about files that are not tables."""

from pathlib import Path

import pytest
from rank_tables import GOLDEN, make_tree, no_ascend, remove, run, set_value, write  # noqa: F401 (no_ascend is a fixture)

from src.launch.rank_table_faults import find_faults

pytestmark = pytest.mark.usefixtures("no_ascend")

# name -> a change to a good table of 2 + 2 devices, and all resulting faults
FIRST, LAST = ("server_list", 0, "device", 0), ("server_list", 1, "device", 1)
FAULTS = {
    "an unknown version": (set_value(["version"], "1.1"), ['version="1.1": "1.0" or "1.2" is expected']),
    "a version that is a number": (set_value(["version"], 1.0), ["version=1.0: a string is expected"]),
    "a table that is not completed": (set_value(["status"], "initializing"), ['status="initializing": "completed" is expected']),
    "a missing status": (remove("status"), ["status is missing"]),
    "a wrong server_count": (set_value(["server_count"], "1"), ['server_count="1": server_list has 2']),
    "a server_count that is a number": (set_value(["server_count"], 2), ["server_count=2: a string is expected"]),
    "servers that are no list": (set_value(["server_list"], {"a": 1}), ["server_list={...}: a list is expected"]),
    "no servers": (set_value(["server_list"], []), ["server_list=[]: a non-empty list is expected"]),
    "a server that is none": (set_value(["server_list", 1], "x"), ['server_list[1]="x": an object is expected']),
    "a server without devices": (
        set_value(["server_list", 1, "device"], []),
        ["server_list[1].device=[]: a non-empty list is expected"],
    ),
    "a device that is none": (set_value(LAST, None), ["server_list[1].device[1]=null: an object is expected"]),
    "a server that is there twice": (
        set_value(["server_list", 1, "server_id"], "10.0.0.1"),
        ['server_list[1].server_id="10.0.0.1": server_list[0].server_id has it already'],
    ),
    "a server address that is none": (
        set_value(["server_list", 1, "server_id"], "10.0.0.256"),
        ['server_list[1].server_id="10.0.0.256": an IP address, or a name of letters, digits and ._- below 64 characters, is expected'],
    ),
    "a placeholder for the server": (
        set_value(["server_list", 0, "server_id"], "[server_id]"),
        ['server_list[0].server_id="[server_id]": an IP address, or a name of letters, digits and ._- below 64 characters, is expected'],
    ),
    "a rank that is there twice": (
        set_value([*LAST, "rank_id"], "0"),
        ['server_list[1].device[1].rank_id="0": server_list[0].device[0].rank_id has it already', "no device has rank 3"],
    ),
    "a gap in the ranks": (
        set_value([*LAST, "rank_id"], "7"),
        ['server_list[1].device[1].rank_id="7": a rank below the number of devices, 4, is expected', "no device has rank 3"],
    ),
    "a rank that is a number": (set_value([*LAST, "rank_id"], 3), ["server_list[1].device[1].rank_id=3: a string is expected"]),
    "a negative rank": (
        set_value([*LAST, "rank_id"], "-1"),
        ['server_list[1].device[1].rank_id="-1": a whole number from "0" to "999999999", without leading zeros, is expected'],
    ),
    "a device that is there twice": (
        set_value([*LAST, "device_id"], "0"),
        ['server_list[1].device[1].device_id="0": server_list[1].device[0].device_id has it already'],
    ),
    "a device id that is a boolean": (
        set_value([*FIRST, "device_id"], True),
        ["server_list[0].device[0].device_id=true: a string is expected"],
    ),
    "an address that is there twice": (
        set_value([*LAST, "device_ip"], "192.168.1.1"),
        ['server_list[1].device[1].device_ip="192.168.1.1": server_list[0].device[0].device_ip has it already'],
    ),
    "an address that is none": (  # what a broken generator wrote: gpustack/gpustack#2551
        set_value([*FIRST, "device_ip"], "-.-.-.-"),
        ['server_list[0].device[0].device_ip="-.-.-.-": the IP address of a device, such as 192.98.92.1, is expected'],
    ),
    "an address of the machine for itself": (
        set_value([*FIRST, "device_ip"], "127.0.0.1"),
        ['server_list[0].device[0].device_ip="127.0.0.1": the IP address of a device, such as 192.98.92.1, is expected'],
    ),
    "a missing address": (
        remove(*FIRST, "device_ip"),
        ["server_list[0].device[0].device_ip is missing: servers are connected by it, unless one super pod has them all"],
    ),
    "an empty address": (
        set_value([*FIRST, "device_ip"], ""),
        ["server_list[0].device[0].device_ip is missing: servers are connected by it, unless one super pod has them all"],
    ),
    "super pods of version 1.0": (
        set_value(["super_pod_list"], []),
        ['super_pod_list: HCCL reads it only in version "1.2", this is "1.0"'],
    ),
    "addresses of both kinds": (
        set_value([*FIRST, "device_ip"], "fd00::1"),
        ["device_ip: IPv4 and IPv6 are mixed; HCCL connects several servers by one of them"],
    ),
    "a leading zero": (
        set_value([*LAST, "device_id"], "01"),
        ['server_list[1].device[1].device_id="01": a whole number from "0" to "999999999", without leading zeros, is expected'],
    ),
    "another value of a server that is null": (
        set_value(["server_list", 0, "host_ip"], None),
        ["server_list[0].host_ip=null: a string is expected"],
    ),
    "another value of the table that is a number": (set_value(["epoch"], 1.5), ["epoch=1.5: a string is expected"]),
    "another value of a device that is a number": (
        set_value([*FIRST, "device_port"], 16667),
        ["server_list[0].device[0].device_port=16667: a string is expected"],
    ),
    "a host_nic_ip that is no string": (
        set_value(["server_list", 0, "host_nic_ip"], []),
        ["server_list[0].host_nic_ip=[]: a string is expected"],
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(name):
    change, expected = FAULTS[name]
    tree = make_tree(2, 2)
    change(tree)
    assert find_faults(tree) == expected


def test_a_good_table_has_no_fault():
    assert find_faults(make_tree(8, 8)) == []


def test_all_faults_are_reported_at_once(capsys):
    tree = make_tree(2, 2)
    for name in ("an unknown version", "a table that is not completed", "a device that is there twice", "an address that is none"):
        FAULTS[name][0](tree)
    path = write("table.json", tree)
    code, out, err = run(capsys, "validate", path)
    assert (code, len(out), err) == (1, 4, [])
    assert all(line.startswith("table.json: ") for line in out)
    assert run(capsys, "show", path) == (2, [], ['error: table.json: version="1.1": "1.0" or "1.2" is expected (and 3 more)'])


def test_a_repeated_key_is_named(capsys):
    write("table.json", GOLDEN.replace('"rank_id": "0"', '"rank_id": "0", "rank_id": "0"'))
    assert run(capsys, "validate", "table.json")[1] == ["table.json: server_list[0].device[0].rank_id occurs more than once"]


def test_other_keys_another_order_and_names_of_servers_are_allowed():
    tree = make_tree(2, 2)
    tree["server_list"][0] |= {"server_id": "node_0", "host_ip": "172.16.0.1"}
    tree["server_list"][1]["device"].reverse()
    del tree["server_list"][1]["host_nic_ip"]
    tree["comment"] = {"any": [1, 2]}
    assert find_faults(tree) == []


def test_two_spellings_of_an_address_are_the_same():
    tree = make_tree(2)
    for device, text in zip(tree["server_list"][0]["device"], ("fd00::1", "FD00:0::0001")):
        device["device_ip"] = text
    assert find_faults(tree) == ['server_list[0].device[1].device_ip="FD00:0::0001": server_list[0].device[0].device_ip has it already']


HOSTILE = {
    "empty": b"",
    "text": b"rank table",
    "binary": bytes(range(256)),
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "as deep as parsers allow": b'{"server_list":' * 400 + b"[]" + b"}" * 400,
    "number": b"1",
    "large number": b"9" * 5000,
    "null": b"null",
    "not a number": b'{"version": NaN, "server_count": Infinity}',
    "list": b"[{}]",
    "half a surrogate pair": rb'{"version": "\ud800", "\udfff": 1}',
    "line breaks": rb'{"version": "1\n2\u2028", "a\nb": 1}',
    "long value": b'{"version": "' + b"1" * 100_000 + b'"}',
    "utf-16": GOLDEN.encode("utf-16")[:-3],
    "a rank of many digits": GOLDEN.replace('"rank_id": "1"', f'"rank_id": "{"9" * 9000}"').encode(),
    "many servers": b'{"version": "1.0", "server_list": [' + b"{}," * 2_000 + b"{}]}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_files_that_are_not_tables_are_reported_in_short_lines(capsys, name):
    Path("table.json").write_bytes(HOSTILE[name])
    code, out, err = run(capsys, "validate", "table.json")
    assert (code, err) == (1, [])
    assert out and all(line.startswith("table.json: ") and len(line) < 300 for line in out)
    for words in (("show",), ("merge",), ("upgrade",)):
        code, out, err = run(capsys, *words, "table.json")
        assert (code, out, len(err)) == (2, [], 1)
        assert err[0].startswith("error: table.json: ") and len(err[0]) < 400


@pytest.mark.parametrize("command", ["validate", "show", "merge", "upgrade"])
def test_an_unreadable_file_is_reported_in_one_line(capsys, tmp_path, command):
    assert run(capsys, command, "none.json") == (2, [], ["error: none.json: No such file or directory"])
    assert run(capsys, command, tmp_path) == (2, [], [f"error: {tmp_path}: Is a directory"])


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero")
def test_a_file_without_end_is_not_read_to_its_end(capsys):
    assert run(capsys, "validate", "/dev/zero") == (1, ["/dev/zero: more than 4 MiB, too large for a rank table"], [])
