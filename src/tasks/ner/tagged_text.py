"""Sentences with entities from all forms of files: tagged text, JSON, MSRA's XML; errors name file and line."""

import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from src.log import logger
from src.tasks.ner import columns
from src.tasks.ner.entity_json import is_labelled, read_entities
from src.tasks.ner.entity_xml import parse_sentences, read_encoded
from src.tasks.ner.sentences import Sentence, Sentences
from src.text.json_rows import parse_objects
from src.text.lines import iterate_lines, split_lines
from src.text.tables import read_text, refuse_nul


@dataclass(frozen=True)
class TaggedText:
    """All sentences of a file.

    scheme: the scheme of its tags; None if the file has spans.
    unlabelled: the first line of JSON without "label"; None if there is none.
    """

    sentences: Sentences
    scheme: str | None = None
    unlabelled: int | None = None

    def labelled_sentences(self, path: Path | str) -> Sentences:
        """The sentences, for training or evaluation; a ValueError with `path` and line if a row has no "label"."""
        if self.unlabelled:
            raise ValueError(f'{path}:{self.unlabelled}: no "label"; training and evaluation need it in every row')
        return self.sentences


def read_tagged(path: Path | str, class_filter: Iterable[str] = (), encoding: str | None = None) -> TaggedText:
    """Read a file, plain or .gz, in one of these forms, recognised by its content.

    JSON, an object a line or an array of objects: CLUENER's `{"text": …, "label": {type: {entity text: [[start, last], …]}}}`, or
    doccano's `{"text": …, "label": [[start, end, type], …]}` ("entities" too); without "label" there are no entities.
    Tagged text: a token and its tag a line, separated by a tab or spaces, perhaps with other columns between, and blank lines between
    sentences; or a sentence and its tags a line. In any scheme of tags.py. If most tokens are words instead of characters, they are
    joined by spaces, except next to wide (CJK) characters.
    MSRA: `<root><sentence><w>word</w><w><NAMEX TYPE="…">entity</NAMEX></w>…`, in its declared encoding.

    Args:
        class_filter: names of the XML elements (NAMEX, TIMEX, NUMEX) that count as entities; all if empty.
        encoding: see `read_text`.

    Raises:
        ValueError: the content has a defect; also the errors of `read_text`.
    """
    text = read_encoded(path) or read_text(path, encoding)
    form = _recognise(text)
    if form == "XML":
        return TaggedText(Sentences(Sentence(*parts) for parts in parse_sentences(path, text, set(class_filter))))
    if class_filter:
        logger.warning(f"{path}: class_filter has no effect, it is for XML")
    refuse_nul(path, text)
    if form == "JSON":
        return _read_json(path, text)
    sentences, scheme = (columns.read_pairs if form == "pairs" else columns.read_rows)(path, text)
    return TaggedText(Sentences(Sentence(*parts) for parts in sentences), scheme)


def read_plain(path: Path | str, encoding: str | None = None) -> Sentences:
    """One Sentence without entities per line of a text file, plain or .gz; a blank line is an empty one."""
    text = read_text(path, encoding)
    refuse_nul(path, text)
    return Sentences(Sentence(row, (), line) for line, row in enumerate(split_lines(path, text.removesuffix("\n")), 1))


def _recognise(text):
    """The form of a file by its first line that is not blank (which may begin with the tag of a space)."""
    begin = len(text) - len(text.lstrip())
    first_row = text[text.rfind("\n", 0, begin) + 1 :].partition("\n")[0]
    if columns.begins_pairs(first_row):  # tags are looked for first, as a text may begin with < or {
        return "pairs"
    if columns.begins_rows(first_row):
        return "rows"
    if re.match(r"\s*<[?!\w]", first_row):
        return "XML"
    return "JSON" if re.match(r'\s*(\[\s*)?\{\s*["}]', text) else "rows"


def _read_json(path, text):
    unlabelled = array("q")
    sentences = Sentences(_read_objects(path, text, unlabelled))
    return TaggedText(sentences, None, unlabelled[0] if unlabelled else None)


def _read_objects(path, text, unlabelled):
    """Yield the Sentence of each object, and append the lines of those without entities or a "label" to `unlabelled`."""
    for line, _, found in parse_objects(path, enumerate(iterate_lines(text), 1)):
        try:
            sentence_text, entities = read_entities(found)
        except ValueError as error:
            raise ValueError(f"{path}:{line}: {error}") from None
        if not is_labelled(found):
            unlabelled.append(line)
        number = found.get("id")
        yield Sentence(sentence_text, entities, line, id=number if isinstance(number, int | str) else None)
