"""Rank tables of version 1.2, whose servers are in super pods, and tables without device addresses."""

import json
from pathlib import Path

import pytest
from rank_tables import (  # no_ascend is a fixture
    make_super_pods,
    make_table,
    make_tree,
    no_ascend,  # noqa: F401
    remove,
    run,
    set_value,
    without_addresses,
    write,
)

from src.launch import commands
from src.launch.local import plan_rank_table
from src.launch.rank_table_faults import find_faults
from src.launch.rank_table_file import Device, read_table, to_json

pytestmark = pytest.mark.usefixtures("no_ascend")

# Two cards of two chips each; the third chip of a card is its controller. The columns are those of npu-smi 25.
NPU_SMI = """#!/bin/sh
case "$*" in
"info -m")
    printf '\\tNPU ID       Chip ID      Chip Logic ID    Chip Phy-ID    Chip Name\\n'
    for id in 0 1 2 3; do printf "\\t$((id / 2))   $((id % 2))   $id   $id   Ascend910\\n"; done
    printf '\\t1   2   -   -   Mcu\\n' ;;
"info -t spod-info -i 0 -c "*) printf "\\tSDID                 : $((16777216 + $7))\\n\\tSuper Pod Size : 384\\n\\tSuper Pod ID : 3\\n" ;;
"info -t spod-info -i 1 -c 0") printf '\\tSDID : 17039362\\n\\tSuper Pod ID                 : 4\\n\\tServer Index : 4\\n' ;;
*) echo "this device does not support it"; exit 1 ;;
esac
"""
ALONE = "no device has a device_ip: HCCL needs none within one {}, unless HCCL_INTRA_ROCE_ENABLE=1 or HCCL_INTER_HCCS_DISABLE=TRUE has it "
ALONE += "send over the devices' network cards"


@pytest.fixture
def npu_smi(tmp_path, monkeypatch):
    (tmp_path / "npu-smi").write_text(NPU_SMI)
    (tmp_path / "npu-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


# generate

GENERATE = ("generate", "--version", "1.2", "--server_ip", "10.0.0.1", "--device_num")


def test_npu_smi_is_asked_for_numbers_in_the_super_pod(capsys, npu_smi):
    write("hccn.conf", "address_0=192.168.7.1\naddress_1=192.168.7.2\n")
    assert run(capsys, *GENERATE, "[0,2)", "--hccn_config_file", "hccn.conf") == (0, ["hccl_2p_01_10.0.0.1.json"], [])
    tree = json.loads(Path("hccl_2p_01_10.0.0.1.json").read_text())
    assert (tree["version"], tree["super_pod_list"]) == ("1.2", [{"super_pod_id": "3", "server_list": [{"server_id": "10.0.0.1"}]}])
    first = {"device_id": "0", "super_device_id": "16777216", "device_ip": "192.168.7.1", "rank_id": "0"}
    assert tree["server_list"][0]["device"] == [first, {**first, **dict(zip(first, ("1", "16777217", "192.168.7.2", "1")))}]


def test_a_table_without_addresses_is_made_on_request_with_a_warning(capsys):
    words = ("--no_device_ip", "--super_device_ids", "4294967294, 5", "--super_pod_id", "rack_1")
    code, out, err = run(capsys, *GENERATE, "[3,5)", *words)
    assert (code, err) == (0, [f"warning: {out[0]}: {ALONE.format('server')}"])
    server = read_table(out[0]).servers[0]
    assert (server.super_pod_id, server.devices) == ("rack_1", (Device(3, "", 0, 4294967294), Device(4, "", 1, 5)))
    code, out, err = run(capsys, "generate", "--server_ip", "10.0.0.1", "--no_device_ip")
    assert (code, len(err), read_table(out[0]).version) == (0, 1, "1.0")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("[0,3)",), "npu-smi names several super pods for the devices of this server: 3, 4"),
        (("[3,4)",), "`npu-smi info -t spod-info -i 1 -c 1` prints no SDID and Super Pod ID: no device of a super pod? --super_device_ids"),
        (("[4,5)",), "`npu-smi info -m` has no Chip Phy-ID 4; --super_device_ids and --super_pod_id give the numbers"),
        (("[0,1)", "--super_pod_id", "0"), "--super_pod_id=0: --super_device_ids and --super_pod_id are given both, or neither"),
        (("[0,1)", "--version", "1.0", "--super_pod_id", "0"), "--super_pod_id=0: only tables of --version 1.2 have super pods"),
        (("[0,2)", "--super_pod_id", "0", "--super_device_ids", "7"), "--super_device_ids=7: one number for each of 2 devices is expected"),
        (
            ("[0,2)", "--super_pod_id", "0", "--super_device_ids", "7,7"),
            'the generated table: server_list[0].device[1].super_device_id="7": server_list[0].device[0].super_device_id has it',
        ),
        (
            ("[0,1)", "--super_pod_id", "0", "--super_device_ids", "4294967295"),
            'the generated table: server_list[0].device[0].super_device_id="4294967295": a whole number from "0" to "4294967294"',
        ),
    ],
)
def test_bad_options_for_a_super_pod_are_reported(capsys, npu_smi, words, expected):
    code, out, err = run(capsys, *GENERATE, *words, "--no_device_ip")
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith(f"error: {expected}")


def test_without_npu_smi_the_numbers_are_required(capsys):
    advice = "--super_device_ids and --super_pod_id give the numbers"
    assert run(capsys, *GENERATE, "[0,2)", "--no_device_ip")[2] == [f"error: npu-smi is not on PATH; {advice}"]


# validate, show, merge


def test_a_table_of_super_pods_is_shown_with_their_numbers(capsys):
    path = write("table.json", to_json(make_super_pods((1, 1), (1,))))
    pods = [16777216, 16777217, 16777216]
    assert run(capsys, "validate", path, "--server_ip", "10.0.0.2") == (
        0,
        ["table.json: good; version 1.2, 3 servers, 2 super pods, 3 ranks; this server is 10.0.0.2"],
        [],
    )
    assert [line.split() for line in run(capsys, "show", path)[1]] == [
        ["rank", "server", "device", "address", "super_pod", "super_device"],
        *([str(n), f"10.0.0.{n + 1}", "0", f"192.168.{n + 1}.1", f"pod_{n // 2}", str(pod)] for n, pod in enumerate(pods)),
    ]


def test_tables_of_one_super_pod_are_merged_and_other_pods_kept(capsys):
    whole = make_super_pods((2, 1), (2,))
    for index, server in enumerate(json.loads(to_json(whole))["server_list"]):
        for rank, device in enumerate(server["device"]):
            device["rank_id"] = str(rank)
        pods = [{"super_pod_id": whole.servers[index].super_pod_id, "server_list": [{"server_id": server["server_id"]}]}]
        tree = {"version": "1.2", "server_list": [server], "status": "completed", "super_pod_list": pods}  # server_count may be absent
        write(f"{index}.json", tree)
    assert run(capsys, "merge", "0.json", "1.json", "2.json") == (0, ["hccl_3s_5p.json"], [])
    assert read_table("hccl_3s_5p.json") == whole
    expected = 'error: the merged table: super pod "pod_0": its ranks are not consecutive'
    assert run(capsys, "merge", "0.json", "2.json", "1.json") == (2, [], [expected])
    write("plain.json", to_json(make_table(1)))
    expected = "error: plain.json: version 1.0, but 2.json has 1.2: all with super pods, or none"
    assert run(capsys, "merge", "2.json", "plain.json") == (2, [], [expected])
    twice = json.loads(Path("2.json").read_text().replace("10.0.0.3", "10.0.0.9").replace("192.168.3", "192.168.9"))
    expected = "error: twice.json: super_device_id=16777216 is in 2.json too; each server has its own"
    assert run(capsys, "merge", "2.json", write("twice.json", twice)) == (2, [], [expected])


def test_the_example_of_hccls_guide_is_good_and_keys_that_merging_drops_are_named(capsys):
    tree = json.loads(to_json(make_super_pods((4, 4), (4, 4))))
    for server in tree["server_list"]:
        server["host_ip"] = "172.16.0.1"
        server["device"][0] |= {"backup_device_ip": "192.168.1.7", "host_port": "16665"}
    assert find_faults(tree) == []
    code, _, err = run(capsys, "merge", write("a.json", tree))
    assert (code, err) == (0, ["warning: a.json: not kept: backup_device_ip, host_ip, host_port"])


FIRST, PODS = ("server_list", 0, "device", 0), "super_pod_list"
FAULTS = {
    "a missing number": (remove(*FIRST, "super_device_id"), ["server_list[0].device[0].super_device_id is missing"]),
    "a number that the super pod has twice": (
        set_value(["server_list", 1, "device", 0, "super_device_id"], "16777216"),
        ['server_list[1].device[0].super_device_id="16777216": server_list[0].device[0].super_device_id has it already'],
    ),
    "an empty list": (
        set_value([PODS], []),
        [
            "super_pod_list=[]: a non-empty list is expected",
            *(f'server_list[{n}].server_id="10.0.0.{n + 1}": no super pod of super_pod_list has it' for n in range(3)),
        ],
    ),
    "a super pod without id": (remove(PODS, 0, "super_pod_id"), ["super_pod_list[0].super_pod_id is missing"]),
    "a super pod with an empty id": (
        set_value([PODS, 0, "super_pod_id"], ""),
        ['super_pod_list[0].super_pod_id="": the number or name of a super pod is expected'],
    ),
    "a super pod that is there twice": (
        set_value([PODS, 1, "super_pod_id"], "pod_0"),
        [
            'super_pod_list[1].super_pod_id="pod_0": super_pod_list[0].super_pod_id has it already',
            'server_list[2].device[0].super_device_id="16777216": server_list[0].device[0].super_device_id has it already',
            'server_list[2].device[1].super_device_id="16777217": server_list[0].device[1].super_device_id has it already',
        ],
    ),
    "a super pod that is none": (
        set_value([PODS, 1], 5),
        ["super_pod_list[1]=5: an object is expected", 'server_list[2].server_id="10.0.0.3": no super pod of super_pod_list has it'],
    ),
    "a server in no super pod": (
        remove(PODS, 0, "server_list", 1),
        ['server_list[1].server_id="10.0.0.2": no super pod of super_pod_list has it'],
    ),
    "a server in two super pods": (
        lambda tree: tree[PODS][1]["server_list"].append({"server_id": "10.0.0.1"}),
        ['super_pod_list[1].server_list[1].server_id="10.0.0.1": super_pod_list[0].server_list[0].server_id has it already'],
    ),
    "a super pod's server that is not listed": (
        lambda tree: tree[PODS][1]["server_list"].append({"server_id": "node_9"}),
        ['super_pod_list[1].server_list[1].server_id="node_9": server_list has no such server'],
    ),
    "ranks across servers": (
        lambda tree: [set_value(["server_list", n, "device", 1 - n, "rank_id"], text)(tree) for n, text in enumerate("21")],
        [f"server_list[{n}]: its ranks are not consecutive" for n in range(2)],
    ),
    "no address in one of two super pods": (
        remove("server_list", 2, "device", 0, "device_ip"),
        ["server_list[2].device[0].device_ip is missing: servers are connected by it, unless one super pod has them all"],
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_super_pods_is_named(name):
    change, expected = FAULTS[name]
    tree = json.loads(to_json(make_super_pods((2, 2), (2,))))
    change(tree)
    assert find_faults(tree) == expected


# tables without addresses


@pytest.mark.parametrize(("table", "joined"), [(make_table(8), "server"), (make_super_pods((2, 2)), "super pod")])
def test_one_server_and_one_super_pod_need_no_addresses_but_cause_a_warning(capsys, table, joined):
    table = without_addresses(table)
    path = write("table.json", to_json(table))
    assert "device_ip" not in Path(path).read_text()
    write("hccn.conf", "address_0=192.168.9.1\n")  # which tells nothing of a table without addresses
    code, out, err = run(capsys, "validate", path, "--server_ip", "10.0.0.1", "--hccn_config_file", "hccn.conf")
    assert (code, out[0].split("; ")[-1], err) == (0, "this server is 10.0.0.1", [f"warning: table.json: {ALONE.format(joined)}"])
    code, out, err = run(capsys, "show", path)
    assert (code, out[1].split()[:4], len(err)) == (0, ["0", "10.0.0.1", "0", "-"], 1)
    program = commands.Program(("python", "run_pretrain.py"), cores=(0,), environ={})
    assert len(plan_rank_table(program, path, server_ip="10.0.0.1").ranks) == len(table.servers[0].devices)
    assert capsys.readouterr().err == f"warning: table.json: {ALONE.format(joined)}\n"


@pytest.mark.parametrize("table", [make_table(1, 1), make_super_pods((1,), (1,))])
def test_several_servers_and_several_super_pods_need_addresses(table):
    reason = "servers are connected by it, unless one super pod has them all"
    faults = [f"server_list[{n}].device[0].device_ip is missing: {reason}" for n in range(2)]
    assert find_faults(json.loads(to_json(without_addresses(table)))) == faults


def test_an_address_that_only_one_device_lacks_is_a_fault():
    tree = make_tree(3)
    del tree["server_list"][0]["device"][1]["device_ip"]
    assert find_faults(tree) == ["server_list[0].device[1].device_ip is missing: other devices have theirs"]


def test_version_1_2_without_super_pods_causes_a_warning(capsys):
    tree = make_tree(1, 1) | {"version": "1.2"}
    path = write("table.json", tree)
    code, out, err = run(capsys, "validate", path, "--server_ip", "10.0.0.1")
    assert (code, out[0].split("; ")[1]) == (0, "version 1.2, 2 servers, 2 ranks")
    assert err == ["warning: table.json: version 1.2 without super_pod_list: HCCL reads it like version 1.0"]
    assert read_table(path) == make_table(1, 1)
