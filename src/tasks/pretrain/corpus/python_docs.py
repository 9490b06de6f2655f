"""Raw text that comes with every Python: the topics of the reference manual in `help()`, as input for src.build_records.

    python -m src.data.python_docs --output_dir quickstart/pretrain

Writes train.txt and dev.txt (every tenth topic), one paragraph per line, with a blank line between topics.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

from src.cli import Parser, bad_input_exits
from src.files import write_text
from src.log import logger

_RULE = re.compile(r"^[*=\-~^\"+]+$")  # lines under headings and in tables
_MIN_WORDS = 6


def read_topics() -> list[list[str]]:
    """The paragraphs of prose of each topic, in alphabetical order of topics; code and headings are left out."""
    documents = [list(_find_prose(topics[name])) for name in sorted(topics)]
    return [document for document in documents if len(document) > 1]


def _find_prose(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in paragraph.split("\n")]
        joined = " ".join(line for line in lines if not _RULE.match(line))
        if len(joined.split()) >= _MIN_WORDS and joined[-1] in ".:;!?)" and ">>>" not in joined and "::=" not in joined:
            yield joined


def main(argv: list[str] | None = None) -> None:
    """Write the two files."""
    parser = Parser(prog="python -m src.data.python_docs", description=__doc__)
    parser.add_argument("--output_dir", default="quickstart/pretrain")
    with bad_input_exits():
        folder = Path(parser.parse_args(argv).output_dir)
        documents = read_topics()
        splits = {"train": [document for number, document in enumerate(documents) if number % 10], "dev": documents[::10]}
        for name, chosen in splits.items():
            write_text(folder / f"{name}.txt", "\n\n".join("\n".join(document) for document in chosen) + "\n")
            logger.info(f"{folder}/{name}.txt topics={len(chosen)} paragraphs={sum(map(len, chosen))}")
