"""Checkpoints in the order of the numbers in their names. The clock is no guide: a copy has new times, and a machine's may go back."""

from collections import defaultdict

from src.log import shorten


def group_files(files, pattern):
    """The files of each training, in the order that they were written in.

    Args:
        files: paths. pattern: of a whole name; its first group is the same in one training, its others are numbers or absent.

    Returns:
        dict of prefix -> list of paths; a name that does not match is a prefix itself.
    """
    groups = defaultdict(list)
    for file in files:
        found = pattern.fullmatch(file.name)
        prefix, *numbers = found.groups() if found else (file.name,)
        groups[prefix].append(([int(number or 0) for number in numbers], file))
    return {prefix: [file for _, file in sorted(group)] for prefix, group in sorted(groups.items())}


def find_newest(folder, files, pattern):
    """The last file of the only training; None where there is no file. Arguments as for `group_files`.

    Raises:
        ValueError: files of several trainings, of which nothing tells the newest.
    """
    groups = group_files(files, pattern)
    if len(groups) > 1:
        newest = shorten((group[-1].name for group in groups.values()), 4)
        raise ValueError(f"{folder}: holds checkpoints of several trainings, {newest}; name the one that is meant")
    return next((group[-1] for group in groups.values()), None)
