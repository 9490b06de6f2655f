"""Which files beside it an ONNX file takes its tensors from, read without the onnx library.

Source: github.com/onnx/onnx, onnx.proto, and docs/ExternalData.md.
"""

import mmap
from pathlib import Path

from src.formats.protobuf import Bytes, read_fields

# message -> field number -> message; what holds no tensor is left out
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_KEY, _VALUE = 1, 2  # of an entry of external_data


def find_external_files(path: Path | str) -> set[str]:
    """The locations of tensors outside the file, as it names them.

    Raises:
        ValueError: it is no ONNX file.
    """
    found = set()
    with open(path, "rb") as file:
        try:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            waiting: list[tuple[str, Bytes]] = [("model", data)]
            while waiting:
                kind, message = waiting.pop()
                for number, value in read_fields(message):
                    inner = _MESSAGES[kind].get(number)
                    if inner == "entry" and not isinstance(value, int):
                        entry = {key: text for key, text in read_fields(value) if not isinstance(text, int)}
                        if bytes(entry.get(_KEY, b"")) == b"location":
                            found.add(bytes(entry.get(_VALUE, b"")).decode(errors="replace"))
                    elif inner and not isinstance(value, int):
                        waiting.append((inner, value))
        except ValueError as error:
            raise ValueError(f"{path}: no ONNX file: {error}") from None
    return found
