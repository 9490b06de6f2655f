import itertools
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


START = {"event": "start", "date": "2026-11-30", "device": "Ascend", "chip": "910A", "ranks": 8, "compute_type": "float16"}
START |= {"mindspore": "2.10.0", "parameters": 110_000_000, "batch_size": 2048}


def line(step, **changes):
    return {"step": step, "loss": 2.0 - step / 100, "epoch": step / 50, "tokens": 1000, "seconds": 10.0, "tokens_per_s": 200.0, **changes}


def write_log(folder, *records):
    folder.mkdir(exist_ok=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return folder


def test_a_pretraining_has_a_row_of_what_it_cost(tmp_path, capsys):
    # five lines of 10 s, two of which are made again; of the three that count, one at half the speed
    speeds = line(20, mfu=0.5), line(30, mfu=0.2, tokens_per_s=100.0)
    evaluated = {"event": "eval", "step": 30, "masked_lm_loss": 1.5, "best_metric": "masked_lm_loss", "best_step": 30}
    run = write_log(tmp_path / "run", START, line(10, mfu=0.5), *speeds, {"event": "compile", "seconds": 5}, *speeds, evaluated)
    main([str(run)])
    assert capsys.readouterr().out == (
        "| Model | Loss | Score | Hours | Tokens | Tokens/s | MFU |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        "| run | 1.7000 | 1.5000 | 0.0139 | 3000 | 150.0000 | 0.3500 |\n"
    )


def test_costs_follow_results_and_may_be_columns(runs, capsys):
    write_log(runs / "lr", line(10))
    main([f"{runs}/lr", f"{runs}/cnn=2"])
    first, second = capsys.readouterr().out.split("\n\n")
    assert (
        first.startswith("| Model | AUC |")
        and second.startswith("| Model | Loss |")
        and second.endswith("| cnn=2 | – | – | – | – | – | – |\n")
    )
    main([f"{runs}/lr", "--columns", "accuracy,tokens"])
    assert capsys.readouterr().out.endswith("| lr | 0.7668 | 1000 |\n")


def test_batch_and_speed_of_a_training_may_be_columns_beside_its_scores(tmp_path, capsys):
    run = write_log(
        tmp_path / "run", START, line(10), {"event": "trained", "samples_per_s": 78.1}, {"event": "eval", "samples_per_s": 300.0}
    )
    (run / "eval_results.json").write_text('{"accuracy": 0.91, "loss": 0.3, "eval_loss": 0.3}', encoding="utf-8")  # loss: of the evaluation
    main([str(run), "--columns", "epoch,batch_size,devices,samples_per_s,accuracy,loss,eval_loss"])
    assert capsys.readouterr().out.splitlines()[::2] == [
        "| Model | Epoch | Batch Size | Devices | Samples/s | Accuracy | Loss | Eval Loss |",
        "| run | 0.2000 | 256 | 8 | 78.1000 | 0.9100 | 1.9000 | 0.3000 |",
    ]


def test_json_has_all_that_is_known(runs, capsys):
    write_log(runs / "lr", line(10))
    main([f"LR={runs}/lr", f"{runs}/many", "--output", f"{runs}/all.json"])
    first, second = json.loads((runs / "all.json").read_text(encoding="utf-8"))
    assert (first["run"], first["accuracy"], first["tokens"]) == ("LR", 0.76684, 1000)
    assert second["accuracy"] == SEEDS["accuracy"]


def test_seeds_may_be_told_by_their_best(runs, capsys):
    main([f"{runs}/many", "--columns=accuracy", "--spread=max"])
    assert capsys.readouterr().out.endswith("| many | 0.7625 (0.7500) |\n")


def test_the_model_zoos_table_describes_a_training(tmp_path, capsys):
    run = write_log(tmp_path / "base", START, line(10, seconds=7200.0), {"event": "trained", "samples_per_s": 6000.0})
    model = {"num_hidden_layers": 12, "hidden_size": 768, "position_embedding_type": "absolute"}
    settings = {"data_dir": "cn-wiki-128", "optimizer": {"name": "Lamb"}, "model": model}
    (run / "config.yaml").write_text(json.dumps(settings), encoding="utf-8")
    main([str(run), "--form=performance"])
    rows = dict(row.strip("| ").split(" | ") for row in capsys.readouterr().out.splitlines())
    assert rows["Parameters"] == "base" and rows["Model Version"] == "12 layers of 768, absolute"
    assert (rows["Resource"], rows["Optimizer"], rows["Batch_size"]) == ("910A, float16", "Lamb", "256*8")
    assert (rows["Loss"], rows["Speed"], rows["Total time"], rows["Params (M)"]) == ("1.9", "341.3ms/step", "2h", "110M")
    assert rows["Accuracy"] == "–"


def test_what_differs_between_stages_is_told_of_each(tmp_path, capsys):
    first = [{**START, "batch_size": 4096}, line(10, seconds=3600.0), {"event": "trained", "samples_per_s": 8192.0}]
    second = [START, line(20, epoch=0.1, seconds=3600.0), {"event": "trained", "samples_per_s": 1024.0}]
    records = [{**record, "stage": number} for number, part in enumerate((first, second), 1) for record in part]
    run = write_log(tmp_path / "base", *records)
    settings = {"optimizer": {"name": "Lamb"}, "stages": [{"data_dir": "wiki-128"}, {"data_dir": "wiki-512"}]}
    (run / "config.yaml").write_text(json.dumps(settings), encoding="utf-8")
    main([str(run), "--form=performance"])
    rows = dict(row.strip("| ").split(" | ") for row in capsys.readouterr().out.splitlines())
    assert (rows["Dataset"], rows["Optimizer"]) == ("wiki-128, then wiki-512", "Lamb")
    assert (rows["Epoch"], rows["Batch_size"]) == ("0.2, then 0.1", "512*8, then 256*8")
    assert (rows["Speed"], rows["Total time"], rows["Loss"]) == ("500ms/step, then 2000ms/step", "2h", "1.8")


def test_rows_per_second_on_one_device_and_on_several(tmp_path, capsys):
    speeds = {"base": {1: 118.5, 8: 865.6}, "amp": {1: 400.0, 8: 2720.8}}
    folders = []
    for name, ranks in itertools.product(speeds, (1, 8)):
        trained = {"event": "trained", "samples_per_s": speeds[name][ranks]}
        folders.append(f"{name}={write_log(tmp_path / f'{name}{ranks}', {**START, 'ranks': ranks}, line(10), trained)}")
    main([*folders, "--form=throughput"])
    assert capsys.readouterr().out == (
        "| Rows/s | 1 device | 8 devices | Speed up |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| base | 118.5 | 865.6 | 7.3 |\n"
        "| amp | 400 | 2721 | 6.8 |\n"
        "| Speed up | 3.38 | 3.14 |  |\n"
    )


def test_a_training_that_has_not_ended_has_no_throughput(tmp_path, capsys):
    run = write_log(tmp_path / "run", START, line(10))
    assert "run/log.jsonl: tells no rows per second" in fail([run, "--form=throughput"], capsys)
