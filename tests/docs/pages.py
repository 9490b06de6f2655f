"""The pages of the project: their headings, links and blocks of commands.

A block of bash runs with --all (test_blocks.py) unless the line above it is `<!-- not run: REASON -->`.
"""

import re
import subprocess
from typing import NamedTuple

from conftest import ROOT

FENCE = re.compile(r"^(?P<fence>```+)(?P<language>\w*)\n(?P<text>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run: (.+) -->\n\Z")


class Block(NamedTuple):
    """A block of bash: the line of its first command, the commands, and why it is not run (None if it is)."""

    line: int
    text: str
    reason: str | None


def find_pages():
    """The names of all Markdown pages that git knows or would add, those of golden files excepted."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(name for name in names if not name.startswith("tests/") and (ROOT / name).is_file())


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def find_headings(text):
    """(level, title) of each heading."""
    return [(len(marks), title) for marks, title in re.findall(r"^(#+) (.+)$", FENCE.sub("", text), re.MULTILINE)]


def find_anchors(text):
    """GitHub's anchors of the headings."""
    titles = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for _, title in find_headings(text)]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def find_links(text):
    """The targets of the links and pictures outside blocks and code."""
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    return re.findall(r"\]\(([^)\s]+)\)", prose)


def find_blocks(text):
    found = []
    for match in FENCE.finditer(text):
        if match["language"] in ("bash", "sh"):
            mark = NOT_RUN.search(text[: match.start()])
            found.append(Block(text[: match.start("text")].count("\n") + 1, match["text"], mark and mark[1]))
    return found
