"""Dataclass fields that carry a help text and the allowed values, which are checked when the object is made."""

import dataclasses
import difflib
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any


def setting(
    default: Any,
    help: str,
    choices: tuple | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
) -> Any:
    """A field of an options class.

    Args:
        default: a dataclass instance makes a nested group.
        help: one line for `--help`.
        choices: allowed values, if they are few.
        minimum, maximum: inclusive bounds.
        above: exclusive lower bound.
    """
    bounds = {"choices": choices, "minimum": minimum, "maximum": maximum, "above": above}
    return dataclasses.field(default=default, metadata={"help": help, **bounds})


class PlainOptions:
    """Base of options none of which follows from others."""

    max_text_mb: int | None = None  # a setting of commands that read texts

    @classmethod
    def complete(cls, tree: dict[str, Any]) -> None:
        """Fill in the settings that follow from others: none."""


def check_fields(config: Any, prefix: str = "") -> None:
    """Check every field of `config` against the bounds it was declared with.

    Raises:
        ValueError: naming the key, the value and what is allowed.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        allowed = describe_bounds(field.metadata)
        if value is not None and allowed and not _is_allowed(value, field.metadata):
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
            raise ValueError(f"{prefix}{field.name}={shown} is not allowed: it must be {allowed}")


def describe_bounds(metadata: Mapping[str, Any]) -> str:
    """The bounds of a field in words, e.g. `one of cola, sst2` or `at least 1`; empty if it has none."""
    if metadata.get("choices"):
        return "one of " + ", ".join(str(choice) for choice in metadata["choices"])
    words = (("minimum", "at least"), ("above", "above"), ("maximum", "at most"))
    return " and ".join(f"{word} {metadata[key]}" for key, word in words if metadata.get(key) is not None)


def _is_allowed(value, metadata):
    if metadata["choices"]:
        return value in metadata["choices"]
    values = value if isinstance(value, tuple) else (value,)
    return all(
        (metadata["minimum"] is None or item >= metadata["minimum"])
        and (metadata["above"] is None or item > metadata["above"])
        and (metadata["maximum"] is None or item <= metadata["maximum"])
        for item in values
    )


def settable(options_class: Any) -> dict[str, dataclasses.Field]:
    """Name -> field of what users may set in an options class; of a group of settings, the group."""
    return {field.name: field for field in dataclasses.fields(options_class) if not field.metadata.get("derived")}


def leaves(options_class: Any, prefix: str = "", defaults: Any = None) -> Iterator[tuple[str, dataclasses.Field, Any]]:
    """(key, field, default) of every setting; a class may give a group of settings other defaults than the group's own."""
    hints = typing.get_type_hints(options_class)
    for name, field in settable(options_class).items():
        default = field.default if defaults is None else getattr(defaults, name)
        if dataclasses.is_dataclass(hints[name]):
            yield from leaves(hints[name], f"{prefix}{name}.", default)
        else:
            yield prefix + name, field, default


def unknown_key(key: str, known: Collection[str]) -> str:
    """The message for an unknown key, with the nearest known one."""

    def likeness(candidate: str) -> float:
        last = difflib.SequenceMatcher(None, key.split(".")[-1], candidate.split(".")[-1]).ratio()
        return max(last, difflib.SequenceMatcher(None, key, candidate).ratio())

    near = max(known, key=likeness)
    return f"unknown setting {key}" + (f"; did you mean {near}?" if likeness(near) > 0.6 else "; --help lists them")
