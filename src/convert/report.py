"""The report of a conversion, tensor by tensor, as lines of text and as conversion_report.json."""

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from src.files import write_text
from src.formats.weights import OF_WORDS, Origin
from src.log import format_fields, shorten

NAME = "conversion_report.json"
_SHOWN = 4  # names in a line


class Report:
    """The report, filled in as the conversion proceeds.

    Args:
        head: the first entries of the file.

    Attributes:
        tensors: a dict for each tensor of the source.
        missing: our names of required parameters that the weights lack.
        left_random: our names of the pooler's parameters if the weights lack them.
        not_finite: our names of arrays with infinity or NaN.
        warnings: lines of text.
        proof: see `proof.prove`; None if the conversion did not get that far.
    """

    def __init__(self, head: dict[str, Any]):
        self.head = head
        self.tensors: list[dict[str, Any]] = []
        self.missing: list[str] = []
        self.left_random: list[str] = []
        self.not_finite: list[str] = []
        self.warnings: list[str] = []
        self.proof: dict[str, Any] | None = None

    def add(self, origin: Origin, array: np.ndarray | None = None, target_name: str = "") -> None:
        """Record a tensor of the source.

        Args:
            array: the array written; None if the tensor is dropped.
            target_name: its name in the target.
        """
        tensor = {"source": origin.name, "shape": list(origin.shape), "dtype": origin.dtype}
        if array is None:
            tensor |= {"status": "dropped", "remark": origin.remark or "not of a network here"}
        else:
            remarks = [origin.remark] if origin.remark else []
            if str(array.dtype) != origin.dtype:
                remarks.append(f"as {array.dtype}")
            if origin.target in OF_WORDS and array.shape != origin.shape:
                remarks.append("without the rows that fill up the vocabulary")
            status = "renamed" if target_name != origin.name else "mapped"
            if origin.transposed != target_name.endswith("/kernel"):
                status = "transposed"
            tensor |= {"target": target_name, "status": status, "remark": "; ".join(remarks)}
        self.tensors.append(tensor)

    @property
    def passed(self) -> bool:
        """Whether the proof held."""
        return self.proof is not None and self.proof["passed"]

    def write(self, folder: Path | str) -> None:
        """Write conversion_report.json into a folder, made if absent."""
        lists = {name: getattr(self, name) for name in ("warnings", "missing", "left_random", "not_finite", "proof")}
        if self.proof:  # JSON has no infinity
            finite = {name: value if math.isfinite(value) else None for name, value in self.proof["differences"].items()}
            lists["proof"] = {**self.proof, "differences": finite}
        content = {**self.head, "passed": self.passed, "counts": self._count(), **lists, "tensors": self.tensors}
        write_text(Path(folder) / NAME, json.dumps(content, ensure_ascii=False, indent=1) + "\n")

    def _count(self):
        counts = Counter(tensor["status"] for tensor in self.tensors)
        lists = {name: len(getattr(self, name)) for name in ("missing", "left_random", "not_finite")}
        return {status: counts[status] for status in ("mapped", "transposed", "renamed", "dropped")} | lists

    def lines(self) -> Iterator[str]:
        """The report as text: a line for each tensor, then a summary."""
        yield f"source     {self.head['input']}"
        for tensor in self.tensors:
            target = f" -> {tensor['target']}" if "target" in tensor else ""
            remark = f" ({tensor['remark']})" if tensor["remark"] else ""
            yield f"{tensor['status']:<10} {tensor['source']} {tensor['dtype']}{tensor['shape']}{target}{remark}"
        yield from (f"missing    {name}" for name in self.missing)
        yield from (f"left random {name}" for name in self.left_random)
        if self.not_finite:
            yield f"not finite: {shorten(self.not_finite, _SHOWN)}"
        yield format_fields(self._count())
        yield from (f"warning: {warning}" for warning in self.warnings)
        if self.proof:
            yield from self._describe_proof(self.proof)

    def _describe_proof(self, proof):
        for name, difference in proof["differences"].items():
            yield f"{name} difference={difference:.3g}"
        if proof["changed"]:
            yield f"not the same bits: {shorten(proof['changed'], _SHOWN)}"
        if proof["not_compared"]:
            yield f"not compared, as not both sides compute them: {', '.join(proof['not_compared'])}"
        if proof["refusal"]:
            yield f"the result was refused by {proof['refusal']}"
        if proof["source"] == proof["converted"]:
            yield "one network computed both: bits and configuration are proved, the names of parameters rest on this program's table"
        largest = max(proof["differences"].values(), default=float("nan"))
        by = f"source by {proof['source']}; converted by {proof['converted']}"
        by += f", read by {proof['read_by']} too" if proof["read_by"] else ""
        yield f"proof {'passed' if self.passed else 'FAILED'} largest_difference={largest:.3g} tolerance={proof['tolerance']:g} {by}"
