"""Nodes and weights of an ONNX graph, written down in order; what they compute stands in onnx_encoder.py and export.py of each task.

Opset 17 is the first with LayerNormalization. GELU stays spelt out, which onnxruntime's optimiser turns into one op as well;
opset 20 has an op for it, but others change with it that the optimiser then does not know everywhere.
"""

import math

import numpy as np
from onnx import TensorProto, helper

OPSET = 17
_IR_VERSION = 9
_LARGEST = (1 << 31) - (1 << 20)  # bytes of a protobuf message, less room for the nodes
_TANH_SLOPE = math.sqrt(2.0 / math.pi)


class Builder:
    """A graph in the making: values are named by strings, weights are taken from arrays by their own names.

    Args:
        arrays: our name -> array of floats.
    """

    def __init__(self, arrays):
        self._arrays = arrays
        self._nodes, self._inputs, self._outputs, self._weights = [], [], [], {}
        self._counts = {}

    def has(self, name):
        """Whether there is such a weight."""
        return name in self._arrays

    def names(self):
        """Of all weights."""
        return tuple(self._arrays)

    def array(self, name):
        """A weight, as float32.

        Raises:
            ValueError: there is none.
        """
        if name not in self._arrays:
            raise ValueError(f"the weights have no {name}")
        return self._arrays[name].astype(np.float32, copy=False)

    def add_input(self, name, *shape):
        """An int32 input; sizes are numbers, or names of dynamic ones."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.INT32, shape))
        return name

    def add_output(self, name, value, *shape):
        """Give a value out as float32 under a name."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def weight(self, name, array=None):
        """A weight by its own name, or an array under a name."""
        if name not in self._weights:
            self._weights[name] = self.array(name) if array is None else array
        return name

    def floats(self, *numbers):
        """A constant: a scalar if it is one number, else a vector."""
        return self._constant(np.array(numbers[0] if len(numbers) == 1 else numbers, np.float32))

    def integers(self, *numbers):
        """A constant int64 vector."""
        return self._constant(np.array(numbers, np.int64))

    def index(self, number):
        """A constant int64 scalar."""
        return self._constant(np.array(number, np.int64))

    def _constant(self, array):
        text = "x".join(map(str, array.reshape(-1).tolist()))
        return self.weight(f"{array.dtype}.{array.ndim}.{text}", array)

    def op(self, kind, *inputs, outputs=1, scope="", **attributes):
        """Add a node: the name of its output, or a list of several."""
        scope = f"{scope}.{kind}" if scope else kind
        self._counts[scope] = number = self._counts.get(scope, 0) + 1
        name = scope if number == 1 else f"{scope}.{number}"
        names = [name] if outputs == 1 else [f"{name}:{place}" for place in range(outputs)]
        self._nodes.append(helper.make_node(kind, inputs, names, name=name, **attributes))
        return names[0] if outputs == 1 else names

    def linear(self, name, x):
        """x W^T + b over the last axis: [..., I] -> [..., O]; the file has W transposed, as MatMul wants it."""
        weight = self.weight(f"{name}.weight_transposed", self.array(f"{name}.weight").T)
        return self.op("Add", self.op("MatMul", x, weight, scope=name), self.weight(f"{name}.bias"), scope=name)

    def linear_of_rows(self, x, weight, bias, scope):
        """x W^T + b, the weights as they are: [R, I] -> [R, O]."""
        return self.op("Gemm", x, weight, bias, transB=1, scope=scope)

    def normalise(self, name, x, eps):
        """Layer normalisation over the last axis."""
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=eps, scope=name)

    def activate(self, kind, x, scope):
        """relu, gelu (erf), gelu_tanh or gelu_new."""
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

    def finish(self, name):
        """The graph, with the weights in it.

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
