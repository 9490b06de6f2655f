"""Conversion of text and YAML scalars to the types of settings."""

import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from src.config.fields import describe_bounds


def coerce(value: Any, kind: Any, key: str, metadata: Mapping[str, Any]) -> Any:
    """Convert text or a YAML scalar to `kind`; flags are always text, and PyYAML reads 3e-5 as text."""
    bounds = describe_bounds(metadata)
    expected = f"{_type_name(kind)}{', ' + bounds if bounds else ''}"
    try:
        converted = _convert(value, kind)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{key}={value}: expected {expected}") from None
    choices = metadata.get("choices") or ()
    return next((choice for choice in choices if str(choice).lower() == str(converted).lower()), converted)


def _convert(value, kind):
    """`value` as bool, int, float, str, a tuple of one of them, or an optional one of them; else TypeError or ValueError."""
    if isinstance(kind, types.UnionType):
        kind = next(part for part in kind.__args__ if part is not type(None))
        if value is None or value in ("", "None", "none", "null"):
            return None
    if typing.get_origin(kind) is tuple:
        value = value if isinstance(value, (str, list, tuple)) else [value]
        items = [part for part in value.strip("[]() ").split(",") if part.strip()] if isinstance(value, str) else list(value)
        return tuple(_convert(item.strip() if isinstance(item, str) else item, kind.__args__[0]) for item in items)
    if kind is bool:
        if isinstance(value, bool):
            return value
        return {"true": True, "false": False}[str(value).lower()] if str(value).lower() in ("true", "false") else _reject()
    if isinstance(value, (bool, dict, list)) or value is None:
        _reject()
    if kind is int and isinstance(value, float) and value != int(value):
        _reject()
    number = kind(value)
    if kind is float and not math.isfinite(number):
        _reject()
    return number


def _reject():
    raise ValueError


def _type_name(kind):
    if kind is bool:
        return "true or false"
    if typing.get_origin(kind) is tuple:
        return {int: "whole numbers, such as 32,64", float: "numbers, such as 1,2.5", str: "texts, such as a,b"}[kind.__args__[0]]
    if isinstance(kind, types.UnionType):
        return _type_name(kind.__args__[0])
    return {int: "a whole number", float: "a number", str: "text"}[kind]
