"""What MindSpore's log says of a compilation for Ascend: kernels of each graph, launches, memory as planned, operators without a kernel."""

import re
from collections import Counter
from dataclasses import dataclass, field

# what the log must tell; the framework's modules that say it, and how loud they must be
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
_EVENTS = ("StreamSend", "StreamRecv")  # by which streams wait for each other: no kernels
_BRANCH = re.compile(r"([✓✗])(.*)$")  # the two sides of an `if`


@dataclass
class Graph:
    """One graph of kernels; a network with an `if` on the device has several.

    function: that it is compiled from, with ✓ or ✗ before the side of an `if`.
    aclnn, aclop, other: kernels selected, by kind. unlaunched: nodes that only give a tensor another shape.
    operators: nodes as they run, with the copies that are put in after the selection; name -> number.
    """

    number: int
    function: str
    aclnn: int = 0
    aclop: int = 0
    other: int = 0
    unlaunched: int = 0
    operators: Counter = field(default_factory=Counter)

    @property
    def launches(self):
        """0 for a graph whose compilation did not come to an end."""
        return max(0, self.operators.total() - self.unlaunched - sum(self.operators[name] for name in _EVENTS))

    def describe(self) -> dict:
        return vars(self) | {"launches": self.launches, "operators": dict(self.operators.most_common())}


@dataclass
class Network:
    """What is compiled in one piece: a training step, an evaluation."""

    name: str
    graphs: list = field(default_factory=list)

    def count_launches(self) -> tuple[int, int]:
        """Fewest and most launches of one run: of the two sides of an `if` one is taken; a loop's body counts once."""
        fewest = most = 0
        sides = {}
        for graph in self.graphs:
            branch = _BRANCH.search(graph.function)
            if branch is None:
                fewest, most = fewest + graph.launches, most + graph.launches
            else:
                counts = sides.setdefault(branch[2], Counter({"✓": 0, "✗": 0}))
                counts[branch[1]] += graph.launches
        for counts in sides.values():
            fewest, most = fewest + min(counts.values()), most + max(counts.values())
        return fewest, most


class DryRun:
    """Reads a log line by line."""

    def __init__(self):
        self.networks = []
        self.aclop, self.without_kernel = set(), set()  # names of operators
        self.peak = {"peak": 0, "actual": 0}  # bytes: of tensors, and with gaps between them
        self._current = {}  # process -> its Network
        self._function = {}  # process -> name of what it compiles
        self._value_open = False  # whether a tensor's value, on lines of its own, is not at its end

    def read(self, line: str) -> bool:
        """Take in what a line tells; False where it is none of the framework's log."""
        entry = _ENTRY.match(line)
        if entry is None:
            continues = self._value_open
            self._value_open = continues and ")" not in line
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
            internal, aclnn, aclop, *others = (int(number) for number in found[1].split())
            graphs[-1].aclnn, graphs[-1].aclop, graphs[-1].other = aclnn, aclop, internal + sum(others)
        elif found := _ORDER.search(line):
            graphs[-1].operators[_operator(found[1])] += 1
        elif _NOP in line:
            graphs[-1].unlaunched += 1

    def describe(self) -> dict:
        """All of it, for a JSON file."""
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

    def lines(self):
        """All of it but the counts by operator, for people."""
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
        yield f"operators without an Ascend kernel: {', '.join(sorted(self.without_kernel)) or 'none'}"


def _plain(name):
    """A function's name without the numbers of its copies: 1703_1691_1_src_train_step_TrainStep_construct_1948."""
    return re.sub(r"^(\d+_)+|(_\d+)+$", "", name).removesuffix("_construct")


def _operator(node):
    """The operator of a node: Default/optimizer-Lamb/Select-op13."""
    return re.sub(r"-op\d+.*$", "", node.rsplit("/", 1)[-1])
