"""Weights by name, fetched by a hub's own library into its own cache: `hf:NAME` of Hugging Face, `ms:NAME` of ModelScope.

NAME may end in @REVISION. What is fetched is read as any other folder of weights; no code of a repository runs.
"""

import importlib
from pathlib import Path
from typing import Any, NamedTuple

from src.formats import huggingface
from src.log import logger


class _Hub(NamedTuple):
    package: str  # has snapshot_download(NAME, revision=…, allow_patterns=…)
    title: str


_HUBS = {"hf": _Hub("huggingface_hub", "Hugging Face"), "ms": _Hub("modelscope", "ModelScope")}
_DESCRIPTIONS = ["*.json", "*.txt"]
_WEIGHTS = (["*.safetensors"], ["pytorch_model*.bin"])  # the second if a repository has none of the first


def fetch(path: Any) -> Any:
    """The local folder of weights that are named `hf:NAME` or `ms:NAME`; any other path unchanged.

    Raises:
        ValueError: the library is not installed, or could not fetch them.
    """
    scheme, _, rest = str(path).partition(":")
    if scheme not in _HUBS or Path(path).exists():
        return path
    name, _, revision = rest.partition("@")
    if not name or name.startswith(("/", ".")):
        raise ValueError(f"{path}: the name of a repository is expected, such as {scheme}:google-bert/bert-base-uncased")
    hub = _HUBS[scheme]
    try:
        library = importlib.import_module(hub.package)
    except ImportError:
        raise ValueError(f"{path}: {hub.package} is not installed: pip install {hub.package}, or give a folder of weights") from None
    folder: Path | None = None
    for patterns in _WEIGHTS:
        folder = _download(path, library, hub, name, revision, patterns)
        if huggingface.find(folder):
            break
    logger.info(f"{path}: {folder}")
    return str(folder)


def _download(path, library, hub, name, revision, patterns):
    options = {"revision": revision} if revision else {}
    try:
        return Path(library.snapshot_download(name, allow_patterns=[*_DESCRIPTIONS, *patterns], **options))
    except Exception as error:  # network, disk, unknown names: the libraries' errors have no common class
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        told = f"{hub.title} gave no weights of this name: {reason}"
        raise ValueError(f"{path}: {told}; without a network give a folder of weights") from error
