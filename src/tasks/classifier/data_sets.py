"""The data sets that run_classifier.py knows: their columns, labels and file names."""

from dataclasses import dataclass, field, replace

_LANGUAGE = "en"  # default language of xnli


@dataclass(frozen=True)
class Columns:
    """The columns of a table's texts, label and language: names in the header, or indices from 0."""

    text_a: str | int
    text_b: str | int | None = None
    label: str | int | None = None
    language: str | int | None = None

    @property
    def names(self) -> list[str]:
        return [column for column in vars(self).values() if isinstance(column, str)]


@dataclass(frozen=True)
class DataSet:
    """A known data set.

    Args:
        named: Columns of a table with a header, one for each spelling in use.
        indexed: Columns of a table without a header; None if a header is required.
        labels: label names in id order; empty if the training file determines them.
        files: for train, eval and predict the file names to look for in data_dir; the first that exists is taken, plain or .gz.
        aliases: another spelling of a label, in lower case -> the label; case does not matter in files.
        skipped_label: marks rows on which the annotators did not agree; they are left out of training and evaluation.
            None means `-` if all other labels of a file are ENTAILMENT's.
        separators: see `read_rows`.
        regression: the label is a number.
        ragged: rows may have more columns than the first row.
        language: language of the rows to read, if the table names languages.
    """

    named: tuple[Columns, ...]
    indexed: Columns | None
    labels: tuple[str, ...] = ()
    files: tuple[tuple[str, ...], ...] = (("train.tsv",), ("dev.tsv",), ("test.tsv",))
    aliases: dict[str, str] = field(default_factory=dict)
    skipped_label: str | None = None
    separators: tuple[str, ...] | None = None
    regression: bool = False
    ragged: bool = False
    language: str = _LANGUAGE


ENTAILMENT = ("contradiction", "entailment", "neutral")  # Google's order
NO_AGREEMENT = "-"  # instead of one of these if the annotators did not agree

DATA_SETS = {
    "cola": DataSet((Columns("sentence", None, "label"),), Columns(3, None, 1), ("0", "1")),
    "sst2": DataSet((Columns("sentence", None, "label"),), None, ("0", "1")),
    "mrpc": DataSet(
        (Columns("#1 String", "#2 String", "Quality"),),
        None,
        ("0", "1"),
        files=(("train.tsv", "msr_paraphrase_train.txt"), ("dev.tsv", "msr_paraphrase_test.txt"), ("test.tsv",)),
    ),
    "stsb": DataSet(
        (Columns("sentence1", "sentence2", "score"),),
        Columns(5, 6, 4),
        files=(("train.tsv", "sts-train.csv"), ("dev.tsv", "sts-dev.csv"), ("test.tsv", "sts-test.csv")),
        separators=("\t",),
        regression=True,
        ragged=True,
    ),
    "mnli": DataSet(
        (Columns("sentence1", "sentence2", "gold_label"),),
        None,
        ENTAILMENT,
        files=(("train.tsv",), ("dev_matched.tsv", "dev.tsv"), ("test_matched.tsv", "test.tsv")),
        skipped_label=NO_AGREEMENT,
    ),
    "xnli": DataSet(
        (
            Columns("sentence1", "sentence2", "gold_label", "language"),
            Columns("premise", "hypo", "label"),
            Columns("text_a", "text_b", "label"),
        ),
        None,
        ENTAILMENT,
        files=(
            (*(f"{folder}multinli.train.{{language}}.tsv" for folder in ("", "multinli/", "XNLI-MT-1.0/multinli/")), "train.tsv"),
            ("xnli.dev.tsv", "XNLI-1.0/xnli.dev.tsv", "dev.tsv"),
            ("xnli.test.tsv", "XNLI-1.0/xnli.test.tsv", "test.tsv"),
        ),
        aliases={"contradictory": "contradiction"},
        skipped_label=NO_AGREEMENT,
    ),
    "tnews": DataSet(
        (Columns("sentence", None, "label"),),
        None,
        tuple(str(code) for code in range(100, 117) if code not in (105, 111)),
        files=(("train.json",), ("dev.json",), ("test.json",)),
    ),
    "news": DataSet((Columns("title", None, "label"),), Columns(3, None, 2), separators=("\t", "_!_")),
    "info": DataSet(
        (Columns("title", None, "label"),),
        Columns(1, None, 2),
        ("0", "1"),
        files=(("train.csv",), ("eval.csv",), ("test.csv",)),
    ),
    "chnsenticorp": DataSet((Columns("text_a", None, "label"),), None, ("0", "1")),
}


def parse_columns(text: str) -> Columns:
    """Parse `text_a=NAME_OR_INDEX[,text_b=…][,label=…]`.

    Raises:
        ValueError: another key, a key twice, or no text_a.
    """
    found = {}
    for part in text.split(","):
        key, _, column = part.partition("=")
        key = key.strip()
        column = column.strip()
        if key not in ("text_a", "text_b", "label") or not column or key in found:
            raise ValueError(f"columns={text}: expected text_a=NAME_OR_INDEX[,text_b=…][,label=…], found {part!r}")
        found[key] = int(column) if column.isdecimal() else column
    if "text_a" not in found:
        raise ValueError(f"columns={text}: text_a is missing")
    if len(set(found.values())) < len(found):
        raise ValueError(f"columns={text}: two of them are the same column")
    return Columns(**found)


def usual_files(name: str, language: str | None = None) -> tuple[tuple[str, ...], ...]:
    """A task's usual file names in data_dir, for train, eval and predict."""
    files = DATA_SETS[name].files if name in DATA_SETS else DataSet.files
    return tuple(tuple(file.format(language=language or _LANGUAGE) for file in names) for names in files)


def make_data_set(name: str, columns: str | None, language: str | None = None) -> DataSet:
    """The DataSet of a known name, or of `custom` with the given columns; `language` chooses the rows and files of xnli."""
    if name != "custom":
        return replace(DATA_SETS[name], language=language or _LANGUAGE)
    if not columns:
        raise ValueError("task_name=custom needs --columns text_a=NAME_OR_INDEX[,text_b=…][,label=…]")
    parsed = parse_columns(columns)
    return DataSet((parsed,), parsed)
