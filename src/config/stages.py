"""Recipes with `stages`: trainings that run one after the other, such as rows of 128 tokens and then of 512.

`stages` in a YAML file is a list. Each entry has the settings in which its stage differs from the rest of the file, of those that
`STAGED` names; flags such as --stages.2.data_dir set them too. Sources: google-research/bert, README (one schedule; 90 % of the steps
at 128 tokens), and NVIDIA's DeepLearningExamples (each phase has its own schedule, and takes up the moments of the one before).
"""

import dataclasses
import itertools
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from src import cli
from src.config import aliases, loader, zoo_yaml
from src.config.trainable import Stage, TrainingOptions

_FLAG = re.compile(r"--stages\.(\d+)\.(.+)", re.DOTALL)


def load(options_class: type[Any], argv: Sequence[str] | None = None, recipe_class: type[Any] | None = None) -> tuple[Any, ...]:
    """The settings of each stage, see `loader.load`; of one training if the YAML file has no stages.

    Bad input ends the process with one line and exit code 2.
    """
    recipe_class = recipe_class or options_class
    with cli.bad_input_exits():
        parser = cli.Parser(add_help=False)
        parser.add_argument("--config_path", default="")
        path = zoo_yaml.find(parser.parse_known_args(argv)[0].config_path)
        entries = _read_entries(path, recipe_class) if path else None
        arguments = sys.argv[1:] if argv is None else argv
        if entries is None:
            if found := [word for word in arguments if _FLAG.fullmatch(word)]:
                raise ValueError(f"{found[0].partition('=')[0]}: there are no stages; a YAML file has them (docs/pretraining.md)")
            return (loader.load(options_class, argv, recipe_class=recipe_class),)
        common, given = _split(arguments, len(entries), path)
        for settings, flags in zip(entries, given):
            settings |= _parse(recipe_class, flags)
        flags_of_all = _parse(recipe_class, common).keys() - {"config_path"}
        for number, settings in enumerate(entries, 1):
            if both := sorted(flags_of_all & settings.keys()):
                raise ValueError(f"--{both[0]}: {path} gives it for each stage; --stages.{number}.{both[0]} sets that of stage {number}")
        staged = [loader.StageSettings(number, settings) for number, settings in enumerate(entries, 1)]
        options = [loader.load(options_class, common, recipe_class=recipe_class, stage=stage) for stage in staged]
        _check(path, options, recipe_class.STAGED)
        return settle(options) if issubclass(options_class, TrainingOptions) else tuple(options)


def settle(options: Sequence[Any]) -> tuple[Any, ...]:
    """The settings with their Stage; those of a single training unchanged.

    It is done once before the data are read and once after, when all lengths are known.

    Raises:
        ValueError: the stages do not go together.
    """
    if len(options) == 1:
        return tuple(options)
    for number, each in enumerate(options, 1):
        if each.train_updates is None:
            raise ValueError(f"stages.{number}.train_steps is missing: each stage needs its number of updates")
        if not each.enable_save_ckpt:
            raise ValueError("enable_save_ckpt=false: a stage begins from the checkpoint of the one before")
        if each.early_stopping:
            raise ValueError(f"early_stopping={each.early_stopping}: not with stages, whose scores are of different rows")
    _check_lengths(options)
    rows = [each.train_steps * each.accumulation_steps * each.train_batch_size for each in options]
    later = [(count, each.seq_length) for count, each in zip(rows, options)]
    first_updates = list(itertools.accumulate((each.train_steps for each in options), initial=0))
    own_schedule, recipe = options[0].stage_schedule == "stage", _describe(options)
    return tuple(
        dataclasses.replace(
            each,
            stage=Stage(number, len(options), first_updates[number - 1], first_updates[-1], own_schedule, tuple(later[number:]), recipe),
        )
        for number, each in enumerate(options, 1)
    )


def _read_entries(path: str, recipe_class: type[Any]) -> list[dict[str, Any]] | None:
    """The settings of each entry, by our names with dots; None if the file has no stages."""
    tree = loader.read_tree(path)
    if "stages" not in tree or not recipe_class.STAGED:
        return None
    entries, keys = tree["stages"], [key for key, *_ in loader.leaves(recipe_class)]
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path}: stages={entries}: a list of stages is expected, each with its settings")
    found = []
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or not all(isinstance(key, str) for key in entry):
            raise ValueError(f"{path}: stages.{number}={entry}: a mapping of settings is expected")
        try:
            settings = loader.flatten(aliases.rename(entry, keys))
        except ValueError as error:
            raise ValueError(f"{path}: stages.{number}: {error}") from None
        if unknown := [key for key in settings if key not in keys]:
            raise ValueError(f"{path}: {loader.unknown_key(f'stages.{number}.{unknown[0]}', [f'stages.{number}.{key}' for key in keys])}")
        found.append(settings)
    return found


def _parse(recipe_class: type[Any], flags: Sequence[str]) -> dict[str, str]:
    """The flags that are given, by our names."""
    return {key: value for key, value in loader.parse_flags(recipe_class, flags, recipe_class)[0].items() if value is not None}


def _split(argv: Sequence[str], count: int, path: str) -> tuple[list[str], list[list[str]]]:
    """The flags of all stages, and those of each one, without their --stages.N."""
    common: list[str] = []
    given: list[list[str]] = [[] for _ in range(count)]
    target = common
    for word in argv:
        if flag := _FLAG.fullmatch(word):
            if not 1 <= int(flag[1]) <= count:
                raise ValueError(f"{word.partition('=')[0]}: {path} has stages 1 to {count}")
            target = given[int(flag[1]) - 1]
            word = f"--{flag[2]}"
        elif word.startswith("--"):
            target = common
        target.append(word)
    return common, given


def _check(path: str, options: Sequence[Any], staged: Sequence[str]) -> None:
    """Raise a ValueError if the stages differ in a setting that they share, or their lengths fall."""
    first, *others = (loader.flatten(loader.to_dict(each)) for each in options)
    shares_schedule = first.get("stage_schedule") == "run"
    for number, settings in enumerate(others, 2):
        for key in [key for key, value in settings.items() if value != first[key]]:
            told = f"{path}: stages.{number}.{key}={settings[key]}"
            if key not in staged:
                raise ValueError(f"{told}: all stages share it; they may differ in {', '.join(staged)}")
            if key.startswith("optimizer.") and shares_schedule:
                raise ValueError(f"{told}: one schedule goes over all stages; stage_schedule=stage gives each its own")
    _check_lengths(options, f"{path}: ")


def _check_lengths(options: Sequence[Any], where: str = "") -> None:
    lengths = [each.seq_length for each in options if each.seq_length]
    if lengths != sorted(lengths):
        raise ValueError(f"{where}stages: seq_length {', then '.join(map(str, lengths))}: short rows come first, and long ones after them")


def _describe(options: Sequence[Any]) -> dict[str, Any]:
    """The settings of all stages as in a YAML file, where each entry of `stages` has those in which any stages differ."""
    flat = [loader.flatten(loader.to_dict(each)) for each in options]
    shared = [key for key, value in flat[0].items() if all(each[key] == value for each in flat)]
    trees = [_nest({key: value for key, value in each.items() if key not in shared}) for each in flat]
    return {**_nest({key: flat[0][key] for key in shared}), "stages": trees}


def _nest(settings: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in settings.items():
        loader.put(tree, key, value)
    return tree
