"""Options of a run script from defaults, the weights' own config, a YAML file and flags; unknown keys are refused.

Precedence, lowest first: dataclass defaults, files beside the weights (shape of the network, vocabulary, labels, settings of the task),
YAML, flags.
"""

import dataclasses
import re
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

from easydict import EasyDict

from src import cli
from src.config import aliases, flags, origins, translation, zoo_yaml
from src.config.coercion import coerce
from src.config.fields import leaves, settable, unknown_key
from src.config.training import ModelOptions, OptimizerConfig, RunOptions
from src.config.yaml_file import read_yaml
from src.files import text_limit
from src.formats import hub
from src.log import logger

_WEIGHTS = ("load_pretrain_checkpoint_path", "load_finetune_checkpoint_path")  # settings that may name weights of a hub


class StageSettings(NamedTuple):
    """The settings of one entry of `stages` in a YAML file, by our names with dots: src/config/stages.py.

    Attributes:
        number: of the stage, from 1.
        settings, origins: setting -> value, and -> where that comes from.
    """

    number: int
    settings: Mapping[str, Any]
    origins: Mapping[str, str]


class Loaded(NamedTuple):
    """Checked options; and, if --explain_config asks for it, the origin of each setting that has not its default value."""

    options: Any
    origins: dict[str, str] | None


def load(
    options_class: type[Any],
    argv: Sequence[str] | None = None,
    defaults: Mapping[str, str] | None = None,
    complete: Callable[[EasyDict], None] | None = None,
    recipe_class: type[Any] | None = None,
) -> Any:
    """Build settings from defaults, files beside the weights, a YAML file and flags.

    Args:
        options_class: a frozen dataclass, e.g. ClassifierOptions.
        argv: the flags; sys.argv[1:] if None.
        defaults: setting -> value where `argv` has none; they outweigh a YAML file, as flags do.
        complete: fills in what YAML and flags leave open, instead of the class's own method.
        recipe_class: a class with more settings, which the YAML file may have too; they are left out, and refused as flags.

    Returns:
        The checked options. Bad input ends the process with one line and exit code 2; --explain_config prints them and ends it with 0.
    """
    with cli.bad_input_exits():
        options, found = read(options_class, argv, defaults, complete, recipe_class)
        if found is not None:
            tell(flatten(to_dict(options)), found)
        return options


def read(
    options_class: type[Any],
    argv: Sequence[str] | None = None,
    defaults: Mapping[str, str] | None = None,
    complete: Callable[[EasyDict], None] | None = None,
    recipe_class: type[Any] | None = None,
    stage: StageSettings | None = None,
) -> Loaded:
    """The settings of `load`, whose arguments it has.

    Args:
        stage: settings that outweigh the file's others.

    Raises:
        ValueError, OSError: bad input.
    """
    recipe_class = recipe_class or options_class
    given_flags, others = flags.parse(options_class, argv, recipe_class)
    taken = {**(defaults or {}), **given_flags}
    path = taken.pop("config_path", None)
    explains = coerce(taken.pop("explain_config", False), bool, "explain_config", {})
    tree, shape = _read_yaml(options_class, path, recipe_class, others, taken, stage) if path else (EasyDict(), {})
    _leave_out_older(options_class, tree, taken)
    from_file = flatten(tree).keys() - taken.keys()
    for key, text in taken.items():
        put(tree, key, text)
    _leave_out_empty(options_class, tree)
    for key in _WEIGHTS:
        if tree.get(key):
            tree[key] = hub.fetch(tree[key])
    given = set(tree.get("optimizer", {}))
    if given == settable(OptimizerConfig).keys():  # a config.yaml that a run has written
        given = {key.removeprefix("optimizer.") for key in taken if key.startswith("optimizer.")}
    with _named(path, from_file, stage):
        (complete or options_class.complete)(tree)
        zoo_yaml.complete_shape(tree, shape, path)
        if issubclass(options_class, RunOptions):
            options_class.count_rows(tree)
        options = build(options_class, tree)
    if options.max_text_mb is not None:
        text_limit(options.max_text_mb << 20)
    if explains:
        of_file = from_file | {f"model.{key}" for key, value in shape.items() if str(tree.model.get(key)) == str(value)}
        return Loaded(options, _find_origins(options, tree, taken, others, argv, path, of_file, stage))
    if isinstance(options, RunOptions):
        options.check_run()
    _tell_unread(options, given)
    return Loaded(options, None)


def _find_origins(options, tree, taken, others, argv, path, from_file, stage):
    """The origin of each setting that has not its default value."""
    values = flatten(to_dict(options))
    theirs = aliases.find_aliases(values)
    found = origins.name_completed(flatten(tree).keys(), values, options.find_weights(tree)[0])
    if path:
        path = zoo_yaml.find(path)
        chosen, more = zoo_yaml.find_chosen(read_tree(path), taken)
        named = {**theirs, **{name: theirs.get(key) for name, key in more.items()}}
        found |= origins.name_lines(path, named, from_file, chosen)
    found |= stage.origins if stage else {}
    return found | origins.name_flags(sys.argv[1:] if argv is None else argv, theirs, taken.keys(), others)


def tell(values: Mapping[str, Any], found: Mapping[str, str]) -> NoReturn:
    """Print every setting with its origin, and end the process."""
    print(origins.explain(values, found), flush=True)
    sys.exit(0)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one dict with dotted keys, such as optimizer.name."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


@contextmanager
def _named(path: str | None, keys: Collection[str], stage: StageSettings | None) -> Iterator[None]:
    """Put the YAML file, and the stage, before errors about its keys; they begin with the key."""
    try:
        yield
    except ValueError as error:
        key = re.match(r"[\w.]+(?==)", str(error))
        if key is None or key[0] not in keys:
            raise
        entry = f"stages.{stage.number}." if stage and key[0] in stage.settings else ""
        raise ValueError(f"{path}: {entry}{error}") from None


def _tell_unread(options, given):
    """Warn of optimiser settings that are given, differ from their defaults and have no effect."""
    for name, other, value in options.optimizer.find_unread(given) if given else ():
        if (asked := getattr(options.optimizer, name)) != getattr(OptimizerConfig, name):
            logger.warning(f"optimizer.{name}={asked} is ignored: it has no effect beside optimizer.{other}={value}")


def build(options_class: Any, tree: Mapping[str, Any], prefix: str = "") -> Any:
    """An options object from a nested mapping, each value converted to its field's type.

    Raises:
        ValueError: a key is unknown, a value has the wrong type or is not allowed.
    """
    types_by_name: dict[str, Any] = typing.get_type_hints(options_class)
    fields = settable(options_class)
    values = {}
    for key, value in tree.items():
        if key not in fields:
            raise ValueError(unknown_key(prefix + str(key), [prefix + name for name in fields]))
        kind = types_by_name[key]
        if dataclasses.is_dataclass(kind):
            if not isinstance(value, dict):
                raise _not_a_group(kind, prefix + key, value)
            values[key] = build(kind, value, f"{prefix}{key}.")
        else:
            values[key] = coerce(value, kind, prefix + key, fields[key].metadata)
    return options_class(**values)


def to_dict(options: Any) -> dict[str, Any]:
    """The options as nested plain values, which `yaml.safe_dump` can write and `build` can read."""
    plain: dict[str, Any] = {}
    for name in settable(type(options)):
        value = getattr(options, name)
        if dataclasses.is_dataclass(value):
            plain[name] = to_dict(value)
        else:
            plain[name] = list(value) if isinstance(value, tuple) else value
    return plain


def _not_a_group(kind, key, value):
    return ValueError(f"{key}={value}: a group of settings is expected, such as {key}.{next(iter(settable(kind)))}")


def read_tree(path: str) -> dict[str, Any]:
    """The mapping in a YAML file of settings, as it stands there; an empty one of an empty file."""
    try:
        tree = read_yaml(path)
    except FileNotFoundError:
        hint = zoo_yaml.MISSING if zoo_yaml.has_zoo_name(path) else "--config_path takes a YAML file, see configs/"
        raise FileNotFoundError(f"{path}: no such file; {hint}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise ValueError(f"{path}: a mapping of settings is expected")
    return tree


def _read_yaml(options_class, path, recipe_class, overridden, flags, stage):
    """The settings of a file that `options_class` has, by our names; of other programs' keys those in `overridden` do not count.

    Of a file of the model zoo also the network's shape, see `zoo_yaml.translate`.
    """
    path = zoo_yaml.find(path)
    tree = read_tree(path)
    if stage:
        del tree["stages"]
    keys = [key for key, *_ in leaves(recipe_class)]
    try:
        shape: dict[str, Any] = {}
        settled: dict[str, Any] = {}
        if zoo_yaml.is_zoo(tree) and issubclass(recipe_class, ModelOptions):
            makes_network = options_class is recipe_class and "train_steps" in keys
            tree, shape = zoo_yaml.translate(tree, recipe_class.ZOO_SCRIPT, keys, flags, makes_network)
            _check_keys(recipe_class, tree)
        else:
            tree = aliases.rename(tree, keys)
            others = [key for key in aliases.find_others(keys) if not isinstance(tree.get(key, {}), dict)]
            given = {key: tree.pop(key) for key in others}
            _check_keys(recipe_class, tree)
            settled = translation.translate({key: value for key, value in given.items() if key not in overridden}, flatten(tree), "")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    tree = EasyDict(tree)
    for key, value in {**settled, **(stage.settings if stage else {})}.items():
        put(tree, key, value)
    return EasyDict({key: value for key, value in tree.items() if key in settable(options_class)}), shape


def _check_keys(options_class, tree, prefix=""):
    fields, hints = settable(options_class), typing.get_type_hints(options_class)
    for key, value in tree.items():
        if key not in fields:
            raise ValueError(unknown_key(f"{prefix}{key}", [prefix + name for name, *_ in leaves(options_class)]))
        if dataclasses.is_dataclass(hints[key]):
            if not isinstance(value, dict):
                raise _not_a_group(hints[key], prefix + key, value)
            _check_keys(hints[key], value, f"{prefix}{key}.")


def _leave_out_older(options_class, tree, taken):
    """Remove the settings of a file that a flag outweighs, though it has another name."""
    older = options_class.OLDER_NAMES if issubclass(options_class, ModelOptions) else {}
    for key in taken.keys() & older.keys():
        for name in older[key]:
            tree.pop(name, None)


def _leave_out_empty(options_class, tree):
    """Remove empty texts of settings that need no value: launchers of the model zoo give every flag, empty where there is none."""
    for key, field, _ in leaves(options_class):
        if tree.get(key) == "" and isinstance(field.type, types.UnionType):
            del tree[key]


def put(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set the setting with this dotted name in nested settings."""
    *groups, leaf = key.split(".")
    for group in groups:
        tree = tree.setdefault(group, type(tree)())
    tree[leaf] = value
