"""The model zoo's hyper_parameter_config.ini as flags of run_pretrain.py.

python -m src.launch.hyper_parameters FILE      # prints one flag a line
"""

import configparser
import os
import re
from pathlib import Path

from src.cli import Parser, bad_input_exits

_SECTION = "config"
_REFUSED = {
    "device_id": "each process gets its own",
    "device_num": "the rank table tells it",
    "data_dir": "it is an argument of the launcher",
}


def read_flags(path):
    """The flags, in the order of the file; save_checkpoint_path becomes the folder in which the model zoo's rank 0 saves.

    Raises:
        OSError: the file cannot be read. ValueError: with file and line.
    """
    text = _read(path)
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#", ";"), default_section="")
    parser.optionxform = str  # keeps capitals, to refuse them as the run script does
    try:
        parser.read_string(text, source=str(path))
    except configparser.Error as error:
        raise ValueError(" ".join(error.message.split())) from None
    if parser.sections() != [_SECTION]:
        raise ValueError(f"{path}: one section is expected, [{_SECTION}]; found: {', '.join(parser.sections()) or 'none'}")
    flags = []
    for key, value in parser.items(_SECTION):
        if key in _REFUSED:
            raise ValueError(f"{_place(path, text, key)}: {key} is not allowed here: {_REFUSED[key]}")
        if not value or "\n" in value:
            raise ValueError(f"{_place(path, text, key)}: {key}: one value on the same line is expected")
        flags.append(f"--{key}={find_folder(value) if key == 'save_checkpoint_path' else value}")
    return flags


def find_folder(save_checkpoint_path):
    """Where the model zoo's rank 0, which works in LOG0, saves; here rank 0 alone writes results, and works where it was started."""
    return os.path.normpath(os.path.join("LOG0", save_checkpoint_path, "ckpt_0"))


def _read(path):
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: a text file in UTF-8 is expected") from None


def _place(path, text, key):
    pattern = re.compile(rf"\s*{re.escape(key)}\s*=")
    number = next(number for number, line in enumerate(text.splitlines(), 1) if pattern.match(line))
    return f"{path}:{number}"


def main(argv=None):
    """Print the flags."""
    parser = Parser(prog="python -m src.launch.hyper_parameters", description=__doc__)
    parser.add_argument("file", metavar="FILE", help="a hyper_parameter_config.ini")
    with bad_input_exits():
        print(*read_flags(parser.parse_args(argv).file), sep="\n")


if __name__ == "__main__":
    main()
