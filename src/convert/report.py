"""What became of every tensor in a conversion, as lines of text and as conversion_report.json."""

import json
import math
from collections import Counter
from pathlib import Path

from src.files import write_text
from src.formats.weights import OF_WORDS
from src.log import format_fields, shorten

NAME = "conversion_report.json"
_SHOWN = 4  # names in a line


class Report:
    """Filled in as the conversion goes.

    Args:
        head: dict of what stands first in the file.

    tensors: a dict for each tensor of the source. missing: our names of parameters without which the weights are not whole.
    left_random: of those that a network with a pooler will not find. not_finite: of those that hold infinity or NaN.
    warnings: lines of text.
    proof: see `proof.prove`; None if the conversion did not come so far.
    """

    def __init__(self, head):
        self.head = head
        self.tensors, self.missing, self.left_random, self.not_finite, self.warnings, self.proof = [], [], [], [], [], None

    def add(self, origin, array=None, target_name=None):
        """Record a tensor of the source.

        Args:
            origin: Origin.
            array: what is written of it; None if nothing is.
            target_name: its name there.
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
            is_transposed = origin.transposed != target_name.endswith("/kernel")
            status = "transposed" if is_transposed else "renamed" if target_name != origin.name else "mapped"
            tensor |= {"target": target_name, "status": status, "remark": "; ".join(remarks)}
        self.tensors.append(tensor)

    @property
    def passed(self):
        """Whether the conversion was proved."""
        return self.proof is not None and self.proof["passed"]

    def write(self, folder):
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

    def lines(self):
        """The report as text: a line for each tensor, then what concerns the whole."""
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
            yield from self._describe_proof()

    def _describe_proof(self):
        for name, difference in self.proof["differences"].items():
            yield f"{name} difference={difference:.3g}"
        proof = self.proof
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
