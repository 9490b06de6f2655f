"""Training and evaluation by several processes on the CPU, started by MindSpore's own msrun, beside one process."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import ranks_job
from conftest import ROOT, WITHOUT_DROPOUT, WORDS, write_table

import pretrain_eval
import run_classifier
import run_ner
import run_pretrain
from src import build_records
from src.formats import weights
from src.train import checkpoint

MSRUN = Path(sys.executable).with_name("msrun")
pytestmark = pytest.mark.skipif(not MSRUN.is_file(), reason=f"{MSRUN} is absent")

CLOSE = 1e-5  # sums of gradients in another order; measured: 5e-7 of the losses, 2e-7 of the parameters
UPDATES = 20
SCRIPTS = {script.__name__: script for script in (run_classifier, run_ner, run_pretrain, pretrain_eval)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data of all tasks, a vocabulary and a network's shape."""
    folder = tmp_path_factory.mktemp("ranks")
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "."]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    shape = {**WITHOUT_DROPOUT, "vocab_size": len(tokens)}  # ranks drop unlike
    (folder / "bert_config.json").write_text(json.dumps(shape), encoding="utf-8")
    write_table(folder / "train.tsv", 53, 1)
    write_table(folder / "dev.tsv", 23, 2)
    random = np.random.default_rng(5)
    documents = ["\n".join(" ".join(random.choice(WORDS, random.integers(3, 9))) + " ." for _ in range(8)) for _ in range(12)]
    (folder / "text.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    lines = ["".join(f"{word} {'B-PET' if word == 'cat' else 'O'}\n" for word in random.choice(WORDS, 3 + row % 12)) for row in range(17)]
    (folder / "tagged.txt").write_text("\n".join(lines), encoding="utf-8")
    files = [f"--input_file={folder}/text.txt", f"--output_file={folder}/records/text.mindrecord", f"--vocab_file={folder}/vocab.txt"]
    (folder / "records").mkdir()
    build_records.main([*files, "--max_seq_length=24", "--max_predictions_per_seq=4", "--dupe_factor=3", "--workers=1"])
    return folder


def make_flags(folder, settings):
    common = {"vocab_file_path": folder / "vocab.txt", "bert_config_file": folder / "bert_config.json"}
    return [part for key, value in {**common, **settings}.items() for part in (f"--{key}", str(value))]


def classify(folder, **changes):
    settings = {
        "do_train": "true",
        "task_name": "custom",
        "columns": "text_a=text,label=label",
        "train_data_file_path": folder / "train.tsv",
        "eval_data_file_path": folder / "dev.tsv",
        "seq_length": 16,
        "bucket_list": 16,
        "train_steps": UPDATES,
        "log_steps": 1,
        "eval_batch_size": 4,
        "optimizer.learning_rate": 0.001,
        **changes,
    }
    return "run_classifier", make_flags(folder, settings)


def pretrain(folder, **changes):
    settings = {
        "data_dir": folder / "records",
        "cache_dir": folder / "cache",
        "train_steps": UPDATES,
        "log_steps": 1,
        "enable_data_sink": "false",
        "learning_rate": 0.001,
        "num_warmup_steps": 2,
        **changes,
    }
    return "run_pretrain", make_flags(folder, settings)


def trainings(folder, name, batch):
    """Name -> job of every training, with so many rows on each rank."""
    out, found = folder / name, {}
    settings = {"train_batch_size": batch, "accumulation_steps": 2}
    for optimizer, reduction in (("Lamb", "post"), ("AdamWeightDecay", "each")):
        key = f"pretrain-{optimizer}-{reduction}"
        late = {"allreduce_post_accumulation": str(reduction == "post").lower()}
        found[key] = pretrain(folder, optimizer=optimizer, save_checkpoint_path=out / key, **late, **settings)
    settings = {"train_batch_size": batch, "optimizer": "Lamb"}
    found["classifier"] = classify(folder, output_dir=out / "classifier", **settings)
    return found


def evaluations(folder, name):
    """Jobs that evaluate and predict with what one process has trained."""
    out, one = folder / name, folder / "one"
    trained = {"do_train": "false", "do_eval": "true", "do_predict": "true", "bucket_list": ""}
    weights = {"load_finetune_checkpoint_path": one / "classifier/ckpt"}
    tagging = {"load_finetune_checkpoint_path": one / "ner/ckpt", "eval_data_file_path": folder / "tagged.txt", "eval_batch_size": 3}
    about = {"eval_ckpt": one / "pretrain-Lamb-post", "eval_data_dir": folder / "records", "eval_batch_size": 7}
    return [
        classify(folder, **trained, **weights, output_dir=out / "classifier"),
        ("run_ner", make_flags(folder, {"do_eval": "true", "do_predict": "true", "output_dir": out / "ner", **tagging})),
        ("pretrain_eval", make_flags(folder, {**about, "output_dir": out / "pretrain"})),
    ]


def start_ranks(folder, name, ranks, jobs):
    """Start the jobs on so many processes; each rank's log is in folder/name."""
    logs = folder / f"{name}-logs"
    logs.mkdir()
    (logs / "jobs.json").write_text(json.dumps(jobs, default=str), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [MSRUN, f"--worker_num={ranks}", f"--local_worker_num={ranks}", f"--master_port={port}", f"--log_dir={logs}", "--join=True"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "GLOG_v": "3"}
    with open(logs / "msrun.log", "w", encoding="utf-8") as log:
        arguments = [ROOT / "tests/ranks_job.py", logs / "jobs.json"]
        return subprocess.Popen([*command, *arguments], env=environ, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT), logs


def wait(started):
    process, logs = started
    code = process.wait(timeout=900)
    assert code == 0, "\n".join(path.read_text(encoding="utf-8", errors="replace")[-2000:] for path in sorted(logs.glob("*.log")))


@pytest.fixture(scope="module")
def results(folder):
    """Everything once by one process, by two and, what is evaluated, by three."""
    checks = [("overflow", [folder]), ("sizes", [folder]), ("wait_for", [folder / "one is done"])]
    two = start_ranks(folder, "two", 2, [*trainings(folder, "two", 4).values(), *checks, *evaluations(folder, "eval-2")])
    tagging = {"do_train": "true", "train_data_file_path": folder / "tagged.txt", "train_steps": 3, "train_batch_size": 4}
    ner = ("run_ner", make_flags(folder, {**tagging, "seq_length": 20, "output_dir": folder / "one/ner"}))
    for name, flags in [*trainings(folder, "one", 8).values(), ner]:
        SCRIPTS[name].main(flags)
    (folder / "one is done").touch()
    three = start_ranks(folder, "three", 3, [*evaluations(folder, "eval-3"), ("sizes", [folder])])
    for name, flags in evaluations(folder, "eval-1"):
        SCRIPTS[name].main(flags)
    ranks_job.overflow(folder)
    wait(two)
    wait(three)
    return folder


def assert_same_training(one, two):
    """Equal losses of every update, and equal parameters and moments at the end, but for the order of sums."""
    losses, others = read_losses(one), read_losses(two)
    assert len(losses) == UPDATES and losses[-1] != losses[0]
    np.testing.assert_allclose(others, losses, atol=CLOSE)
    newest = (next(path for path in folder.rglob("*.ckpt") if path.parent.name != "best") for folder in (one, two))
    ours, theirs = map(checkpoint.read, newest)
    assert ours.keys() == theirs.keys()
    for key in ours.keys() - {"data_position"}:
        np.testing.assert_allclose(theirs[key], ours[key], atol=CLOSE, err_msg=key)


REGULARISED = {"adversarial": "fgm", "ema": 0.9, "layerwise_decay": 0.5, "head_learning_rate": 0.002, "freeze": "pooler"}


SCORED = {"eval_steps": 8, "best_metric": "eval_loss", "early_stopping": 3}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"optimizer": "Momentum"}, id="plain"),
        pytest.param(SCORED | REGULARISED | {"optimizer": "Lamb"}, id="scored-regularised", marks=pytest.mark.slow),
    ],
)
def test_two_ranks_train_and_evaluate_as_one_with_twice_the_batch(settings, folder, tmp_path):
    def job(name, batch):
        return classify(folder, output_dir=tmp_path / name, train_batch_size=batch, do_eval="true", **settings)

    two = start_ranks(tmp_path, "pair", 2, [job("pair", 4)])
    name, flags = job("alone", 8)
    SCRIPTS[name].main(flags)
    wait(two)
    assert_same_training(tmp_path / "alone", tmp_path / "pair")
    alone, pair = (json.loads((tmp_path / name / "eval_results.json").read_text(encoding="utf-8")) for name in ("alone", "pair"))
    assert pair.keys() == alone.keys() and pair["num_examples"] == 23
    assert pair["eval_loss"] == pytest.approx(alone["eval_loss"], abs=CLOSE)
    first, second = (read_evaluations(tmp_path / name) for name in ("alone", "pair"))
    if "eval_steps" not in settings:
        assert not first and not second
        return
    assert [event["step"] for event in first] == [event["step"] for event in second] == [8, 16, 20]
    assert [event["best_step"] for event in first] == [event["best_step"] for event in second]
    assert pair["global_step"] == alone["global_step"] == first[-1]["best_step"]


def read_log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def read_losses(folder):
    return [record["loss"] for record in read_log(folder) if "loss" in record]


def read_evaluations(folder):
    return [record for record in read_log(folder) if record.get("event") == "eval" and "step" in record]


@pytest.mark.slow
@pytest.mark.parametrize("name", trainings(Path(), "", 0))
def test_two_ranks_train_as_one_with_twice_the_batch(results, name):
    assert_same_training(results / "one" / name, results / "two" / name)


@pytest.mark.slow
def test_two_ranks_train_on_a_mixture_as_one(folder, tmp_path):
    (tmp_path / "small").mkdir()
    files = [f"--input_file={folder}/text.txt", f"--output_file={tmp_path}/small/text.tfrecord", f"--vocab_file={folder}/vocab.txt"]
    build_records.main([*files, "--max_seq_length=24", "--max_predictions_per_seq=4", "--dupe_factor=1", "--workers=1", "--random_seed=7"])
    sources = f"{folder}/records:0.6,{tmp_path}/small:0.4"

    def jobs(name, batch):
        settings = {"data_dir": sources, "train_batch_size": batch, "optimizer": "AdamWeightDecay"}
        return [
            pretrain(folder, masking=masking, save_checkpoint_path=tmp_path / name / masking, **settings)
            for masking in ("static", "dynamic")
        ]

    two = start_ranks(tmp_path, "pair", 2, jobs("pair", 4))
    for name, flags in jobs("alone", 8):
        SCRIPTS[name].main(flags)
    wait(two)
    for masking in ("static", "dynamic"):
        alone, pair = tmp_path / "alone" / masking, tmp_path / "pair" / masking
        assert_same_training(alone, pair)
        rows, others = ([record["source_rows"] for record in read_log(path) if "source_rows" in record] for path in (alone, pair))
        assert rows == others and len(rows) == UPDATES
        assert min(sum(row[name] for row in rows) for name in rows[0]) > UPDATES  # of 8 rows an update


@pytest.mark.slow
def test_the_data_position_counts_the_rows_of_all_ranks(results):
    position, two = (checkpoint.read(results / ranks / "classifier/ckpt/classifier-3_20.ckpt")["data_position"] for ranks in ("one", "two"))
    assert list(position[:4]) == [2, 6 * 8, 8, 1]
    assert list(two[:4]) == [2, 6 * 8, 4, 2]
    assert list(two[4:]) == list(position[4:])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "each", "saturating_post"])
def test_an_overflow_on_one_rank_makes_all_skip(results, name):
    alone = np.load(results / f"{name}-0-of-1.npz")
    ranks = [np.load(results / f"{name}-{rank}-of-2.npz") for rank in range(2)]
    assert list(alone["skipped_steps"][[0, -1]]) == [0, 1]
    for key in alone.files:
        for rank in ranks:
            if not key.startswith("accumulated"):  # of these each rank may hold a part
                np.testing.assert_allclose(rank[key], alone[key], rtol=CLOSE, atol=CLOSE, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 3])
def test_evaluation_is_the_same_to_the_last_bit(results, ranks):
    alone, merged = results / "eval-1", results / f"eval-{ranks}"
    names = [
        "classifier/eval_results.json",
        "classifier/test_results.tsv",
        "classifier/predictions.csv",
        "ner/eval_results.json",
        "ner/predictions.jsonl",
        "pretrain/eval_results.json",
    ]
    for name in names:
        assert (merged / name).read_bytes() == (alone / name).read_bytes(), name
    assert json.loads((alone / "classifier/eval_results.json").read_text(encoding="utf-8"))["num_examples"] == 23


@pytest.mark.slow
def test_arrays_of_any_size_reach_all_ranks(results):
    assert len(list(results.glob("sizes-*-of-2"))) == 2 and len(list(results.glob("sizes-*-of-3"))) == 3


@pytest.mark.slow
def test_only_rank_0_writes_results(results):
    logs = [path.read_text(encoding="utf-8", errors="replace") for path in sorted((results / "three-logs").glob("worker_*.log"))]
    printed = ["accuracy 0." in log for log in logs]
    assert printed == [True, False, False]
    assert "[rank 2] device CPU:0 rank=2/3" in logs[2]
    assert (results / "eval-3/classifier/log.jsonl").read_text(encoding="utf-8").count("\n") == 2


@pytest.fixture(scope="module")
def mpirun():
    found = shutil.which("mpirun")
    if found is None:
        pytest.skip("mpirun is absent")
    return found


@pytest.mark.slow
def test_mpirun_alone_is_enough(results, mpirun):
    name, flags = classify(results, output_dir=results / "mpirun", optimizer="Lamb", train_batch_size=4)
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "GLOG_v": "3"}
    command = [mpirun, "--allow-run-as-root", "--oversubscribe", "-np", "2", sys.executable, f"{name}.py", *flags]
    done = subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "step=1/20 loss=" in done.stdout
    np.testing.assert_allclose(read_losses(results / "mpirun"), read_losses(results / "one/classifier"), atol=CLOSE)


LONG = 300  # updates, of some milliseconds each


def launch(folder, *more):
    """Start a training of two ranks by our launcher, and wait until it has done 30 updates more than its checkpoint; its flags too."""
    out = folder / "launched"
    settings = {"save_checkpoint_path": out, "batch_size": 4, "train_steps": LONG, "save_checkpoint_steps": 10, "optimizer": "Lamb"}
    flags = pretrain(folder, **settings)[1] + list(more)
    begun = max(map(checkpoint.step_of, checkpoint.find_checkpoints(out, "checkpoint_bert")), default=0)
    command = [sys.executable, "-m", "src.launch.local", "--device_num", "2", "--log_dir", folder / "launched-logs"]
    started = subprocess.Popen([*command, "run_pretrain.py", *flags], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    give_up = time.monotonic() + 120
    while not (out / "log.jsonl").exists() or last_step(out) < begun + 30:
        assert started.poll() is None, started.communicate()[0][-3000:]
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return started, flags


def last_step(folder):
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
    return max((record["step"] for record in map(json.loads, lines) if "loss" in record), default=0)


@pytest.mark.slow
def test_a_killed_rank_ends_all_and_the_training_goes_on_with_any_number_of_ranks(folder, capfd):
    started, _ = launch(folder)
    ranks = psutil.Process(started.pid).children(recursive=True)
    killed_at = time.monotonic()
    next(rank for rank in ranks if rank.environ().get("MS_NODE_ID") == "1").kill()
    output, _ = started.communicate(timeout=30)
    assert time.monotonic() - killed_at < 30
    assert started.returncode == 128 + signal.SIGKILL
    assert "rank 1 ended with code 137 (signal SIGKILL)" in output
    assert not [rank for rank in ranks if rank.is_running() and rank.status() != psutil.STATUS_ZOMBIE]
    saved = checkpoint.step_of(folder / "launched")
    assert 10 <= saved < LONG and saved % 10 == 0

    started, flags = launch(folder, "--resume", "true")
    started.send_signal(signal.SIGTERM)
    output, _ = started.communicate(timeout=60)
    assert started.returncode == 128 + signal.SIGTERM
    assert f"resumed from {folder}/launched/checkpoint_bert-" in output and f"step={saved}\n" in output
    stopped = checkpoint.step_of(folder / "launched")
    assert output.count(f"stopped=SIGTERM step={stopped}\n") == 1
    assert saved + 30 <= stopped < LONG

    run_pretrain.main(flags)
    assert "the 8 rows of a step are shared by 1 ranks" in capfd.readouterr().out
    name, alone = pretrain(folder, save_checkpoint_path=folder / "uninterrupted", batch_size=8, train_steps=LONG, optimizer="Lamb")
    SCRIPTS[name].main(alone)
    ours, theirs = (checkpoint.read(weights.find(folder / name)) for name in ("launched", "uninterrupted"))
    for key in ours.keys() - {"data_position"}:
        np.testing.assert_allclose(ours[key], theirs[key], atol=10 * CLOSE, err_msg=key)  # 15 times as many updates as above
