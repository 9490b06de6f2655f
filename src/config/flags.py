"""The flags of a run script, and what other programs' flags stand for."""

import argparse
import types
import typing
from collections.abc import Sequence
from typing import Any

from src import cli
from src.config import aliases, translation
from src.config.fields import describe_bounds, leaves, unknown_key
from src.config.training import ModelOptions, RunOptions

_BARE: dict[str, Any] = {"nargs": "?", "const": "true"}  # for switches, which need no value: --do_train
_METAVARS = {bool: "true|false", int: "N", float: "X", str: "TEXT"}


def _metavar(kind):
    """What stands for a value of this type in --help."""
    if isinstance(kind, types.UnionType):
        kind = kind.__args__[0]
    return f"{_METAVARS[kind.__args__[0]]},..." if typing.get_origin(kind) is tuple else _METAVARS[kind]


def parse(options_class: type[Any], argv: Sequence[str] | None, recipe_class: type[Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The flags by our names, with what other programs' flags stand for; and the latter as they were given."""
    parser = cli.Parser(description=options_class.__doc__)
    parser.add_argument("--config_path", metavar="FILE", help="YAML file of settings; flags override it")
    if issubclass(options_class, RunOptions):
        told = "print each setting with its value and its origin (default, beside the weights, file and line, flag); nothing is run"
        parser.add_argument("--explain_config", default=argparse.SUPPRESS, metavar="true|false", help=told, **_BARE)
    keys = [key for key, *_ in leaves(options_class)]
    forms = {}
    for key, field, default in leaves(options_class):
        text, bounds = field.metadata["help"], describe_bounds(field.metadata)
        text += f" ({bounds})" if bounds else ""
        if default not in (None, ()):
            text += f" [{str(default).lower() if isinstance(default, bool) else default}]"
        forms[key] = {"metavar": _metavar(field.type), **(_BARE if isinstance(default, bool) or field.type == (bool | None) else {})}
        parser.add_argument(f"--{key}", dest=key, default=argparse.SUPPRESS, help=text.replace("%", "%%"), **forms[key])
    theirs = aliases.find_aliases(keys)
    for key, ours in theirs.items():
        parser.add_argument(f"--{key}", dest=ours, default=argparse.SUPPRESS, help=f"the same as --{ours}", **forms[ours])
    others = aliases.find_others(keys) if issubclass(options_class, ModelOptions) else []
    for key in others:
        parser.add_argument(f"--{key}", dest=key, default=argparse.SUPPRESS, metavar="VALUE", help=aliases.describe(key), **_BARE)
    known, unknown = parser.parse_known_args(argv)
    if unknown:
        flag = unknown[0]
        if not flag.startswith("--"):
            raise ValueError(f"unexpected argument {flag}")
        key = flag[2:].split("=")[0]
        of_runs = [key for key, *_ in leaves(recipe_class)]
        if recipe_class is not options_class and key in {*of_runs, *aliases.find_aliases(of_runs), *aliases.find_others(of_runs)}:
            raise ValueError(f"--{key}: a setting of a run, on which nothing depends here (unknown flag)")
        raise ValueError("--" + unknown_key(key, [*keys, *theirs, "config_path"]).removeprefix("unknown setting ") + " (unknown flag)")
    flags = vars(known)
    given = {key: flags.pop(key) for key in others if key in flags}
    return flags | translation.translate(given, flags, "--"), given
