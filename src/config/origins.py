"""Each setting of a run, its value, and where that came from: `--explain_config` of the run scripts."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from src.config.yaml_file import find_lines


def name_flags(
    argv: Sequence[str], aliases: Mapping[str, str], keys: Collection[str], others: Collection[str], entry: str = ""
) -> dict[str, str]:
    """Setting -> the flag that gave it, as it was written.

    Args:
        argv: the flags.
        aliases: other programs' names -> ours.
        keys: the settings that flags gave.
        others: the flags of other programs whose values were translated; they gave the settings that no flag names.
        entry: what stood before the names of these flags, such as `stages.2.`.
    """
    written = [word[2:].partition("=")[0] for word in argv if word.startswith("--")]
    named = {aliases.get(name, name): f"--{entry}{name}" for name in written}  # the later of two wins
    translated = ", ".join(f"--{entry}{name}" for name in others) or "the script"
    return {key: f"flag {named[key]}" if key in named else f"from {translated}" for key in keys}


def name_lines(
    path: str, aliases: Mapping[str, str | None], keys: Collection[str], chosen: Collection[str] = (), entry: tuple[str, int] | None = None
) -> dict[str, str]:
    """Setting -> file and line of the YAML file that gave it; the file alone where its key means several settings.

    Args:
        path: the file.
        aliases: other programs' names -> ours.
        keys: the settings that the file gave.
        chosen: names and groups of the file that count where a setting has several, as in the model zoo's files.
        entry: the list in the file, and the number from 1, of the entry that gave them; see `find_lines`.
    """
    lines = find_lines(path, entry)
    found = {}
    for key in keys:
        leaf = key.rpartition(".")[2]
        same = [name for name in lines if key in (name, aliases.get(name.rpartition(".")[2]))] or [
            name for name in lines if name.rpartition(".")[2] == leaf
        ]
        exact = [name for name in same if name == key]
        exact = exact or [name for name in same if name in chosen or name.rpartition(".")[0] in chosen] or same
        found[key] = f"{path}:{lines[exact[0]]}" if len(exact) == 1 else path
    return found


def name_completed(keys: Collection[str], values: Mapping[str, Any], weights: Path | str | None) -> dict[str, str]:
    """Setting -> what it follows from, of settings that neither a flag nor a file gave.

    Args:
        keys: those settings.
        values: all settings.
        weights: the weights that the run begins with.
    """
    beside = f"beside {weights}" if weights else "follows from other settings"
    network = f"network {values['bert_network']}" if not weights and "bert_network" in values else beside
    optimizer = f"default of {values.get('optimizer.name', 'the optimiser')}"
    groups = {"model": values["bert_config_file"] or network, "optimizer": optimizer, "precision": "default of the script"}
    return {key: groups.get(key.partition(".")[0], beside) for key in keys}


def explain(values: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    """A line `setting=value  origin` for every setting; one without an origin has its default value."""
    shown = {key: f"{key}={_show(value)}" for key, value in values.items()}
    width = max(map(len, shown.values()))
    return "\n".join(f"{text:{min(width, 70)}}  {origins.get(key, 'default')}" for key, text in shown.items())


def _show(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else value
