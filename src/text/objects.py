"""Rows that are Python objects: dicts, a pandas DataFrame, a Dataset of Hugging Face.

Neither library is imported: their objects are known by their methods.
"""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from src.files import write_text

ENDING = ".jsonl"


def write(path: Path | str, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as JSON lines; a value that JSON does not have, such as a time, as its text."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows))


def is_table(rows: Any) -> bool:
    """Whether an object is a DataFrame or a Dataset, which has columns with names."""
    return hasattr(rows, "columns") and hasattr(rows, "to_dict") or hasattr(rows, "column_names") and hasattr(rows, "features")


def list_rows(rows: Any) -> list[dict[str, Any]]:
    """The rows as dicts of plain values: name -> text, number, list or None.

    A missing value (None, NaN, pandas' NaT) is None. The numbers of a Dataset's ClassLabel become their names, and -1, which means no
    label there, None.

    Raises:
        ValueError: something else than rows with names, or a DataFrame with two columns of one name.
    """
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        names = list(map(str, rows.columns))
        if twice := [name for name in names if names.count(name) > 1]:  # a dict would keep one of them
            raise ValueError(f"rows: {names.count(twice[0])} columns have the name {twice[0]!r}")
        return [{str(name): _to_plain(value) for name, value in row.items()} for row in rows.to_dict("records")]
    if isinstance(rows, str | bytes | dict) or not isinstance(rows, Iterable):
        raise ValueError(f"rows: dicts, a DataFrame or a Dataset are expected, not {type(rows).__name__}")
    features = getattr(rows, "features", None) or {}
    found = []
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(f"rows[{number}]: a dict of values by name is expected, not {type(row).__name__}")
        found.append({str(name): _name(_to_plain(value), features.get(name)) for name, value in row.items()})
    return found


def take_columns(instances: Any, keys: Sequence[str]) -> list[Any]:
    """The instances as a list; those of a DataFrame or a Dataset have its columns of these names only."""
    if is_table(instances):
        return [{key: row[key] for key in keys if key in row} for row in list_rows(instances)]
    if isinstance(instances, str | bytes | dict) or not isinstance(instances, Iterable):
        raise ValueError(f"instances: a list with one instance at least is expected, not {type(instances).__name__}")
    return list(instances)


def _to_plain(value: Any) -> Any:
    """A value of NumPy or pandas as Python's own."""
    if hasattr(value, "tolist"):  # of NumPy
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _to_plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(each) for each in value]
    if isinstance(value, float) and math.isnan(value) or type(value).__name__ in ("NaTType", "NAType"):
        return None
    return value


def _name(value: Any, feature: Any) -> Any:
    """A value whose feature is a ClassLabel, or a sequence of them, by name."""
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    else:
        feature = getattr(feature, "feature", feature)
    if not hasattr(feature, "int2str"):
        return value
    if isinstance(value, list):
        return [_name(each, feature) for each in value]
    return None if value is None or value == -1 else feature.int2str(value)
