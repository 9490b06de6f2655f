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
    """device_id: physical, on its server; device_ip: of its own network card."""

    device_id: int
    device_ip: str
    rank_id: int


@dataclass(frozen=True)
class Server:
    """server_id: its address, or a name; devices: tuple of Device, in the order of the file."""

    server_id: str
    devices: tuple


@dataclass(frozen=True)
class Table:
    """servers: tuple of Server, in the order of the file."""

    servers: tuple

    @property
    def world_size(self):
        """Number of ranks."""
        return sum(len(server.devices) for server in self.servers)


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
    devices, server_ids = defaultdict(list), {}
    for row in rows:
        devices[row.server].append(Device(row.device_id, row.device_ip, row.rank_id))
        server_ids[row.server] = row.server_id
    return Table(tuple(Server(server_ids[server], tuple(devices[server])) for server in devices))


def check(name, table):
    """The table itself.

    Raises:
        ValueError: it is none that could be read again.
    """
    make_table(name, *read_rows(json.loads(to_json(table))))
    return table


def to_json(table):
    """The text of a file in version 1.0."""
    servers = [
        {
            "server_id": server.server_id,
            "device": [
                {"device_id": str(device.device_id), "device_ip": device.device_ip, "rank_id": str(device.rank_id)}
                for device in server.devices
            ],
            "host_nic_ip": "reserve",
        }
        for server in table.servers
    ]
    tree = {"version": "1.0", "server_count": str(len(servers)), "server_list": servers, "status": "completed"}
    return json.dumps(tree, indent=4) + "\n"


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
    """One Table of several, ranks counted on from table to table.

    Args:
        named_tables: list of (file name for errors, Table).

    Raises:
        ValueError: a server, or the address of a device, is in two of them, or IPv4 and IPv6 are mixed.
    """
    servers, seen, first_rank = [], {}, 0
    for number, (name, table) in enumerate(named_tables):
        for server in table.servers:
            for key, text in [("server_id", server.server_id), *(("device_ip", device.device_ip) for device in server.devices)]:
                other = seen.setdefault((key, identify(text)), number)
                if other != number:
                    hint = "; `generate --server_ip` sets it" if key == "server_id" else ""
                    raise ValueError(f"{name}: {key}={text} is in {named_tables[other][0]} too; each server has its own{hint}")
            devices = tuple(replace(device, rank_id=first_rank + device.rank_id) for device in server.devices)
            servers.append(replace(server, devices=devices))
        first_rank += table.world_size
    return check("the merged table", Table(tuple(servers)))


def to_text(table):
    """Lines of rank, server, device and address, by rank."""
    rows = [(device.rank_id, server.server_id, device.device_id, device.device_ip) for server in table.servers for device in server.devices]
    cells = [("rank", "server", "device", "address"), *(tuple(map(str, row)) for row in sorted(rows))]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)
