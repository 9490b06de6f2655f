"""BERT in MindSpore.

MindSpore's own log stays quiet: what it reports reaches us as exceptions, and one line about one fault is enough. It
reads GLOG_v when it is imported; its Python part logs some errors at a level that GLOG_v cannot turn off.

It would also ask for protobuf's form in Python, which reads TFRecords ten times as slowly as the compiled one
(docs/benchmarks/2026-11-30-corpora.md), if nothing else were asked for before.
"""

import logging
import os

if os.environ.setdefault("GLOG_v", "4") == "4":
    logging.getLogger(f"ME.mindspore.log.{os.getpid()}").addFilter(lambda record: False)

os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "upb")

__version__ = "0.9.0"
