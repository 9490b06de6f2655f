"""Sentences with entities from MSRA's XML, in any declared encoding; external entities and document types are refused."""

import codecs
import re
from collections.abc import Callable
from pathlib import Path

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, XMLParser

from src.files import read_bytes
from src.tasks.ner.tags import Entity
from src.text.tables import clean_name

ENTITY_ELEMENTS = ("NAMEX", "TIMEX", "NUMEX")
_DECLARATION = re.compile(rb"\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']([\w.:-]+)[\"']")
_TEXT_CODECS = re.compile(  # those of written languages; others decode slowly, or what is no text: punycode, idna, unicode_escape
    r"ascii|utf-8-sig|utf-(16|32)(-[bl]e)?|(gb|big5|cp|iso8859-|koi8-|shift_jis|euc_|iso2022_|mac-|windows-).*|hz|johab|kz1048|ptcp154|tis-620"
)
ParsedSentence = tuple[str, tuple[Entity, ...], int]  # text, entities, line where it begins
_LAYOUT = re.compile(r"(?<!\s)\s*\n\s*")  # line breaks with the indentation around them


def read_encoded(path: Path | str) -> str | None:
    """The text of an XML file, plain or .gz, whose byte order mark or declaration names an encoding other than UTF-8; else None.

    Raises:
        ValueError: damaged gzip, an unknown encoding, or bytes that do not fit the declared encoding.
    """
    path = Path(path)
    if not path.is_file():
        return None
    data = read_bytes(path)
    declared = _DECLARATION.match(data[:200])
    if data[:4] in (b"\xff\xfe<\0", b"\xfe\xff\0<"):
        encoding = "utf-16"
    elif declared:
        encoding = declared[1].decode().lower()
    else:
        return None
    try:
        name = codecs.lookup(encoding).name
        if name == "utf-8":
            return None
        if not _TEXT_CODECS.fullmatch(name):
            raise LookupError(f"{encoding!r} is not a text encoding that is read here")
        if encoding in ("gb2312", "gbk"):
            encoding = "gb18030"  # contains both, and files declared as GB2312 often have more characters
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].decode(encoding, "ignore").count("\n") + 1
        raise ValueError(f"{path}:{line}: not {encoding}, which the file declares: {error.reason}") from None
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"{path}:1: {error}") from None


def parse_sentences(path: Path | str, text: str, class_filter: set[str]) -> list[ParsedSentence]:
    """The sentences, which are the children of the root; an element with a TYPE inside a sentence is an entity.

    Line breaks in the text and the white space around them are layout, and left out.

    Args:
        path: named in errors.
        text: the whole file.
        class_filter: names of the elements that count as entities; all if empty.

    Raises:
        ValueError: damaged XML, a document type, an empty sentence, an entity without type or text, a filter that names no element.
    """
    target = _Target(class_filter)
    parser = XMLParser(target=target, forbid_dtd=True)
    target.find_line = lambda: parser.parser.CurrentLineNumber
    try:
        parser.feed(text)
        sentences = parser.close()
    except ParseError as error:
        raise ValueError(f"{path}:{error.position[0]}: damaged XML: {error}") from None
    except DefusedXmlException as error:
        raise ValueError(f"{path}:{target.find_line()}: XML with a document type of its own is refused: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}:{target.find_line()}: {error}") from None
    if not sentences:
        raise ValueError(f"{path}: no sentence")
    if class_filter and not class_filter & target.found:
        found = ", ".join(sorted(target.found)) or "none"
        raise ValueError(f"{path}: no element {', '.join(sorted(class_filter))}, which class_filter names; elements of entities: {found}")
    return sentences


class _Target:
    """Builds sentences from the events of the parser."""

    find_line: Callable[[], int]  # the parser's present line; set once there is a parser

    def __init__(self, class_filter: set[str]) -> None:
        self.found: set[str] = set()  # names of the elements that are entities
        self._filter = class_filter
        self._sentences: list[ParsedSentence] = []
        self._open: list[tuple[str | None, int]] = []  # entity type and start of every open element
        self._pending: list[str] = []  # text since the last tag
        self._parts: list[str] = []  # of the present sentence, as what follows
        self._entities: list[Entity] = []
        self._length = 0
        self._line = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._flush()
        entity_type = clean_name(attributes["TYPE"]) if "TYPE" in attributes and len(self._open) > 1 else None
        if len(self._open) == 1:
            self._line = self.find_line()
        elif entity_type == "" or entity_type is None and name in ENTITY_ELEMENTS:
            raise ValueError(f"{name} without {'a TYPE' if len(self._open) > 1 else 'a sentence around it'}")
        self._open.append((entity_type, self._length))

    def data(self, text: str) -> None:
        self._pending.append(text)

    def end(self, name: str) -> None:
        self._flush()
        entity_type, start = self._open.pop()
        if entity_type is not None:
            self._add_entity(name, Entity(entity_type, start, self._length))
        if len(self._open) == 1:
            self._add_sentence(name)

    def close(self) -> list[ParsedSentence]:
        return self._sentences

    def _flush(self):
        text = _LAYOUT.sub("", "".join(self._pending))
        self._pending = []
        if len(self._open) > 1:
            self._parts.append(text)
            self._length += len(text)
        elif text.strip():
            raise ValueError(f"text outside a sentence: {text[:40]!r}")

    def _add_entity(self, name, entity):
        if entity.start == entity.end:
            raise ValueError(f"{name} without text")
        self.found.add(name)
        if not self._filter or name in self._filter:
            self._entities.append(entity)

    def _add_sentence(self, name):
        text = "".join(self._parts)
        if not text.strip():
            raise ValueError(f"empty sentence ({name})")
        self._sentences.append((text, tuple(sorted(self._entities, key=lambda entity: entity[1:])), self._line))
        self._parts, self._length, self._entities = [], 0, []
