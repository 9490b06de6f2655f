"""Rows of Python objects as a file for a training: JSON lines, as they are."""

from src.text.objects import ENDING as ENDING
from src.text.objects import write as write
