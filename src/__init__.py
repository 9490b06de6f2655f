"""BERT in MindSpore.

MindSpore's own log stays quiet: what it reports reaches us as exceptions, and one line about one fault is enough. It
reads GLOG_v when it is imported; its Python part logs some errors at a level that GLOG_v cannot turn off.
"""

import logging
import os

if os.environ.setdefault("GLOG_v", "4") == "4":
    logging.getLogger(f"ME.mindspore.log.{os.getpid()}").addFilter(lambda record: False)

__version__ = "0.9.0"
