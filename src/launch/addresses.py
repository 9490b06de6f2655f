"""The addresses of this machine on its own network; those of its devices are in src.launch.hccn."""

import ipaddress
import re
import socket
from pathlib import Path

_ROUTES, _INTERFACES_6 = Path("/proc/net/fib_trie"), Path("/proc/net/if_inet6")
_SOMEWHERE = ("1.1.1.1", 53)  # any address behind the route out: connecting a UDP socket only looks the route up


def parse_address(text):
    """The IPv4 or IPv6 address that a text is, or None; a zone (fe80::1%eth0) means something on one machine alone, so it is none."""
    try:
        return None if "%" in text else ipaddress.ip_address(text)
    except ValueError:
        return None


def identify(text):
    """The same object for two spellings of one address; the text itself where it is a name."""
    return parse_address(text) or text


def is_reachable(address):
    """Whether another machine or device can be meant by it."""
    return not (address.is_loopback or address.is_unspecified or address.is_multicast)


def find_server_ip():
    """The address by which other servers know this one: that of the route out, else of its host name.

    Raises:
        ValueError: there is none but the machine's address for itself.
    """
    found = _find_route() or _resolve_name()
    if found is None or not is_reachable(ipaddress.ip_address(found)):
        raise ValueError(f"the address of this server is not known (found: {found}); give it: --server_ip 10.0.0.1")
    return found


def find_host_addresses():
    """All addresses of this machine that others may know, and its host name."""
    found = {_find_route(), *_list_addresses()} - {None}
    return {text for text in found if is_reachable(ipaddress.ip_address(text))} | {socket.gethostname()}


def _find_route():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_SOMEWHERE)
            return probe.getsockname()[0]
        except OSError:
            return None


def _resolve_name():
    try:
        return socket.gethostbyname(socket.gethostname())
    except OSError:
        return None


def _list_addresses():
    """What Linux tells of its interfaces; nothing elsewhere."""
    if _ROUTES.is_file():
        yield from re.findall(r"\|-- (\S+)\s+/32 host LOCAL", _ROUTES.read_text())
    if _INTERFACES_6.is_file():
        for line in _INTERFACES_6.read_text().splitlines():
            yield str(ipaddress.IPv6Address(int(line.split()[0], 16)))
