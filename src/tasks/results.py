"""Result files of an evaluation, the same for all tasks."""

import json
from collections.abc import Mapping
from typing import Any

from src.files import write_text


def write_results(config: Any, results: Mapping[str, Any]) -> None:
    """Write eval_results.json, and eval_results.txt with a line for each value.

    Args:
        results: values that are dicts themselves are left out of the second file.
    """
    write_text(f"{config.output_dir}/eval_results.json", json.dumps(results, ensure_ascii=False, indent=2) + "\n")
    plain = {key: value for key, value in results.items() if not isinstance(value, dict)}
    write_text(f"{config.output_dir}/eval_results.txt", "".join(f"{key} = {value}\n" for key, value in plain.items()))
