"""Reads MindSpore's log of a compilation for Ascend: each graph's kernels and launches, planned memory, operators without a kernel."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

# modules of MindSpore whose log is read -> log level that they need
LOG_LEVELS = {"DEVICE": 1, "RUNTIME_FRAMEWORK": 1, "SESSION": 1}
_ENTRY = re.compile(r"\[(?:INFO|WARNING|ERROR|CRITICAL|DEBUG)\] \w+\((\d+)[,:]")
_NETWORK = re.compile(r"start compile function graph: (\S+)")
_FUNCTION = re.compile(r"\] Compile graph: ([^\s,]+)")
_GRAPH = re.compile(r"Kernel graph: kernel_graph(\d+), set run mode")
_KINDS = re.compile(r"PrintOpSelectedNum\] ((?:\d+ ?){7,8})$")
_ACLOP = re.compile(r"\] (\S+) select aclop kernel")
_ORDER = re.compile(r"PrintGraphExecuteOrder\] Index\[\d+\], node name\[([^\]]*)\]")
_NOP = "OptimizeNopNode] The reference relation of nopnode"
_BACKOFF = re.compile(r"Try to use backoff CPU kernel, node:(\S+)")
_PEAK = re.compile(r"Max (peak|actual) used memory size is (\d+)")
_EVENTS = ("StreamSend", "StreamRecv")  # synchronisation of streams, not kernels
_BRANCH = re.compile(r"([✓✗])(.*)$")  # the two sides of an `if`


@dataclass
class Graph:
    """One graph of kernels; a network with an `if` on the device has several.

    Attributes:
        function: the function it is compiled from; ✓ or ✗ marks a branch of an `if`.
        aclnn, aclop, other: number of selected kernels of each kind.
        unlaunched: number of nodes that only reshape a tensor.
        operators: name -> number of nodes that run, including copies inserted after kernel selection.
    """

    number: int
    function: str
    aclnn: int = 0
    aclop: int = 0
    other: int = 0
    unlaunched: int = 0
    operators: Counter = field(default_factory=Counter)

    @property
    def launches(self) -> int:
        """Number of kernel launches; 0 for a graph whose compilation did not finish."""
        return max(0, self.operators.total() - self.unlaunched - sum(self.operators[name] for name in _EVENTS))

    def describe(self) -> dict[str, Any]:
        return vars(self) | {"launches": self.launches, "operators": dict(self.operators.most_common())}


@dataclass
class Network:
    """A network compiled as a unit: a training step, an evaluation."""

    name: str
    graphs: list[Graph] = field(default_factory=list)

    def count_launches(self) -> tuple[int, int]:
        """Fewest and most launches of one run: only one branch of an `if` runs; a loop's body counts once."""
        fewest = most = 0
        branches: dict[str, Counter] = {}
        for graph in self.graphs:
            branch = _BRANCH.search(graph.function)
            if branch is None:
                fewest += graph.launches
                most += graph.launches
            else:
                counts = branches.setdefault(branch[2], Counter({"✓": 0, "✗": 0}))
                counts[branch[1]] += graph.launches
        for counts in branches.values():
            fewest += min(counts.values())
            most += max(counts.values())
        return fewest, most


class DryRun:
    """A log, read line by line.

    Attributes:
        networks: in the order of their compilation.
        aclop, without_kernel: names of operators.
        peak: bytes, of tensors ("peak") and with the gaps between them ("actual").
    """

    def __init__(self) -> None:
        self.networks: list[Network] = []
        self.aclop: set[str] = set()
        self.without_kernel: set[str] = set()
        self.peak = {"peak": 0, "actual": 0}
        self._current: dict[str, Network] = {}  # by process
        self._function: dict[str, str] = {}  # name of the function being compiled, by process
        self._value_open = False  # whether a tensor's value, printed on lines of its own, has not ended yet

    def read(self, line: str) -> bool:
        """Read a line; False if it is not from the framework's log."""
        entry = _ENTRY.match(line)
        if entry is None:
            continues = self._value_open
            self._value_open = continues and (")" not in line or line.endswith("value="))  # an entry may have several values
            return continues
        self._value_open = line.endswith("value=")
        process = entry[1]
        if found := _NETWORK.search(line):
            self._current[process] = Network(_plain(found[1]))
            self.networks.append(self._current[process])
        elif found := _FUNCTION.search(line):
            self._function[process] = _plain(found[1])
        elif found := _ACLOP.search(line):
            self.aclop.add(found[1])
        elif found := _BACKOFF.search(line):
            self.without_kernel.add(_operator(found[1]))
        elif found := _PEAK.search(line):
            self.peak[found[1]] = max(self.peak[found[1]], int(found[2]))
        elif process in self._current:
            self._read_graph(self._current[process].graphs, self._function.get(process, ""), line)
        return True

    def _read_graph(self, graphs, function, line):
        if found := _GRAPH.search(line):
            graphs.append(Graph(int(found[1]), function))
        elif not graphs:
            return
        elif found := _KINDS.search(line):
            counts = [int(number) for number in found[1].split()]  # internal, aclnn, aclop, others
            graphs[-1].aclnn = counts[1]
            graphs[-1].aclop = counts[2]
            graphs[-1].other = sum(counts) - counts[1] - counts[2]
        elif found := _ORDER.search(line):
            graphs[-1].operators[_operator(found[1])] += 1
        elif _NOP in line:
            graphs[-1].unlaunched += 1

    def describe(self) -> dict[str, Any]:
        """Everything, for a JSON file."""
        networks = []
        for network in self.networks:
            fewest, most = network.count_launches()
            graphs = [graph.describe() for graph in network.graphs]
            networks.append({"network": network.name, "launches": most, "fewest_launches": fewest, "graphs": graphs})
        return {
            "networks": networks,
            "aclop": sorted(self.aclop),
            "without_kernel": sorted(self.without_kernel),
            "peak_memory": {"tensors": self.peak["peak"], "with_gaps": self.peak["actual"]},
        }

    def lines(self, finished: bool = True) -> Iterator[str]:
        """Everything but the counts by operator, as text.

        Args:
            finished: whether the command ended well; only then are the operators without a kernel known to be none.
        """
        for network in self.networks:
            fewest, most = network.count_launches()
            skipped = f", {fewest} by the shorter side of each `if`" if fewest < most else ""
            yield f"{network.name}: {most} launches a run{skipped}"
            for graph in network.graphs:
                kinds = f"aclnn {graph.aclnn}, aclop {graph.aclop}, others {graph.other}"
                yield f"  graph {graph.number} {graph.function}: {kinds}; launches {graph.launches}"
        if self.networks:
            sizes = (f"{self.peak[name] / 2**20:.1f} MB {words}" for name, words in (("peak", "of tensors"), ("actual", "with gaps")))
            yield f"peak memory as planned: {', '.join(sizes)}"
            yield f"aclop operators: {', '.join(sorted(self.aclop)) or 'none'}"
        if self.without_kernel or finished and self.networks:
            yield f"operators without an Ascend kernel: {', '.join(sorted(self.without_kernel)) or 'none'}"


def _plain(name):
    """A function's name without its copies' numbers: from 1703_1691_1_src_train_step_TrainStep_construct_1948."""
    return re.sub(r"^(\d+_)+|(_\d+)+$", "", name).removesuffix("_construct")


def _operator(node):
    """The operator of a node: Select, from Default/optimizer-Lamb/Select-op13."""
    return re.sub(r"-op\d+.*$", "", node.rsplit("/", 1)[-1])
