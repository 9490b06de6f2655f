"""Result files, the same for all tasks."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.files import write_text


def write_csv(path: Path | str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table with a header whole."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(path, text.getvalue())


def write_results(config: Any, results: Mapping[str, Any]) -> None:
    """Write eval_results.json, and eval_results.txt with a line for each value.

    Args:
        results: values that are dicts themselves are left out of the second file.
    """
    write_text(f"{config.output_dir}/eval_results.json", json.dumps(results, ensure_ascii=False, indent=2) + "\n")
    plain = {key: value for key, value in results.items() if not isinstance(value, dict)}
    write_text(f"{config.output_dir}/eval_results.txt", "".join(f"{key} = {value}\n" for key, value in plain.items()))
