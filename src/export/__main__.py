"""Export trained weights as a bundle for serving: a graph for any batch size and length, vocabulary, labels, settings.

    python -m src.export --task classifier --checkpoint cola_finetune --file_format ONNX --output cola_bundle --int8 true
    python -m src.serve --bundle cola_bundle

The graph is compared with the network on example sentences, all at once and one by one; if outputs differ by more than 1e-4, nothing is
written and the exit code is 1. An int8 graph is only measured. Other flags are those of the run script that say what the model is, such
as --head; of a recipe (--config_path), too, only those count.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any

from src import cli, signals
from src.bundle import folder as bundle_folder
from src.tasks import trained
from src.tasks.task import TASKS


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, load, export."""
    with cli.bad_input_exits():
        own, config = parse(argv)
        with signals.held:
            from src.export import comparison, exporting  # imports MindSpore: after the options are known to be good
            from src.train import runtime

        try:
            where = (own.checkpoint, own.output, own.file_format, own.name)
            exporting.export(TASKS[own.task], runtime.start(config), *where, own.int8 == "true", own.static_shapes, own.example)
        except comparison.DifferentOutputs as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(cli.EXIT_CHECK_FAILED)


def parse(argv: Sequence[str] | None) -> tuple[argparse.Namespace, Any]:
    """The flags of the export, and the settings of the model."""
    parser = cli.Parser(prog="python -m src.export", description=__doc__)
    parser.add_argument("--task", required=True, choices=TASKS)
    parser.add_argument("--checkpoint", required=True, metavar="PATH", help="trained weights, or the output folder of a fine-tuning")
    parser.add_argument("--output", required=True, metavar="FOLDER", help="folder of the bundle")
    parser.add_argument("--file_format", default="ONNX", type=str.upper, choices=("ONNX", "MINDIR"))
    parser.add_argument("--name", help="name of the model in its URL; default: the task")
    parser.add_argument(
        "--int8", default="false", nargs="?", const="true", choices=("true", "false"), help="write also a quantised ONNX graph"
    )
    parser.add_argument(
        "--static_shapes",
        default=(),
        type=_parse_shapes,
        metavar="BxS,...",
        help="write also copies of the ONNX graph for these batch sizes and lengths only, such as 1x128,1x512, for Ascend",
    )
    parser.add_argument("--example", metavar="TEXT", help="what the served page shows first; of a task with several texts a JSON object")
    own, rest = parser.parse_known_args(argv)
    _check(own)
    own.checkpoint = trained.locate(own.checkpoint)
    return own, trained.read_settings(trained.find_task(own.checkpoint, own.task), own.checkpoint, rest)


def _parse_shapes(text):
    """Batch sizes and lengths from a text such as 1x128,8x64."""
    parts = text.split(",")
    if not all(re.fullmatch(r"[1-9]\d{0,5}x[1-9]\d{0,5}", part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text}: batch sizes and lengths are expected, such as 1x128,8x64")
    return [tuple(map(int, part.split("x"))) for part in parts]


def _check(own):
    """Raise a ValueError for flags that contradict each other."""
    if own.name is not None:
        bundle_folder.check_name(own.name)
    if own.int8 == "true" and own.file_format != "ONNX":
        raise ValueError("int8=true is for --file_format ONNX")
    if own.static_shapes and own.file_format != "ONNX":
        raise ValueError("--static_shapes is for --file_format ONNX")
    if not own.output:
        raise ValueError("--output is empty: a folder is expected")
    bundle_folder.check_target(own.output)


if __name__ == "__main__":
    signals.watch()
    main()
