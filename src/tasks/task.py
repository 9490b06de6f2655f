"""Task describes a task, Prepared holds the data of a run, and TASKS is the one list of tasks."""

import importlib
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from src.records.mixture import Mixture
from src.text.tokenization import Tokenizer


@dataclass(frozen=True)
class Prepared:
    """The data that a run has read once and passes to training, prediction, scores and reports.

    Attributes:
        config: the options, completed by what the data determine (labels, casing, lengths).
        records: split -> RecordSet, for every split that the run uses.
        tokenizer: made once, for the rows and for the description beside a checkpoint; None in pretraining without a vocabulary.
        sources: split -> examples, sentences or questions, which results need besides the rows; None if the data are records. In
            pretraining the headers of the records.
        held_out: numbers from 0 of the eval split's examples in the training file, if they are a fold of it.
        new_tokens: id of each token that the weights to start from lack -> ids of the pieces that it replaces, whose mean it begins as.
        mixture: the rows of each epoch, if they come from several sources by weight.
    """

    config: Any
    records: dict[str, Any]
    tokenizer: Tokenizer | None
    sources: dict[str, Any] = field(default_factory=dict)
    held_out: Sequence[int] = ()
    new_tokens: Mapping[int, Sequence[int]] = field(default_factory=dict)
    mixture: Mixture | None = None


class Description(NamedTuple):
    """What is written beside a checkpoint, so that it can be loaded by itself.

    Attributes:
        labels: names of classes or tags in id order.
        tokens: the vocabulary in id order; empty where records came ready-made and it is not known.
        tokenizer: content of tokenizer_config.json; None without tokens.
        trained_with: settings by name that evaluation and prediction need.
        choices: whether the network scores the choices of questions.
    """

    labels: Sequence[str]
    tokens: Sequence[str]
    tokenizer: dict[str, Any] | None
    trained_with: dict[str, Any]
    choices: bool = False


@dataclass(frozen=True)
class Task:
    """A task: its name and its package, which has these modules.

    options: MODEL, the class of the settings of a model, which export and serving need, and OPTIONS, its run script's, which are also
        those of a run.
    task: training, the only one of these modules that imports MindSpore. It has PREFIX (of the names of checkpoints), INPUTS and TARGETS
        (columns, named like the parameters of `construct` in network and loss; those of the network are followed by dropout_key and
        packing, see Bert), LOSS_PARTS (names of the values that the loss returns after its two sums), list_targets(config) -> (TARGETS,
        LOSS_PARTS) if these depend on the settings, and the functions
        prepare(options) -> Prepared, network(config) and loss(config) -> Cell, for_evaluation(config, network) -> (Cell, its columns),
        head_flops(prepared) -> FLOPs of a row in the head, None if rows have several texts (src/train/cost.py),
        describe(prepared) -> Description, tune(prepared, outputs) -> Prepared with the settings that an evaluation chooses, and
        score(prepared, outputs) -> dict. A fine-tuning task also has report_evaluation(prepared, outputs, global_step) -> dict,
        report_predictions(prepared, outputs), and tabulate(prepared, outputs) -> (header, rows), the predictions of the eval split.
        A task that is only exported has INPUTS and network.
    ensemble: the cell whose outputs several networks' are averaged of, and Average; absent if that is not possible.
    export: settings, examples, and the head as ONNX nodes, for an exported network.
    serving: conversion of clients' texts to rows and of outputs to results; absent if the task answers no texts. INPUTS names the inputs
        of its graph besides those of every encoder, if there are any.
    schema: Pydantic models of the results that the server's clients get; present if serving is.
    memory: head and loss as ops on the memory planner's tape; absent if nothing is trained.
    row_file: ENDING and write(path, rows), a file of rows of Python objects, as src.library trains on; absent if it cannot.
    page.js, beside the modules: what the served page shows of a result; the page shows its JSON if there is none.

    A module is imported when it is first used, so that serving and planning import no MindSpore.
    """

    name: str
    package: str

    @property
    def model(self) -> type[Any]:
        return self._module("options").MODEL

    @property
    def options(self) -> type[Any]:
        return self._module("options").OPTIONS

    @property
    def training(self) -> ModuleType:
        return self._module("task")

    def list_targets(self, config: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The columns that the loss takes, and the names of its parts."""
        module = self.training
        return module.list_targets(config) if hasattr(module, "list_targets") else (module.TARGETS, module.LOSS_PARTS)

    @property
    def export(self) -> ModuleType:
        return self._module("export")

    @property
    def ensemble(self) -> ModuleType:
        return self._module("ensemble")

    @property
    def serving(self) -> ModuleType:
        return self._module("serving")

    @property
    def schema(self) -> ModuleType:
        return self._module("schema")

    @property
    def memory(self) -> ModuleType:
        return self._module("memory")

    @property
    def row_file(self) -> ModuleType:
        return self._module("row_file")

    @property
    def takes_rows(self) -> bool:
        """Whether a training takes rows of Python objects."""
        return self._has("row_file")

    @property
    def answers(self) -> bool:
        """Whether a bundle of this task answers texts."""
        return self._has("serving")

    @property
    def averages(self) -> bool:
        """Whether the outputs of several networks can be averaged."""
        return self._has("ensemble")

    @property
    def page(self) -> Path | None:
        """The script that shows a result on the served page."""
        folder = Path(str(importlib.import_module(self.package).__path__[0]))
        return folder / "page.js" if (folder / "page.js").is_file() else None

    @property
    def trains(self) -> bool:
        """Whether networks are trained for this task."""
        return self._has("memory")

    def _has(self, name):
        return importlib.util.find_spec(f"{self.package}.{name}") is not None

    def _module(self, name):
        return importlib.import_module(f"{self.package}.{name}")


TASKS = {name: Task(name, f"src.tasks.{name}") for name in ("classifier", "ner", "squad", "embed", "fill_mask", "pretrain")}


def find_tasks(trained_with: Iterable[str]) -> list[Task]:
    """The tasks to which weights may belong that have these settings beside them."""
    return [task for task in TASKS.values() if set(trained_with) <= set(task.model.TRAINED_WITH)]
