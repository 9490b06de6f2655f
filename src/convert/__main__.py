"""Convert weights, configuration and vocabulary of BERT and NEZHA from one system's format into another's, with a proof.

    python -m src.convert --from tensorflow --to mindspore --input chinese_L-12_H-768_A-12 --output bert_chinese

Prints what became of every tensor, and how much each layer's output differs between source and result on the same input; the same is
written to conversion_report.json. Exit code 0: proved; 1: the proof failed, and only the report is written; 2: bad input.
"""

import sys
import time
from collections.abc import Iterable
from pathlib import Path

from src import signals
from src.cli import EXIT_CHECK_FAILED, Parser, bad_input_exits, printable
from src.convert import conversion, proof


def main(argv: list[str] | None = None) -> None:
    """Convert and print the report."""
    started = time.perf_counter()
    with bad_input_exits():
        options = _parse(argv)
        try:
            report = conversion.convert(
                options.source,
                options.target,
                options.input,
                options.output,
                options.bert_config_file,
                options.vocab_file_path,
                options.tolerance,
            )
        except conversion.MissingParameters as error:
            _print(error.report.lines())
            raise
        wrote = "wrote" if report.passed else "no weights written to"
        _print([*report.lines(), f"{wrote} {options.output} seconds={time.perf_counter() - started:.1f}"])
    if not report.passed:
        sys.exit(EXIT_CHECK_FAILED)


def _print(lines: Iterable[str]) -> None:
    print("\n".join(map(printable, lines)), flush=True)


def _parse(argv):
    parser = Parser(prog="python -m src.convert", description=__doc__)
    parser.add_argument("--from", dest="source", required=True, choices=conversion.SOURCES, help="format of the input")
    parser.add_argument("--to", dest="target", required=True, choices=conversion.TARGETS, help="format of the output")
    parser.add_argument(
        "--input", required=True, metavar="PATH", help="folder or file of the weights, or prefix of a TensorFlow checkpoint"
    )
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where to write; files of the same names are replaced")
    parser.add_argument("--bert_config_file", metavar="FILE", help="replaces the config.json or bert_config.json beside the weights")
    parser.add_argument("--vocab_file_path", "--vocab_file", metavar="FILE", help="replaces the vocab.txt beside the weights")
    parser.add_argument("--tolerance", type=float, default=proof.TOLERANCE, help="largest allowed difference of an output [%(default)s]")
    options = parser.parse_args(argv)
    if not options.input or not options.output:
        raise ValueError("--input and --output must not be empty")
    if (Path(options.input) / "ckpt").is_dir():  # the output folder of a training
        options.input = f"{options.input}/ckpt"
    if not 0 <= options.tolerance < float("inf"):
        raise ValueError(f"--tolerance {options.tolerance}: 0 or more is expected")
    return options


if __name__ == "__main__":
    signals.watch()
    main()
