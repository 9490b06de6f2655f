"""A row of a rank table: one device, as the file has it."""

from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """A device of a table; a value is None if the file's cannot be read.

    server: tells the servers apart, whatever their server_id.
    device_ip: "" if the file gives none.
    super_device_id, super_pod_id: of version 1.2, if the table has super pods.
    paths: key -> its path in the file, such as server_list[0].device[3].rank_id.
    """

    server: Hashable
    server_id: str | None
    device_id: int | None = None
    device_ip: str | None = None
    rank_id: int | None = None
    super_device_id: int | None = None
    super_pod_id: str | None = None
    paths: dict[str, str] = field(default_factory=dict)
