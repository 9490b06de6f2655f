"""Super pods of a rank table of version 1.2: servers whose devices are joined by HCCS (Atlas A3).

    {"version": "1.2", …, "server_list": [
        {"server_id": "10.0.0.1", "device": [{"device_id": "0", "super_device_id": "16777216", "rank_id": "0"}, …]}
    ], "super_pod_list": [{"super_pod_id": "0", "server_list": [{"server_id": "10.0.0.1"}, …]}, …]}

Without super_pod_list HCCL reads the table as version 1.0.
Sources: CANN 9.0, HCCL user guide, "Rank Table Configuration (Atlas A3 training product)" (hiascend.com, hcclug_000066); HCCL's own
reader (topoinfo_ranktableConcise.cc).
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from src.launch.addresses import identify
from src.launch.checked_json import describe, find_repeats, take_list, take_number, take_text
from src.launch.rank_table_row import Row

_LARGEST_DEVICE = (1 << 32) - 2  # HCCL's mark for "no number" is one above


@dataclass(frozen=True)
class Member:
    """A server as super_pod_list has it; a value is None if the file's cannot be read.

    server: equal for two spellings of an address.
    path: of server_id in the file.
    """

    server: Hashable
    server_id: str | None
    super_pod_id: str | None
    path: str


def read_members(tree: Any, version: str | None, faults: list[str]) -> list[Member] | None:
    """The Members of all super pods in file order; None if the table has no super pods."""
    if not isinstance(tree, dict) or "super_pod_list" not in tree or version is None:
        return None
    if version != "1.2":
        faults.append(f'super_pod_list: HCCL reads it only in version "1.2", this is "{version}"')
        return None
    members = []
    ids = []
    for pod_index, pod in enumerate(take_list(tree, "super_pod_list", "", faults) or ()):
        pod_path = f"super_pod_list[{pod_index}]"
        pod_id = take_text(pod, "super_pod_id", pod_path, faults)
        if pod_id == "":
            faults.append(describe(pod_path, "super_pod_id", pod_id, "the number or name of a super pod"))
        ids.append((pod_id or None, f"{pod_path}.super_pod_id", pod_id))
        for index, server in enumerate(take_list(pod, "server_list", pod_path, faults) or ()):
            path = f"{pod_path}.server_list[{index}]"
            server_id = take_text(server, "server_id", path, faults)
            members.append(Member(server_id and identify(server_id), server_id, pod_id, f"{path}.server_id"))
    faults += find_repeats(ids)
    faults += find_repeats((member.server, member.path, member.server_id) for member in members)
    return members


def read_super_device(row: Row, device: Any, path: str, faults: list[str]) -> Row:
    """The Row of a device with its number in the super pod added."""
    number = take_number(device, "super_device_id", path, faults, _LARGEST_DEVICE)
    return replace(row, super_device_id=number, paths={**row.paths, "super_device_id": f"{path}.super_device_id"})


def find_stray_servers(ids: Sequence[tuple[str | None, str]], members: Sequence[Member]) -> list[str]:
    """Faults of servers that only one of the two lists has.

    Args:
        ids: (server_id, path) of server_list.
        members: the servers of super_pod_list.
    """
    listed = {identify(text) for text, _ in ids if text}
    joined = {member.server for member in members}
    faults = [
        f'{member.path}="{member.server_id}": server_list has no such server'
        for member in members
        if member.server_id is not None and member.server not in listed
    ]
    outside = [(path, text) for text, path in ids if text and identify(text) not in joined]
    return faults + [f'{path}="{text}": no super pod of super_pod_list has it' for path, text in outside]


def find_super_pod_faults(rows: Sequence[Row]) -> list[str]:
    """Faults across devices: a number that a super pod has twice; a server or super pod whose ranks others interrupt."""
    joined = [row for row in rows if row.super_pod_id is not None]
    faults = find_repeats(
        ((row.super_pod_id, row.super_device_id), row.paths["super_device_id"], row.super_device_id)
        for row in joined
        if row.super_device_id is not None
    )
    by_rank = sorted((row for row in joined if row.rank_id is not None), key=lambda row: row.rank_id or 0)
    groupings: tuple[tuple[str, Callable[[Row], Any]], ...] = (
        ("{}", lambda row: row.server),
        ('super pod "{}"', lambda row: row.super_pod_id),
    )
    for name, key in groupings:
        runs = Counter(value for value, _ in groupby(by_rank, key))
        faults += [f"{name.format(value)}: its ranks are not consecutive" for value, count in runs.items() if count > 1]
    return faults
