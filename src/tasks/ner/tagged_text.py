"""Sentences with entities from CLUENER's JSON lines, tagged text and MSRA's XML; errors name file and line."""

import json
import re
import unicodedata
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from src.log import logger
from src.tasks.ner.entity_xml import parse_sentences, read_encoded
from src.tasks.ner.groups import Groups
from src.tasks.ner.sentences import Sentence, Sentences
from src.tasks.ner.tags import Entity, count_oddities, find_scheme, find_spans, parse_tag
from src.text.lines import iterate_lines, split_lines
from src.text.tables import check_escapes, clean_name, decode_object, read_text

_ROW = re.compile(r"( |[^ \t]+)[ \t]+([^ \t]+)")  # a character, which may be a space, and its tag
_DIGITS = "0123456789"
_FEW_WRONG = 100  # of this many numbers one may be wrong, if all others are positions in words


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


def read_tagged(path: Path | str, class_filter: Iterable[str] = ()) -> TaggedText:
    """Read a file, plain or .gz, in one of three forms, recognised by its content.

    CLUENER: one `{"text": …, "label": {type: {entity text: [[start, last], …]}}}` per line; without "label" there are no entities.
    Tagged text: one `character<tab or space>tag` per line, blank lines between sentences, in any scheme of tags.py. If most
    tokens are words instead of characters, they are joined by spaces, except next to wide (CJK) characters.
    MSRA: `<root><sentence><w>word</w><w><NAMEX TYPE="…">entity</NAMEX></w>…`, in its declared encoding.

    Args:
        class_filter: names of the XML elements (NAMEX, TIMEX, NUMEX) that count as entities; all if empty.

    Raises:
        ValueError: the content has a defect; also the errors of `read_text`.
    """
    text = read_encoded(path) or read_text(path)
    form = _recognise(text)
    if form == "XML":
        return TaggedText(Sentences(Sentence(*parts) for parts in parse_sentences(path, text, set(class_filter))))
    if class_filter:
        logger.warning(f"{path}: class_filter has no effect, it is for XML")
    _refuse_nul(path, text)
    if form == "JSON":
        return _read_json(path, text)
    return _read_tags(path, text)


def read_plain(path: Path | str) -> Sentences:
    """One Sentence without entities per line of a text file, plain or .gz; a blank line is an empty one."""
    text = read_text(path)
    _refuse_nul(path, text)
    return Sentences(Sentence(row, (), line) for line, row in enumerate(split_lines(path, text.removesuffix("\n")), 1))


def _recognise(text):
    begin = len(text) - len(text.lstrip())
    first_row = text[text.rfind("\n", 0, begin) + 1 :].partition("\n")[
        0
    ]  # the first that is not blank; it may begin with the tag of a space
    try:
        is_tagged = bool(_split_row(first_row))
    except ValueError:
        is_tagged = False
    if is_tagged:  # checked first, as a text may begin with < or {
        return "tags"
    if re.match(r"\s*<[?!\w]", first_row):
        return "XML"
    return "JSON" if re.match(r'\s*\{\s*["}]', first_row) else "tags"


def _refuse_nul(path, text):
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path}:{line}: NUL character")


# CLUENER


def _read_json(path, text):
    unlabelled = array("q")
    sentences = Sentences(_read_objects(path, text, unlabelled))
    return TaggedText(sentences, None, unlabelled[0] if unlabelled else None)


def _read_objects(path, text, unlabelled):
    """Yield the Sentence of each row, and append the lines of rows without a "label" to `unlabelled`."""
    for line, row in enumerate(iterate_lines(text), 1):
        if row.strip():
            has_label, sentence = _read_object(path, line, row)
            if not has_label:
                unlabelled.append(line)
            yield sentence


def _read_object(path, line, row):
    """Whether the row has a "label", and its Sentence."""
    try:
        found = decode_object(row)
    except (ValueError, RecursionError) as error:
        reason = f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else error
        raise ValueError(f"{path}:{line}: no JSON object in one line: {reason}") from None
    try:
        number = found.get("id")
        return "label" in found, Sentence(*_read_entities(found), line, id=number if isinstance(number, int | str) else None)
    except ValueError as error:
        raise ValueError(f"{path}:{line}: {error}") from None


def _read_entities(found):
    text, label = found.get("text"), found.get("label", {})
    if not isinstance(text, str):
        raise ValueError(f'"text" is missing or no string; found the keys {str(list(found))[:80]}')
    if not text.strip():
        raise ValueError('"text" is empty')
    if not isinstance(label, dict) or not all(map(clean_name, label)) or not all(isinstance(names, dict) for names in label.values()):
        raise ValueError('"label" is not of the form {type: {entity text: [[start, last], …]}}')
    check_escapes([text, *label])
    named = [(clean_name(entity_type), name, spans) for entity_type, names in label.items() for name, spans in names.items()]
    entities = {_check_span(text, entity_type, name, span) for entity_type, name, spans in named for span in _as_list(spans)}
    return text, tuple(sorted(entities, key=lambda entity: (entity.start, entity.end, entity.type)))


def _as_list(spans):
    return spans if isinstance(spans, list) else [spans]


def _check_span(text, entity_type, name, span):
    where = f'"label", {entity_type}, {name[:40]!r}:'
    if not isinstance(span, list) or [type(number) for number in span] != [int, int]:
        raise ValueError(f"{where} found {str(span)[:40]}, expected [start, last]")
    start, last = span
    if not 0 <= start <= last < len(text):
        raise ValueError(f"{where} span {span} is not inside the text of {len(text)} characters (counted from 0, the last included)")
    if text[start : last + 1] != name:
        raise ValueError(f"{where} span {span} of the text is {text[start : last + 1][:40]!r}")
    return Entity(entity_type, start, last + 1)


# Tagged text


def _split_row(row):
    """(token, parsed tag), or () for a row between sentences."""
    row = row.rstrip(" \t\r")
    if not row or row.startswith("-DOCSTART-"):  # CoNLL's mark of a new document
        return ()
    found = _ROW.fullmatch(row)
    if not found:
        columns = len(re.findall("[^ \t]+", row))
        raise ValueError(f"number of columns {columns} in {row[:40]!r}; expected 2: a character and its tag, by a tab or space")
    tag = clean_name(found[2])
    if re.search(r"\s", tag):
        raise ValueError(f"white space inside the tag {tag[:40]!r}")
    return found[1], parse_tag(tag)


def _read_tags(path, text):
    groups, current, known, first_lines = Groups(), [], {}, {}
    start = 0
    for line, row in enumerate(split_lines(path, text), 1):
        item = known.get(row)  # parsed rows; there are few different ones, a character and its tag
        if item is None:
            try:
                item = known[row] = _split_row(row)
            except ValueError as error:
                others = "" if groups or current else "; CLUENER's JSON lines and MSRA's XML are read too"
                raise ValueError(f"{path}:{line}: {error}{others}") from None
            if item:
                first_lines.setdefault(item[1][0], line)
        if item:
            start = start if current else line
            current.append(item)
        elif current:
            groups.append(start, current)
            current = []
    if current:
        groups.append(start, current)
    if not groups:
        raise ValueError(f"{path}: no sentence")
    try:
        scheme = find_scheme(first_lines)
    except ValueError as error:
        raise ValueError(f"{path}:{max(first_lines['M'], first_lines.get('I', 0))}: {error}") from None
    tags = ([tag for _, tag in items] for _, items in groups)
    odd, first = count_oddities(((found, find_spans(found)) for found in tags), scheme)
    if odd:
        where = f"the first in line {groups[first[0]][0] + first[1].start}"
        logger.info(f"{path}: {odd} entities are not tagged as {scheme} has it ({where}); each ends where no tag continues it")
    groups = _leave_positions(path, groups)
    separator = " " if _are_words(groups) else ""
    return TaggedText(Sentences(_join(line, items, separator) for line, items in groups), scheme)


def _leave_positions(path, groups):
    """The groups without Weibo NER's number after each character, its position in a word, if all rows have one.

    If only most rows have one, or the numbers do not fit words, they stay in the text, and a warning says so.
    """
    left = _take_positions(groups)
    if left:
        logger.info(f"{path}: the number behind each character is its position in a word, which is no text; left out")
        return left
    tokens = (token for _, items in groups for token, _ in items)
    num_ends = sum(len(token) > 1 and token[-1] in _DIGITS and token[0] not in _DIGITS for token in tokens)
    if 2 * num_ends > groups.num_items:
        logger.warning(
            f"{path}: {num_ends} of {groups.num_items} tokens end with a digit, and it is taken for text; positions in words are left out "
            "only where all tokens have one, counted from 0 in each word"
        )
    return groups


def _take_positions(groups):
    """The groups without positions in words; None if they have none."""
    stripped, num_wrong, num_inner = Groups(), 0, 0
    for line, items in groups:
        position, own = -1, []
        for token, tag in items:
            if len(token) < 2 or token[-1] not in _DIGITS:
                return None
            number = str(position + 1)
            if not token.endswith(number) or token == number:
                number = token[-1]
                num_wrong += number != "0"
            position = int(number)
            num_inner += position > 0
            own.append((token.removesuffix(number), tag))
        stripped.append(line, own)
    return stripped if num_inner and num_wrong <= groups.num_items / _FEW_WRONG else None


def _are_words(groups):
    """Whether the lines have words: most tokens that are not wide have several characters."""
    num_long = num_short = 0
    for _, items in groups:
        for token, _ in items:
            if len(token) > 1:
                num_long += not _is_wide(token[0])
            else:
                num_short += not _is_wide(token[0])
    return num_long > num_short


def _join(line, items, separator):
    """The Sentence of tokens and their tags, with a separator between tokens except next to wide characters."""
    tokens = [token for token, _ in items]
    spans = find_spans([tag for _, tag in items])
    parts, starts, length = [], [], 0
    for token in tokens:
        if separator and parts and not _is_wide(parts[-1][-1]) and not _is_wide(token[0]):
            parts.append(separator)
            length += len(separator)
        starts.append(length)
        parts.append(token)
        length += len(token)
    entities = (Entity(span.type, starts[span.start], starts[span.end - 1] + len(tokens[span.end - 1])) for span in spans)
    return Sentence("".join(parts), tuple(entities), line, tuple(line + span.start for span in spans))


def _is_wide(character):
    return unicodedata.east_asian_width(character) in "WF"
