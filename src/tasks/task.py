"""What a task is, what a run on it has read, and TASKS, the one list of tasks."""

import importlib
import importlib.util
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Prepared:
    """What a run has read: training, prediction, scores and reports take it, and read nothing again.

    Attributes:
        config: the options with all that the data settle (labels, casing, lengths) filled in.
        records: split -> RecordSet, for each split that the run uses.
        sources: split -> what results need beside the rows (examples, sentences, questions); None where the data are records.
    """

    config: Any
    records: dict[str, Any]
    sources: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """A task: its name, and a package with the same modules in each.

    options: OPTIONS, the class of settings of its run script.
    task: imports MindSpore. NAME (of checkpoint files), INPUTS and TARGETS (columns, by the parameter names of the network's and the
        loss's `construct`), LOSS_PARTS (names of what the loss returns behind its two sums), and the functions
        prepare(options) -> Prepared, network(config) and loss(config) -> Cell, for_evaluation(config, network) -> (Cell, its columns),
        describe(config) -> what lies beside a checkpoint, score(prepared, outputs) -> dict; of a task that is fine-tuned also
        report_evaluation(prepared, outputs, global_step) -> dict and report_predictions(prepared, outputs).
    export: what an exported network needs besides: the settings of a bundle, examples, the ONNX nodes of the head.
    serving: from what clients send to rows, and from outputs to results; absent where a task answers no texts.
    schema: the form of results for the server's clients, as Pydantic models; beside serving.
    memory: the planner's tape of head and loss.

    The modules are imported when they are asked for: who serves or plans imports no MindSpore.
    """

    name: str
    package: str

    @property
    def options(self) -> type:
        return self._module("options").OPTIONS

    @property
    def training(self) -> ModuleType:
        return self._module("task")

    @property
    def export(self) -> ModuleType:
        return self._module("export")

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
    def answers(self) -> bool:
        """Whether a bundle of the task answers texts."""
        return importlib.util.find_spec(f"{self.package}.serving") is not None

    def _module(self, name):
        return importlib.import_module(f"{self.package}.{name}")


TASKS = {name: Task(name, f"src.tasks.{name}") for name in ("classifier", "ner", "squad", "pretrain")}
