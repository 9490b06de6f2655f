"""Logs of an earlier launch that had more ranks: they are moved away, so that they do not look like those of this one."""

import itertools
import re
from pathlib import Path

from src.files import make_folder, move_whole
from src.launch.commands import Job

_FOLDER = re.compile(r"LOG(\d+)")


def set_aside(job: Job, log_dir: Path | str, log_name: str, num_ranks: int) -> str:
    """Move the folders LOG{rank} of ranks that no host of this job has to earlier-N in log_dir; the host of rank 0 does it.

    Returns:
        a line about it; empty if there are none.
    """
    numbers = {path: int(match[1]) for path in Path(log_dir).iterdir() if (match := _FOLDER.fullmatch(path.name))}
    old = sorted((path for path in numbers if numbers[path] >= num_ranks and (path / log_name).is_file()), key=numbers.__getitem__)
    if not old or Path(job.followed).parent.name != "LOG0":
        return ""
    kept = next(path for number in itertools.count(1) if not (path := Path(log_dir, f"earlier-{number}")).exists())
    make_folder(kept)
    move_whole(old, kept)
    return f"logs of an earlier launch with more ranks are now in {kept}: {', '.join(path.name for path in old)}"
