"""The page at /: one HTML document with its style and script inside, allowed by their hashes alone."""

import base64
import hashlib
import html
import json
from pathlib import Path

_FOLDER = Path(__file__).parent / "page"


class Page:
    """What / answers.

    Args:
        name: of the model, as in the paths.
        bundle: a Bundle.
        form: its Form.

    Attributes:
        html: the document.
        headers: its Content-Security-Policy.
    """

    def __init__(self, name, bundle, form):
        style = (_FOLDER / "style.css").read_text(encoding="utf-8")
        script = (_FOLDER / "script.js").read_text(encoding="utf-8")
        about = {"name": name, "task": bundle.task, "fields": form.fields, "example": form.example}
        template = (_FOLDER / "index.html").read_text(encoding="utf-8")
        # the template is split before anything is put in, so that nothing put in is taken for a place to fill
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
