"""The files of a fine-tuning task's splits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

SPLITS = ("train", "eval", "predict")


def wanted_splits(config: Any) -> list[str]:
    """The splits that a run reads, according to do_train, do_eval, do_predict and evaluations during training."""
    wanted = (config.do_train, config.do_eval or config.evaluates, config.do_predict)
    return [split for split, is_wanted in zip(SPLITS, wanted) if is_wanted]


def find_file(config: Any, split: str, names: Sequence[Sequence[str]]) -> Path:
    """The file of a split: the one that its flag names, else the first of the task's usual names in data_dir, plain or .gz.

    Args:
        config: FineTuneOptions.
        split: train, eval or predict; predict falls back to the eval file. The eval rows of a fold are in the train file.
        names: for each of SPLITS, the file names to look for.

    Raises:
        ValueError: no flag says where the file is.
        FileNotFoundError: the file does not exist.
    """
    if split == "eval" and config.fold:
        split = "train"
    given = getattr(config, f"{split}_data_file_path")
    if not given and config.data_dir:
        if not Path(config.data_dir).is_dir():
            raise FileNotFoundError(f"{config.data_dir}: no such folder; --data_dir takes the folder with the task's files")
        tried = [name for plain in names[SPLITS.index(split)] for name in (plain, f"{plain}.gz")]
        given = next((path for name in tried if (path := Path(config.data_dir) / name).is_file()), None)
        if given is None and split != "predict":
            raise FileNotFoundError(f"{config.data_dir}: none of {', '.join(tried[::2])} is here (the {split} split of {config.task_name})")
    if not given and split == "predict" and not config.fold and (config.eval_data_file_path or config.data_dir):
        return find_file(config, "eval", names)
    if not given:
        raise ValueError(f"no data for the {split} split: give --{split}_data_file_path or --data_dir")
    if not Path(given).is_file():
        raise FileNotFoundError(f"{given}: {'a folder' if Path(given).is_dir() else 'no such file'} (the {split} split)")
    return Path(given)
