"""Export as MindSpore's MINDIR, with dynamic batch size and length."""

from collections.abc import Iterable
from pathlib import Path

import mindspore
from mindspore import Tensor, nn

from src.files import written_whole


def write(network: nn.Cell, inputs: Iterable[str], path: Path) -> None:
    """Export a network as one file, written whole.

    Args:
        network: in evaluation mode, of plain ops, as a kernel compiled here runs nowhere else.
        inputs: names of its inputs, all int32 [batch, length].
        path: ends in .mindir.

    Raises:
        ValueError: MindSpore would write more than one file.
    """
    with written_whole(path) as temporary:
        mindspore.export(network, *make_inputs(inputs), file_name=str(temporary.with_suffix("")), file_format="MINDIR")
        if not temporary.is_file():
            raise ValueError(f"{path}: MindSpore splits networks of 1 GB and more into several files; export ONNX instead")


def make_inputs(inputs: Iterable[str]) -> list[Tensor]:
    """Tensors of unknown size, one per input."""
    return [Tensor(shape=[None, None], dtype=mindspore.int32) for _ in inputs]
