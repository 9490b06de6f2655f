"""schemathesis against the server's own description. Slow: runs with --all."""

import subprocess
import sys
from pathlib import Path

import pytest
from serving import serving

pytestmark = pytest.mark.slow
# 413 is missing among what the tool takes for a refusal; a list that is too long by count is too large by bytes first
CONFIG = """
[checks]
negative_data_rejection.expected-statuses = [404, 405, 413, 415, 422]
positive_data_acceptance.expected-statuses = [200, 413]
"""


@pytest.mark.parametrize("kind", ["classifier", "pairs", "regression", "ner", "squad", "embed", "fill_mask"])
def test_schemathesis_finds_nothing(kind, tmp_path):
    pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    (tmp_path / "schemathesis.toml").write_text(CONFIG, encoding="utf-8")
    program = Path(sys.executable).parent / "schemathesis"
    with serving(kind) as served:
        options = ["--config-file", "schemathesis.toml", "--no-color", "run", "--max-examples", "100", "--seed", "1"]
        run = subprocess.run([program, *options, f"{served.url}/openapi.json"], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert run.returncode == 0, "\n".join(line[:300] for line in run.stdout.splitlines())
        assert "6 selected / 6 total" in run.stdout and "Fuzzing" in run.stdout
