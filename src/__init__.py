"""BERT in MindSpore.

MindSpore's own log stays quiet: what it reports reaches us as exceptions, and one line about one fault is enough. It
reads GLOG_v when it is imported; its Python part logs some errors at a level that GLOG_v cannot turn off.

It would also ask for protobuf's form in Python, which reads TFRecords ten times as slowly as the compiled one
(docs/benchmarks/2026-11-30-corpora.md), if nothing else were asked for before. MindSpore 2.7 needs that form: the
compiled one refuses its messages, which an old generator wrote.

Official builds of onnxruntime (1.32, on Linux too) report to Microsoft unless ORT_DISABLE_TELEMETRY is 1 when they are imported.
"""

import logging
import os
from importlib.util import find_spec
from pathlib import Path

if os.environ.setdefault("GLOG_v", "4") == "4":
    logging.getLogger(f"ME.mindspore.log.{os.getpid()}").addFilter(lambda record: False)

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def form_of_protobuf(folders: list[str]) -> str:
    """The form in which protobuf is used beside the MindSpore of these folders (none if it is not installed): upb or python."""
    files = [path for folder in folders if (path := Path(folder, "train/checkpoint_pb2.py")).is_file()]
    return "python" if any(b".FieldDescriptor(" in path.read_bytes() for path in files) else "upb"


_spec = find_spec("mindspore")
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", form_of_protobuf(_spec.submodule_search_locations or [] if _spec else []))

__version__ = "0.9.0"
