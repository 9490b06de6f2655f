"""This machine's addresses on its own network; src.launch.hccn finds those of its devices."""

import ipaddress
import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

ROUTES = Path("/proc/net/fib_trie")
INTERFACES_6 = Path("/proc/net/if_inet6")
_SOMEWHERE = ("1.1.1.1", 53)  # any address reached by the default route: connecting a UDP socket only looks the route up


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The IPv4 or IPv6 address in a text; None if there is none, or if it has a zone (fe80::1%eth0), valid on one machine only."""
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


def identify(text: str) -> IPv4Address | IPv6Address | str:
    """An object that is equal for two spellings of an address; the text itself if it is a name."""
    return parse_address(text) or text


def is_reachable(address: IPv4Address | IPv6Address) -> bool:
    """Whether the address can be that of another machine or device."""
    return not (address.is_loopback or address.is_unspecified or address.is_multicast)


def find_server_ip() -> str:
    """The address by which other servers know this one: that of the default route, or else that of its host name.

    Raises:
        ValueError: neither is reachable from other machines.
    """
    found = find_route() or _resolve_name()
    if found is None or not is_reachable(ipaddress.ip_address(found)):
        raise ValueError(f"the address of this server is not known (found: {found}); give it: --server_ip 10.0.0.1")
    return found


def find_host_addresses() -> set[str]:
    """All addresses of this machine that others may know, and its host name."""
    found = {find_route(), *_list_addresses()}
    return {text for text in found if text and is_reachable(ipaddress.ip_address(text))} | {socket.gethostname()}


def find_route() -> str | None:
    """This machine's address on the default route; None without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_SOMEWHERE)
            return probe.getsockname()[0]
        except OSError:
            return None


def _resolve_name() -> str | None:
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return None


def _list_addresses() -> Iterator[str]:
    """The addresses of Linux's network interfaces; nothing on other systems."""
    if ROUTES.is_file():
        yield from re.findall(r"\|-- (\S+)\s+/32 host LOCAL", ROUTES.read_text())
    if INTERFACES_6.is_file():
        for line in INTERFACES_6.read_text().splitlines():
            yield str(IPv6Address(int(line.split()[0], 16)))
