"""The data sets that run_classifier.py knows: their columns, labels, file names, measures and forms of submission.

Sources: gluebenchmark.com and cluebenchmarks.com for the test predictions, CLUE's baselines for the texts of CSL and CLUEWSC.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from src.text import tables

SEPARATOR = ","  # default of what separates the labels of a text
_LANGUAGE = "en"  # default language of xnli


@dataclass(frozen=True)
class Columns:
    """The columns of a table's texts, label and language: names in the header, or indices from 0.

    A tuple of label columns means that each says of one label whether the text has it.
    """

    text_a: str | int
    text_b: str | int | None = None
    label: str | int | tuple[str | int, ...] | None = None
    language: str | int | None = None

    @property
    def listed(self) -> list[str | int]:
        """Every column, those of a tuple too."""
        each = (column if isinstance(column, tuple) else (column,) for column in vars(self).values())
        return [column for columns in each for column in columns if column is not None]

    @property
    def names(self) -> list[str]:
        return [column for column in self.listed if isinstance(column, str)]


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
        choices: questions with several choices each, whose forms choices.py reads; there are no columns.
        label_separator: a text may have several labels, with this between them; None: it has one.
        ragged: rows may have more columns than the first row.
        leaves_short: rows with too few columns are left out and counted, not an error.
        language: language of the rows to read, if the table names languages.
        make_texts: the texts of a row from the fields of text_a and text_b; None: the fields are the texts. Raises ValueErrors.
        measure: the measure that is printed as the result.
        submission: file of test predictions in the form of the benchmark's site, written beside the others; None: there is none.
    """

    named: tuple[Columns, ...]
    indexed: Columns | None
    labels: tuple[str, ...] = ()
    files: tuple[tuple[str, ...], ...] = (("train.tsv",), ("dev.tsv",), ("test.tsv",))
    aliases: dict[str, str] = field(default_factory=dict)
    skipped_label: str | None = None
    separators: tuple[str, ...] | None = None
    regression: bool = False
    choices: bool = False
    label_separator: str | None = None
    ragged: bool = False
    leaves_short: bool = False
    language: str = _LANGUAGE
    make_texts: Callable[[str, str], tuple[str, str | None]] | None = None
    measure: str = "accuracy"
    submission: str | None = None


def join_keywords(keywords: str, abstract: str) -> tuple[str, str]:
    """CSL's keywords, a JSON list, as one text; and the abstract."""
    found = json.loads(keywords)
    if not isinstance(found, list) or not all(isinstance(keyword, str) for keyword in found):
        raise ValueError(f"a list of keywords is expected, found {keywords[:40]!r}")
    return " ".join(found), abstract


def mark_spans(text: str, target: str) -> tuple[str, None]:
    """CLUEWSC's text, with _ around the first span of its target, a JSON object, and brackets around the second, the pronoun."""
    found = json.loads(target)
    marks = []
    for span, (before, after) in (("span1", "__"), ("span2", "[]")):
        name, start = (found.get(f"{span}_{key}") if isinstance(found, dict) else None for key in ("text", "index"))
        if not isinstance(name, str) or type(start) is not int or not name or text[start : start + len(name)] != name or start < 0:
            raise ValueError(f"the text does not have {span} of {target[:200]}")
        marks += [(start, before), (start + len(name), after)]
    for position, mark in sorted(marks, reverse=True):  # from the end, so that positions stay right
        text = text[:position] + mark + text[position:]
    return text, None


ENTAILMENT = ("contradiction", "entailment", "neutral")  # Google's order
_TWO_WAY = ("entailment", "not_entailment")
_BINARY = ("0", "1")
_JSON_FILES = (("train.json",), ("dev.json",), ("test.json",))
_PAIR = (Columns("sentence1", "sentence2", "label"),)
_CHOICES = (Columns("text", "choices", "label"),)  # of an Example, not of a file
NO_AGREEMENT = "-"  # instead of one of these if the annotators did not agree

DATA_SETS = {
    "cola": DataSet((Columns("sentence", None, "label"),), Columns(3, None, 1), _BINARY, measure="mcc", submission="CoLA.tsv"),
    "sst2": DataSet((Columns("sentence", None, "label"),), None, _BINARY, submission="SST-2.tsv"),
    "mrpc": DataSet(
        (Columns("#1 String", "#2 String", "Quality"),),
        None,
        _BINARY,
        measure="f1",
        submission="MRPC.tsv",
        files=(("train.tsv", "msr_paraphrase_train.txt"), ("dev.tsv", "msr_paraphrase_test.txt"), ("test.tsv",)),
    ),
    "stsb": DataSet(
        (Columns("sentence1", "sentence2", "score"),),
        Columns(5, 6, 4),
        files=(("train.tsv", "sts-train.csv"), ("dev.tsv", "sts-dev.csv"), ("test.tsv", "sts-test.csv")),
        separators=("\t",),
        regression=True,
        ragged=True,
        measure="spearman_correlation",
        submission="STS-B.tsv",
    ),
    "mnli": DataSet(
        (Columns("sentence1", "sentence2", "gold_label"),),
        None,
        ENTAILMENT,
        files=(("train.tsv",), ("dev_matched.tsv", "dev.tsv"), ("test_matched.tsv", "test.tsv")),
        skipped_label=NO_AGREEMENT,
        submission="MNLI-m.tsv",
    ),
    "rte": DataSet(_PAIR, None, _TWO_WAY, submission="RTE.tsv"),
    "qnli": DataSet((Columns("question", "sentence", "label"),), None, _TWO_WAY, submission="QNLI.tsv"),
    "qqp": DataSet(
        (Columns("question1", "question2", "is_duplicate"),),
        None,
        _BINARY,
        leaves_short=True,  # a few published rows are broken by line ends inside their questions
        measure="f1",
        submission="QQP.tsv",
    ),
    "wnli": DataSet(_PAIR, None, _BINARY, submission="WNLI.tsv"),
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
        files=_JSON_FILES,
        submission="tnews11_predict.json",
    ),
    "afqmc": DataSet(_PAIR, None, _BINARY, files=_JSON_FILES, submission="afqmc_predict.json"),
    "cmnli": DataSet(_PAIR, None, ENTAILMENT, files=_JSON_FILES, skipped_label=NO_AGREEMENT, submission="cmnli_predict.json"),
    "ocnli": DataSet(
        _PAIR,
        None,
        ENTAILMENT,
        files=(("train.json", "train.50k.json", "train.3k.json"), *_JSON_FILES[1:]),
        skipped_label=NO_AGREEMENT,
        submission="ocnli_50k_predict.json",
    ),
    "iflytek": DataSet(
        (Columns("sentence", None, "label"),), None, tuple(map(str, range(119))), files=_JSON_FILES, submission="iflytek_predict.json"
    ),
    "csl": DataSet(
        (Columns("keyword", "abst", "label"),),
        None,
        _BINARY,
        files=_JSON_FILES,
        make_texts=join_keywords,
        submission="csl_predict.json",
    ),
    "cluewsc": DataSet(
        (Columns("text", "target", "label"),),
        None,
        ("true", "false"),
        files=_JSON_FILES,
        make_texts=mark_spans,
        submission="cluewsc11_predict.json",
    ),
    "news": DataSet((Columns("title", None, "label"),), Columns(3, None, 2), separators=("\t", "_!_")),
    "info": DataSet(
        (Columns("title", None, "label"),),
        Columns(1, None, 2),
        _BINARY,
        measure="auc",
        files=(("train.csv",), ("eval.csv",), ("test.csv",)),
    ),
    "chnsenticorp": DataSet((Columns("text_a", None, "label"),), None, _BINARY),
    "c3": DataSet(
        _CHOICES,
        None,
        choices=True,
        files=(
            ("m-train.json", "c3-m-train.json", "train.json"),
            ("m-dev.json", "c3-m-dev.json", "dev.json"),
            ("test1.1.json", "test1.0.json", "c3-m-test.json", "test.json"),
        ),
        submission="c311_predict.json",
    ),
    "swag": DataSet(_CHOICES, None, choices=True, files=(("train.csv",), ("val.csv", "dev.csv"), ("test.csv",))),
}


def parse_columns(text: str) -> Columns:
    """Parse `text_a=NAME_OR_INDEX[,text_b=…][,label=…]`, see `tables.parse_columns`; several label=… make a tuple."""
    return Columns(**tables.parse_columns(text, ("text_a", "text_b", "label"), several="label"))


def usual_files(name: str, language: str | None = None) -> tuple[tuple[str, ...], ...]:
    """A task's usual file names in data_dir, for train, eval and predict."""
    files = DATA_SETS[name].files if name in DATA_SETS else DataSet.files
    return tuple(tuple(file.format(language=language or _LANGUAGE) for file in names) for names in files)


def make_data_set(name: str, columns: str | None, language: str | None = None, label_separator: str | None = None) -> DataSet:
    """The DataSet of a known name, or of `custom` with the given columns; `language` chooses the rows and files of xnli."""
    if name != "custom":
        return replace(DATA_SETS[name], language=language or _LANGUAGE)
    if not columns:
        raise ValueError("task_name=custom needs --columns text_a=NAME_OR_INDEX[,text_b=…][,label=…]")
    parsed = parse_columns(columns)
    return DataSet((parsed,), parsed, label_separator=label_separator)
