"""MODEL_CARD.md beside checkpoints and in bundles: data, settings and scores of weights, and the licence of their origin."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src import __version__
from src.config import loader, stages
from src.files import write_text

NAME = "MODEL_CARD.md"
_STATED_IN = ("README.md", NAME)  # beside the weights; the head of these files may name a licence, as on Hugging Face
_LICENCE = re.compile(r"\A---\n(?:(?!---\n).*\n)*?license:[ \t]*(\S[^\n]*?)[ \t]*\n")
_ALSO = "All settings of a training are in `config.yaml` in its output folder. The licences of the data hold too."
_HEAD_BYTES = 1 << 16
_DATA = ("task_name", "data_dir", "train_data_file_path", "eval_data_file_path", "eval_data_dir", "columns", "language", "num_samples")
_SETTINGS = (
    *("optimizer.name", "optimizer.learning_rate", "optimizer.schedule", "optimizer.weight_decay", "epoch_num", "train_steps"),
    *("train_batch_size", "accumulation_steps", "seq_length", "seed", "head", "objective", "masking"),
    *("multi_label", "thresholds", "pooling", "normalize", "temperature"),
)
_SHAPE = ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size", "position_embedding_type")


def write_card(folder: Path | str, task: str, config: Any, source: Path | str | None, scores: Mapping[str, Any] | None = None) -> None:
    """Write the card of weights that a run has trained, or that an export was given.

    Args:
        folder: that of the weights.
        task: a name of TASKS.
        config: options of the run, or settings of the model.
        source: the weights that a training began with, or that are exported; None for random ones.
        scores: an evaluation's results, if there was one.
    """
    settings = loader.flatten(loader.to_dict(config))
    stage = getattr(config, "stage", None)
    trained_by = stages.list_settings(stage.recipe)[: stage.number] if stage else [settings]  # stages to come are not in the weights
    licence = find_licence(source) if source else None
    shape = ", ".join(f"{key} {settings[f'model.{key}']}" for key in _SHAPE)
    rows: list[tuple[str, Any]] = [("task", task), ("made by", f"BERT in MindSpore {__version__}"), ("network", shape)]
    rows += [("made from", source or "random weights")]
    rows += [("licence of those", licence or "not stated beside them")] if source else []
    rows += [("stages", f"{stage.number} of {stage.count}")] if stage else []
    told = {key: [value for each in trained_by if (value := each.get(key)) is not False] for key in (*_DATA, *_SETTINGS)}
    rows += [(key, value) for key, values in told.items() if (value := stages.tell(values))]
    text = f"---\nlicense: {licence}\n---\n" if licence else ""
    text += f"# Model card\n\n{_table(rows)}\n{_ALSO}\n"
    if scores:
        shown = [(key, f"{value:.6g}") for key, value in scores.items() if isinstance(value, int | float)]
        text += f"\n## Scores on the evaluation file\n\n{_table(shown)}"
    write_text(Path(folder) / NAME, text)


def find_licence(weights: Path | str) -> str | None:
    """The licence that a file beside weights names in its head; None if there is none."""
    path = Path(weights)
    for name in _STATED_IN:
        file = (path if path.is_dir() else path.parent) / name
        if file.is_file():
            with open(file, encoding="utf-8", errors="replace") as opened:
                if found := _LICENCE.match(opened.read(_HEAD_BYTES)):
                    return found[1]
    return None


def _table(rows):
    cells = [(str(key), str(value).replace("|", "\\|").replace("\n", " ")) for key, value in rows]
    return "| | |\n|---|---|\n" + "".join(f"| {key} | {value} |\n" for key, value in cells)
