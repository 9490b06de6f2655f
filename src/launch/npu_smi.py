"""Numbers of Ascend devices in their super pod, from npu-smi (Atlas A3).

`npu-smi info -m` lists the card and chip of each device; `npu-smi info -t spod-info -i CARD -c CHIP` prints `SDID : 16777216` and
`Super Pod ID : 0`. Source: CANN 9.0, HCCL user guide, "Rank Table Configuration (Atlas A3 training product)", super_device_id.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable

TIMEOUT = 20  # until npu-smi must have answered
_ADVICE = "--super_device_ids and --super_pod_id give the numbers"
_HEAD = re.compile(r"^\s*NPU ID\s+Chip ID\s+Chip Logic ID\s+Chip Phy-ID\s", re.MULTILINE)
_ROW = re.compile(r"^\s*(\d+)\s+(\d+)\s+(?:\d+|-)\s+(\d+)\s", re.MULTILINE)  # a card's other chips have no device number


def find_super_devices(device_ids: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Physical device id -> (number in its super pod, number of the super pod), for all devices.

    Raises:
        ValueError: npu-smi is absent, or does not print the numbers; naming the command.
    """
    mapping = _ask("info", "-m")
    chips = {int(device): (card, chip) for card, chip, device in _ROW.findall(mapping)} if _HEAD.search(mapping) else {}
    found = {}
    for device in device_ids:
        if device not in chips:
            raise ValueError(f"`npu-smi info -m` has no Chip Phy-ID {device}; {_ADVICE}")
        card, chip = chips[device]
        words = ("info", "-t", "spod-info", "-i", card, "-c", chip)
        values = dict(re.findall(r"^\s*(SDID|Super Pod ID)\s*:\s*(\d+)\s*$", _ask(*words), re.MULTILINE))
        if len(values) < 2:
            raise ValueError(f"`npu-smi {' '.join(words)}` prints no SDID and Super Pod ID: no device of a super pod? {_ADVICE}")
        found[device] = (values["SDID"], values["Super Pod ID"])
    return found


def _ask(*words: str) -> str:
    """The output of npu-smi, even if it fails."""
    tool = shutil.which("npu-smi")
    if tool is None:
        raise ValueError(f"npu-smi is not on PATH; {_ADVICE}")
    try:
        result = subprocess.run([tool, *words], capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"`npu-smi {' '.join(words)}`: {error}; {_ADVICE}") from None
    return result.stdout.decode("utf-8", errors="replace")
