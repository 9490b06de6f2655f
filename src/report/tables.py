"""Results and costs of runs in Markdown tables: `python -m src.report.tables NAME=RUN RUN... [--output FILE.md|FILE.json]`.

Each run has a row with its name, or its folder's. The first table has the measures of its eval_results.json, or `mean ± deviation` from
its seed_results.json or fold_results.json; it is left out if no run was evaluated, as in pretraining. The second has what the training
took by its log.jsonl. --columns makes one table of any of both; --form performance is the model zoo's table of a training, with a column
for each run, and --form throughput one of rows per second, of runs on different numbers of devices that share a name. What a run does not
have is shown as –.
"""

import json
from pathlib import Path
from typing import Any

from src.cli import Parser, bad_input_exits
from src.files import write_text
from src.report.costs import COLUMNS, OTHERS, read_cost
from src.report.published import MISSING, make_performance, make_throughput
from src.report.runs import find_results, read_results

# measures that an evaluation may have, whether or not the given runs do
_MEASURES = (
    "eval_loss eval_accuracy accuracy precision recall f1 mcc pearson_correlation spearman_correlation auc micro_precision micro_recall"
)
_MEASURES += " micro_f1 macro_f1 sample_f1 subset_accuracy mean_average_precision"
_MODELS = "auc,accuracy,eval_loss,precision"
_FORMS = {"performance": make_performance, "throughput": make_throughput}
_HEADINGS = {"auc": "AUC", "f1": "F1", "mcc": "MCC", "mfu": "MFU", "per": "/", "s": "s"}  # of words in a column's name


def make_table(runs: list[tuple[str, dict[str, Any]]], columns: list[str], spread: str = "deviation") -> str:
    """Markdown table of results, ending in a newline.

    Args:
        runs: (name, measures and costs) of each run.
        columns: names of measures or costs.
        spread: of several seeds or folds; deviation: mean ± deviation, max: max (mean).

    Raises:
        ValueError: a column that is neither a known measure nor a key of any run.
    """
    known = sorted({*_MEASURES.split(), *COLUMNS, *OTHERS, *(key for _, results in runs for key in results)})
    for column in columns:
        if column not in known:
            raise ValueError(f"--columns {column}: unknown; known are {', '.join(known)}")
    rows = [
        ["Model", *map(_make_heading, columns)],
        ["---", *["---:"] * len(columns)],
        *([name.replace("|", "\\|"), *(_format_value(results.get(column), spread) for column in columns)] for name, results in runs),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _make_heading(key):
    return " ".join(_HEADINGS.get(word, word.title()) for word in key.split("_")).replace(" / ", "/")


def _format_value(value, spread):
    if value is None:
        return MISSING
    if isinstance(value, dict):
        if spread == "max" and "max" in value:
            return f"{value['max']:.4f} ({value['mean']:.4f})"
        return f"{value['mean']:.4f} ± {value['deviation']:.4f}"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and value >= 100000 else str(value).replace("|", "\\|")


def _read_run(folder):
    """(measures, costs) of a run; one of them may be empty.

    Raises:
        FileNotFoundError: both are.
    """
    cost = read_cost(folder)
    return (read_results(folder) if find_results(folder) or not cost else {}), cost


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
    parser.add_argument(
        "--columns", help=f"keys of eval_results.json or of costs ({','.join(COLUMNS + OTHERS)}) [{_MODELS}; and {','.join(COLUMNS)}]"
    )
    parser.add_argument("--spread", choices=("deviation", "max"), default="deviation", help="of seeds: mean ± deviation, or max (mean)")
    parser.add_argument("--form", choices=("columns", *_FORMS), default="columns", help="kind of table [%(default)s]")
    parser.add_argument("--output", metavar="FILE", help="write the tables to this file too; .json: all that is known of the runs")
    with bad_input_exits():
        options = parser.parse_args(argv)
        folders = [_parse_run(text) for text in options.runs]
        found = [(name, *_read_run(folder)) for name, folder in folders]
        runs = [(name, {**results, **cost}) for name, results, cost in found]
        if options.form != "columns":
            table = _FORMS[options.form](folders)
        else:
            usual = [_MODELS] * any(results for _, results, _ in found) + [",".join(COLUMNS)] * any(cost for *_, cost in found)
            chosen = [options.columns] if options.columns else usual
            table = "\n".join(make_table(runs, [column.strip() for column in columns.split(",")], options.spread) for columns in chosen)
        if options.output:
            as_json = json.dumps([{"run": name, **values} for name, values in runs], ensure_ascii=False, indent=2) + "\n"
            write_text(options.output, as_json if options.output.endswith(".json") else table)
        print(table, end="")


if __name__ == "__main__":
    main()
