"""The devices of a rank table as objects: read, written, merged, searched for the own server."""

import json
from collections import defaultdict
from dataclasses import dataclass, replace

from src.launch import checked_json
from src.launch.addresses import identify
from src.launch.rank_table_faults import read_rows
from src.launch.rank_table_upgrade import read_legacy_rows


@dataclass(frozen=True)
class Device:
    """device_id: physical, on its server; device_ip: of its own network card, "" for none; super_device_id: in its super pod."""

    device_id: int
    device_ip: str
    rank_id: int
    super_device_id: int | None = None


@dataclass(frozen=True)
class Server:
    """server_id: its address, or a name; devices: tuple of Device, in the order of the file; super_pod_id: None for a table without."""

    server_id: str
    devices: tuple
    super_pod_id: str | None = None


@dataclass(frozen=True)
class Table:
    """servers: tuple of Server, in the order of the file."""

    servers: tuple

    @property
    def world_size(self):
        """Number of ranks."""
        return sum(len(server.devices) for server in self.servers)

    @property
    def version(self):
        """Version in which it is written: super pods need 1.2."""
        return "1.0" if self.servers[0].super_pod_id is None else "1.2"

    @property
    def has_addresses(self):
        """Whether its devices have a device_ip: all or none."""
        return bool(self.servers[0].devices[0].device_ip)


def read_table(path):
    """The Table of a file.

    Raises:
        OSError: it cannot be read. ValueError: it is no good table; with file, key, value and what is allowed.
    """
    return make_table(path, *read_rows(checked_json.load(path)))


def read_legacy_table(path):
    """The Table of a file of version 0.x; raises what `read_table` does."""
    return make_table(path, *read_legacy_rows(checked_json.load(path)))


def make_table(name, rows, faults):
    """The Table of what `read_rows` gives.

    Raises:
        ValueError: with the name of the table and the first of its faults.
    """
    if faults:
        raise ValueError(f"{name}: {faults[0]}" + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""))
    by_server = defaultdict(list)
    for row in rows:
        by_server[row.server].append(row)
    return Table(tuple(_make_server(rows) for rows in by_server.values()))


def _make_server(rows):
    devices = tuple(Device(row.device_id, row.device_ip, row.rank_id, row.super_device_id) for row in rows)
    return Server(rows[0].server_id, devices, rows[0].super_pod_id)


def check(name, table):
    """The Table as a file of it would be read again.

    Raises:
        ValueError: the file would have faults.
    """
    return make_table(name, *read_rows(json.loads(to_json(table))))


def to_json(table):
    """The text of a file."""
    servers = [
        {"server_id": server.server_id, "device": [_to_tree(device) for device in server.devices], "host_nic_ip": "reserve"}
        for server in table.servers
    ]
    tree = {"version": table.version, "server_count": str(len(servers)), "server_list": servers, "status": "completed"}
    if table.version == "1.2":
        members = defaultdict(list)
        for server in table.servers:
            members[server.super_pod_id].append({"server_id": server.server_id})
        tree["super_pod_list"] = [{"super_pod_id": pod, "server_list": servers} for pod, servers in members.items()]
    return json.dumps(tree, indent=4) + "\n"


def _to_tree(device):
    values = {
        "device_id": device.device_id,
        "super_device_id": device.super_device_id,
        "device_ip": device.device_ip or None,
        "rank_id": device.rank_id,
    }
    return {key: str(value) for key, value in values.items() if value is not None}


def find_notes(table):
    """What is to be known of a good table: list of str."""
    if table.has_addresses:
        return []
    joined = "one server" if len(table.servers) == 1 else "one super pod"
    return [
        f"no device has a device_ip: HCCL needs none within {joined}, unless HCCL_INTRA_ROCE_ENABLE=1 or HCCL_INTER_HCCS_DISABLE=TRUE "
        "has it send over the devices' network cards"
    ]


def find_own_server(table, hccn_addresses, host_addresses):
    """The Server of a table that this machine is.

    Args:
        hccn_addresses: addresses of this machine's devices; they decide, as in the model zoo.
        host_addresses: addresses and names of the machine itself, compared with server_id if no device address is in the table.

    Raises:
        ValueError: it is none or several of them; naming the addresses.
    """
    devices, hosts = {identify(text) for text in hccn_addresses}, {identify(text) for text in host_addresses}
    found = [server for server in table.servers if devices & {identify(device.device_ip) for device in server.devices}]
    found = found or [server for server in table.servers if identify(server.server_id) in hosts]
    if len(found) == 1:
        return found[0]
    looked_for = ", ".join(sorted(map(str, devices | hosts))) or "none is known"
    if found:
        raise ValueError(f"the rank table has several servers with addresses of this one: {looked_for}")
    raise ValueError(f"this server is not in the rank table: no device_ip or server_id is one of its addresses: {looked_for}")


def merge(named_tables):
    """One Table of several, ranks counted on from table to table; super pods of one super_pod_id become one.

    Args:
        named_tables: list of (file name for errors, Table).

    Raises:
        ValueError: their versions differ; a server, or what is of one device, is in two of them; IPv4 and IPv6 are mixed; the tables of
            a super pod do not follow each other; an address is missing that several servers need.
    """
    servers, seen, first_rank = [], {}, 0
    first_name, version = named_tables[0][0], named_tables[0][1].version
    for number, (name, table) in enumerate(named_tables):
        if table.version != version:
            raise ValueError(f"{name}: version {table.version}, but {first_name} has {version}: all with super pods, or none")
        for server in table.servers:
            for key, text, identity in _find_own(server):
                other = seen.setdefault((key, identity), number)
                if other != number:
                    hint = "; `generate --server_ip` sets it" if key == "server_id" else ""
                    raise ValueError(f"{name}: {key}={text} is in {named_tables[other][0]} too; each server has its own{hint}")
            devices = tuple(replace(device, rank_id=first_rank + device.rank_id) for device in server.devices)
            servers.append(replace(server, devices=devices))
        first_rank += table.world_size
    return check("the merged table", Table(tuple(servers)))


def _find_own(server):
    """(key, value, identity) of what no other server may have."""
    yield "server_id", server.server_id, identify(server.server_id)
    for device in server.devices:
        if device.device_ip:
            yield "device_ip", device.device_ip, identify(device.device_ip)
        if device.super_device_id is not None:
            yield "super_device_id", device.super_device_id, (server.super_pod_id, device.super_device_id)


def to_text(table):
    """Lines of rank, server, device and address, by rank; of super pod and number in it, where there are super pods."""
    names = ["rank", "server", "device", "address"] + (["super_pod", "super_device"] if table.version == "1.2" else [])
    rows = [
        (device.rank_id, server.server_id, device.device_id, device.device_ip or "-", server.super_pod_id, device.super_device_id)
        for server in table.servers
        for device in server.devices
    ]
    cells = [names, *(tuple(map(str, row[: len(names)])) for row in sorted(rows))]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)
