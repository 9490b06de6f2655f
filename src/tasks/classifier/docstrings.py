"""A text-classification data set that every Python brings along: docstrings of the standard library.

    python -m src.data.docstrings --output_dir quickstart/data

Each docstring is labelled by the kind of module it comes from; train and dev are split by module, so that no class is
recognised by a module's own vocabulary. Writes train.tsv and dev.tsv with the header `text<TAB>label`; with --corpus also corpus.txt,
text to pretrain on: the docstrings of all modules of the library but those in dev.tsv.
"""

import ast
import importlib.util
import inspect
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from src.cli import Parser, bad_input_exits
from src.files import write_text
from src.log import logger

# kind -> (modules to train on, modules to test on); a package includes all modules below it
KINDS = {
    "network": (
        "http urllib.request urllib.parse urllib.error socket ftplib poplib ssl xmlrpc socketserver",
        "smtplib imaplib urllib.robotparser wsgiref",
    ),
    "mail": (
        "email.message email.header email.charset email.policy email.headerregistry email.generator mailbox email._header_value_parser",
        "email.utils email.mime email.contentmanager email.parser email.feedparser",
    ),
    "text": (
        "string textwrap re difflib pprint html.parser codecs",
        "html gettext locale tokenize reprlib shlex",
    ),
    "files": (
        "pathlib shutil os tempfile zipfile fileinput filecmp io",
        "tarfile glob fnmatch posixpath gzip bz2 lzma genericpath",
    ),
    "numbers": (
        "decimal statistics random numbers colorsys",
        "fractions _pydecimal heapq bisect",
    ),
    "time": (
        "datetime _pydatetime calendar",
        "_strptime zoneinfo sched",
    ),
    "concurrency": (
        "threading multiprocessing asyncio.events asyncio.base_events asyncio.streams asyncio.tasks queue",
        "concurrent.futures subprocess asyncio.queues asyncio.locks asyncio.subprocess contextvars selectors",
    ),
    "code": (
        "ast inspect dis importlib pkgutil pydoc trace bdb",
        "symtable py_compile compileall modulefinder runpy traceback linecache codeop pdb",
    ),
    "testing": (
        "unittest.case unittest.mock unittest.suite unittest.result doctest",
        "unittest.loader unittest.main unittest.runner unittest.async_case unittest.util unittest.signals",
    ),
    "data": (
        "collections dataclasses enum typing functools types weakref configparser csv",
        "copy json pickle plistlib contextlib shelve abc operator graphlib",
    ),
    "xml": (
        "xml.dom xml.sax.handler xml.sax.xmlreader xml.etree.ElementTree",
        "xml.sax.saxutils xml.sax.expatreader xml.etree.ElementPath xml.sax",
    ),
    "logging": (
        "logging",
        "warnings optparse argparse getopt cmd",
    ),
}
_MIN_WORDS, _MAX_WORDS = 5, 80
_OTHERS = {"site-packages", "dist-packages", "test", "tests"}  # folders of the library with other text


def collect(modules: Iterable[str]) -> list[str]:
    """Docstrings of modules, read from their source without importing them.

    Args:
        modules: names; modules that this Python lacks are skipped.

    Returns:
        One-line texts in order of appearance, without doctest prompts.
    """
    return [text for module in modules for path in _source_files(module) for text in _read(path)]


def collect_corpus() -> list[list[str]]:
    """The docstrings of each source file of the standard library but those that `KINDS` tests on, and no text of these files."""
    tested = {path for _, modules in KINDS.values() for module in modules.split() for path in _source_files(module)}
    seen = {text for path in tested for text in _read(path)}
    documents = []
    library = Path(os.__file__).parent
    for path in sorted(library.rglob("*.py")):
        if path not in tested and not _OTHERS.intersection(path.relative_to(library).parts):
            documents.append([text for text in dict.fromkeys(_read(path)) if text not in seen])
            seen.update(documents[-1])
    return [document for document in documents if document]


def _read(path: Path) -> Iterator[str]:
    """Yield the paragraphs of the docstrings in a source file."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _tidy(ast.get_docstring(node) or "")


def _source_files(module):
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return []
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return []
    path = Path(spec.origin)
    return sorted(path.parent.glob("*.py")) if path.name == "__init__.py" else [path]


def _tidy(docstring):
    """The paragraphs of prose in a docstring, each as one line."""
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(docstring)):
        text = " ".join(paragraph.split())
        if _MIN_WORDS <= len(text.split()) <= _MAX_WORDS and ">>>" not in text:
            yield text


def build() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Rows (text, kind) for train and dev; no text occurs twice."""
    seen: set[str] = set()
    splits: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
    for kind, groups in KINDS.items():
        for split, modules in zip(splits, groups):
            for text in collect(modules.split()):
                if text not in seen:
                    seen.add(text)
                    split.append((text, kind))
    return splits


def main(argv: Sequence[str] | None = None) -> None:
    parser = Parser(prog="python -m src.data.docstrings", description=__doc__)
    parser.add_argument("--output_dir", default="quickstart/data")
    parser.add_argument("--corpus", action="store_true", help="also write corpus.txt")
    with bad_input_exits():
        options = parser.parse_args(argv)
        folder = Path(options.output_dir)
        for name, rows in zip(("train", "dev"), build()):
            write_text(folder / f"{name}.tsv", "text\tlabel\n" + "".join(f"{text}\t{kind}\n" for text, kind in rows))
            counts = {kind: sum(row[1] == kind for row in rows) for kind in KINDS}
            logger.info(f"{folder}/{name}.tsv rows={len(rows)} " + " ".join(f"{kind}={count}" for kind, count in counts.items()))
        if options.corpus:
            documents = collect_corpus()
            write_text(folder / "corpus.txt", "\n\n".join("\n".join(document) for document in documents) + "\n")
            logger.info(f"{folder}/corpus.txt documents={len(documents)} paragraphs={sum(map(len, documents))}")
