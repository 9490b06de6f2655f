"""Rank tables as objects: reading, writing, merging, and finding this server."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from src.launch import checked_json
from src.launch.addresses import identify
from src.launch.rank_table_faults import read_rows
from src.launch.rank_table_row import Row
from src.launch.rank_table_upgrade import read_legacy_rows


@dataclass(frozen=True)
class Device:
    """A device of a server.

    device_id: the physical id on the server.
    device_ip: the address of the device's network card, "" for none.
    super_device_id: the number in the super pod, None without one.
    """

    device_id: int
    device_ip: str
    rank_id: int
    super_device_id: int | None = None


@dataclass(frozen=True)
class Server:
    """A server and its devices in file order.

    server_id: an address or a name.
    super_pod_id: None in a table without super pods.
    """

    server_id: str
    devices: tuple[Device, ...]
    super_pod_id: str | None = None


@dataclass(frozen=True)
class Table:
    """A good rank table: its servers in file order."""

    servers: tuple[Server, ...]

    @property
    def world_size(self) -> int:
        """Number of ranks."""
        return sum(len(server.devices) for server in self.servers)

    @property
    def version(self) -> str:
        """The version that the table is written in: super pods need 1.2."""
        return "1.0" if self.servers[0].super_pod_id is None else "1.2"

    @property
    def has_addresses(self) -> bool:
        """Whether the devices have a device_ip: all do, or none."""
        return bool(self.servers[0].devices[0].device_ip)


def read_table(path: Path | str) -> Table:
    """The Table of a file.

    Raises:
        OSError: it cannot be read. ValueError: the table has faults; naming the file, the key, its value and what is allowed.
    """
    return make_table(path, *read_rows(checked_json.load(path)))


def read_legacy_table(path: Path | str) -> Table:
    """The Table of a file of version 0.x; raises the errors of `read_table`."""
    return make_table(path, *read_legacy_rows(checked_json.load(path)))


def make_table(name: Path | str, rows: Sequence[Row], faults: Sequence[str]) -> Table:
    """The Table made of the results of `read_rows`.

    Raises:
        ValueError: there are faults; with the table's name and the first of them.
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


def check(name: Path | str, table: Table) -> Table:
    """The Table as it would be read back from its file.

    Raises:
        ValueError: the file would have faults.
    """
    return make_table(name, *read_rows(json.loads(to_json(table))))


def to_json(table: Table) -> str:
    """The text of the table's file."""
    servers = [
        {"server_id": server.server_id, "device": [_to_tree(device) for device in server.devices], "host_nic_ip": "reserve"}
        for server in table.servers
    ]
    tree: dict[str, Any] = {"version": table.version, "server_count": str(len(servers)), "server_list": servers, "status": "completed"}
    if table.version == "1.2":
        members = defaultdict(list)
        for server in table.servers:
            members[server.super_pod_id].append({"server_id": server.server_id})
        tree["super_pod_list"] = [{"super_pod_id": pod, "server_list": servers} for pod, servers in members.items()]
    return json.dumps(tree, indent=4) + "\n"


def _to_tree(device: Device) -> dict[str, str]:
    values = {
        "device_id": device.device_id,
        "super_device_id": device.super_device_id,
        "device_ip": device.device_ip or None,
        "rank_id": device.rank_id,
    }
    return {key: str(value) for key, value in values.items() if value is not None}


def find_notes(table: Table) -> list[str]:
    """Remarks on a good table that its user should know."""
    if table.has_addresses:
        return []
    joined = "one server" if len(table.servers) == 1 else "one super pod"
    return [
        f"no device has a device_ip: HCCL needs none within {joined}, unless HCCL_INTRA_ROCE_ENABLE=1 or HCCL_INTER_HCCS_DISABLE=TRUE "
        "has it send over the devices' network cards"
    ]


def find_own_server(table: Table, device_addresses: Collection[str], host_addresses: Collection[str]) -> Server:
    """The Server of a table that is this machine.

    Args:
        device_addresses: addresses of this machine's devices; they decide, as in the model zoo.
        host_addresses: addresses and names of the machine itself, compared with server_id if no device address is in the table.

    Raises:
        ValueError: no server matches, or several do; naming the addresses.
    """
    devices = {identify(text) for text in device_addresses}
    hosts = {identify(text) for text in host_addresses}
    found = [server for server in table.servers if devices & {identify(device.device_ip) for device in server.devices}]
    found = found or [server for server in table.servers if identify(server.server_id) in hosts]
    if len(found) == 1:
        return found[0]
    looked_for = ", ".join(sorted(map(str, devices | hosts))) or "none is known"
    if found:
        raise ValueError(f"the rank table has several servers with addresses of this one: {looked_for}")
    raise ValueError(f"this server is not in the rank table: no device_ip or server_id is one of its addresses: {looked_for}")


def merge(named_tables: Sequence[tuple[Any, Table]]) -> Table:
    """One Table made of several; ranks continue from table to table, and super pods of one super_pod_id become one.

    Args:
        named_tables: pairs of a name for error messages and a Table.

    Raises:
        ValueError: versions differ; a server, or what belongs to one device, is in two tables; IPv4 and IPv6 are mixed; tables of one
            super pod are not adjacent; an address is missing that several servers need.
    """
    servers = []
    owners: dict[tuple[str, Any], int] = {}  # (key, identity) -> index of the table
    first_rank = 0
    first_name, first_table = named_tables[0]
    for index, (name, table) in enumerate(named_tables):
        if table.version != first_table.version:
            raise ValueError(f"{name}: version {table.version}, but {first_name} has {first_table.version}: all with super pods, or none")
        for server in table.servers:
            for key, text, identity in _list_unique(server):
                owner = owners.setdefault((key, identity), index)
                if owner != index:
                    hint = "; `generate --server_ip` sets it" if key == "server_id" else ""
                    raise ValueError(f"{name}: {key}={text} is in {named_tables[owner][0]} too; each server has its own{hint}")
            devices = tuple(replace(device, rank_id=first_rank + device.rank_id) for device in server.devices)
            servers.append(replace(server, devices=devices))
        first_rank += table.world_size
    return check("the merged table", Table(tuple(servers)))


def _list_unique(server: Server) -> Iterator[tuple[str, Any, Any]]:
    """(key, value, identity) of each value that no other server may have."""
    yield "server_id", server.server_id, identify(server.server_id)
    for device in server.devices:
        if device.device_ip:
            yield "device_ip", device.device_ip, identify(device.device_ip)
        if device.super_device_id is not None:
            yield "super_device_id", device.super_device_id, (server.super_pod_id, device.super_device_id)


def to_text(table: Table) -> str:
    """The devices as lines in the order of ranks: rank, server, device and address; with super pods also theirs and the number in it."""
    names = ["rank", "server", "device", "address"] + (["super_pod", "super_device"] if table.version == "1.2" else [])
    rows = [
        (device.rank_id, server.server_id, device.device_id, device.device_ip or "-", server.super_pod_id, device.super_device_id)
        for server in table.servers
        for device in server.devices
    ]
    cells = [names, *([str(value) for value in row[: len(names)]] for row in sorted(rows, key=lambda row: row[0]))]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)
