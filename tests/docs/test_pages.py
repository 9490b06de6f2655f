"""Links of the pages resolve, both READMEs have one content, and the commands that the pages show exist."""

import re
import shlex

import pytest
from conftest import ROOT

from src.config import aliases, fields
from src.tasks.pretrain.options import PretrainEvalOptions
from src.tasks.task import TASKS
from tests.docs import pages

PAGES = pages.find_pages()
OPTIONS = {f"{task.options.ZOO_SCRIPT}.py": task.options for task in TASKS.values() if task.options.ZOO_SCRIPT}
OPTIONS["pretrain_eval.py"] = PretrainEvalOptions
OPTIONS["run_embedding.py"] = TASKS["embed"].options
BOTH = ("README.md", "README_CN.md")


@pytest.mark.parametrize("name", PAGES)
def test_links_resolve(name):
    broken = []
    for target in pages.find_links(pages.read(name)):
        path, _, anchor = target.partition("#")
        if path.startswith(("http://", "https://")):
            continue
        file = (ROOT / name).parent / path if path else ROOT / name
        if not file.exists() or anchor and anchor not in pages.find_anchors(file.read_text(encoding="utf-8")):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize(("name", "lines"), [("README.md", 140), ("README_CN.md", 150)])
def test_a_readme_is_short(name, lines):
    text = pages.read(name)
    assert len(text.splitlines()) <= lines
    assert len(text.encode()) <= 10_000


def test_both_readmes_have_the_same_sections_commands_figures_and_links():
    english, chinese = (pages.read(name) for name in BOTH)
    assert [level for level, _ in pages.find_headings(english)] == [level for level, _ in pages.find_headings(chinese)]
    assert [match[0] for match in pages.FENCE.finditer(english)] == [match[0] for match in pages.FENCE.finditer(chinese)]
    assert [pages.find_links(english).count(target) for target in pages.find_links(english) if target not in BOTH] == [
        pages.find_links(chinese).count(target) for target in pages.find_links(english) if target not in BOTH
    ]
    cells = [re.findall(r"\d[\d.e-]*\d|\d", "".join(re.findall(r"^\|.*$", text, re.MULTILINE))) for text in (english, chinese)]
    assert sorted(cells[0]) == sorted(cells[1])


def test_every_page_is_in_the_index():
    index = {(ROOT / "docs" / target.partition("#")[0]).resolve() for target in pages.find_links(pages.read("docs/README.md"))}
    here = [path for path in (ROOT / "docs").glob("*.md") if path.name != "README.md"]
    assert [path.name for path in here if path not in index] == []


@pytest.mark.parametrize("name", [name for name in PAGES if pages.find_blocks(pages.read(name))])
def test_commands_and_their_flags_exist(name):
    wrong = []
    for block in pages.find_blocks(pages.read(name)):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            script = next((word for word in words if re.search(r"\.(py|sh)$", word)), None)
            module = next((words[at + 1] for at, word in enumerate(words[:-1]) if word == "-m" and words[at + 1].startswith("src.")), None)
            if module:
                path = ROOT / module.replace(".", "/")
                found = path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
            else:
                found = script in (None, "distributed_cmd.sh") or script.startswith("/") or any(ROOT.glob(script))
            if not found:
                wrong.append(module or script)
            if script in OPTIONS and not module:
                keys = [key for key, *_ in fields.leaves(OPTIONS[script])]
                known = {*keys, *aliases.find_aliases(keys), *aliases.find_others(keys), "config_path", "explain_config", "help"}
                given = [word[2:].partition("=")[0] for word in words[words.index(script) :] if word.startswith("--")]
                wrong += [f"{script} --{flag}" for flag in given if flag not in known]
    assert wrong == []
