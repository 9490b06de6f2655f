"""The project as a library: predictions, hidden states and vectors of trained weights, and trainings on rows of Python objects.

    from src.library import load

    model = load("cola_finetune")
    print(model.predict(["The cat sat on the mat."]))

Weights are a folder or file as the run scripts take them, or have a name on a hub: hf:NAME, ms:NAME. Settings are the run scripts' flags
by name. Bad input raises ValueError or an OSError, a training that does not converge FloatingPointError. docs/library.md has examples.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import nn

from src.bundle import folder as bundle_folder
from src.bundle.graphs import TEXT_INPUTS
from src.bundle.model import Bundle, Model
from src.bundle.rows import Row, RowGraph
from src.config import loader
from src.config.model import ModelConfig
from src.export import exporting
from src.export.network_graph import NetworkGraph
from src.files import make_folder
from src.formats.weights import find as find_weights
from src.tasks import trained
from src.tasks.task import TASKS, Task
from src.text.objects import list_rows
from src.text.tokenization import Tokenizer
from src.train import runs, runtime

__all__ = ["Encoder", "Model", "load", "load_encoder", "train"]


def load(path: Path | str, task: str | None = None, **settings: Any) -> Model:
    """A model that makes predictions on the CPU, from a bundle, or from trained weights.

    Args:
        path: a bundle; the output folder of a fine-tuning; or weights in any form, also `hf:NAME` and `ms:NAME`.
        task: classifier, ner, squad, embed or fill_mask; default: that of the training. Weights that this project has not trained need it.
        settings: of the model, such as seq_length=256, where those beside the weights do not count.

    Raises:
        ValueError, OSError: no weights there, of another task, or damaged.
    """
    if Path(path, bundle_folder.NAME).is_file():
        if settings:
            raise ValueError(f"{path}: is a bundle, which has its own settings; given are {', '.join(settings)}")
        bundle = Bundle(path)
        if task not in (None, bundle.task):
            raise ValueError(f"{path}: task={task}: it is a bundle of the task {bundle.task}")
        return bundle
    path = trained.locate(path)
    kind = trained.find_task(path, task)
    if not kind.answers:
        raise ValueError(
            f"task={kind.name}: answers no texts; give one of {', '.join(each.name for each in TASKS.values() if each.answers)}"
        )
    config, tokenizer, network = _open(kind, path, settings)
    described = bundle_folder.Description(
        folder=Path(path),
        name=kind.name,
        task=kind.name,
        settings=kind.export.make_settings(config),
        labels=config.labels,
        graphs={},
        model=config.model,
        vocab_file=config.vocab_file_path,
    )
    return Model(described, tokenizer, NetworkGraph(network, kind.training.INPUTS))


class Encoder:
    """BERT or NEZHA without a head, on the CPU.

    Attributes:
        network: a cell of MindSpore; int32 [B, S] input_ids, input_mask (1 for a token, 0 for padding) and token_type_ids -> hidden states
            float32 [B, S, H] of the last layer.
        tokenizer: text to ids.
        config: the network's shape.
    """

    def __init__(self, network: nn.Cell, tokenizer: Tokenizer, config: ModelConfig, seq_length: int):
        self.network, self.tokenizer, self.config = network, tokenizer, config
        self._seq_length = seq_length
        self._graph = RowGraph(NetworkGraph(network, TEXT_INPUTS))

    def encode(self, texts: list[str], batch_size: int = 32) -> list[np.ndarray]:
        """The hidden states of each text: float32 [S, H], of [CLS], the text's tokens and [SEP]; S is at most seq_length."""
        rows = [Row(*self.tokenizer.join(ids, None, self._seq_length)) for ids in self.tokenizer.encode(list(texts))]
        return [states for (states,) in self._graph.compute_all(rows, batch_size)]

    def list_tokens(self, text: str) -> list[str]:
        """The S tokens whose states `encode` gives."""
        ids, _ = self.tokenizer.join(self.tokenizer.encode([text])[0], None, self._seq_length)
        return [self.tokenizer.tokens[number] for number in ids]


def load_encoder(path: Path | str, **settings: Any) -> Encoder:
    """The encoder of any weights, without the head that they may have.

    Args:
        path, settings: as in `load`.
    """
    config, tokenizer, network = _open(TASKS["embed"], trained.locate(path), settings)
    return Encoder(network.bert, tokenizer, config.model, config.seq_length)


def _open(task: Task, path: Path | str, settings: Mapping[str, Any]) -> tuple[Any, Tokenizer, nn.Cell]:
    """Settings, tokenizer and network of weights."""
    config = runtime.start(trained.read_settings(task, path, _list_flags(settings)))
    config = task.export.settle(config, path)
    if not config.vocab_file_path:
        raise ValueError(f"{path}: no vocab.txt or tokenizer.json beside the weights: give vocab_file_path")
    tokenizer = Tokenizer(config.vocab_file_path, config.do_lower_case)
    return config, tokenizer, exporting.make_network(task, config, find_weights(path, use_best=config.use_best))


def train(
    task: str, rows: Any, eval_rows: Any = None, weights: Path | str | None = None, output_dir: Path | str = "./finetune", **settings: Any
) -> dict[str, Any]:
    """Fine-tune, and evaluate if there are rows for that; `load(output_dir)` then predicts.

    The rows are written into output_dir, from where `config.yaml` there repeats the run by its script.

    Args:
        task: classifier, ner, squad or embed.
        rows, eval_rows: dicts, a pandas DataFrame, a Dataset of Hugging Face, or the path of a file that the run script reads.
        weights: to start from, see `load`; random without.
        settings: the run script's flags; dicts are groups, such as optimizer={"name": "AdamW"}, and config_path takes a recipe.

    Returns:
        The measures of the evaluation, as in eval_results.json (with several seeds or folds as in seed_results.json); {} without.

    Raises:
        ValueError, OSError: a setting or a row is wrong, before anything is compiled.
        FloatingPointError: it does not converge.
    """
    takers = [name for name, each in TASKS.items() if each.takes_rows]
    if task not in takers:
        raise ValueError(f"task={task}: {', '.join(takers)} are trained on rows; run_pretrain.py pretrains")
    kind = TASKS[task]
    given = {"train": rows} | ({} if eval_rows is None else {"eval": eval_rows})
    files = {split: _name_file(kind, split, each, output_dir) for split, each in given.items()}
    flags = {"output_dir": output_dir, "load_pretrain_checkpoint_path": weights, **settings}
    flags |= {f"do_{split}": True for split in given} | {f"{split}_data_file_path": path for split, path in files.items()}
    options = loader.read(kind.options, _list_flags(flags)).options
    for split, each in given.items():
        if not isinstance(each, str | Path):
            make_folder(files[split].parent)
            kind.row_file.write(files[split], list_rows(each))
    results = [done.results for done in runs.run(kind, runtime.start(options)) if done.results is not None]
    return results[0] if len(results) == 1 else runs.summarise(results) if results else {}


def _name_file(task, split, rows, output_dir):
    """The file of some rows: their own, or the one that they are written to."""
    return rows if isinstance(rows, str | Path) else Path(output_dir, "rows", split + task.row_file.ENDING)


def _list_flags(settings: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Settings by name as flags; None leaves one out."""
    flags: list[str] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flags += _list_flags(value, f"{prefix}{name}.")
        elif value is not None:
            text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            flags.append(f"--{prefix}{name}={text.lower() if isinstance(value, bool) else text}")
    return flags
