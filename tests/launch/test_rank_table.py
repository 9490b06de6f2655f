"""The commands of src.launch.rank_table, and the functions behind them."""

import subprocess
import sys
from pathlib import Path

import pytest
from rank_tables import GOLDEN, make_table, make_tree, no_ascend, run, write  # noqa: F401 (no_ascend is a fixture)

from src.launch import addresses, hccn
from src.launch.rank_table import find_own_server, read_table
from src.launch.rank_table_file import Device, Server, Table, merge, to_json

pytestmark = pytest.mark.usefixtures("no_ascend")

ROOT = Path(__file__).resolve().parents[2]


def write_conf(path="hccn.conf", ids=range(8), net="192.168.7"):
    return write(path, "".join(f"address_{i}={net}.{i}\nnetmask_{i}=255.255.255.0\n" for i in ids))


# generate


def test_a_generated_table_is_as_the_model_zoo_writes_it(capsys):
    write_conf("hccn.conf", range(9), "192.168.7")
    words = ("--device_num", "[6,8)", "--server_ip", "10.0.0.1", "--hccn_config_file", "hccn.conf", "--output_dir", "new/tables")
    assert run(capsys, "generate", *words) == (0, ["new/tables/hccl_2p_67_10.0.0.1.json"], [])
    assert Path("new/tables/hccl_2p_67_10.0.0.1.json").read_text() == GOLDEN


def test_all_eight_devices_are_the_default(capsys):
    write_conf(ids=range(8), net="10.9.9")
    write("hccn.conf", Path("hccn.conf").read_text().replace("10.9.9.0", "10.9.9.8"))
    code, out, _ = run(capsys, "generate", "--server_ip", "10.0.0.1", "--hccn_config_file", "hccn.conf")
    assert (code, out) == (0, ["hccl_8p_01234567_10.0.0.1.json"])
    assert [device.device_id for device in read_table(out[0]).servers[0].devices] == list(range(8))


def test_the_range_counts_in_the_visible_devices(capsys):
    write_conf(ids=range(4, 8))
    words = ("--device_num", "[1,3)", "--visible_devices", "4, 5,6,7", "--server_ip", "10.0.0.1", "--hccn_config_file", "hccn.conf")
    code, out, _ = run(capsys, "generate", *words)
    assert (code, out) == (0, ["hccl_2p_12_10.0.0.1.json"])  # the name has the ids that were asked for, as the model zoo's
    assert read_table(out[0]).servers[0].devices == (Device(5, "192.168.7.5", 0), Device(6, "192.168.7.6", 1))


@pytest.mark.parametrize(
    "text", ["8", "[0,8]", "(0,8)", "[0;8)", "[8,8)", "[5,3)", "[-1,3)", "[0,)", "", "[0,8)x", "[٠,٨)", "0,8", "[0,99999)"]
)
def test_a_malformed_range_is_refused(capsys, text):
    code, out, err = run(capsys, "generate", f"--device_num={text}", "--server_ip", "10.0.0.1")
    assert (code, out) == (2, [])
    assert err == [f'error: --device_num={text}: a range is expected, such as "[0,8)" for the devices 0 to 7']


@pytest.mark.parametrize("text", ["", "a", "0,0", "0,1,", "0 1", "-1,2", "1,01", "0,1.5"])
def test_malformed_visible_devices_are_refused(capsys, text):
    code, out, err = run(capsys, "generate", "--device_num", "[0,1)", f"--visible_devices={text}", "--server_ip", "10.0.0.1")
    assert (code, out) == (2, [])
    assert err == [f"error: --visible_devices={text}: different device ids are expected, separated by commas, such as 4,5,6,7"]


def test_a_range_beyond_the_visible_devices_is_refused(capsys):
    code, _, err = run(capsys, "generate", "--visible_devices", "4,5,6,7", "--device_num", "[4,8)", "--server_ip", "10.0.0.1")
    assert code == 2
    assert err == ["error: --device_num=[4,8): at most [0,4) is allowed, the number of --visible_devices=4,5,6,7"]


@pytest.mark.parametrize(
    ("words", "warned"),
    [
        (("--device_num", "[0,4)"), False),
        (("--device_num", "[5,8)"), False),
        (("--device_num", "[2,9)"), False),  # a device 8 means a newer server
        (("--device_num", "[8,16)"), False),
        (("--device_num", "[1,8)"), True),
        (("--device_num", "[3,5)"), True),
        (("--device_num", "[0,4)", "--visible_devices", "4,5,6,7"), False),
        (("--device_num", "[0,4)", "--visible_devices", "2,3,4,5"), True),
    ],
)
def test_devices_that_a_910_server_does_not_connect_cause_a_warning(capsys, words, warned):
    write_conf(ids=range(1, 17))
    write("hccn.conf", "address_0=192.168.8.1\n" + Path("hccn.conf").read_text())
    code, _, err = run(capsys, "generate", *words, "--server_ip", "10.0.0.1", "--hccn_config_file", "hccn.conf")
    assert code == 0
    assert [line.split(":")[0] for line in err] == (["warning"] if warned else [])


def test_an_address_of_two_devices_is_refused(capsys):
    write("hccn.conf", "address_0=192.168.7.1\naddress_1=192.168.7.1\n")
    code, _, err = run(capsys, "generate", "--device_num", "[0,2)", "--server_ip", "10.0.0.1", "--hccn_config_file", "hccn.conf")
    assert code == 2
    assert len(err) == 1 and 'device[1].device_ip="192.168.7.1"' in err[0]
    assert not list(Path().glob("*.json"))


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "0.0.0.0", "224.0.0.1", "10.0.0", "10.0.0.256", "server", "", "fe80::1%eth0"])
def test_a_server_address_that_others_cannot_reach_is_refused(capsys, text):
    code, _, err = run(capsys, "generate", f"--server_ip={text}")
    assert (code, err) == (2, [f"error: --server_ip={text}: an IP address is expected by which other servers reach this one"])


def test_the_address_of_the_server_is_that_of_the_route_out_else_of_its_name(monkeypatch, capsys):
    write_conf(hccn.CONFIG.parent.mkdir() or hccn.CONFIG, range(1, 3))
    monkeypatch.setattr(addresses, "find_route", lambda: "10.1.2.3")
    assert run(capsys, "generate", "--device_num", "[1,3)")[1] == ["hccl_2p_12_10.1.2.3.json"]
    monkeypatch.setattr(addresses, "find_route", lambda: None)
    monkeypatch.setattr(addresses.socket, "gethostbyname", lambda name: "10.1.2.4")
    assert run(capsys, "generate", "--device_num", "[1,3)")[1] == ["hccl_2p_12_10.1.2.4.json"]
    monkeypatch.setattr(addresses.socket, "gethostbyname", lambda name: "127.0.1.1")
    code, _, err = run(capsys, "generate", "--device_num", "[1,3)")
    assert (code, err) == (2, ["error: the address of this server is not known (found: 127.0.1.1); give it: --server_ip 10.0.0.1"])


# this server


def test_validation_tells_whether_this_server_is_in_the_table(capsys):
    path = write("table.json", to_json(make_table(2, 2)))
    assert run(capsys, "validate", path, "--server_ip", "10.0.0.2") == (
        0,
        ["table.json: good; version 1.0, 2 servers, 4 ranks; this server is 10.0.0.2"],
        [],
    )
    code, out, _ = run(capsys, "validate", path, "--server_ip", "10.0.0.3")
    assert (code, out) == (1, ["table.json: this server is not in the table: no server_id is 10.0.0.3"])
    write("hccn.conf", "address_0=192.168.2.1\n")
    code, out, _ = run(capsys, "validate", path, "--hccn_config_file", "hccn.conf")
    assert code == 0 and out[0].endswith("this server is 10.0.0.2")
    write("hccn.conf", "address_0=192.168.9.1\naddress_1=192.168.9.2\n")
    code, out, _ = run(capsys, "validate", path, "--hccn_config_file", "hccn.conf")
    assert (code, out) == (1, ["table.json: this server is not in the table: no device_ip is one of 192.168.9.1, 192.168.9.2"])


def test_validation_says_when_it_does_not_know_this_server(capsys):
    code, out, _ = run(capsys, "validate", write("table.json", to_json(make_table(1))))
    assert code == 0
    assert out[0].startswith("table.json: good; version 1.0, 1 server, 1 rank; not checked whether this server is in it")


def test_the_own_server_is_found_by_a_device_before_its_name():
    table = make_table(2, 2)
    assert find_own_server(table, ["192.168.2.1"], ["10.0.0.1"]) is table.servers[1]
    assert find_own_server(table, ["192.168.9.1"], ["10.0.0.1", "10.0.0.9"]) is table.servers[0]
    assert find_own_server(table, [], {"10.0.0.2"}) is table.servers[1]


def test_the_addresses_of_a_server_that_is_not_in_the_table_are_reported():
    with pytest.raises(ValueError, match=r"not in the rank table: .*: 10\.0\.0\.9, 192\.168\.9\.1"):
        find_own_server(make_table(2, 2), ["192.168.9.1"], ["10.0.0.9"])
    with pytest.raises(ValueError, match="none is known"):
        find_own_server(make_table(1), [], [])
    with pytest.raises(ValueError, match="several servers"):
        find_own_server(make_table(2, 2), ["192.168.1.1", "192.168.2.1"], [])


# merge


def test_merged_ranks_count_on_in_the_order_of_the_files(capsys):
    a, b = make_table(2), Table(make_table(1, 2, 1).servers[1:])
    b = Table(tuple(Server(s.server_id, tuple(Device(d.device_id, d.device_ip, d.rank_id - 1) for d in s.devices)) for s in b.servers))
    write("a.json", to_json(a))
    write("b.json", to_json(b))
    assert run(capsys, "merge", "b.json", "a.json") == (0, ["hccl_3s_5p.json"], [])
    merged = read_table("hccl_3s_5p.json")
    ranks = [(server.server_id, [device.rank_id for device in server.devices]) for server in merged.servers]
    assert ranks == [("10.0.0.2", [0, 1]), ("10.0.0.3", [2]), ("10.0.0.1", [3, 4])]


def test_merging_keeps_the_order_of_ranks_within_a_table():
    mixed = Table((Server("a", (Device(0, "10.1.1.1", 1), Device(1, "10.1.1.2", 0))),))
    merged = merge([("x", make_table(2)), ("y", mixed)])
    assert [device.rank_id for device in merged.servers[1].devices] == [3, 2]


def test_a_server_or_device_in_two_tables_is_refused(capsys):
    write("a.json", to_json(make_table(2)))
    hint = "each server has its own; `generate --server_ip` sets it"
    assert run(capsys, "merge", "a.json", "a.json") == (2, [], [f"error: a.json: server_id=10.0.0.1 is in a.json too; {hint}"])
    write("b.json", to_json(make_table(1)).replace("10.0.0.1", "10.0.0.2"))
    assert run(capsys, "merge", "a.json", "b.json")[2] == ["error: b.json: device_ip=192.168.1.1 is in a.json too; each server has its own"]
    write("c.json", to_json(make_table(1)).replace("10.0.0.1", "10.0.0.2").replace("192.168.1.1", "fd00::1"))
    assert run(capsys, "merge", "a.json", "c.json")[2][0].startswith("error: the merged table: device_ip: IPv4 and IPv6 are mixed")


def test_keys_that_merging_drops_are_named_in_one_warning(capsys):
    tree = make_tree(1)
    tree["server_list"][0] |= {"host_ip": "172.16.0.1", "host_nic_ip": "10.0.0.5"}
    tree["server_list"][0]["device"][0]["device_port"] = "16667"
    write("a.json", tree)
    assert run(capsys, "merge", "a.json") == (0, ["hccl_1s_1p.json"], ["warning: a.json: not kept: device_port, host_ip, host_nic_ip"])


def test_a_merged_table_does_not_overwrite_one_that_is_read(capsys):
    path = write("hccl_1s_1p.json", GOLDEN)
    write("hccl_1s_2p.json", GOLDEN)
    code, _, err = run(capsys, "merge", "hccl_1s_2p.json")
    assert (code, err) == (2, ["error: hccl_1s_2p.json: the new table would overwrite one that is read; see --output_dir"])
    assert run(capsys, "merge", path, "--output_dir", "out")[:2] == (0, ["out/hccl_1s_2p.json"])


# show, and the program as a whole


def test_devices_are_shown_by_rank(capsys):
    path = write("table.json", to_json(Table((Server("node_0", (Device(10, "192.168.1.10", 1), Device(2, "192.168.1.2", 0))),))))
    code, out, _ = run(capsys, "show", path)
    assert code == 0
    assert out == [
        "rank  server  device  address",
        "0     node_0  2       192.168.1.2",
        "1     node_0  10      192.168.1.10",
    ]


def test_the_program_runs_by_itself(tmp_path):
    (tmp_path / "b\udcff.json").write_text("[")  # a name that is no UTF-8
    command = [sys.executable, "-m", "src.launch.rank_table", "validate", str(tmp_path / "b\udcff.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(f"{tmp_path}/b\\udcff.json: no JSON: ")


@pytest.mark.parametrize("words", [(), ("generat",), ("show",), ("show", "a", "b"), ("generate", "--devices", "8"), ("merge",)])
def test_wrong_arguments_are_reported_in_one_line(capsys, words):
    code, out, err = run(capsys, *words)
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith("error: ")
