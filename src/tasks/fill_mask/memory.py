"""The memory planner plans trainings, and this task has none."""

from typing import Any

from src.tasks.fill_mask.options import FillMaskOptions


def check(options: FillMaskOptions, form: Any) -> None:
    """Raise a ValueError: nothing is trained."""
    raise ValueError("--task fill_mask: trains nothing that could be planned; the masked language model is trained by --task pretrain")
