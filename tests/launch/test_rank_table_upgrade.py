"""Tables of version 0.x."""

import random
from pathlib import Path

import pytest
from rank_tables import GOLDEN, make_legacy, make_table, no_ascend, remove, run, set_value, write  # noqa: F401 (no_ascend is a fixture)

from src.launch.rank_table import read_table

pytestmark = pytest.mark.usefixtures("no_ascend")


@pytest.mark.parametrize("counts", [(8,), (8, 8), (1,)])
def test_a_table_of_version_0_becomes_the_same_in_version_1(capsys, counts):
    legacy = make_legacy(*counts)
    random.Random(1).shuffle(legacy["group_list"][0]["instance_list"])
    Path("old").mkdir()
    write("old/table.json", legacy)
    assert run(capsys, "upgrade", "old/table.json") == (0, ["old/table_v1.json"], [])
    upgraded = read_table("old/table_v1.json")
    assert as_set(upgraded) == as_set(make_table(*counts))
    assert run(capsys, "upgrade", "old/table.json", "--output_dir", "new")[1] == ["new/table_v1.json"]


def test_two_spellings_of_a_server_are_one_when_upgraded(capsys):
    legacy = make_legacy(2)
    for instance, text in zip(legacy["group_list"][0]["instance_list"], ("fd00::1", "FD00:0::1")):
        instance["server_id"] = text
    assert run(capsys, "upgrade", write("old.json", legacy))[0] == 0
    assert len(read_table("old_v1.json").servers) == 1


def as_set(table):
    return {(server.server_id, device) for server in table.servers for device in server.devices}


def test_other_commands_say_how_to_upgrade(capsys):
    path = write("old.json", make_legacy(2))
    hint = "group_list: this is a table of version 0.x; `python -m src.launch.rank_table upgrade FILE` writes it as 1.0"
    assert run(capsys, "validate", path) == (1, [f"old.json: {hint}"], [])
    assert run(capsys, "merge", path) == (2, [], [f"error: old.json: {hint}"])


INSTANCE = ("group_list", 0, "instance_list", 1)
LEGACY_FAULTS = {
    "the placeholders of the example": (
        set_value([*INSTANCE, "devices", 0, "device_ip"], "[device_ip_1]"),
        'group_list[0].instance_list[1].devices[0].device_ip="[device_ip_1]": the IP address of a device, such as 192.98.92.1, is expected',
    ),
    "a rank that is there twice": (
        set_value([*INSTANCE, "rank_id"], "0"),
        'group_list[0].instance_list[1].rank_id="0": group_list[0].instance_list[0].rank_id has it already (and 1 more)',
    ),
    "a missing rank": (remove(*INSTANCE, "rank_id"), "group_list[0].instance_list[1].rank_id is missing"),
    "a device that is there twice": (
        set_value([*INSTANCE, "devices", 0, "device_id"], "0"),
        'group_list[0].instance_list[1].devices[0].device_id="0": group_list[0].instance_list[0].devices[0].device_id has it already',
    ),
    "an instance that is none": (set_value(INSTANCE, 5), "group_list[0].instance_list[1]=5: an object is expected"),
    "an instance without device": (
        set_value([*INSTANCE, "devices"], []),
        "group_list[0].instance_list[1].devices=[]: a non-empty list is expected",
    ),
    "an instance of two devices": (
        lambda tree: tree["group_list"][0]["instance_list"][1]["devices"].append({}),
        "group_list[0].instance_list[1].devices has 2: one device for each rank is expected",
    ),
    "a lost instance": (
        remove("group_list", 0, "instance_list", 1),
        'group_list[0].instance_count="2": "1" is expected (and 1 more)',
    ),
    "a wrong number of servers": (set_value(["group_list", 0, "server_num"], "2"), 'group_list[0].server_num="2": "1" is expected'),
    "two groups": (
        lambda tree: tree["group_list"].append({}),
        "group_list has 2 groups: a single group of all devices is expected, as version 1.0 has no groups",
    ),
    "a group that is none": (set_value(["group_list", 0], []), "group_list[0]=[]: an object is expected"),
    "no groups": (set_value(["group_list"], None), "group_list=null: a list is expected"),
    "a table that is not completed": (set_value(["status"], "initializing"), 'status="initializing": "completed" is expected'),
}


@pytest.mark.parametrize("name", LEGACY_FAULTS)
def test_a_fault_stops_an_upgrade(capsys, name):
    change, expected = LEGACY_FAULTS[name]
    tree = make_legacy(2)
    change(tree)
    assert run(capsys, "upgrade", write("old.json", tree)) == (2, [], [f"error: old.json: {expected}"])
    assert not Path("old_v1.json").exists()


def test_version_1_needs_no_upgrade(capsys):
    assert run(capsys, "upgrade", write("new.json", GOLDEN))[2] == ["error: new.json: group_list is missing: not a table of version 0.x"]
