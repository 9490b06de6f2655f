"""Labelled texts and pairs from the tables of classification tasks; rows of NumPy for the records."""

from dataclasses import dataclass

from src.data.tables import read_rows


@dataclass(frozen=True)
class Columns:
    """Where a table keeps its texts and label: names of header fields, or indices from 0."""

    text_a: str | int
    text_b: str | int | None = None
    label: str | int | None = None


@dataclass(frozen=True)
class Example:
    """One row; `label` is the label's name, None where the file has none."""

    text_a: str
    text_b: str | None
    label: str | None
    line: int


@dataclass(frozen=True)
class Task:
    """A known data set: its columns, with a header and without, its labels, and its usual file names."""

    named: Columns | None
    indexed: Columns | None
    labels: tuple = ()
    files: tuple = ("train.tsv", "dev.tsv", "test.tsv")


TASKS = {
    "cola": Task(Columns("sentence", None, "label"), Columns(3, None, 1), ("0", "1")),
    "sst2": Task(Columns("sentence", None, "label"), None, ("0", "1")),
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
    return Columns(**found)


def make_task(name, columns):
    """The Task of a known name, or one for `custom` with its columns given as text."""
    if name != "custom":
        return TASKS[name]
    if not columns:
        raise ValueError("task_name=custom needs --columns text_a=NAME_OR_INDEX[,text_b=…][,label=…]")
    parsed = parse_columns(columns)
    return Task(parsed, parsed)


def read_examples(path, task, with_labels):
    """The examples of a table.

    Args:
        path: TSV or CSV, plain or .gz.
        task: Task.
        with_labels: whether a missing label column is an error; else it makes labels None.

    Raises:
        ValueError: empty file, header without the columns, or a row with too few fields; names file and line.
    """
    rows = read_rows(path)
    columns, header = _find_columns(path, task, rows[0][1])
    if header:
        rows = rows[1:]
        if not rows:
            raise ValueError(f"{path}: a header and no rows")
    if with_labels and columns.label is None:
        wanted = (task.named or task.indexed).label
        raise ValueError(f"{path}: " + ("columns names no label" if wanted is None else f"no label column {wanted!r}"))
    width = 1 + max(place for place in (columns.text_a, columns.text_b, columns.label) if place is not None)
    examples = []
    for line, fields in rows:
        if len(fields) < width:
            raise ValueError(f"{path}:{line}: {len(fields)} columns, at least {width} expected")
        text_b = None if columns.text_b is None else fields[columns.text_b]
        label = None if columns.label is None else fields[columns.label].strip()
        if label == "" and with_labels:
            raise ValueError(f"{path}:{line}: empty label")
        examples.append(Example(fields[columns.text_a], text_b, label, line))
    return examples


def _find_columns(path, task, first_row):
    """Columns as indices, and whether the first row is a header: it is exactly if one of the names stands in it."""
    fields = [field.strip() for field in first_row]
    names = [place for place in (task.named.text_a, task.named.text_b, task.named.label) if isinstance(place, str)]
    if task.named is not None and any(name in fields for name in names):
        places = {}
        for key in ("text_a", "text_b", "label"):
            place = getattr(task.named, key)
            if isinstance(place, str):
                if place not in fields and key != "label":
                    raise ValueError(f"{path}:1: no column {place!r} in the header {fields}")
                place = fields.index(place) if place in fields else None
            places[key] = place
        return Columns(**places), True
    if task.indexed is None or any(isinstance(place, str) for place in (task.indexed.text_a, task.indexed.text_b)):
        raise ValueError(f"{path}:1: expected a header with {', '.join(map(repr, names))}, found {fields[:6]}")
    if isinstance(task.indexed.label, str):
        return Columns(task.indexed.text_a, task.indexed.text_b, None), False
    return task.indexed, False


def collect_labels(examples):
    """The label names of some examples in the order of their ids: numbers by value, else alphabetically."""
    found = {example.label for example in examples}
    numbers = all(label.isdecimal() for label in found)
    return tuple(sorted(found, key=lambda label: (int(label) if numbers else 0, label)))


def encode_examples(path, examples, tokenizer, labels, seq_length):
    """Rows for the records.

    Args:
        path: named in errors.
        examples: list of Example.
        tokenizer: Tokenizer.
        labels: label names in id order.
        seq_length: longest row in tokens.

    Returns:
        list of dicts: input_ids, token_type_ids lists of int; label_ids int, -1 without a label.

    Raises:
        ValueError: a label that is not in `labels`.
    """
    ids = {label: number for number, label in enumerate(labels)}
    for example in examples:
        if example.label is not None and example.label not in ids:
            raise ValueError(f"{path}:{example.line}: unknown label {example.label!r}; known are {', '.join(labels)}")
    first = tokenizer.encode([example.text_a for example in examples])
    second = [None] * len(examples)
    if examples[0].text_b is not None:
        second = tokenizer.encode([example.text_b for example in examples])
    rows = []
    for example, a, b in zip(examples, first, second):
        input_ids, token_type_ids = tokenizer.join(a, b, seq_length)
        label_id = -1 if example.label is None else ids[example.label]
        rows.append({"input_ids": input_ids, "token_type_ids": token_type_ids, "label_ids": label_id})
    return rows
