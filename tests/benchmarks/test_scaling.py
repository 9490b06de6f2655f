"""The tables and options of benchmarks/scaling.py, without training anything."""

import pytest

from benchmarks import scaling

# what the seed measured on eight V100; the slowest and the fastest step are made up
RATES = {("base", 1): 118.5, ("base", 8): 865.6, ("amp", 1): 400.0, ("amp", 8): 2720.8}
JOB = ["run_classifier.py", "--do_train", "true"]


@pytest.fixture
def summary():
    return {cell: {"mean": mean, "min": mean - 50, "max": mean + 50, "runs": [mean]} for cell, mean in RATES.items()}


@pytest.fixture
def machine(monkeypatch):
    """(monkeypatched) what the machine has: set_devices(target, number), and four cores."""
    monkeypatch.setattr(scaling, "own_cores", lambda: [0, 1, 2, 3])
    return lambda target, number: monkeypatch.setattr(scaling, "find_devices", lambda job: (target, number))


def test_the_table_is_the_seeds():
    summary = {cell: {"mean": mean, "min": 0, "max": 0, "runs": [mean]} for cell, mean in RATES.items()}
    assert scaling.make_tables(summary, "GPU")[0] == (
        "| method | 1 GPU | 8 GPU | speed up |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| base | 118.5 | 865.6 | 7.30 |\n"
        "| amp | 400.0 | 2720.8 | 6.80 |\n"
        "| speed up | 3.38 | 3.14 | |\n"
    )


def test_one_method_has_no_row_and_one_number_of_devices_no_column_of_speed_ups(summary):
    base = {cell: rates for cell, rates in summary.items() if cell[0] == "base"}
    assert "\n| speed up" not in scaling.make_tables(base, "CPU")[0]
    alone = scaling.make_tables({("base", 1): summary["base", 1]}, "CPU")[0]
    assert alone == "| method | 1 CPU |\n| --- | ---: |\n| base | 118.5 |\n"


def test_between_one_and_all_devices_there_may_be_others(summary):
    summary = {("base", 1): summary["base", 1], ("base", 4): summary["amp", 1], ("base", 8): summary["base", 8]}
    assert "| base | 118.5 | 400.0 | 865.6 | 7.30 |" in scaling.make_tables(summary, "Ascend")[0]


def test_each_cell_has_its_mean_slowest_and_fastest_step(summary):
    assert "| amp | 8 | 2720.8 | 2670.8 | 2770.8 |" in scaling.make_tables(summary, "GPU")[1]


def test_a_cell_is_the_median_of_its_runs_between_the_extremes_of_all():
    cell = scaling.summarise({("base", 1): [[100.0, 80.0, 120.0], [10.0, 5.0, 11.0], [101.0, 70.0, 110.0]]})["base", 1]
    assert cell == {"mean": 100.0, "min": 5.0, "max": 120.0, "runs": [100.0, 10.0, 101.0]}


def test_the_report_says_what_was_run(summary):
    about = {
        "date": "2026-11-22",
        "command": "python benchmarks/scaling.py",
        "mindspore": "2.10.0",
        "device": "GPU",
        "devices": [1, 8],
        "cores_per_process": [16, 2],
        "cores": 16,
        "job": "run_ner.py",
        "batch_size": 48,
        "steps": 40,
        "skip_steps": 5,
        "repeats": 3,
    }
    report = scaling.make_report(about, summary)
    for part in ("2026-11-22, MindSpore 2.10.0, 16 cores; `python benchmarks/scaling.py`", "`run_ner.py`", "medians of 3 runs in turn"):
        assert part in report
    assert "48 rows a step" in report and "Cores of each process on 1, 8 devices: 16, 2." in report
    assert "Without the first 5 of 40 steps" in report


@pytest.mark.parametrize(
    ("device", "devices", "methods"),
    [(("CPU", 2), [1, 2], ["base"]), (("GPU", 8), [1, 8], ["base", "amp"]), (("Ascend", 1), [1], ["base", "amp"])],
)
def test_one_and_all_devices_of_the_machine_are_the_default(machine, device, devices, methods):
    machine(*device)
    options = scaling.read_options(["--", *JOB])
    assert (options.devices, options.methods) == (devices, methods)


def test_devices_are_those_that_the_job_may_use(monkeypatch, tmp_path):
    monkeypatch.setattr(scaling, "Path", lambda folder: tmp_path if folder == "/dev" else folder)
    assert scaling.find_devices(JOB) == ("CPU", 2)
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "davinci_manager"):
        (tmp_path / name).touch()
    assert scaling.find_devices(JOB) == ("GPU", 3)
    assert scaling.find_devices([*JOB, "--device_target=CPU"]) == ("CPU", 2)
    assert scaling.find_devices([*JOB, "--device_target", "GPU"]) == ("GPU", 3)


def test_a_run_is_started_by_the_launcher_with_its_own_folder(machine, tmp_path):
    machine("CPU", 2)
    options = scaling.read_options(["--steps", "9", "--cores_per_process", "2", "--", *JOB])
    command = " ".join(scaling.make_command(options, "amp", 2, tmp_path))
    assert command.startswith("taskset -c 0,1,2,3 ")
    assert f" -m src.launch.local --launcher msrun --device_num 2 --log_dir {tmp_path}/logs run_classifier.py --do_train true " in command
    assert command.endswith(f"--precision.compute_type float16 --train_steps 9 --skip_steps 5 --output_dir {tmp_path}/run")


def test_pretraining_has_no_steps_to_skip(machine, tmp_path, capsys):
    machine("CPU", 2)
    options = scaling.read_options(["--", "run_pretrain.py", "--data_dir", "records"])
    assert "--skip_steps" not in scaling.make_command(options, "base", 1, tmp_path)
    assert options.skip_steps == 0 and "run_pretrain.py has no --skip_steps" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--devices", "2,1"], "error: argument --devices: 2,1: ascending numbers are expected, such as 1,8; see --help"),
        (["--devices", "1,16"], "error: --devices=16: this machine has 8 GPU"),
        (["--methods", "xla"], "error: argument --methods: xla: of base,amp; see --help"),
        (["--steps", "5"], "error: --skip_steps=5: fewer than --steps=5 are expected"),
        (["--cores_per_process", "3", "--devices", "1,2"], "error: --cores_per_process=3: there are 4 cores for 2 processes"),
        (["--json", "/nowhere/at/all.json"], "error: /nowhere/at/all.json: there is no such folder"),
        (["--", "train.py"], "error: train.py behind `--`: a run script is expected, such as run_classifier.py"),
        (["--"], "error: nothing behind `--`: a run script is expected, such as run_classifier.py"),
        (["--", *JOB, "--train_steps=9"], "error: --train_steps behind `--` is set here, by --steps"),
    ],
)
def test_a_bad_option_ends_in_one_line(machine, capsys, flags, message):
    machine("GPU", 8)
    assert scaling.main(flags if "--" in flags else [*flags, "--", *JOB]) == 2
    assert capsys.readouterr().err == message + "\n"


def test_a_run_that_fails_is_named_with_its_log(machine, monkeypatch, tmp_path, capsys):
    machine("CPU", 2)
    monkeypatch.setattr(scaling.tempfile, "mkdtemp", lambda prefix: str(tmp_path))
    monkeypatch.setattr(scaling, "make_command", lambda options, method, count, folder: ["bash", "-c", f"echo no data; exit {count + 1}"])
    assert scaling.main(["--", *JOB]) == 1
    log = tmp_path / "base-1-1/launcher.log"
    assert capsys.readouterr().err == f"error: base on 1 device ended with code 2; its log: {log}\n"
    assert log.read_text(encoding="utf-8") == "no data\n"
