"""The README's first command, as a reader runs it: slow, with --all."""

import json
import subprocess
import time

import pytest
from conftest import ROOT


def run(*arguments):
    return subprocess.run(["bash", "scripts/quickstart.sh", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_quickstart_beats_its_baseline_and_a_second_run_is_quick():
    first = run("--fresh", "--predict", "Wait until every thread has reached the barrier.")
    assert first.returncode == 0, first.stderr[-2000:]
    scores = json.loads((ROOT / "quickstart/run/eval_results.json").read_text(encoding="utf-8"))
    baseline = json.loads((ROOT / "quickstart/baseline.json").read_text(encoding="utf-8"))
    assert scores["f1"] >= baseline["macro_f1"] + 0.03
    assert (ROOT / "quickstart/run/figures/loss.png").is_file()
    pretrained = json.loads((ROOT / "quickstart/pretrain/eval/eval_results.json").read_text(encoding="utf-8"))
    assert pretrained["masked_lm_loss"] < 5.8  # the words' frequencies alone give 5.97
    assert (ROOT / "quickstart/pretrain/run/figures/loss.png").is_file()
    started = time.monotonic()
    second = run("--predict", "Parse a date.\tTabs are spaces here.")
    assert second.returncode == 0
    assert "Parse a date. Tabs are spaces here." in second.stdout
    assert time.monotonic() - started < 60


def test_an_unknown_argument_is_named():
    done = run("--predcit", "x")
    assert done.returncode == 2
    assert done.stderr == 'error: unknown argument --predcit; use --predict "a sentence" or --fresh\n'
