"""Addresses of the network cards of Ascend devices, as hccn_tool or hccn.conf tells them.

hccn_tool prints `ipaddr:192.98.92.1`; hccn.conf holds lines `address_0=192.98.92.1` (and `IPv6address_0=`).
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from src.launch.addresses import parse_address

CONFIG = Path("/etc/hccn.conf")
TOOL = Path("/usr/local/Ascend/driver/tools/hccn_tool")  # where the driver puts it, mostly not on PATH
_LARGEST = 1 << 20  # bytes
_SECONDS = 20  # that a device may take to answer


def find_addresses(device_ids, config_file=None):
    """Device id -> address, for the devices whose address is found.

    Args:
        device_ids: physical ids.
        config_file: a hccn.conf to read instead of asking; None asks hccn_tool, and reads /etc/hccn.conf for what it does not tell.

    Raises:
        OSError: a configuration file cannot be read. ValueError: one of its addresses is none.
    """
    found = {} if config_file else _ask(device_ids)
    missing = [device for device in device_ids if device not in found]
    if missing and (config_file or os.access(CONFIG, os.R_OK)):
        known = read_config(config_file or CONFIG)
        found |= {device: known[device] for device in missing if device in known}
    return found


def require_addresses(device_ids, config_file=None):
    """The same, of all devices.

    Raises:
        ValueError: naming the devices without an address, and where it was looked for.
    """
    found = find_addresses(device_ids, config_file)
    missing = [device for device in device_ids if device not in found]
    if not missing:
        return found
    first, tool, file = missing[0], _find_tool(), config_file or CONFIG
    reasons = [f"{file} {f'has no line address_{first}=IP' if os.access(file, os.R_OK) else 'is not there, or cannot be read'}"]
    if not config_file:
        asked = f"`{tool} -i {first} -ip -g` prints no address" if tool else f"hccn_tool is neither on PATH nor at {TOOL}"
        reasons.insert(0, asked)
    name = f"device {first}" if len(missing) == 1 else f"devices {', '.join(map(str, missing[:8]))}{', ...' if missing[8:] else ''}"
    raise ValueError(f"no address of {name}: {'; '.join(reasons)}; --no_device_ip leaves them out")


def find_own_addresses(device_ids, config_file=None):
    """Addresses of this machine's devices, by which it finds itself in a rank table; empty where there are none to be found.

    Args:
        device_ids: those to ask hccn_tool about; a hccn.conf tells all.
        config_file: as above, and it must hold addresses.
    """
    found = {} if config_file else _ask(device_ids)
    if config_file or os.access(CONFIG, os.R_OK):
        found = read_config(config_file or CONFIG) | found
    if config_file and not found:
        raise ValueError(f"{config_file}: no line address_N=IP")
    return list(found.values())


def read_config(path):
    """Device id -> address of all devices of a hccn.conf; of both kinds, the IPv4 address.

    Raises:
        OSError: it cannot be read. ValueError: with file and line; no address, or two of one device.
    """
    with open(path, "rb") as file:
        text = file.read(_LARGEST).decode("utf-8", errors="replace")
    found = {"": {}, "IPv6": {}}
    for number, line in enumerate(text.splitlines(), 1):
        match = re.fullmatch(r"\s*(IPv6)?address_([0-9]{1,4})\s*=(.*)", line)
        if not match:
            continue
        kind, device, address = match[1] or "", int(match[2]), match[3].strip()
        if parse_address(address) is None:
            raise ValueError(f"{path}:{number}: address_{device}={ascii(address)[1:-1][:60]}: an IP address is expected")
        if device in found[kind]:
            raise ValueError(f"{path}:{number}: a second address of device {device}")
        found[kind][device] = address
    return found["IPv6"] | found[""]


def _find_tool():
    return shutil.which("hccn_tool") or shutil.which(TOOL)


def _ask(device_ids):
    """What hccn_tool tells; a device that it fails on is left out."""
    tool, found = _find_tool(), {}
    for device in device_ids if tool else ():
        try:
            result = subprocess.run([tool, "-i", str(device), "-ip", "-g"], capture_output=True, stdin=subprocess.DEVNULL, timeout=_SECONDS)
        except (OSError, subprocess.TimeoutExpired):  # it is no program of this machine, or hangs, as it would for the next device
            break
        match = re.search(r"ipaddr\s*:\s*([0-9A-Fa-f.:]+)", result.stdout.decode("utf-8", errors="replace"))
        if match and parse_address(match[1]):
            found[device] = match[1]
    return found
