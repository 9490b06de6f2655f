"""A graph that runs: ONNX by onnxruntime, MINDIR by MindSpore."""

TEXT_INPUTS = ("input_ids", "input_mask", "token_type_ids")


class OnnxGraph:
    """Runs an ONNX file on the CPU.

    Args:
        path: the file.
        threads: of one run; 0 takes as many as there are cores.

    Raises:
        ValueError: not a graph that onnxruntime can run; or onnxruntime is not installed.
    """

    def __init__(self, path, threads=0):
        try:
            import onnxruntime
        except ImportError:
            raise ValueError(f"{path}: onnxruntime is not installed: pip install -r requirements-serve.txt") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of several classes of its own, without a common one
            raise ValueError(f"{path}: onnxruntime cannot run it: {error}") from None
        self.inputs = tuple(value.name for value in self._session.get_inputs())
        self.outputs = tuple(value.name for value in self._session.get_outputs())

    def run(self, *arrays):
        """Outputs, a list of arrays, of int32 arrays in the order of `inputs`.

        Raises:
            RuntimeError: onnxruntime failed.
        """
        try:
            return self._session.run(None, dict(zip(self.inputs, arrays)))
        except Exception as error:  # as above
            raise RuntimeError(f"onnxruntime: {error}") from error


class MindirGraph:
    """Runs a MINDIR file by MindSpore on the CPU.

    Args:
        path: the file.
        inputs: names of its inputs.

    Raises:
        ValueError: not a graph that MindSpore can run; or MindSpore is not installed.
    """

    def __init__(self, path, inputs=TEXT_INPUTS):
        try:
            import mindspore
            from mindspore import Tensor, nn

            from src import framework

            framework.run_as_graphs()
            mindspore.set_device("CPU")
            self._graph, self._tensor = nn.GraphCell(mindspore.load(str(path))), Tensor
            self._graph.set_inputs(*(Tensor(shape=[None, None], dtype=mindspore.int32) for _ in inputs))  # compiled once for all sizes
        except ImportError:
            raise ValueError(f"{path}: MindSpore is not installed: pip install -r requirements.txt") from None
        except (RuntimeError, ValueError, TypeError) as error:
            raise ValueError(f"{path}: MindSpore cannot run it: {error}") from None
        self.inputs, self.outputs = tuple(inputs), None  # MindSpore has no names for outputs

    def run(self, *arrays):
        """Outputs, a list of arrays."""
        outputs = self._graph(*map(self._tensor, arrays))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return [output.asnumpy() for output in outputs]


def open_graph(kind, path, threads=0):
    """The graph of a kind: onnx, int8 or mindir."""
    return MindirGraph(path) if kind == "mindir" else OnnxGraph(path, threads)
