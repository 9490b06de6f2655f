"""A network that computes as the graph of a bundle does."""

from collections.abc import Sequence

import numpy as np
from mindspore import Tensor, nn

from src.export.mindir import make_inputs


class NetworkGraph:
    """Runs a network, which is compiled once, at its first batch, for all sizes.

    Args:
        network: in evaluation mode, of plain ops (`exporting.make_network`).
        inputs: names of its inputs, int32 [rows, length].
    """

    def __init__(self, network: nn.Cell, inputs: Sequence[str]):
        self.inputs: tuple[str, ...] = tuple(inputs)
        self.outputs: tuple[str, ...] | None = None  # MindSpore has no names for outputs
        self._network = network
        network.set_inputs(*make_inputs(inputs))

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """The outputs for int32 arrays given in the order of `inputs`."""
        outputs = self._network(*map(Tensor, arrays))
        return [output.asnumpy() for output in (outputs if isinstance(outputs, tuple) else (outputs,))]
