"""Addresses of devices from a fake hccn_tool and from hccn.conf; addresses of the machine."""

import socket

import pytest

from src.launch import addresses, hccn

TOOL = """#!/bin/sh
[ "$1 $3 $4" = "-i -ip -g" ] || exit 9
case $2 in
0) printf 'ipaddr:192.168.3.1\\nnetmask:255.255.255.0\\n' ;;
1) printf 'ipaddr: 192.168.3.2 / netmask:255.255.255.0\\n' ;;
2) printf 'hccn_tool: device 2 has no ip\\n'; exit 1 ;;
3) printf '\\377\\376ipaddr:-.-.-.-\\n' ;;
esac
"""


@pytest.fixture(autouse=True)
def hccn_in_tmp_path(monkeypatch, tmp_path):
    """hccn_tool and hccn.conf are looked for in tmp_path alone."""
    monkeypatch.setattr(hccn, "CONFIG", tmp_path / "hccn.conf")
    monkeypatch.setattr(hccn, "TOOL", tmp_path / "driver" / "hccn_tool")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def write_tool(path, text=TOOL):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_hccn_tool_is_asked_for_each_device(tmp_path):
    write_tool(tmp_path / "hccn_tool")
    assert hccn.require_addresses([0, 1]) == {0: "192.168.3.1", 1: "192.168.3.2"}
    assert hccn.find_addresses([0, 1, 2, 3, 4]) == {0: "192.168.3.1", 1: "192.168.3.2"}


def test_hccn_tool_is_found_where_the_driver_puts_it():
    write_tool(hccn.TOOL)
    assert hccn.find_addresses([1]) == {1: "192.168.3.2"}


def test_addresses_that_the_tool_lacks_are_read_from_hccn_conf(tmp_path):
    write_tool(tmp_path / "hccn_tool")
    hccn.CONFIG.write_text("address_0=10.1.1.0\naddress_2=10.1.1.2\n")
    assert hccn.require_addresses([2, 0]) == {0: "192.168.3.1", 2: "10.1.1.2"}


def test_a_file_that_is_named_is_read_instead_of_asking_the_tool(tmp_path):
    write_tool(tmp_path / "hccn_tool")
    (tmp_path / "mine.conf").write_text("address_0=10.1.1.9\n")
    assert hccn.require_addresses([0], tmp_path / "mine.conf") == {0: "10.1.1.9"}
    with pytest.raises(FileNotFoundError, match="none.conf"):
        hccn.find_addresses([0], tmp_path / "none.conf")


@pytest.mark.parametrize("text", ["#!/no/such/interpreter\n", "\0\0", "#!/bin/sh\nexec sleep 60\n"])
def test_a_tool_that_does_not_run_counts_as_absent(tmp_path, monkeypatch, text):
    monkeypatch.setattr(hccn, "TIMEOUT", 0.2)
    write_tool(tmp_path / "hccn_tool", text)
    assert hccn.find_addresses([0, 1]) == {}


def test_a_missing_address_is_reported_with_where_it_was_looked_for(tmp_path):
    with pytest.raises(ValueError) as caught:
        hccn.require_addresses([3])
    assert str(caught.value) == (
        f"no address of device 3: hccn_tool is neither on PATH nor at {hccn.TOOL}; {hccn.CONFIG} is not there, or cannot be read"
        "; --no_device_ip leaves them out"
    )
    write_tool(tmp_path / "hccn_tool")
    hccn.CONFIG.write_text("address_0=10.1.1.0\n")
    with pytest.raises(ValueError) as caught:
        hccn.require_addresses([0, 2, 3])
    assert str(caught.value) == (
        f"no address of devices 2, 3: `{tmp_path}/hccn_tool -i 2 -ip -g` prints no address; {hccn.CONFIG} has no line address_2=IP"
        "; --no_device_ip leaves them out"
    )
    with pytest.raises(ValueError) as caught:
        hccn.require_addresses([2], hccn.CONFIG)
    assert str(caught.value) == f"no address of device 2: {hccn.CONFIG} has no line address_2=IP; --no_device_ip leaves them out"


def test_lines_of_hccn_conf(tmp_path):
    path = tmp_path / "hccn.conf"
    path.write_bytes(
        b"# address_9=1\n\naddress_0=10.1.1.0\r\nnetmask_0=255.255.255.0\n address_10 = 10.1.1.10 \nIPv6address_0=fd00::1\n"
        b"IPv6address_1=fd00::2\nsend_arp_status_0=1\n\xff\xfe\n"
    )
    assert hccn.read_config(path) == {0: "10.1.1.0", 1: "fd00::2", 10: "10.1.1.10"}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("address_1=", "address_1=: an IP address is expected"),
        ("address_1=10.1.1", "address_1=10.1.1: an IP address is expected"),
        ("address_1=10.1.1.1 # first", "address_1=10.1.1.1 # first: an IP address is expected"),
        ("address_0=10.1.1.1", "a second address of device 0"),
    ],
)
def test_a_bad_line_of_hccn_conf_is_reported_with_its_number(tmp_path, line, fault):
    path = tmp_path / "hccn.conf"
    path.write_text(f"address_0=10.1.1.0\n{line}\n")
    with pytest.raises(ValueError) as caught:
        hccn.read_config(path)
    assert str(caught.value) == f"{path}:2: {fault}"


def test_own_addresses_are_those_of_tool_and_file(tmp_path):
    assert hccn.find_own_addresses([0, 1]) == []
    hccn.CONFIG.write_text("address_0=10.1.1.0\naddress_7=10.1.1.7\n")
    assert hccn.find_own_addresses([0, 1]) == ["10.1.1.0", "10.1.1.7"]
    write_tool(tmp_path / "hccn_tool")
    assert set(hccn.find_own_addresses([0, 1])) == {"192.168.3.1", "192.168.3.2", "10.1.1.7"}
    (tmp_path / "empty.conf").write_text("")
    with pytest.raises(ValueError, match="empty.conf: no line address_N=IP"):
        hccn.find_own_addresses([0], tmp_path / "empty.conf")


def test_addresses_of_the_machine_are_its_interfaces_and_its_name(monkeypatch, tmp_path):
    (tmp_path / "fib_trie").write_text(
        "Local:\n  +-- 0.0.0.0/0 3 0 5\n        |-- 127.0.0.1\n           /32 host LOCAL\n        |-- 10.2.0.5\n           /32 host LOCAL\n"
        "        |-- 10.2.0.255\n           /32 link BROADCAST\n"
    )
    (tmp_path / "if_inet6").write_text(
        "fd000000000000000000000000000002 04 40 00 82     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n"
    )
    monkeypatch.setattr(addresses, "ROUTES", tmp_path / "fib_trie")
    monkeypatch.setattr(addresses, "INTERFACES_6", tmp_path / "if_inet6")
    monkeypatch.setattr(addresses, "find_route", lambda: "10.2.0.6")
    assert addresses.find_host_addresses() == {"10.2.0.5", "10.2.0.6", "fd00::2", socket.gethostname()}


def test_every_address_of_this_machine_can_be_listened_on():
    for text in addresses.find_host_addresses() - {socket.gethostname()}:
        address = addresses.parse_address(text)
        if address.is_link_local:  # needs its interface
            continue
        with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((text, 0))
