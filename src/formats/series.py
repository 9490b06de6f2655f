"""Checkpoints in the order of the numbers in their names. File times are no guide: copies get new ones, and clocks may go back."""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from src.log import shorten


def group_files(files: Iterable[Path], pattern: re.Pattern[str]) -> dict[str, list[Path]]:
    """The files of each training, in the order in which they were written.

    Args:
        pattern: matches a whole file name; its first group names the training, the others are numbers or absent.

    Returns:
        name of a training -> its files; a file that does not match is a training of its own.
    """
    groups = defaultdict(list)
    for file in files:
        found = pattern.fullmatch(file.name)
        prefix, *numbers = found.groups() if found else (file.name,)
        groups[prefix].append(([int(number or 0) for number in numbers], file))
    return {prefix: [file for _, file in sorted(group)] for prefix, group in sorted(groups.items())}


def find_newest(folder: Path | str, files: Iterable[Path], pattern: re.Pattern[str]) -> Path | None:
    """The last file of the only training, see `group_files`; None without files.

    Raises:
        ValueError: the files are of several trainings.
    """
    groups = group_files(files, pattern)
    if len(groups) > 1:
        newest = shorten((group[-1].name for group in groups.values()), 4)
        raise ValueError(f"{folder}: holds checkpoints of several trainings, {newest}; name the one that is meant")
    return next((group[-1] for group in groups.values()), None)
