"""Results of finished runs in a Markdown table: `python -m src.report.tables NAME=RUN RUN... [--output FILE.md]`.

Each run has a row with its name, or its folder's, and the measures of its eval_results.json, or `mean ± deviation` from its
seed_results.json or fold_results.json. A missing measure is shown as –.
"""

from pathlib import Path
from typing import Any

from src.cli import Parser, bad_input_exits
from src.files import write_text
from src.report.runs import read_results

# measures that an evaluation may have, whether or not the given runs do
_MEASURES = (
    "eval_loss eval_accuracy accuracy precision recall f1 mcc pearson_correlation spearman_correlation auc micro_precision micro_recall"
)
_MEASURES += " micro_f1 macro_f1 sample_f1 subset_accuracy mean_average_precision"
_UPPER = ("auc", "f1", "mcc")


def make_table(runs: list[tuple[str, dict[str, Any]]], columns: list[str]) -> str:
    """Markdown table of results, ending in a newline.

    Args:
        runs: (name, measures from read_results) of each run.
        columns: names of measures.

    Raises:
        ValueError: a column that is neither a known measure nor a key of any run.
    """
    known = sorted({*_MEASURES.split(), *(key for _, results in runs for key in results)})
    for column in columns:
        if column not in known:
            raise ValueError(f"--columns {column}: unknown; known are {', '.join(known)}")
    rows = [
        ["Model", *map(_make_heading, columns)],
        ["---", *["---:"] * len(columns)],
        *([name.replace("|", "\\|"), *(_format_value(results.get(column)) for column in columns)] for name, results in runs),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _make_heading(key):
    return " ".join(word.upper() if word in _UPPER else word.title() for word in key.split("_"))


def _format_value(value):
    if value is None:
        return "–"
    if isinstance(value, dict):
        return f"{value['mean']:.4f} ± {value['deviation']:.4f}"
    return f"{value:.4f}" if isinstance(value, float) else str(value).replace("|", "\\|")


def _parse_run(text):
    """(name, folder) of `RUN` or `NAME=RUN`; an existing folder with a = in its name is a RUN."""
    name = ""
    folder = text
    if not Path(text).is_dir() and "=" in text:
        name, _, folder = text.partition("=")
    return name or Path(folder).resolve().name, Path(folder)


def main(argv: list[str] | None = None) -> None:
    parser = Parser(prog="python -m src.report.tables", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="[NAME=]RUN", help="output folder of a run script, and its name in the table")
    parser.add_argument("--columns", default="auc,accuracy,eval_loss,precision", help="keys of eval_results.json [%(default)s]")
    parser.add_argument("--output", metavar="FILE.md", help="write the table to this file too")
    with bad_input_exits():
        options = parser.parse_args(argv)
        runs = [(name, read_results(folder)) for name, folder in map(_parse_run, options.runs)]
        table = make_table(runs, [column.strip() for column in options.columns.split(",")])
        if options.output:
            write_text(options.output, table)
        print(table, end="")


if __name__ == "__main__":
    main()
