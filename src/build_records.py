"""Raw text to records for pretraining: documents, next-sentence pairs, masked tokens.

    python -m src.build_records --input_file 'wiki/AA/wiki_*' --output_file out/zh.mindrecord --vocab_file vocab.txt

The flags of Google's create_pretraining_data.py keep their names and defaults. Formats and rules: docs/pretraining_data.md.
"""

import argparse
import dataclasses
import os
import signal
import sys
import typing

from src.config.builder import BuilderOptions
from src.config.fields import describe_bounds
from src.config.loader import bad_input_exits
from src.config.loader import build as check_options


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise ValueError(message)


def parse(argv=None):
    """BuilderOptions from flags; booleans take true or false, or nothing for true.

    Raises:
        ValueError: naming the flag, its value and what is allowed.
    """
    parser = _Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    types = typing.get_type_hints(BuilderOptions)
    for field in dataclasses.fields(BuilderOptions):
        bounds = describe_bounds(field.metadata)
        text = field.metadata["help"] + (f" ({bounds})" if bounds else "")
        if field.default not in (None, ""):
            text += f" [{str(field.default).lower()}]"
        is_flag = types[field.name] in (bool, bool | None)
        kind = {"nargs": "?", "const": "true", "metavar": "true|false"} if is_flag else {"metavar": ""}
        parser.add_argument(f"--{field.name}", default=argparse.SUPPRESS, help=text, **kind)
    return check_options(BuilderOptions, vars(parser.parse_args(argv)))


def main(argv=None):
    with bad_input_exits():
        options = parse(argv)
        signal.signal(signal.SIGTERM, _exit)
        signal.signal(signal.SIGINT, _exit)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # processes share the cores, not threads
        if options.input_file:
            from src.data.builder import build

            build(options)
        if options.inspect:
            from src.data.inspection import print_records

            print_records(options.output_file, options.vocab_file, options.inspect)


def _exit(number, frame):
    """Leave by way of the blocks that remove temporary files."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
