import json

import pytest

from src.report.tables import main, make_table

BINARY = {"task": "info", "global_step": 120, "num_examples": 20816}
BINARY |= {"accuracy": 0.76684, "precision": 0.576, "eval_loss": 0.45136, "auc": 0.83691}
FIVE = {"task": "news", "accuracy": 0.5, "precision": 0.25, "eval_loss": 1.0, "f1": None, "macro_f1": 0.125, "per_type": {"a": 1}}
SEEDS = {
    "seeds": [1, 2],
    "accuracy": {"mean": 0.75, "deviation": 0.0125, "max": 0.7625, "values": [0.7375, 0.7625]},
    "auc": {"mean": 0.8, "deviation": 0, "max": 0.8, "values": [0.8, 0.8]},
}


@pytest.fixture
def runs(tmp_path):
    for name, file, results in (("lr", "eval", BINARY), ("cnn=2", "eval", FIVE), ("many", "seed", SEEDS)):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{file}_results.json").write_text(json.dumps(results), encoding="utf-8")
    return tmp_path


def fail(arguments, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert exit_info.value.code == 2
    assert captured.out == "" and captured.err.count("\n") == 1
    return captured.err


def test_table_has_the_seeds_columns_and_a_row_per_run(runs, capsys):
    main([f"{runs}/lr", f"{runs}/cnn=2", f"Five | seeds={runs}/many"])
    assert capsys.readouterr().out == (
        "| Model | AUC | Accuracy | Eval Loss | Precision |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| lr | 0.8369 | 0.7668 | 0.4514 | 0.5760 |\n"
        "| cnn=2 | – | 0.5000 | 1.0000 | 0.2500 |\n"
        "| Five \\| seeds | 0.8000 ± 0.0000 | 0.7500 ± 0.0125 | – | – |\n"
    )


def test_columns_may_be_any_key_in_any_order(runs, capsys):
    main([f"{runs}/lr", f"{runs}/cnn=2", "--columns", "task, num_examples,macro_f1,mcc,f1,spearman_correlation"])
    assert capsys.readouterr().out.splitlines() == [
        "| Model | Task | Num Examples | Macro F1 | MCC | F1 | Spearman Correlation |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| lr | info | 20816 | – | – | – | – |",
        "| cnn=2 | news | – | 0.1250 | – | – | – |",
    ]


def test_output_is_written_and_printed(runs, capsys):
    main([f"{runs}/lr", "--output", f"{runs}/tables/result.md"])
    printed = capsys.readouterr().out
    assert printed.startswith("| Model |")
    assert (runs / "tables/result.md").read_text(encoding="utf-8") == printed


def test_folder_with_an_equals_sign_may_have_a_name_too(runs, capsys):
    main([f"CNN={runs}/cnn=2"])
    assert capsys.readouterr().out.splitlines()[2].startswith("| CNN | – | 0.5000 |")


def test_run_may_be_the_current_folder(runs, capsys, monkeypatch):
    monkeypatch.chdir(runs / "lr")
    main(["."])
    assert capsys.readouterr().out.splitlines()[2].startswith("| lr |")


def test_unknown_column_is_told_with_the_known_ones(runs, capsys):
    error = fail([runs / "lr", runs / "cnn=2", "--columns", "auc,acuracy"], capsys)
    assert error.startswith("error: --columns acuracy: unknown; known are accuracy, auc, ")
    assert "macro_f1" in error and "global_step" in error and "per_type" not in error


def test_measure_that_no_run_has_is_still_a_column():
    assert make_table([("a", {"accuracy": 1.0})], ["auc"]).splitlines()[-1] == "| a | – |"


@pytest.mark.parametrize(
    "name, text, told",
    [
        (None, None, "eval_results.json: no such file"),
        ("eval_results.json", '{\n"auc": 0.', "eval_results.json:2: not JSON"),
        ("eval_results.json", "[1]", "eval_results.json: a mapping of measures"),
        ("eval_results.json", "", "eval_results.json: the file is empty"),
        ("seed_results.json", '{"auc": {"mean": 0.5}}', "seed_results.json: auc: numbers mean and deviation"),
    ],
)
def test_missing_or_damaged_results_end_with_2_and_name_the_file(tmp_path, capsys, name, text, told):
    if name:
        (tmp_path / name).write_text(text, encoding="utf-8")
    error = fail([tmp_path], capsys)
    assert error.startswith(f"error: {tmp_path}/") and told in error


def test_folder_that_does_not_exist_is_named(tmp_path, capsys):
    assert f"{tmp_path}/absent: no such folder" in fail([f"name={tmp_path}/absent"], capsys)
