"""Raw text to records for pretraining: documents, next-sentence pairs, masked tokens.

    python -m src.build_records --input_file 'wiki/AA/wiki_*' --output_file out/zh.mindrecord --vocab_file vocab.txt

The flags of Google's create_pretraining_data.py keep their names and defaults. Formats and rules: docs/pretraining_data.md.
"""

import os
import signal
import sys
from types import FrameType

from src import cli
from src.config import loader
from src.tasks.pretrain.corpus.options import BuilderOptions


def main(argv: list[str] | None = None) -> None:
    """Build records, or print those of an existing file."""
    options = loader.load(BuilderOptions, argv)
    with cli.bad_input_exits():
        signal.signal(signal.SIGTERM, _exit)
        signal.signal(signal.SIGINT, _exit)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # worker processes share the cores instead
        if options.input_file:
            from src.tasks.pretrain.corpus.builder import build

            build(options)
        if options.inspect:
            from src.tasks.pretrain.corpus.inspection import print_records

            print_records(options.output_file, options.vocab_file, options.inspect)


def _exit(number: int, frame: FrameType | None) -> None:
    """Exit by an exception, so that temporary files are removed."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
