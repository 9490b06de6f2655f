"""The model zoo's export.py: its flags, and its settings files, as flags of `python -m src.export`.

    python export.py --config_path task_ner_config.yaml --export_ckpt_file ner.ckpt --export_file_name bert_ner --file_format MINDIR

It writes a bundle, a folder of the name that export_file_name gives, with the graph for any batch size and length, the vocabulary, the
labels and the settings. Other flags are those of `python -m src.export` and of the task's run script.
"""

import re
from collections.abc import Sequence

from src import cli
from src.config import zoo_yaml
from src.config.loader import read_tree
from src.config.model import describe_weights
from src.export.__main__ import main as export
from src.log import logger
from src.tasks.ner.tags import make_tag_set, read_label_file
from src.tasks.task import TASKS, find_tasks

_FORMATS = ("MINDIR", "ONNX", "AIR")
_NOT_AIR = (
    "file_format=AIR: CANN's compiler takes ONNX as well: --file_format ONNX --static_shapes 1x128, then atc with --framework=5; "
    "docs/ascend.md has the commands"
)


def main(argv: Sequence[str] | None = None) -> None:
    """Translate the flags, and export."""
    with cli.bad_input_exits():
        translated = translate(argv)
    export(translated)


def translate(argv: Sequence[str] | None) -> list[str]:
    """The flags of `python -m src.export` for those of the zoo's export.py, which outweigh a settings file.

    Raises:
        ValueError: the weights, or their task, are not given; the format is AIR or unknown.
    """
    parser = cli.Parser(prog="python export.py", description=__doc__)
    parser.add_argument("--config_path", metavar="FILE", help="settings file of the model zoo, or one of this program")
    parser.add_argument("--description", metavar="NAME", help="run_classifier, run_ner or run_squad; default: as file or weights say")
    parser.add_argument("--export_ckpt_file", "--export_ckpt", metavar="PATH", help="trained weights")
    parser.add_argument("--export_file_name", metavar="FOLDER", help="folder of the bundle; an ending is left out")
    parser.add_argument("--file_format", type=str.upper, metavar="|".join(_FORMATS), help="AIR is refused [MINDIR]")
    parser.add_argument("--export_batch_size", metavar="N", help="no effect: the graph takes any batch size")
    parser.add_argument("--label_file_path", metavar="FILE", help="entity types or tags of a tagger whose weights do not name them")
    own, rest = parser.parse_known_args(argv)
    file = read_tree(zoo_yaml.find(own.config_path)) if own.config_path else {}
    given = {**(file if zoo_yaml.is_zoo(file) else {}), **{key: value for key, value in vars(own).items() if value}}
    if not given.get("export_ckpt_file"):
        raise ValueError("export_ckpt_file: give the trained weights, --export_ckpt_file PATH")
    if (file_format := str(given.get("file_format", "MINDIR")).upper()) == "AIR":
        raise ValueError(_NOT_AIR)
    if own.export_batch_size:
        logger.info(f"--export_batch_size={own.export_batch_size} has no effect: the graph takes any batch size; --static_shapes fixes one")
    task = _find_task(given)
    output = find_folder(given.get("export_file_name") or f"bert_{task}")
    flags = {"task": task, "checkpoint": given["export_ckpt_file"], "output": output, "file_format": file_format}
    flags |= {"config_path": own.config_path} if own.config_path else {}
    if given.get("label_file_path"):
        flags["labels"] = ",".join(make_tag_set(read_label_file(given["label_file_path"])).labels)
    return [*(f"--{key}={value}" for key, value in flags.items()), *rest]


def find_folder(export_file_name: str) -> str:
    """The folder of the bundle that a file name of the zoo means."""
    return re.sub(r"\.(onnx|mindir|air)$", "", export_file_name)


def _find_task(given):
    """The task that the description names, or the one that the weights were trained for."""
    scripts = {task.options.ZOO_SCRIPT: name for name, task in TASKS.items() if task.options.ZOO_SCRIPT}
    if script := given.get("description"):
        if script not in scripts:
            raise ValueError(f"description={script} is not allowed: it must be one of {', '.join(scripts)}")
        return scripts[script]
    trained_with = describe_weights(given["export_ckpt_file"]).trained_with
    tasks = find_tasks(trained_with)
    if not trained_with or not tasks:
        raise ValueError(f"{given['export_ckpt_file']}: does not say which task it was trained for: give --description run_ner or its like")
    return tasks[0].name
