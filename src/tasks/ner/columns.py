"""Sentences from tagged text: a token and its tag a line, perhaps with other columns between, or a sentence and its tags a line."""

import re
import unicodedata
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from src.log import logger
from src.tasks.ner.groups import Groups
from src.tasks.ner.tags import Entity, count_oddities, explain_tag, find_scheme, find_spans, parse_tags
from src.text.lines import split_lines
from src.text.tables import clean_name

Parts = tuple[str, tuple[Entity, ...], int, tuple[int, ...]]  # text, entities, line where it begins, lines of the entities
_ROW = re.compile(r"([ \t]|[^ \t]+)((?:[ \t]+[^ \t]+)+)")  # a token, which may be a space or a tab, and the columns after it
_OTHER_FORMS = "; CLUENER's and doccano's JSON, MSRA's XML, and a sentence and its tags in a row are read too"
_TEXT_NAMES, _TAG_NAMES = {"text_a", "text", "sentence", "tokens"}, {"label", "labels", "tags", "tag"}  # of the two columns of pairs
_JOINT = "\x02"  # between tokens in PaddlePaddle's files
_DIGITS = "0123456789"
_FEW_WRONG = 100  # of this many numbers one may be wrong, if all others are positions in words


def begins_rows(row: str) -> bool:
    """Whether a line is a token, perhaps other columns, and a tag."""
    try:
        found = _split_row(row)
    except ValueError:
        return False
    return bool(found) and found[-1] in parse_tags(found[-1:])


def begins_pairs(row: str) -> bool:
    """Whether a line is a sentence and its tags, with a tab between, or the header of such lines."""
    fields = row.rstrip("\r\n").split("\t")
    return len(fields) == 2 and (_find_header(fields) is not None or any(_are_tags(field) for field in fields))


def read_rows(path: Path | str, text: str) -> tuple[Iterator[Parts], str]:
    """The sentences of a file with a token a line, and the scheme of its tags.

    The first column is the token and the last its tag; a blank line or CoNLL's -DOCSTART- ends a sentence.

    Raises:
        ValueError: the content has a defect, with file and line.
    """
    groups: Groups[tuple[str, str]] = Groups()
    start = 0
    current: list[tuple[str, str]] = []
    known: dict[str, tuple[str, str] | None] = {}  # row -> token and tag; there are few different rows, a character and its tag
    first_lines: dict[str, int] = {}
    width = 0
    for line, row in enumerate(split_lines(path, text), 1):
        if row not in known:
            try:
                columns = _split_row(row)
                width = width or len(columns)
                if columns and len(columns) != width:
                    raise ValueError(_explain_width(row, len(columns), width))
            except ValueError as error:
                raise ValueError(f"{path}:{line}: {error}{'' if groups or current else _OTHER_FORMS}") from None
            known[row] = (columns[0], columns[-1]) if columns else None
            if columns:
                first_lines.setdefault(columns[-1], line)
        item = known[row]
        if item is not None:
            start = start if current else line
            current.append(item)
        elif current:
            groups.append(start, current)
            current = []
    if current:
        groups.append(start, current)
    if not groups:
        raise ValueError(f"{path}: no sentence")
    if width > 2:
        _check_first_column(path, groups)
        logger.info(f"{path}: columns={width}: the first is the word, the last its tag")
    return _assemble(path, groups, first_lines, lines_per_token=1)


def _split_row(row):
    """The columns of a row; () for a row between sentences."""
    row = row.rstrip(" \t\r")
    if not row or row.startswith("-DOCSTART-"):  # CoNLL's mark of a new document
        return ()
    found = _ROW.fullmatch(row)
    if not found:
        raise ValueError(_explain_width(row, len(re.findall("[^ \t]+", row)), 2))
    *others, tag = re.findall("[^ \t]+", found[2])
    tag = clean_name(tag)
    if re.search(r"\s", tag):
        raise ValueError(f"white space inside the tag {tag[:40]!r}")
    return (found[1], *others, tag)


def _explain_width(row, found, expected):
    what = ": a character and its tag, by a tab or space" if expected == 2 else ", as in the lines before"
    return f"number of columns {found} in {row[:40]!r}; expected {expected}{what}"


def _check_first_column(path, groups):
    """Refuse files whose first column counts the words of each sentence, as in CoNLL-U and GermEval."""
    for start in "01":
        if all(items[0][0] == start and items[-1][0] == str(len(items) - 1 + int(start)) for _, items in groups):
            raise ValueError(f"{path}:{groups[0][0]}: the first column counts the words; the first must be the word, and the last its tag")


def read_pairs(path: Path | str, text: str) -> tuple[Iterator[Parts], str]:
    """The sentences of a file with a sentence and its tags a line, a tab between, and the scheme of its tags.

    Tags are separated by single spaces or by the character U+0002, and the tokens are too, or each character is a token. A header may name
    the columns; without one the tags come second, unless the first column alone has the form of tags.

    Raises:
        ValueError: the content has a defect, with file and line.
    """
    rows: Iterator[tuple[int, list[str]]] = (
        (line, row.split("\t")) for line, row in enumerate(split_lines(path, text), 1) if row.strip(" \r")
    )
    first = next(rows)
    order = _find_header(first[1])
    if order is None:
        order = (0, 1) if _are_tags(first[1][1]) else (1, 0)
        rows = chain([first], rows)
    groups: Groups[tuple[str, str]] = Groups()
    first_lines: dict[str, int] = {}
    for line, fields in rows:
        if len(fields) != 2:
            raise ValueError(f"{path}:{line}: number of columns {len(fields)}; expected a sentence and its tags, a tab between")
        tags = [clean_name(tag) for tag in _split_field(fields[order[1]].strip(" "))]
        tokens = _split_tokens(fields[order[0]], len(tags))
        if len(tokens) != len(tags):
            raise ValueError(f"{path}:{line}: {len(tokens)} tokens and {len(tags)} tags")
        if not all(tokens):
            raise ValueError(f"{path}:{line}: an empty token, as between two spaces; it is not clear which tag is whose")
        for tag in tags:
            first_lines.setdefault(tag, line)
        groups.append(line, zip(tokens, tags))
    if not groups:
        raise ValueError(f"{path}: no sentence")
    return _assemble(path, groups, first_lines, lines_per_token=0)


def _find_header(fields):
    """(index of the sentence, index of the tags) by the names of two columns; None if they are no such names."""
    names = [field.strip().lower() for field in fields]
    for order in ((0, 1), (1, 0)):
        if len(names) == 2 and names[order[0]] in _TEXT_NAMES and names[order[1]] in _TAG_NAMES:
            return order
    return None


def _are_tags(field):
    """Whether a field is several tags, all of one form."""
    tags = [clean_name(tag) for tag in _split_field(field.strip())]
    return len(tags) > 1 and len(parse_tags(tags)) == len(set(tags))


def _split_field(field):
    return field.split(_JOINT if _JOINT in field else " ")


def _split_tokens(field, count):
    """The tokens of a sentence that has `count` tags: its separated parts, or else its characters if there are as many."""
    parts = _split_field(field.strip(" "))
    return list(field) if len(parts) != count and len(field) == count else parts


def _assemble(path, groups, first_lines, lines_per_token):
    """The sentences of groups of (token, tag as written), and their scheme.

    Args:
        groups: (line, items) of each sentence.
        first_lines: tag as written -> the line where it first occurs.
        lines_per_token: 1 if each token has a line of its own, 0 if a sentence is one line.
    """
    parsed = parse_tags(first_lines)
    if wrong := [tag for tag in first_lines if tag not in parsed]:
        others = _OTHER_FORMS if first_lines[wrong[0]] == groups[0][0] else ""
        raise ValueError(f"{path}:{first_lines[wrong[0]]}: {explain_tag(wrong[0])}{others}")
    lines: dict[str, int] = {}
    for tag, line in first_lines.items():
        lines[parsed[tag][0]] = min(line, lines.get(parsed[tag][0], line))
    try:
        scheme = find_scheme(lines)
    except ValueError as error:
        raise ValueError(f"{path}:{max(lines['M'], lines.get('I', 0))}: {error}") from None
    tags = ([parsed[tag] for _, tag in items] for _, items in groups)
    odd, first = count_oddities(((found, find_spans(found)) for found in tags), scheme)
    if first is not None:
        where = f"the first in line {groups[first[0]][0] + first[1].start * lines_per_token}"
        logger.info(f"{path}: {odd} entities are not tagged as {scheme} has it ({where}); each ends where no tag continues it")
    groups = _leave_positions(path, groups)
    separator = " " if _are_words(groups) else ""
    return _join_all(groups, parsed, separator, lines_per_token), scheme


def _join_all(groups, parsed, separator, lines_per_token):
    for line, items in groups:
        spans = find_spans([parsed[tag] for _, tag in items])
        text, entities = _join([token for token, _ in items], spans, separator)
        yield text, entities, line, tuple(line + span.start * lines_per_token for span in spans)


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
    stripped: Groups[tuple[str, str]] = Groups()
    num_wrong = num_inner = 0
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


def _join(tokens, spans, separator):
    """The text of tokens, with a separator between them except next to wide characters, and its entities."""
    parts: list[str] = []
    starts, length = [], 0
    for token in tokens:
        if separator and parts and not _is_wide(parts[-1][-1]) and not _is_wide(token[0]):
            parts.append(separator)
            length += len(separator)
        starts.append(length)
        parts.append(token)
        length += len(token)
    entities = (Entity(span.type, starts[span.start], starts[span.end - 1] + len(tokens[span.end - 1])) for span in spans)
    return "".join(parts), tuple(entities)


def _is_wide(character):
    return unicodedata.east_asian_width(character) in "WF"
