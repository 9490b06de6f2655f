"""Exported graphs that can be run: ONNX with onnxruntime, MINDIR with MindSpore."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

TEXT_INPUTS = ("input_ids", "input_mask", "token_type_ids")


class OnnxGraph:
    """Runs an ONNX file on the CPU.

    Args:
        threads: number of threads for a run; 0 takes one per core.

    Raises:
        ValueError: onnxruntime cannot run the graph, or is not installed.
    """

    def __init__(self, path: Path | str, threads: int = 0):
        try:
            import onnxruntime
        except ImportError:
            raise ValueError(f"{path}: onnxruntime is not installed: pip install -r requirements-serve.txt") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common class
            raise ValueError(f"{path}: onnxruntime cannot run it: {error}") from None
        self.inputs = tuple(value.name for value in self._session.get_inputs())
        self.outputs = tuple(value.name for value in self._session.get_outputs())

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """The outputs for int32 arrays given in the order of `inputs`.

        Raises:
            RuntimeError: onnxruntime failed.
        """
        try:
            return self._session.run(None, dict(zip(self.inputs, arrays)))
        except Exception as error:  # as above
            raise RuntimeError(f"onnxruntime: {error}") from error


class MindirGraph:
    """Runs a MINDIR file with MindSpore on the CPU.

    Args:
        inputs: names of the graph's inputs.

    Raises:
        ValueError: MindSpore cannot run the graph, or is not installed.
    """

    def __init__(self, path: Path | str, inputs: Sequence[str] = TEXT_INPUTS):
        try:
            import mindspore
            from mindspore import Tensor, nn

            from src import framework

            framework.run_as_graphs()
            mindspore.set_device("CPU")
            self._graph = nn.GraphCell(mindspore.load(str(path)))
            self._tensor = Tensor
            self._graph.set_inputs(*(Tensor(shape=[None, None], dtype=mindspore.int32) for _ in inputs))  # compiled once for all sizes
        except ImportError:
            raise ValueError(f"{path}: MindSpore is not installed: pip install -r requirements.txt") from None
        except (RuntimeError, ValueError, TypeError) as error:
            raise ValueError(f"{path}: MindSpore cannot run it: {error}") from None
        self.inputs = tuple(inputs)
        self.outputs = None  # MindSpore has no names for outputs

    def run(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """The outputs for int32 arrays given in the order of `inputs`."""
        outputs = self._graph(*map(self._tensor, arrays))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return [output.asnumpy() for output in outputs]


def open_graph(kind: str, path: Path | str, threads: int = 0, inputs: Sequence[str] = TEXT_INPUTS) -> OnnxGraph | MindirGraph:
    """The graph in a file of the given kind, onnx, int8 or mindir; a MINDIR does not tell its `inputs`."""
    return MindirGraph(path, inputs) if kind == "mindir" else OnnxGraph(path, threads)
