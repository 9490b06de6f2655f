"""A builder of ONNX graphs: nodes are added in order, weights by name. onnx_encoder.py and export.py of each task use it.

Opset 17 is the first with LayerNormalization. GELU is written as plain ops, which onnxruntime's optimiser fuses into one. Opset 20 has
a Gelu op, but also changes other ops to versions that the optimiser does not fuse everywhere.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

OPSET = 17
_IR_VERSION = 9
_LARGEST = (1 << 31) - (1 << 20)  # bytes of weights: a protobuf message holds 2^31, of which 2^20 are left for the nodes
_TANH_SLOPE = math.sqrt(2.0 / math.pi)


class Builder:
    """A graph under construction. A value of the graph is represented by its name.

    Args:
        arrays: floating-point arrays by our parameter names; the graph gets those that it uses.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self._arrays = arrays
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._weights: dict[str, np.ndarray] = {}
        self._counts: dict[str, int] = {}

    def has(self, name: str) -> bool:
        """Whether the arrays include this one."""
        return name in self._arrays

    def names(self) -> tuple[str, ...]:
        """The names of all arrays, used or not."""
        return tuple(self._arrays)

    def array(self, name: str) -> np.ndarray:
        """The array of this name as float32.

        Raises:
            ValueError: there is none.
        """
        if name not in self._arrays:
            raise ValueError(f"the weights have no {name}")
        return self._arrays[name].astype(np.float32, copy=False)

    def add_input(self, name: str, *shape: int | str) -> str:
        """Declare an int32 input; a size is a number, or a name if it is dynamic. Returns the name."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.INT32, shape))
        return name

    def add_output(self, name: str, value: str, *shape: int | str) -> None:
        """Make a value a float32 output of this name."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def weight(self, name: str, array: np.ndarray | None = None) -> str:
        """Put an array into the graph once: the one of this name, unless another is given. Returns the name."""
        if name not in self._weights:
            self._weights[name] = self.array(name) if array is None else array
        return name

    def floats(self, *numbers: float) -> str:
        """A float32 constant: a scalar for one number, else a vector."""
        return self._constant(np.array(numbers[0] if len(numbers) == 1 else numbers, np.float32))

    def integers(self, *numbers: int) -> str:
        """An int64 vector constant."""
        return self._constant(np.array(numbers, np.int64))

    def index(self, number: int) -> str:
        """An int64 scalar constant."""
        return self._constant(np.array(number, np.int64))

    def _constant(self, array):
        text = "x".join(map(str, array.reshape(-1).tolist()))
        return self.weight(f"{array.dtype}.{array.ndim}.{text}", array)

    def op(self, kind: str, *inputs: str, outputs: int = 1, scope: str = "", **attributes: Any) -> Any:
        """Add a node of an ONNX op.

        Args:
            scope: prefix of the node's name. attributes: those of the ONNX op.

        Returns:
            the name of its output; a list of names if `outputs` is above 1.
        """
        scope = f"{scope}.{kind}" if scope else kind
        self._counts[scope] = number = self._counts.get(scope, 0) + 1
        name = scope if number == 1 else f"{scope}.{number}"
        names = [name] if outputs == 1 else [f"{name}:{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(kind, inputs, names, name=name, **attributes))
        return names[0] if outputs == 1 else names

    def linear(self, name: str, x: str) -> str:
        """x W^T + b over the last axis: [..., I] -> [..., O]. The graph stores W^T, the layout that MatMul takes."""
        weight = self.weight(f"{name}.weight_transposed", self.array(f"{name}.weight").T)
        return self.op("Add", self.op("MatMul", x, weight, scope=name), self.weight(f"{name}.bias"), scope=name)

    def linear_of_rows(self, x: str, weight: str, bias: str, scope: str) -> str:
        """x W^T + b for a matrix x: [R, I] -> [R, O]. The graph stores W as it is."""
        return self.op("Gemm", x, weight, bias, transB=1, scope=scope)

    def normalise(self, name: str, x: str, eps: float) -> str:
        """Layer normalisation over the last axis."""
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=eps, scope=name)

    def activate(self, kind: str, x: str, scope: str) -> str:
        """The activation of this kind: relu, gelu (the erf form), gelu_tanh or gelu_new (its tanh approximation)."""
        if kind == "relu":
            return self.op("Relu", x, scope=scope)
        if kind == "gelu":
            gate = self.op("Erf", self.op("Div", x, self.floats(math.sqrt(2.0)), scope=scope), scope=scope)
            gated = self.op("Mul", x, self.op("Add", gate, self.floats(1.0), scope=scope), scope=scope)
            return self.op("Mul", gated, self.floats(0.5), scope=scope)
        assert kind in ("gelu_tanh", "gelu_new"), kind
        cube = self.op("Mul", self.op("Pow", x, self.floats(3.0), scope=scope), self.floats(0.044715), scope=scope)
        inner = self.op("Mul", self.op("Add", x, cube, scope=scope), self.floats(_TANH_SLOPE), scope=scope)
        gate = self.op("Add", self.op("Tanh", inner, scope=scope), self.floats(1.0), scope=scope)
        return self.op("Mul", self.op("Mul", x, self.floats(0.5), scope=scope), gate, scope=scope)

    def finish(self, name: str) -> ModelProto:
        """The graph with its weights.

        Raises:
            ValueError: it is too large for one file.
        """
        size = sum(array.nbytes for array in self._weights.values())
        if size > _LARGEST:
            raise ValueError(f"the graph would hold {size / 1e9:.1f} GB of weights: an ONNX file holds 2.1 GB at most")
        graph = helper.make_graph(self._nodes, name, self._inputs, self._outputs)
        for key, array in self._weights.items():
            tensor = graph.initializer.add(name=key, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype))
            tensor.raw_data = array.tobytes()  # in C order, transposed or not
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION)
        model.producer_name = "src.export"
        return model
