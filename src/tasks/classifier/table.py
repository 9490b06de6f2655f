"""The data files of a classifier's splits: which they are, and their examples."""

import contextlib
import functools
from collections.abc import Sequence
from pathlib import Path

from src.log import shorten
from src.records.files import is_record_file
from src.tasks.classifier.choices import read_choices
from src.tasks.classifier.data_sets import DataSet, make_data_set, usual_files
from src.tasks.classifier.examples import Examples
from src.tasks.classifier.label_ids import parse_score
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.classifier.rows import read_examples, read_header
from src.tasks.splits import find_file


def find_table(config: ClassifierOptions, split: str) -> Path:
    """The file of a split, as the settings name it or by the task's usual names."""
    return find_file(config, split, usual_files(config.task_name, config.language))


def find_data_set(config: ClassifierOptions) -> DataSet:
    """The DataSet that the settings describe."""
    return make_data_set(config.task_name, config.columns, config.language, config.label_separator if config.multi_label else None)


class Table:
    """A data file whose examples are read on first use and kept; a record file has None."""

    def __init__(self, path: Path, config: ClassifierOptions, with_labels: bool) -> None:
        self.path, self.with_labels, self._config = path, with_labels, config

    @functools.cached_property
    def examples(self) -> Examples | None:
        if is_record_file(self.path):
            return None
        if self._config.has_choices:
            return read_choices(self.path, self.with_labels, self._config.encoding)
        return read_examples(self.path, find_data_set(self._config), self.with_labels, self._config.encoding, self._find_header)

    @property
    def texts(self) -> Examples:
        """The examples of a table of texts."""
        assert self.examples is not None
        return self.examples

    def _find_header(self):
        """The names in the first row of the training file, for a file without them; None if there is no such file."""
        with contextlib.suppress(FileNotFoundError, ValueError):  # the file is wanted only if another lacks its header
            path = find_table(self._config, "train")
            if path != self.path and not is_record_file(path):
                return read_header(path, find_data_set(self._config), self._config.encoding)
        return None

    def keep(self, numbers: Sequence[int]) -> None:
        """Keep only these examples of a table of texts."""
        self.examples = self.texts.choose(numbers)

    def check_labels(self, labels: Sequence[str]) -> None:
        """Raise a ValueError if a row has none of the labels, or no score, that it could be measured by."""
        for label, line in zip(self.examples.labels, self.examples.lines) if self.examples is not None else ():
            if self._config.is_regression:
                parse_score(self.path, label, line)
            elif label not in labels:
                raise ValueError(
                    f"{self.path}:{line}: the label is {label!r}, which do_test=true cannot measure by (labels: {shorten(labels)}); "
                    "--do_predict true needs no labels"
                )
