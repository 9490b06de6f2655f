"""Raw text in the usual formats of pretraining corpora, as one stream of lines in which an empty line ends a document.

Formats, their detection and the sentence rules: docs/pretraining_data.md.
"""

import glob
import html
import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from src.log import logger
from src.tasks.pretrain.corpus import parquet
from src.tasks.pretrain.corpus.options import INPUT_FORMATS, TEXT_COLUMN
from src.text.json_rows import parse_values
from src.text.lines import read_lines

_HEAD_LINES = 2000  # lines of a file from which its format is recognised
_START = 100  # characters of a file that show whether it is an array of objects
_LINE_END = re.compile(r"\r\n?|\n")
MAX_CHARS = 10_000  # longest sentence; far beyond any sequence length, and it bounds memory
_HEADING = re.compile(r"= (.*) =")
_DOCUMENT = re.compile(r'<doc\b(?:.*\btitle="(.*)")?.*>')
_OPEN, _CLOSE = "\"'“‘«「『（(《〈[", "\"'”’»」』）)》〉]"
_SENTENCE_END = re.compile(
    rf"[。！？；…]+[。！？；…{re.escape(_CLOSE)}]*"
    rf"|(?<![.!?])[.!?]+[{re.escape(_CLOSE)}]*(?=\s+[{re.escape(_OPEN)}]*[^\Wa-z_])"  # the next word does not begin with a small letter
)
_ABBREVIATION = re.compile(
    r"(?i:mrs?|ms|dr|prof|rev|hon|st|sr|jr|gen|col|maj|capt|cmdr|lt|sgt|gov|sen|rep|pres|vs|figs?|vol|pp|eds?|cf|al|approx|ca)"
    r"|(\w\.)*[^\W\d_]"  # an initial, U.S, e.g
)


def find_files(patterns: str) -> list[str]:
    """Sorted paths of comma-separated glob patterns.

    Raises:
        FileNotFoundError: a pattern that no file matches. ValueError: no pattern.
    """
    paths: list[str] = []
    for pattern in filter(None, (part.strip() for part in patterns.split(","))):
        found = sorted(path for path in glob.glob(pattern, recursive=True) if Path(path).is_file())
        if not found:
            raise FileNotFoundError(f"{pattern}: no such file; --input_file takes names or globs of text files, separated by commas")
        paths += found
    if not paths:
        raise ValueError(f"input_file={patterns}: expected names or globs of text files, separated by commas")
    return list(dict.fromkeys(paths))


def read_corpus(
    paths: Iterable[Path | str], input_format: str | None = None, encoding: str | None = None, text_column: str = TEXT_COLUMN
) -> Iterator[str]:
    """Yield the lines of text files, one file after another; an empty string ends a document, as the end of a file does.

    Args:
        input_format: the one of INPUT_FORMATS that all files have. None: the format of each is recognised, and logged when it changes.
        encoding: of the files; see `read_lines`.
        text_column: the key of JSON objects, or the column of Parquet files, that has the text of a document.

    Raises:
        ValueError: naming file and line: in another encoding, a damaged .gz, .bz2 or .zst, a line that is not a JSON object with a text.
    """
    logged = input_format
    for path in paths:
        found = _recognise(path, encoding)
        if found is None:
            logger.warning(f"{path}: the file is empty; skipped")
            continue
        if not input_format and found != logged:
            others = ", ".join(name for name in INPUT_FORMATS if name != found)
            logger.info(f"{path}: input_format={found}, recognised by its beginning; --input_format gives another: {others}")
            logged = found
        kind = input_format or found
        if kind == "parquet":
            yield from _read_rows(path, text_column, "row", _read_parquet(path, text_column))
        elif kind == "json":
            yield from _read_rows(path, text_column, "line", _read_json(path, _number_lines(path, encoding), text_column))
        else:
            yield from _READERS[kind](path, _number_lines(path, encoding))


def _recognise(path, encoding):
    """One of INPUT_FORMATS; None for a file without text."""
    with open(path, "rb") as file:
        if file.read(len(parquet.MAGIC)) == parquet.MAGIC:
            return "parquet"
    first = start = ""
    num_headings = num_titles = 0
    for _, line in itertools.islice(_number_lines(path, encoding), _HEAD_LINES):
        first = first or line
        if line and len(start) < _START:
            start += f"{line}\n"
        num_headings += bool(_HEADING.fullmatch(line))
        num_titles += _is_title(line)
    if not first:
        return None
    if _match_document(first):
        return "doc"
    if re.match(r'\{\s*"', first) or re.match(r'\[\s*\{\s*"', start):
        return "json"
    return "wikitext" if _is_title(first) or 0 < num_titles < num_headings else "plain"


def _match_document(line):
    """The match of a <doc> tag; the ends are looked at first, because the pattern would try a long line in too many ways."""
    return _DOCUMENT.fullmatch(line) if line.startswith("<doc") and line.endswith(">") else None


def _number_lines(path, encoding):
    """Yield (number from 1, stripped text) of each line."""
    return ((number, line.strip()) for number, line in read_lines(path, encoding))


def _read_plain(path, lines):
    """Read text with one sentence or paragraph per line, and blank lines between documents."""
    previous = ""
    for _, line in lines:
        if line or previous:
            yield line
        previous = line
    if previous:
        yield ""


def _read_headed(path, lines):
    """Read paragraphs under ` = Title = ` lines (WikiText): a title begins a document, other headings are skipped."""
    has_text = False
    for _, line in lines:
        if _is_title(line):
            if has_text:
                yield ""
            has_text = False
        elif line and not _HEADING.fullmatch(line):
            has_text = True
            yield line
    yield ""


def _is_title(line):
    match = _HEADING.fullmatch(line)
    return match is not None and not match[1].startswith("=") and not match[1].endswith("=")


def _read_doc(path, lines):
    """Read WikiExtractor's <doc> elements."""
    title, is_open = None, False
    for _, line in lines:
        if match := _match_document(line):
            if is_open:
                yield ""
            title, is_open = html.unescape(match[1] or ""), True
        elif line == "</doc>":
            yield ""
            is_open = False
        elif line:
            is_open = True  # also for text outside the elements, in a file of another format
            line = html.unescape(line)
            if line != title:
                yield line
            title = None  # only the first line may repeat it
    if is_open:
        yield ""


def _read_json(path, lines, column):
    """(line, parts of the text or None, title) of JSON lines, such as those of WikiExtractor's --json, or of an array of objects."""
    for number, _, found in parse_values(path, lines):
        text = found.get(column, 0) if isinstance(found, dict) else 0
        if text is None:
            yield number, None, None
            continue
        if not isinstance(text, str):
            hint = "as WikiExtractor --json writes; --text_column names another key" if column == TEXT_COLUMN else "as --text_column says"
            raise ValueError(f'{path}:{number}: expected a JSON object with a string "{column}", {hint}')
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{path}:{number}: half of a surrogate pair in {column}") from None
        title = None if found.get("title") is None else html.unescape(str(found["title"]))
        yield number, [html.unescape(part) for part in _LINE_END.split(text)], title


def _read_parquet(path, column):
    """(row, parts of the text or None, no title) of a Parquet file."""
    for number, text in enumerate(parquet.read_texts(path, column), 1):
        yield number, None if text is None else _LINE_END.split(text), None


def _read_rows(path, column, unit, rows):
    """Read documents from (line or row, parts of the text or None, title); a null is an empty document, and logged at the end."""
    num_nulls = first_null = 0
    for number, parts, title in rows:
        if parts is None:
            num_nulls += 1
            first_null = first_null or number
        lines = [part for part in map(str.strip, parts or ()) if part]
        yield from lines[1:] if lines and lines[0] == title else lines
        yield ""
    if num_nulls:
        logger.warning(f"{path}: nulls in {column}={num_nulls} (the first in {unit} {first_null}) are empty documents")


_READERS = {"plain": _read_plain, "wikitext": _read_headed, "doc": _read_doc}


def split_sentences(line: str) -> list[str]:
    """The sentences of a line, see `iterate_sentences`."""
    return list(iterate_sentences(line))


def iterate_sentences(line: str) -> Iterator[str]:
    """Yield the sentences of a line, Chinese or English.

    A sentence ends after 。！？；… with closing quotes, and after . ! ? with closing quotes if white space follows and the next
    word does not begin with a small letter; a full stop after an abbreviation or an initial does not end a sentence. Longer ones than
    MAX_CHARS are cut, at a space if there is one.
    """
    start = 0
    for match in _SENTENCE_END.finditer(line):
        if match[0][0] == "." and _is_abbreviation(line, start, match.start()):
            continue
        yield from _cut(line[start : match.end()].strip())
        start = match.end()
    yield from _cut(line[start:].strip())


def _is_abbreviation(line, start, end):
    word = line[max(line.rfind(" ", start, end) + 1, start) : end].lstrip(_OPEN)
    return bool(_ABBREVIATION.fullmatch(word))


def _cut(sentence):
    """Yield the sentence, in parts if it is longer than MAX_CHARS; nothing if it is empty."""
    start = 0
    while len(sentence) - start > MAX_CHARS:
        end = sentence.rfind(" ", start + 1, start + MAX_CHARS)
        end = end if end > 0 else start + MAX_CHARS
        yield sentence[start:end]
        start = end
        while sentence[start].isspace():  # it ends with another character, as it is stripped
            start += 1
    if sentence:
        yield sentence[start:]
