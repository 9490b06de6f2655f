"""Addresses of the network cards of Ascend devices, from hccn_tool or hccn.conf.

hccn_tool prints `ipaddr:192.98.92.1`; hccn.conf holds lines `address_0=192.98.92.1` (and `IPv6address_0=`).
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from src.launch.addresses import parse_address

CONFIG = Path("/etc/hccn.conf")
TOOL = Path("/usr/local/Ascend/driver/tools/hccn_tool")  # installed there by the driver, usually not on PATH
_MAX_BYTES = 1 << 20
TIMEOUT = 20  # until hccn_tool must have answered


def find_addresses(device_ids: Sequence[int], config_file: Path | str | None = None) -> dict[int, str]:
    """Device id -> address, for the devices whose address is found.

    Args:
        device_ids: physical ids.
        config_file: a hccn.conf to read instead; None asks hccn_tool, and reads /etc/hccn.conf for the devices still missing.

    Raises:
        OSError: a configuration file cannot be read. ValueError: it holds a malformed address.
    """
    found = {} if config_file else _ask(device_ids)
    missing = [device for device in device_ids if device not in found]
    if missing and (config_file or os.access(CONFIG, os.R_OK)):
        known = read_config(config_file or CONFIG)
        found |= {device: known[device] for device in missing if device in known}
    return found


def require_addresses(device_ids: Sequence[int], config_file: Path | str | None = None) -> dict[int, str]:
    """Device id -> address, for all devices; arguments as for `find_addresses`.

    Raises:
        ValueError: some devices have no address; naming them, and where it was looked for.
    """
    found = find_addresses(device_ids, config_file)
    missing = [device for device in device_ids if device not in found]
    if not missing:
        return found
    first = missing[0]
    tool = _find_tool()
    file = config_file or CONFIG
    reasons = [f"{file} {f'has no line address_{first}=IP' if os.access(file, os.R_OK) else 'is not there, or cannot be read'}"]
    if not config_file:
        asked = f"`{tool} -i {first} -ip -g` prints no address" if tool else f"hccn_tool is neither on PATH nor at {TOOL}"
        reasons.insert(0, asked)
    name = f"device {first}" if len(missing) == 1 else f"devices {', '.join(map(str, missing[:8]))}{', ...' if missing[8:] else ''}"
    raise ValueError(f"no address of {name}: {'; '.join(reasons)}; --no_device_ip leaves them out")


def find_own_addresses(device_ids: Sequence[int], config_file: Path | str | None = None) -> list[str]:
    """Addresses of this machine's devices, by which it finds itself in a rank table; empty if none is found.

    Args:
        device_ids: the devices to ask hccn_tool about; of a hccn.conf all are returned.
        config_file: as for `find_addresses`; it must hold addresses.
    """
    found = {} if config_file else _ask(device_ids)
    if config_file or os.access(CONFIG, os.R_OK):
        found = read_config(config_file or CONFIG) | found
    if config_file and not found:
        raise ValueError(f"{config_file}: no line address_N=IP")
    return list(found.values())


def read_config(path: Path | str) -> dict[int, str]:
    """Device id -> address of all devices of a hccn.conf; the IPv4 address if a device has both kinds.

    Raises:
        OSError: it cannot be read. ValueError: a malformed address, or two of one device; with file and line.
    """
    with open(path, "rb") as file:
        text = file.read(_MAX_BYTES).decode("utf-8", errors="replace")
    found: dict[str, dict[int, str]] = {"": {}, "IPv6": {}}
    for number, line in enumerate(text.splitlines(), 1):
        match = re.fullmatch(r"\s*(IPv6)?address_([0-9]{1,4})\s*=(.*)", line)
        if not match:
            continue
        kind = match[1] or ""
        device = int(match[2])
        address = match[3].strip()
        if parse_address(address) is None:
            raise ValueError(f"{path}:{number}: address_{device}={ascii(address)[1:-1][:60]}: an IP address is expected")
        if device in found[kind]:
            raise ValueError(f"{path}:{number}: a second address of device {device}")
        found[kind][device] = address
    return found["IPv6"] | found[""]


def _find_tool() -> str | None:
    return shutil.which("hccn_tool") or shutil.which(TOOL)


def _ask(device_ids: Sequence[int]) -> dict[int, str]:
    """Device id -> address, as hccn_tool prints it; devices that it fails on are left out."""
    tool = _find_tool()
    if tool is None:
        return {}
    found = {}
    for device in device_ids:
        try:
            result = subprocess.run([tool, "-i", str(device), "-ip", "-g"], capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT)
        except (OSError, subprocess.TimeoutExpired):  # it does not run on this machine, or hangs, and would for the next device too
            break
        match = re.search(r"ipaddr\s*:\s*([0-9A-Fa-f.:]+)", result.stdout.decode("utf-8", errors="replace"))
        if match and parse_address(match[1]):
            found[device] = match[1]
    return found
