"""The folder of an exported model: graphs, vocabulary, the network's configuration, and bundle.json, which describes them.

bundle.json: format (1), name, task, settings of the task, labels, graphs (kind -> file), sha256 (file -> hexadecimal).
"""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.config import loader
from src.config.model import ModelConfig, describe_weights, refuse_several_labels
from src.files import read_json_object, write_text
from src.formats import tokenizer_files
from src.formats.onnx_file import find_external_files
from src.locks import HIDDEN
from src.tasks.task import TASKS

NAME = "bundle.json"
FORMAT = 1
GRAPHS = ("onnx", "int8", "mindir")  # in order of preference
_NAME_OF_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CHUNK = 1 << 20
_KINDS = {str: "a text", dict: "an object", list: "a list"}


@dataclass(frozen=True)
class Description:
    """The contents of bundle.json and of the files beside it.

    Attributes:
        settings: the task's settings, by the names of the run script's flags.
        labels: in the order of their ids.
        graphs: kind -> file.
    """

    folder: Path
    name: str
    task: str
    settings: dict[str, Any]
    labels: tuple[str, ...]
    graphs: dict[str, Path]
    model: ModelConfig
    vocab_file: str


def check_name(name: str) -> None:
    """Check the name of a model.

    Raises:
        ValueError: the name does not fit into a URL.
    """
    if not _NAME_OF_MODEL.fullmatch(name):
        raise ValueError(f"name={name[:80]}: letters, digits, dots, dashes and underscores are allowed, 100 at most")


def check_target(folder: Path | str) -> None:
    """Check that a bundle may be written to a folder.

    Raises:
        ValueError: it is a file, or a folder with other files, which a bundle might replace.
    """
    folder = Path(folder)
    if not folder.is_dir():
        if folder.exists():
            raise ValueError(f"--output {folder}: is a file; a folder is expected")
        return
    others = [path.name for path in folder.iterdir() if not path.name.startswith(HIDDEN)]
    if others and NAME not in others:
        raise ValueError(f"--output {folder}: holds other files and no bundle ({NAME}); give a new or an empty folder")


def write(folder: Path | str, name: str, task: str, settings: dict[str, Any], labels: Iterable[str], graphs: dict[str, str]) -> None:
    """Write bundle.json for the files in a folder; written last, as it marks the folder as complete.

    Args:
        folder: has config.json, vocab.txt and the graphs.
        graphs: kind -> file name.
    """
    check_name(name)
    files = sorted(
        path.name for path in Path(folder).iterdir() if path.name in (*graphs.values(), "config.json", "vocab.txt", "tokenizer_config.json")
    )
    content = {"format": FORMAT, "name": name, "task": task, "settings": settings, "labels": list(labels), "graphs": graphs}
    content["sha256"] = {file: _digest(Path(folder) / file) for file in files}
    write_text(Path(folder) / NAME, json.dumps(content, ensure_ascii=False, indent=2) + "\n")


def read(folder: Path | str) -> Description:
    """The Description of a bundle; checks that every file lies beside bundle.json and is unaltered.

    Raises:
        FileNotFoundError: no bundle, or one of its files is absent.
        ValueError: altered, inconsistent, or of another format.
    """
    folder = Path(folder)
    path = folder / NAME
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no bundle; {NAME} is absent (python -m src.export makes one)")
    content = read_json_object(path)
    if type(content.get("format")) is not int or content["format"] != FORMAT:
        raise ValueError(f"{path}: format={content.get('format')!r}: this program reads {FORMAT}")
    _check(path, content)
    digests = content["sha256"]
    graphs = content["graphs"]
    casing = folder / tokenizer_files.CONFIG
    for file in {*digests, *graphs.values(), *(name for name in tokenizer_files.BESIDE if (folder / name).is_file())}:
        if Path(file).name != file or file in ("", ".", ".."):
            raise ValueError(f"{path}: {file} does not lie beside it")
        if file not in digests:
            raise ValueError(f"{path}: sha256 has no entry for {file}")
        if not (folder / file).is_file():
            raise FileNotFoundError(f"{folder / file}: absent; {NAME} names it")
        if _digest(folder / file) != digests[file]:
            raise ValueError(f"{folder / file}: is not the file that {NAME} was written for: its sha256 differs")
    for file in {file for kind, file in graphs.items() if kind != "mindir"}:
        if others := sorted(find_external_files(folder / file) - set(digests)):
            raise ValueError(f"{folder / file}: takes weights from {others[0][:200]}, which {NAME} does not list")
    if not {"config.json", "vocab.txt"} <= set(digests):
        raise ValueError(f"{path}: config.json and vocab.txt belong to a bundle")
    if casing.name in digests and type(read_json_object(casing).get("do_lower_case")) is not bool:
        raise ValueError(f"{casing}: do_lower_case must be true or false")
    return Description(
        folder,
        content["name"],
        content["task"],
        content["settings"],
        tuple(content["labels"]),
        {kind: folder / file for kind, file in graphs.items()},
        _read_model(folder / "config.json", content["settings"].get("multi_label") is True),
        str(folder / "vocab.txt"),
    )


def _read_model(path, several_labels):
    found = describe_weights(None, path).model
    if not several_labels:
        refuse_several_labels(read_json_object(path).get("problem_type"), path)
    try:
        return loader.build(ModelConfig, found, "model.")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _check(path, content):
    for key, kind in (("name", str), ("task", str), ("settings", dict), ("labels", list), ("graphs", dict), ("sha256", dict)):
        if not isinstance(content.get(key), kind):
            raise ValueError(f"{path}: {key} must be {_KINDS[kind]}")
    check_name(content["name"])
    if content["task"] not in TASKS:
        raise ValueError(f"{path}: task={content['task']}: {', '.join(TASKS)} are known")
    if not content["graphs"] or not set(content["graphs"]) <= set(GRAPHS):
        raise ValueError(f"{path}: graphs={list(content['graphs'])}: one or more of {', '.join(GRAPHS)} are expected")
    texts = [*content["labels"], *content["graphs"].values(), *content["sha256"].values()]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{path}: labels, graphs and sha256 hold texts")
    if len(set(content["labels"])) < len(content["labels"]):
        raise ValueError(f"{path}: a label stands there twice")
    try:
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: NaN, infinity or half a surrogate pair: no answer can hold it: {error}") from None


def _digest(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
    return digest.hexdigest()
