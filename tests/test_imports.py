"""The direction of imports that docs/architecture.md draws, walked with ast."""

import ast
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# a package may import only packages of a higher number
LEVELS = {
    "fine_tune": -1,  # of the run scripts
    "library": -1,  # what programs call
    "doctor": -1,  # the command that looks at all others' parts
    **dict.fromkeys(
        ("build_records", "build_vocab", "finetune_data_preprocess", "predict", "similarity", "ensemble", "data", "metrics"), 0
    ),  # commands
    **dict.fromkeys(("convert", "export", "serve"), 0),
    **dict.fromkeys(("train", "report", "bundle"), 1),
    **dict.fromkeys(("launch",), 2),  # these see nothing but the standard library and what is made of it
    "tasks": 2,
    **dict.fromkeys(("models", "records", "optim"), 3),
    **dict.fromkeys(("config", "text", "kernels"), 4),
    "formats": 5,
    **dict.fromkeys(("log", "signals", "framework", "locks"), 6),
    **dict.fromkeys(("cli", "encodings", "files", "ranks"), 7),
}
WITHOUT_MINDSPORE = [
    "cli",
    "config",
    "log",
    "encodings",
    "files",
    "locks",
    "signals",
    "ranks",
    "text",
    "formats",
    "launch",
    "report",
    "convert",
    "data",
    "metrics",
]
# modules of a task that need none either; Task imports most of them by name, which the walk does not see
LIGHT = ("options", "serving", "schema", "memory", "row_file", "rows", "measures", "windows", "file")
SERVING = ("serve", "bundle", "predict")  # packages that need it only where a function opens a MINDIR graph


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted((ROOT / "src").rglob("*.py"))}


def imported(path, in_functions=True):
    """Full names of all modules that a file imports."""
    found, waiting = set(), [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if in_functions or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; imports are absolute here"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names if f"{node.module}.{alias.name}" in MODULES}
    return found


def package(module):
    return module.split(".")[1]


def reached(module, in_functions=True):
    """Everything that importing a module of src imports, directly or through other modules of src."""
    found, waiting = set(), [module]
    while waiting:
        names = imported(MODULES[waiting.pop()], in_functions)
        waiting += [name for name in names - found if name in MODULES]
        found |= names
    return found


@pytest.mark.parametrize("module", [name for name in MODULES if "." in name])
def test_imports_point_to_the_right(module):
    assert package(module) in LEVELS, f"{module}: a new package needs its place in LEVELS and in docs/architecture.md"
    for name in imported(MODULES[module]):
        if name.startswith("src.") and package(name) != package(module):
            assert LEVELS[package(name)] > LEVELS[package(module)], f"{module} imports {name}"
            assert package(module) != "launch" or package(name) in ("cli", "files", "ranks"), f"{module} imports {name}"


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("src.tasks.") and name.count(".") > 2])
def test_a_task_imports_no_other_task(module):
    own = module.split(".")[2]
    folders = {name.split(".")[2] for name in imported(MODULES[module]) if name.startswith("src.tasks.") and MODULES.get(name)}
    others = {folder for folder in folders if (ROOT / "src/tasks" / folder).is_dir()} - {own}
    assert not others, f"{module} imports {others}"


@pytest.mark.parametrize("module", [name for name in MODULES if "." in name])
def test_nothing_imports_a_run_script(module):
    scripts = {path.stem for path in ROOT.glob("*.py")}
    assert not scripts & {name.split(".")[0] for name in imported(MODULES[module])}


def find_circles(imports):
    """The modules that lead to a circle or belong to one, of one package or of several; `imports` has the modules that each imports."""
    while ends := {module for module, names in imports.items() if not names}:  # modules that import none of those that are left
        imports = {module: names - ends for module, names in imports.items() if module not in ends}
    return sorted(imports)


def test_no_modules_import_each_other_in_a_circle():
    assert not find_circles({module: {name for name in imported(path) if name in MODULES} for module, path in MODULES.items()})


def test_a_circle_within_a_package_is_found():
    assert find_circles({"a.x": {"a.y"}, "a.y": {"a.x", "b"}, "b": set(), "c": {"a.x"}, "d": {"b"}}) == ["a.x", "a.y", "c"]


def is_without_mindspore(module):
    parts = module.split(".")
    return package(module) in WITHOUT_MINDSPORE or package(module) == "tasks" and parts[-1] in LIGHT and len(parts) == 4


@pytest.mark.parametrize("module", [name for name in MODULES if "." in name and is_without_mindspore(name)])
def test_module_does_not_reach_mindspore(module):
    assert not [name for name in reached(module) if name.split(".")[0] == "mindspore"]


@pytest.mark.parametrize("module", [name for name in MODULES if "." in name and package(name) in SERVING])
def test_serving_imports_no_mindspore_when_it_starts(module):
    assert not [name for name in reached(module, in_functions=False) if name.split(".")[0] == "mindspore"]


def test_walk_sees_mindspore_where_it_is():
    assert "mindspore" in {name.split(".")[0] for name in reached("src.tasks.classifier.task")}


def test_columns_of_a_task_are_the_parameters_of_its_network_and_loss():
    from src.models.losses import ClassificationLoss
    from src.tasks.classifier import task as classifier
    from src.tasks.classifier.network import Classifier
    from src.tasks.embed import task as embed
    from src.tasks.embed.network import ContrastiveLoss, CosineLoss, Embedder
    from src.tasks.fill_mask import task as fill_mask
    from src.tasks.fill_mask.network import WordPredictor
    from src.tasks.ner import task as ner
    from src.tasks.ner.network import CrfLoss, Tagger, TaggingLoss
    from src.tasks.pretrain import task as pretrain
    from src.tasks.pretrain.network import Pretraining, PretrainingLoss
    from src.tasks.squad import task as squad
    from src.tasks.squad.network import SpanFinder, SpanLoss

    for task, network, loss in (
        (classifier, Classifier, ClassificationLoss),
        (pretrain, Pretraining, PretrainingLoss),
        (ner, Tagger, TaggingLoss),
        (ner, Tagger, CrfLoss),
        (squad, SpanFinder, SpanLoss),
        (embed, Embedder, CosineLoss),
        (embed, Embedder, ContrastiveLoss),
    ):
        assert [*task.INPUTS, "dropout_key", "packing"] == list(inspect.signature(network.construct).parameters)[1:]
        assert list(task.TARGETS) == list(inspect.signature(loss.construct).parameters)[2:]
    assert [*fill_mask.INPUTS, "dropout_key", "packing"] == list(inspect.signature(WordPredictor.construct).parameters)[1:]
