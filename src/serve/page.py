"""The page at /: one HTML document whose inline style and script are allowed by their hashes."""

import base64
import hashlib
import html
import json
from pathlib import Path

from src.bundle.model import Bundle
from src.serve.schemas import Form
from src.tasks.task import TASKS

_FOLDER = Path(__file__).parent / "page"


class Page:
    """The page and its headers.

    Args:
        name: the model's name in the paths.

    Attributes:
        html: the document.
        headers: its Content-Security-Policy.
    """

    def __init__(self, name: str, bundle: Bundle, form: Form):
        style = (_FOLDER / "style.css").read_text(encoding="utf-8")
        own = TASKS[bundle.task].page or _FOLDER / "plain.js"
        before, after = _split((_FOLDER / "script.js").read_text(encoding="utf-8"), "/*TASK*/")
        script = before + own.read_text(encoding="utf-8") + after
        about = {"name": name, "task": bundle.task, "fields": form.fields, "example": form.example}
        template = (_FOLDER / "index.html").read_text(encoding="utf-8")
        # split the template first, so that no inserted text is taken for a marker
        head, middle, tail = _split(template, "/*STYLE*/", "/*SCRIPT*/")
        start, rest = _split(middle, "ABOUT")
        self.html = head + style + start + html.escape(json.dumps(about)) + rest + script + tail
        policy = f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; connect-src 'self'; img-src data:"
        self.headers = {"content-security-policy": f"{policy}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}


def _split(text, *marks):
    parts = []
    for mark in marks:
        part, text = text.split(mark)
        parts.append(part)
    return [*parts, text]


def _hash(text):
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
