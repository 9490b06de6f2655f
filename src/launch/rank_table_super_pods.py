"""Super pods of a rank table of version 1.2: servers whose devices are joined by HCCS (Atlas A3).

    {"version": "1.2", …, "server_list": [
        {"server_id": "10.0.0.1", "device": [{"device_id": "0", "super_device_id": "16777216", "rank_id": "0"}, …]}
    ], "super_pod_list": [{"super_pod_id": "0", "server_list": [{"server_id": "10.0.0.1"}, …]}, …]}

Without super_pod_list HCCL reads the table like one of version 1.0.
Sources: CANN 9.0, HCCL user guide, "Rank Table Configuration (Atlas A3 training product)" (hiascend.com, hcclug_000066); HCCL's own
reader (topoinfo_ranktableConcise.cc).
"""

from collections import Counter
from dataclasses import dataclass, replace
from itertools import groupby

from src.launch.addresses import identify
from src.launch.checked_json import describe, find_repeats, take_list, take_number, take_text

_LARGEST_DEVICE = (1 << 32) - 2  # HCCL takes the number after it for none


@dataclass(frozen=True)
class Member:
    """A server as super_pod_list has it; a value is None where the file has none that can be read."""

    server: object  # the same for two spellings of an address
    server_id: str | None
    super_pod_id: str | None
    place: str


def read_members(tree, version, faults):
    """The Members of all super pods in the order of the file; None where the table has no super pods."""
    if not isinstance(tree, dict) or "super_pod_list" not in tree or version is None:
        return None
    if version != "1.2":
        faults.append(f'super_pod_list: HCCL reads it in version "1.2" alone, this is "{version}"')
        return None
    members, ids = [], []
    for index, pod in enumerate(take_list(tree, "super_pod_list", "", faults) or ()):
        place = f"super_pod_list[{index}]"
        pod_id = take_text(pod, "super_pod_id", place, faults)
        if pod_id == "":
            faults.append(describe(place, "super_pod_id", pod_id, "the number or name of a super pod"))
        ids.append((pod_id or None, f"{place}.super_pod_id", pod_id))
        for number, server in enumerate(take_list(pod, "server_list", place, faults) or ()):
            at = f"{place}.server_list[{number}]"
            server_id = take_text(server, "server_id", at, faults)
            members.append(Member(server_id and identify(server_id), server_id, pod_id, f"{at}.server_id"))
    faults += find_repeats(ids)
    faults += find_repeats((member.server, member.place, member.server_id) for member in members)
    return members


def read_device(row, device, place, faults):
    """The Row of a device with its number in the super pod."""
    number = take_number(device, "super_device_id", place, faults, _LARGEST_DEVICE)
    return replace(row, super_device_id=number, places={**row.places, "super_device_id": f"{place}.super_device_id"})


def find_stray_servers(ids, members):
    """Faults of servers that stand in one of the two lists alone.

    Args:
        ids: list of (server_id, place) of server_list.
        members: list of Member.
    """
    listed, joined = {identify(text) for text, _ in ids if text}, {member.server for member in members}
    faults = [
        f'{member.place}="{member.server_id}": server_list has no such server'
        for member in members
        if member.server_id is not None and member.server not in listed
    ]
    outside = [(place, text) for text, place in ids if text and identify(text) not in joined]
    return faults + [f'{place}="{text}": no super pod of super_pod_list has it' for place, text in outside]


def find_row_faults(rows):
    """Faults of devices beside each other: numbers that a super pod has twice, ranks of others between those of a server or super pod."""
    joined = [row for row in rows if row.super_pod_id is not None]
    faults = find_repeats(
        ((row.super_pod_id, row.super_device_id), row.places["super_device_id"], row.super_device_id)
        for row in joined
        if row.super_device_id is not None
    )
    by_rank = sorted((row for row in joined if row.rank_id is not None), key=lambda row: row.rank_id)
    for name, key in (("{}", lambda row: row.server), ('super pod "{}"', lambda row: row.super_pod_id)):
        parts = Counter(value for value, _ in groupby(by_rank, key))
        faults += [f"{name.format(value)}: ranks of others stand between its own" for value, count in parts.items() if count > 1]
    return faults
