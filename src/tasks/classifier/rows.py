"""Labelled texts and pairs from the tables of classification and regression tasks; rows of NumPy for the records."""

import math
from dataclasses import dataclass, field, replace

from src.log import logger, shorten
from src.text.tables import check_widths, clean_name, match_case, read_rows

_LANGUAGE = "en"  # of the rows of xnli, unless another is asked for


@dataclass(frozen=True)
class Columns:
    """Where a table keeps its texts, label and language: names of header fields, or indices from 0."""

    text_a: str | int
    text_b: str | int | None = None
    label: str | int | None = None
    language: str | int | None = None

    @property
    def names(self):
        return [place for place in vars(self).values() if isinstance(place, str)]


@dataclass(frozen=True)
class Example:
    """One row; `label` is the label's name, None where the file has none."""

    text_a: str
    text_b: str | None
    label: str | None
    line: int


@dataclass(frozen=True)
class Task:
    """A known data set.

    Args:
        named: Columns of a table with a header, one for each spelling that goes round.
        indexed: Columns of a table without a header; None where it must have one.
        labels: label names in id order; empty where the training file decides.
        files: the names to look for in data_dir, for train, eval and predict; the first that exists is taken, plain or .gz.
        aliases: other spelling of a label, in small letters -> its name; the file's may have capital ones.
        skipped_label: what stands for a label where the annotators did not agree; such rows count neither in training nor in evaluation.
            None: `-`, if all other labels of a file are those of inference.
        separators: as `read_rows` takes them.
        regression: the label is a number.
        ragged: rows may have further columns behind those of the first row.
        language: of the rows to read, where the table names languages.
    """

    named: tuple
    indexed: Columns | None
    labels: tuple = ()
    files: tuple = (("train.tsv",), ("dev.tsv",), ("test.tsv",))
    aliases: dict = field(default_factory=dict)
    skipped_label: str | None = None
    separators: tuple | None = None
    regression: bool = False
    ragged: bool = False
    language: str = _LANGUAGE


_ENTAILMENT = ("contradiction", "entailment", "neutral")  # Google's order
_NO_AGREEMENT = "-"  # in place of one of these

TASKS = {
    "cola": Task((Columns("sentence", None, "label"),), Columns(3, None, 1), ("0", "1")),
    "sst2": Task((Columns("sentence", None, "label"),), None, ("0", "1")),
    "mrpc": Task(
        (Columns("#1 String", "#2 String", "Quality"),),
        None,
        ("0", "1"),
        files=(("train.tsv", "msr_paraphrase_train.txt"), ("dev.tsv", "msr_paraphrase_test.txt"), ("test.tsv",)),
    ),
    "stsb": Task(
        (Columns("sentence1", "sentence2", "score"),),
        Columns(5, 6, 4),
        files=(("train.tsv", "sts-train.csv"), ("dev.tsv", "sts-dev.csv"), ("test.tsv", "sts-test.csv")),
        separators=("\t",),
        regression=True,
        ragged=True,
    ),
    "mnli": Task(
        (Columns("sentence1", "sentence2", "gold_label"),),
        None,
        _ENTAILMENT,
        files=(("train.tsv",), ("dev_matched.tsv", "dev.tsv"), ("test_matched.tsv", "test.tsv")),
        skipped_label=_NO_AGREEMENT,
    ),
    "xnli": Task(
        (
            Columns("sentence1", "sentence2", "gold_label", "language"),
            Columns("premise", "hypo", "label"),
            Columns("text_a", "text_b", "label"),
        ),
        None,
        _ENTAILMENT,
        files=(
            (*(f"{folder}multinli.train.{{language}}.tsv" for folder in ("", "multinli/", "XNLI-MT-1.0/multinli/")), "train.tsv"),
            ("xnli.dev.tsv", "XNLI-1.0/xnli.dev.tsv", "dev.tsv"),
            ("xnli.test.tsv", "XNLI-1.0/xnli.test.tsv", "test.tsv"),
        ),
        aliases={"contradictory": "contradiction"},
        skipped_label=_NO_AGREEMENT,
    ),
    "tnews": Task(
        (Columns("sentence", None, "label"),),
        None,
        tuple(str(code) for code in range(100, 117) if code not in (105, 111)),
        files=(("train.json",), ("dev.json",), ("test.json",)),
    ),
    "news": Task((Columns("title", None, "label"),), Columns(3, None, 2), separators=("\t", "_!_")),
    "info": Task(
        (Columns("title", None, "label"),),
        Columns(1, None, 2),
        ("0", "1"),
        files=(("train.csv",), ("eval.csv",), ("test.csv",)),
    ),
    "chnsenticorp": Task((Columns("text_a", None, "label"),), None, ("0", "1")),
}


def parse_columns(text):
    """`text_a=NAME_OR_INDEX[,text_b=…][,label=…]` as Columns.

    Raises:
        ValueError: another key, a key twice, or no text_a.
    """
    found = {}
    for part in text.split(","):
        key, _, place = part.partition("=")
        key, place = key.strip(), place.strip()
        if key not in ("text_a", "text_b", "label") or not place or key in found:
            raise ValueError(f"columns={text}: expected text_a=NAME_OR_INDEX[,text_b=…][,label=…], found {part!r}")
        found[key] = int(place) if place.isdecimal() else place
    if "text_a" not in found:
        raise ValueError(f"columns={text}: text_a is missing")
    if len(set(found.values())) < len(found):
        raise ValueError(f"columns={text}: two of them are the same column")
    return Columns(**found)


def usual_files(name, language=None):
    """The file names of a task in data_dir, for train, eval and predict; the first that exists is taken, plain or .gz."""
    files = TASKS[name].files if name in TASKS else Task.files
    return tuple(tuple(file.format(language=language or _LANGUAGE) for file in names) for names in files)


def make_task(name, columns, language=None):
    """The Task of a known name, or one for `custom` with its columns given as text; `language` chooses the rows and files of xnli."""
    if name != "custom":
        return replace(TASKS[name], language=language or _LANGUAGE)
    if not columns:
        raise ValueError("task_name=custom needs --columns text_a=NAME_OR_INDEX[,text_b=…][,label=…]")
    parsed = parse_columns(columns)
    return Task((parsed,), parsed)


def read_examples(path, task, with_labels):
    """The examples of a table or of JSON lines, in the order of the file.

    Args:
        path: TSV, CSV or JSON lines, plain or .gz.
        task: Task.
        with_labels: whether a missing label is an error and `task.skipped_label` skips its row; else a missing label column makes
            labels None, and no row is skipped but those of other languages.

    Raises:
        ValueError: empty file, header without the columns, a row of another width than the first, no row left; names file and line.
    """
    rows = read_rows(path, task.separators)
    columns, header = _find_columns(path, task, rows[0], with_labels)
    needed = 1 + max(place for place in vars(columns).values() if place is not None)
    check_widths(path, rows, needed, header, task.ragged)
    if header:
        rows = rows[1:]
        if not rows:
            raise ValueError(f"{path}: a header and no rows")
    if columns.language is not None:
        rows = _choose_language(path, rows, columns.language, task.language)
    labels = [None if columns.label is None else clean_name(fields[columns.label] or "") or None for _, fields in rows]
    skipped_label = (task.skipped_label or _find_no_agreement(labels)) if with_labels else None
    examples = []
    for (line, fields), label in zip(rows, labels):
        text_a, text_b = fields[columns.text_a], None if columns.text_b is None else fields[columns.text_b]
        if text_a is None or (text_b is None and columns.text_b is not None):
            raise ValueError(f"{path}:{line}: a text is missing or null")
        if with_labels and label is None:
            raise ValueError(f"{path}:{line}: empty label")
        if label is None or label != skipped_label:
            examples.append(Example(text_a, text_b, task.aliases.get((label or "").casefold(), label), line))
    if len(examples) < len(rows):
        logger.info(f"{path}: skipped {len(rows) - len(examples)} rows labelled {skipped_label!r}")
    if not examples:
        raise ValueError(f"{path}: all rows are labelled {skipped_label!r}")
    return examples


def _find_no_agreement(labels):
    """`-` if it stands among labels of inference."""
    others = {label.casefold() for label in labels if label} - {_NO_AGREEMENT}
    return _NO_AGREEMENT if others and others.issubset((*_ENTAILMENT, "contradictory")) else None


def _find_columns(path, task, first_row, with_labels):
    """Columns as indices, and whether the first row is a header: JSON's keys are one, of a table it is if a name stands in it."""
    line, fields = first_row[0] or 1, [text.strip() for text in first_row[1]]
    columns = max(task.named, key=lambda columns: len(set(columns.names).intersection(fields)))
    header = first_row[0] == 0 or not set(columns.names).isdisjoint(fields)
    if not header:
        columns = task.indexed or columns
    shown, places = str(fields)[:300], {}
    for key, place in vars(columns).items():
        if isinstance(place, str):
            if fields.count(place) > 1:
                raise ValueError(f"{path}:{line}: two columns {place!r} in the header {shown}")
            if place not in fields and key in ("text_a", "text_b"):
                wanted = " or ".join(", ".join(map(repr, columns.names)) for columns in task.named)
                raise ValueError(f"{path}:{line}: no column {place!r}: expected a header with {wanted}, found {shown}")
            place = fields.index(place) if place in fields else None
        places[key] = place
    if not with_labels and places["label"] is not None and places["label"] >= len(fields):
        places["label"] = None
    if with_labels and places["label"] is None:
        raise ValueError(f"{path}: " + ("columns names no label" if columns.label is None else f"no label column {columns.label!r}"))
    return Columns(**places), header


def _choose_language(path, rows, place, language):
    """The rows whose field at `place` is the language."""
    if not (chosen := [row for row in rows if row[1][place] == language]):
        found = sorted({str(fields[place])[:20] for _, fields in rows})
        raise ValueError(f"{path}: no row of language={language}; found {shorten(map(repr, found))}")
    return chosen


def collect_labels(examples):
    """The label names of some examples in the order of their ids: numbers by value, else alphabetically."""
    found = {example.label for example in examples}
    numbers = all(label.isdecimal() and len(label) < 20 for label in found)  # int() refuses thousands of digits
    return tuple(sorted(found, key=lambda label: (int(label) if numbers else 0, label)))


def encode_examples(path, examples, tokenizer, labels, seq_length):
    """Rows for the records.

    Args:
        path: named in errors.
        examples: list of Example.
        tokenizer: Tokenizer.
        labels: label names in id order; None for regression, where each label is a number.
        seq_length: longest row in tokens.

    Returns:
        list of dicts: input_ids, token_type_ids lists of int; label_ids int, -1 without a label; for regression float, nan without.

    Raises:
        ValueError: a label that is not in `labels`, or for regression no finite number.
    """
    if labels is None:
        label_ids = [_parse_score(path, example) for example in examples]
    else:
        label_ids = _find_ids(path, examples, labels)
    first = tokenizer.encode([example.text_a for example in examples])
    second = [None] * len(examples)
    if examples[0].text_b is not None:
        second = tokenizer.encode([example.text_b for example in examples])
    rows = []
    for a, b, label_id in zip(first, second, label_ids):
        input_ids, token_type_ids = tokenizer.join(a, b, seq_length)
        rows.append({"input_ids": input_ids, "token_type_ids": token_type_ids, "label_ids": label_id})
    return rows


def _find_ids(path, examples, labels):
    """The id of each label, which may differ in case from its name in `labels`."""
    ids = {None: -1, **{label: number for number, label in enumerate(labels)}}
    known = match_case({example.label for example in examples if example.label is not None}, labels)
    names = [known.get(example.label, example.label) for example in examples]
    for example, name in zip(examples, names):
        if name not in ids:
            raise ValueError(f"{path}:{example.line}: unknown label {example.label[:80]!r}; known are {shorten(labels)}")
    if known:
        logger.info(f"{path}: labels are matched without regard to case: {shorten(f'{name} is {known[name]}' for name in sorted(known))}")
    return [ids[name] for name in names]


def _parse_score(path, example):
    if example.label is None:
        return math.nan
    try:
        score = float(example.label)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise ValueError(f"{path}:{example.line}: the score {example.label[:80]!r} is no finite number")
    return score
