"""Trainings and checkpoints of an earlier version: tests/golden/make_runs.py wrote tests/golden/runs."""

import json

import pytest
from conftest import ROOT

from tests.golden import make_runs

STORED = ROOT / "tests/golden/runs"
ANOTHER_PROCESSOR = 1e-4  # relative; on a machine like the one that wrote them the losses are the same to the last bit


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    make_runs.write_data(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", make_runs.RECIPES)
def test_a_stored_checkpoint_goes_on_as_it_did(name, data, tmp_path):
    expected = json.loads((STORED / "runs.json").read_text(encoding="utf-8"))[name]
    found = make_runs.go_on(name, data, tmp_path / "out", STORED / f"{name}.ckpt", expected["checkpoint"])
    losses = expected["losses"][make_runs.HALF :]
    assert found["losses"] == pytest.approx(losses, rel=ANOTHER_PROCESSOR)
    assert set(found["results"]) == set(expected["results"])
    if (STORED / "machine.txt").read_text(encoding="utf-8") == make_runs.machine() or found["losses"] == losses:
        assert found["losses"] == losses
        assert found["results"] == expected["results"]
