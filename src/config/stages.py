"""Recipes with `stages`: trainings that run one after the other, such as rows of 128 tokens and then of 512.

`stages` in a YAML file is a list. Each entry has the settings in which its stage differs from the rest of the file, of those that
`STAGED` names; flags such as --stages.2.data_dir set them too. Sources: google-research/bert, README (one schedule; 90 % of the steps
at 128 tokens), and NVIDIA's DeepLearningExamples (each phase has its own schedule, and takes up the moments of the one before).
"""

import dataclasses
import itertools
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from src import cli
from src.config import aliases, flags, loader, origins, zoo_yaml
from src.config.fields import leaves, unknown_key
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
        staged = [
            _make_stage(recipe_class, path, number, settings, words) for number, (settings, words) in enumerate(zip(entries, given), 1)
        ]
        flags_of_all = _parse(recipe_class, common)[0]
        for number, settings, _ in staged:
            if both := sorted(flags_of_all.keys() & settings.keys()):
                raise ValueError(f"--{both[0]}: {path} gives it for each stage; --stages.{number}.{both[0]} sets that of stage {number}")
        loaded = [loader.read(options_class, common, recipe_class=recipe_class, stage=stage) for stage in staged]
        options = [each.options for each in loaded]
        _check(path, options, recipe_class.STAGED)
        settled = settle(options) if issubclass(options_class, TrainingOptions) else tuple(options)
        if asked := [each.origins for each in loaded if each.origins is not None]:
            _explain(options, asked)
        return settled


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


def list_settings(tree: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All settings of each stage by their names with dots, as a config.yaml has them; of the one training without stages."""
    shared = loader.flatten({key: value for key, value in tree.items() if key != "stages"})
    return [shared | loader.flatten(entry) for entry in tree.get("stages", ({},))]


def tell(values: Iterable[Any]) -> str:
    """What a setting, or a result, is in each stage: `128, then 512`; one value if all are alike, and nothing of those without one."""
    shown = [str(value) for value in values if value not in (None, "", [])]
    return ", then ".join(shown if len(set(shown)) > 1 else shown[:1])


def _read_entries(path: str, recipe_class: type[Any]) -> list[dict[str, Any]] | None:
    """The settings of each entry, by our names with dots; None if the file has no stages."""
    tree = loader.read_tree(path)
    if "stages" not in tree or not recipe_class.STAGED:
        return None
    entries, keys = tree["stages"], [key for key, *_ in leaves(recipe_class)]
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
            raise ValueError(f"{path}: {unknown_key(f'stages.{number}.{unknown[0]}', [f'stages.{number}.{key}' for key in keys])}")
        found.append(settings)
    return found


def _make_stage(recipe_class: type[Any], path: str, number: int, settings: dict[str, Any], words: Sequence[str]) -> loader.StageSettings:
    """The settings of a stage, those of its entry and of its flags, which outweigh them."""
    given, others = _parse(recipe_class, words)
    keys = [key for key, *_ in leaves(recipe_class)]
    if stray := given.keys() - keys:
        raise ValueError(f"--stages.{number}.{min(stray)}: is for all stages; --{min(stray)}")
    theirs = aliases.find_aliases(keys)
    found = origins.name_lines(path, theirs, settings, entry=("stages", number))
    found |= origins.name_flags(words, theirs, given, others, f"stages.{number}.")
    return loader.StageSettings(number, settings | given, found)


def _parse(recipe_class: type[Any], words: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """What flags give, see `flags.parse`."""
    given, others = flags.parse(recipe_class, words, recipe_class)
    return {key: value for key, value in given.items() if value is not None}, others


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
    shared, own = _divide(options)
    return {**_nest(shared), "stages": [_nest(each) for each in own]}


def _divide(options: Sequence[Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The settings that have one value in all stages, and for each stage the others; by their names with dots."""
    flat = [loader.flatten(loader.to_dict(each)) for each in options]
    shared = {key: value for key, value in flat[0].items() if all(each[key] == value for each in flat)}
    return shared, [{key: value for key, value in each.items() if key not in shared} for each in flat]


def _explain(options: Sequence[Any], found: Sequence[Mapping[str, str]]) -> NoReturn:
    """Print with their origins the settings that all stages share, then those of each stage; and end the process."""
    shared, own = _divide(options)
    values, named = dict(shared), dict(found[0])
    for number, (settings, origin_of) in enumerate(zip(own, found), 1):
        values |= {f"stages.{number}.{key}": value for key, value in settings.items()}
        named |= {f"stages.{number}.{key}": text for key, text in origin_of.items()}
    loader.tell(values, named)


def _nest(settings: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in settings.items():
        loader.put(tree, key, value)
    return tree
