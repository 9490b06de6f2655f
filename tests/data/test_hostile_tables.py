"""Fuzzed tables: every file gives the rows that a simple reader of our own finds, or one error that names it."""

import csv
import gzip
import io
import json
import math
import random
import re

import pytest

from src.tasks.classifier.data_sets import make_data_set
from src.tasks.classifier.rows import encode_examples, read_examples


def write(path, data):
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


# What the oracle knows of each task: names of text_a, text_b, label, language for each spelling of the header; places without a header.
LAYOUTS = {
    "cola": ([["sentence", None, "label"]], [3, None, 1]),
    "sst2": ([["sentence", None, "label"]], None),
    "mrpc": ([["#1 String", "#2 String", "Quality"]], None),
    "stsb": ([["sentence1", "sentence2", "score"]], [5, 6, 4]),
    "mnli": ([["sentence1", "sentence2", "gold_label"]], None),
    "xnli": ([["sentence1", "sentence2", "gold_label", "language"], ["premise", "hypo", "label"], ["text_a", "text_b", "label"]], None),
    "tnews": ([["sentence", None, "label"]], None),
    "news": ([["title", None, "label"]], [3, None, 2]),
    "info": ([["title", None, "label"]], [1, None, 2]),
    "chnsenticorp": ([["text_a", None, "label"]], None),
    "text_a=q,text_b=r,label=y": ([["q", "r", "y"]], None),
    "text_a=q,text_b=r,label=z": ([["q", "r", "z"]], None),
    "text_a=1,label=0": ([[None]], [1, None, 0]),
    "text_a=text,label=label": ([["text", None, "label"]], None),
}
INVISIBLE = "".join(filter(str.isspace, map(chr, range(0x10000)))) + "\u200b\u2060\ufeff"
INFERENCE = {"entailment", "contradiction", "contradictory", "neutral"}
LABELS = {
    "text_a=q,text_b=r,label=z": ["Entailment", "neutral", "-"],
    "stsb": ["0", "5.000", "-1e3", "nan", "1e999"],
    "mnli": ["neutral", "-"],
    "xnli": ["contradictory", "neutral", "-"],
}
PIECES = [
    "a",
    "b c",
    '"',
    '""',
    "'",
    ",",
    "é漢",
    "😀",
    "\u2028",
    "\u0085",
    "\x0b",
    "\x1c",
    "\ufeff",
    "{",
    '{"a": 1}',
    "[",
    "_",
    "\\N",
    "\\u00e9",
]
HARMLESS = [
    b"sentence",
    b"label",
    b"title",
    b"text_a",
    b"gold_label",
    b"q",
    b"\xc2\xa0",
    b"\xe2\x80\x8b",
    b"en",
    b"_!_",
    b"-",
    b"0",
    b"Infinity",
    b",",
    b" ",
    b"\xef\xbb\xbf",
    b"\x7f",
]
DEFECTS = [
    b'"',
    b"\t",
    b"\n",
    b"\n\n",
    b"\r\n",
    b"\r",
    b"{}\n",
    b"null",
    b"NaN",
    b"\0",
    b"\x1a",
    b"\xff",
    b"\xc4\xe3\xba\xc3",
    b"caf\xe9",
    b"\x1f\x8b",
]
DEFECTS += [b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"[" * 3000, b'{"a":' * 3000, b"9" * 5000]
SWAPS = [
    (b"{", b'{"label": 0, '),
    (b': "t', b': "\\ud800'),
    (b': "t', b': "\\u0000'),
    (b'"0"', b"1e999"),
    (b'"0"', b"null"),
    (b'"0"', b'[1, {"a": NaN}]'),
]


def make_table(generator, layout, ending):
    """A sound table: the header, or None, and the rows; under a header the columns stand in any order."""
    spellings, places = LAYOUTS[layout]
    spelling = generator.choice(spellings)
    header = [name for name in spelling if name] or ["k", "l"]
    if places and ending != "json" and (spelling == [None] or generator.random() < 0.5):
        header, width, label = None, 1 + max(place or 0 for place in places) + generator.randrange(3), places[2]
    else:
        header += ["id", "more"][: generator.randrange(3)]
        generator.shuffle(header)
        width, label = len(header), places[2] if spelling == [None] else header.index(spelling[2])
    rows = []
    for _ in range(generator.randrange(1, 5)):
        pieces = PIECES + ["\n", "\r\n"] * (ending != "tsv" and layout not in ("stsb", "news"))
        row = ["t" + "".join(generator.choices(pieces, k=generator.randrange(4))) for _ in range(width)]
        row[label] = generator.choice(LABELS.get(layout, ["0", "1", "spam"]))
        if header and "language" in header:
            row[header.index("language")] = generator.choice(["en", "en", "zh"])
        rows.append(row)
    return header, rows


def make_file(generator, layout, ending, header, rows):
    """The bytes of a file, and the encoding that it needs."""
    data = join_rows(generator, layout, ending, header, rows)
    if generator.random() < 0.2 and not any("\n" in field for row in rows for field in row):
        data = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r")
    encoding = generator.choice([None, None, None, "gb18030", "utf-16"])
    data = data.decode().encode(encoding) if encoding else data
    return data, None if encoding == "utf-16" else encoding  # which has a byte order mark


def join_rows(generator, layout, ending, header, rows):
    if ending == "json":
        return join_objects(generator, [dict(zip(header, row)) for row in rows]).encode()
    if ending == "tsv" and layout == "text_a=text,label=label" and generator.random() < 0.5:  # fastText's lines
        text, label = header.index("text"), header.index("label")
        separator = generator.choice(" \t")
        return "".join(f"__label__{row[label]}{separator}{row[text]}\n" for row in rows).encode()
    rows = [header, *rows] if header else rows
    if ending == "csv" and layout not in ("stsb", "news"):
        has_tabs = generator.random() < 0.5 and not any(mark in field for row in rows for field in row for mark in ",\r\n")
        if generator.random() < 0.2:
            rows = [rows[0], *([*row, ""] for row in rows[1:])] if header else [[*row, ""] for row in rows]
        elif header and generator.random() < 0.2:
            rows = [[*rows[0], ""], *rows[1:]]
        text = io.StringIO()
        csv.writer(text, delimiter="\t" if has_tabs and len({len(row) for row in rows}) == 1 < len(rows[0]) else ",").writerows(rows)
        return text.getvalue().encode()
    separator = "_!_" if layout == "news" and generator.random() < 0.5 else "\t"
    return "".join(separator.join(row) + generator.choice(["\n", "\r\n"]) for row in rows).encode()


def join_objects(generator, rows):
    """JSON lines, perhaps with commas behind them, or an array."""
    escaped, comma = generator.random() < 0.5, generator.choice(["", "", ","])
    if generator.random() < 0.5:
        return "".join(json.dumps(row, ensure_ascii=escaped) + comma + "\n" for row in rows)
    text = json.dumps(rows, ensure_ascii=escaped, indent=generator.choice([None, 0, 2]))
    return f"{text[:-1]}{comma}]\n"


def damage(generator, data):
    """The file with up to two defects, now and then its end cut off, in another encoding, or its gzip form broken."""
    for _ in range(generator.randrange(3)):
        place = generator.randrange(len(data) + 1)
        piece = b"x" * 2_000_000 if generator.random() < 0.01 else generator.choice(generator.choice([HARMLESS, DEFECTS]))
        data = data[:place] + piece + data[place + generator.choice([0, 0, 1, 5]) :]
    if generator.random() < 0.2:
        data = data.replace(*generator.choice(SWAPS), 1)
    if generator.random() < 0.1:
        data = data[: generator.randrange(len(data) + 1)]
    if generator.random() < 0.05:
        data = data.decode("utf-8", "ignore").encode(generator.choice(["utf-16", "utf-16-le", "gbk", "latin-1"]), "ignore")
    if generator.random() < 0.1:
        data = gzip.compress(data, 1)
        data = data[: generator.choice([len(data), generator.randrange(len(data))])] + b"x" * generator.randrange(2)
    return data


def parses_as_object(line):
    try:
        return isinstance(json.loads(line.rstrip().removesuffix(",")), dict)
    except (ValueError, RecursionError):
        return False


def parse_objects(text):
    def make_dict(pairs):
        assert len(dict(pairs)) == len(pairs), text[:1000]
        return dict(pairs)

    if text.lstrip().startswith("["):
        return json.loads(re.sub(r",\s*\]\s*$", "]", text), object_pairs_hook=make_dict)
    lines = (line.rstrip().removesuffix(",") for line in text.split("\n") if line.strip())
    return [json.loads(line, object_pairs_hook=make_dict) for line in lines]


def parse_simply(data, layout, ending, encoding):
    """Header or None and rows of a file that has no defect, by json.loads and the csv module alone."""
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else None if data[:3] == b"\xef\xbb\xbf" else encoding
    data = data.decode(encoding).encode() if encoding else data
    *lines, last = data[:65536].split(b"\n")
    if sum(line.rstrip(b"\r").count(b"\r") for line in lines) + last.count(b"\r") > len(lines):
        data = io.StringIO(data.decode("latin-1"), newline=None).read().encode("latin-1")
    text = data.decode("utf-8-sig")
    first = text.split("\n")[0]
    if ending == "json" or parses_as_object(first):
        objects = parse_objects(text)
        keys = list(objects[0])
        rows = [[found.get(key) for key in keys] for found in objects]
        return keys, [[x if isinstance(x, str | None) else json.dumps(x, ensure_ascii=False) for x in row] for row in rows]
    if first.startswith("__label__") and layout not in ("stsb", "news"):
        pairs = [line.removeprefix("__label__").split(maxsplit=1) for line in text.rstrip("\r\n").replace("\r\n", "\n").split("\n")]
        return ["label", "text"], [[label, rest] for label, rest in pairs]
    if ending == "csv" and layout not in ("stsb", "news"):
        lines = [line for line in text.split("\n") if line.strip()]
        has_tabs = "\t" in first and len({line.count("\t") for line in lines}) == 1
        has_tabs = has_tabs and ("," not in first or len({line.count(",") for line in lines}) > 1)
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter="\t" if has_tabs else ",") if row]
        rows = [row + [""] * (len(rows[0]) - len(row)) for row in rows]
    else:  # the csv module ends a row at a carriage return, a TSV does not
        text = text.rstrip("\r\n").replace("\r\n", "\n").replace("\r", "\ue000")
        if layout == "news" and "_!_" in first and "\t" not in first:
            text = text.replace("\t", "\ue001").replace("_!_", "\t")
        rows = csv.reader(text.split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE)
        rows = [[field.replace("\ue000", "\r").replace("\ue001", "\t") for field in row] for row in rows]
    names = {name for spelling in LAYOUTS[layout][0] for name in spelling if name}
    first_row = [field.strip() for field in rows[0]]
    return (first_row, rows[1:]) if names & set(first_row) else (None, rows)


def choose_simply(header, rows, layout, with_labels):
    """(text_a, text_b, label) of each row that counts."""
    spellings, places = LAYOUTS[layout]
    if header and spellings != [[None]]:
        header = [name.strip() for name in header]
        spelling = max(spellings, key=lambda names: sum(name in header for name in names))
        places = [header.index(name) if name in header else None for name in spelling]
    text_a, text_b, label, language = [*places, None, None][:4]
    found = []
    for row in rows:
        if language is None or row[language] == "en":
            name = None if label is None or label >= len(header or rows[0]) else (row[label] or "").strip(INVISIBLE) or None
            found.append(
                (
                    row[text_a],
                    None if text_b is None else row[text_b],
                    "contradiction" if (layout, name) == ("xnli", "contradictory") else name,
                )
            )
    others = {row[2].casefold() for row in found if row[2]} - {"-"}
    skips = with_labels and (layout in ("mnli", "xnli") or others and others <= INFERENCE)
    return [row for row in found if not (skips and row[2] == "-")]


class LetterTokenizer:
    def encode(self, texts):
        return [list(text.encode()) for text in texts]

    def join(self, first, second, max_length):
        return first[:max_length], [0] * len(first[:max_length])


def read_outcome(path, layout, with_labels, encoding):
    """(text_a, text_b, label) of each row, or None where the file is refused; each label must be encoded or refused as well."""
    task = make_data_set("custom", layout) if "=" in layout else make_data_set(layout, None)
    try:
        examples = read_examples(path, task, with_labels, encoding)
    except ValueError as error:
        assert str(error).startswith(f"{path}:")
        return None
    try:
        rows = list(encode_examples(path, examples, LetterTokenizer(), None if task.regression else task.labels, 8))
    except ValueError as error:
        assert str(error).startswith(f"{path}:")
    else:
        for example, row in zip(examples, rows):
            known = float if task.regression else task.labels.index
            assert example.label is None or (row["label_ids"] == known(example.label) and math.isfinite(row["label_ids"]))
    assert not any("\0" in example.text_a or "\0" in (example.text_b or "") for example in examples)
    return [(example.text_a, example.text_b, example.label) for example in examples]


@pytest.mark.parametrize("ending", ["tsv", "csv", "json"])
def test_hostile_table_gives_the_right_rows_or_value_error(ending, tmp_path):
    generator, num_read, num_refused = random.Random(ending), 0, 0
    for number in range(334):
        layout = generator.choice(list(LAYOUTS))
        header, rows = make_table(generator, layout, ending)
        data, encoding = make_file(generator, layout, ending, header, rows)
        path = write(tmp_path / f"{number}.{ending}", data)
        for with_labels in (True, False):
            right = read_outcome(path, layout, with_labels, encoding) == (choose_simply(header, rows, layout, with_labels) or None)
            assert right, (layout, with_labels, data)  # a bool: pytest would need minutes to compare megabytes
        data = damage(generator, data)
        path = write(tmp_path / f"damaged-{number}.{ending}", data)
        for reader, with_labels in [(layout, True), (layout, False), (generator.choice(list(LAYOUTS)), generator.random() < 0.5)]:
            found = read_outcome(path, reader, with_labels, encoding)
            right = found is None or found == choose_simply(*parse_simply(data, reader, ending, encoding), reader, with_labels)
            assert right, (reader, with_labels, data[:1000])
            num_read, num_refused = num_read + (found is not None), num_refused + (found is None)
    assert min(num_read, num_refused) > 100, (num_read, num_refused)
