import sys
from types import SimpleNamespace

import numpy as np
import pytest

from src.bundle.fixed_graphs import FixedGraphs, LiteGraph
from src.bundle.graphs import TEXT_INPUTS


class Sums:
    """A graph of one shape: ids of each token doubled, and the sum of each row's."""

    def __init__(self, *shape):
        self.shape, self.calls = shape, 0

    def run(self, columns):
        self.calls += 1
        assert all(column.shape == self.shape for column in columns.values())
        ids = columns["input_ids"].astype(np.float32)
        return [2 * ids, ids.sum(1, keepdims=True), np.float32([[7.0]])]


def columns(rows, length):
    return [np.arange(1, rows * length + 1, dtype=np.int32).reshape(rows, length)] * 3


def test_rows_are_padded_to_the_smallest_graph_and_outputs_are_cut():
    short, long = Sums(2, 4), Sums(2, 8)
    graphs = FixedGraphs([long, short], (True, False, None))
    ids = columns(3, 4)[0]
    doubled, sums, constant = graphs.run(*columns(3, 4))
    np.testing.assert_array_equal(doubled, 2.0 * ids)
    np.testing.assert_array_equal(sums, ids.sum(1, keepdims=True))
    np.testing.assert_array_equal(constant, [[7.0]])
    assert (short.calls, long.calls) == (2, 0)
    assert graphs.run(*columns(1, 5))[0].shape == (1, 5)
    assert long.calls == 1
    with pytest.raises(ValueError, match="a row has 9 tokens, and the compiled graphs have 4, 8: compile one for the model's seq_length"):
        graphs.run(*columns(1, 9))


def test_scores_of_two_tokens_are_cut_at_both():
    graph = SimpleNamespace(shape=(2, 4), run=lambda columns: [np.zeros((2, 4, 5, 4))])
    assert FixedGraphs([graph], (True, None)).run(*columns(3, 3))[0].shape == (3, 3, 5, 3)


class Lite:
    """The part of MindSpore Lite's interface that LiteGraph uses, with a model that adds its inputs."""

    ModelType = SimpleNamespace(MINDIR=0)

    class Context:
        def __init__(self):
            self.ascend = SimpleNamespace(device_id=None)

    class Model:
        names = TEXT_INPUTS

        def build_from_file(self, path, kind, context):
            self.built = (path, kind, context.target, context.ascend.device_id)

        def get_inputs(self):
            self.inputs = [SimpleNamespace(name=name, shape=[2, 4]) for name in reversed(self.names)]
            for value in self.inputs:
                value.set_data_from_numpy = lambda array, value=value: setattr(value, "array", array)
            return self.inputs

        def predict(self, inputs):
            total = sum(value.array for value in inputs).astype(np.float32)
            return [SimpleNamespace(get_data_to_numpy=lambda: total)]


def test_mindspore_lite_runs_a_compiled_graph(monkeypatch):
    monkeypatch.setitem(sys.modules, "mindspore_lite", Lite)
    graph = LiteGraph("a.mindir", "Ascend", 3)
    assert graph.shape == (2, 4)
    assert graph._model.built == ("a.mindir", 0, ["ascend"], 3)
    (found,) = FixedGraphs([graph], (True,)).run(*columns(2, 3))
    np.testing.assert_array_equal(found, 3.0 * columns(2, 3)[0])
    monkeypatch.setattr(Lite.Model, "names", ("x", "y", "z"))
    with pytest.raises(ValueError, match="a.mindir: its inputs are z, y, x, not input_ids"):
        LiteGraph("a.mindir", "CPU", 0)


def test_without_mindspore_lite_a_line_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "mindspore_lite", None)
    with pytest.raises(ValueError, match="a.mindir: MindSpore Lite is not installed"):
        LiteGraph("a.mindir", "CPU", 0)
