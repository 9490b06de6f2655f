"""TCP ports of this host."""

import re
import socket
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENING = "0A"


def find_free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def is_listening(port: int) -> bool:
    """Whether a process listens on a port; found without connecting, as MindSpore's scheduler would take a connection for a rank."""
    pattern = re.compile(rf":{port:04X} [0-9A-F]+:[0-9A-F]+ {_LISTENING} ")
    return any(pattern.search(table.read_text()) for table in _TABLES if table.is_file())
