"""Flags of run_pretrain.py from the model zoo's hyper_parameter_config.ini.

python -m src.launch.hyper_parameters FILE      # prints one flag per line
"""

import configparser
import os
import re
from collections.abc import Sequence
from pathlib import Path

from src.cli import Parser, bad_input_exits

_SECTION = "config"
_REFUSED = {
    "device_id": "each process gets its own",
    "device_num": "the rank table tells it",
    "data_dir": "it is an argument of the launcher",
}


class _IniParser(configparser.ConfigParser):
    """Keeps capitals in keys, so that the run script refuses them."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def read_flags(path: Path | str) -> list[str]:
    """The flags in file order; save_checkpoint_path becomes the folder in which the model zoo's rank 0 saves.

    Raises:
        OSError: the file cannot be read. ValueError: it is malformed; with file and line.
    """
    text = _read(path)
    parser = _IniParser(interpolation=None, delimiters=("=",), comment_prefixes=("#", ";"), default_section="")
    try:
        parser.read_string(text, source=str(path))
    except configparser.Error as error:
        raise ValueError(" ".join(error.message.split())) from None
    if parser.sections() != [_SECTION]:
        raise ValueError(f"{path}: one section is expected, [{_SECTION}]; found: {', '.join(parser.sections()) or 'none'}")
    flags = []
    for key, value in parser.items(_SECTION):
        if key in _REFUSED:
            raise ValueError(f"{_locate(path, text, key)}: {key} is not allowed here: {_REFUSED[key]}")
        if not value or "\n" in value:
            raise ValueError(f"{_locate(path, text, key)}: {key}: one value on the same line is expected")
        flags.append(f"--{key}={find_folder(value) if key == 'save_checkpoint_path' else value}")
    return flags


def find_folder(save_checkpoint_path: str) -> str:
    """The folder in which the model zoo's rank 0 saves, whose working folder is LOG0; here rank 0 works where it was started."""
    return os.path.normpath(os.path.join("LOG0", save_checkpoint_path, "ckpt_0"))


def _read(path: Path | str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: a text file in UTF-8 is expected") from None


def _locate(path: Path | str, text: str, key: str) -> str:
    """The file and line of a key."""
    pattern = re.compile(rf"\s*{re.escape(key)}\s*=")
    number = next(number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line))
    return f"{path}:{number}"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the flags."""
    parser = Parser(prog="python -m src.launch.hyper_parameters", description=__doc__)
    parser.add_argument("file", metavar="FILE", help="a hyper_parameter_config.ini")
    with bad_input_exits():
        print(*read_flags(parser.parse_args(argv).file), sep="\n")


if __name__ == "__main__":
    main()
