"""A script for the largest batch as a whole: a tiny network, made-up pairs in XNLI's folders, called by `sh` from elsewhere."""

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT, TINY

LABELS = ("neutral", "contradictory", "entailment")


@pytest.mark.slow
def test_a_batch_of_tokens_is_trained_with_recompute(tmp_path, vocab_file):
    for name in ("scripts", "src", "configs", "run_classifier.py"):  # its log goes beside them
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / ".venv/bin/python").chmod(0o755)
    (tmp_path / "bert_config.json").write_text(json.dumps(TINY))
    pairs = "".join(f"the cat sat {'very ' * (row % 5)}\tit was a dog\t{LABELS[row % 3]}\n" for row in range(24))
    (tmp_path / "xnli/XNLI-MT-1.0/multinli").mkdir(parents=True)
    (tmp_path / "xnli/XNLI-MT-1.0/multinli/multinli.train.en.tsv").write_text(f"premise\thypo\tlabel\n{pairs}")
    variables = {"PRETRAINED_CKPT_PATH": "", "bert_config_path": "bert_config.json", "vocab_path": vocab_file.name, "BATCH_SIZE": "200"}
    flags = ["--seq_length", "16", "--bucket_list", "16", "--train_steps", "2", "--log_steps", "1", "--do_eval", "false"]
    command = ["sh", str(tmp_path / "scripts/bert_large_max_batch_size.sh"), "--output_dir", str(tmp_path / "out"), *flags]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, **variables}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "batch_in_tokens=true: train_batch_size=12 rows, 200 tokens by seq_length=16; eval_batch_size=32 rows, the default" in done.stdout
    )
    assert "training rows=24 batches=2 batch_size=12 " in done.stdout
    assert "step=2/2 " in (tmp_path / "classfier_log.txt").read_text()
    assert "use_recompute: true" in (tmp_path / "out/config.yaml").read_text()
