"""The tables of docs/from_model_zoo.md and docs/from_google.md: each name does here what its row says.

A row's first cell has names in backquotes, the second what stands for them: "same", our name in backquotes, "accepted" (it has no effect,
which is told), or "refused".
"""

import json
import re
import typing

import pytest
from conftest import ROOT, SHAPE, write_vocabulary

from src.config import aliases, fields, loader
from src.config.training import RunOptions
from src.launch.rank_table_file import find_notes, read_table
from src.tasks.ner.preprocess_options import PreprocessingOptions
from src.tasks.pretrain.options import PretrainEvalOptions
from src.tasks.task import TASKS

RUN = {f"{task.options.ZOO_SCRIPT}.py": (task.options,) for task in TASKS.values() if task.options.ZOO_SCRIPT}
ALL = tuple(options for (options,) in RUN.values())
SCRIPTS = {  # title of a section -> the scripts that its table is about
    **{f"Flags of {name}": classes for name, classes in RUN.items()},
    **RUN,
    "Flags of run_pretrain.py": (*RUN["run_pretrain.py"], PretrainEvalOptions),
    "run_pretraining.py": (*RUN["run_pretrain.py"], PretrainEvalOptions),
    "Flags of src/finetune_data_preprocess.py": (PreprocessingOptions,),
    "PaddlePaddle's BERT with recompute": (*RUN["run_classifier.py"], *RUN["run_pretrain.py"]),
    "Values of config.py, finetune_eval_config.py and the YAML files as flags": ALL,
}
_SWITCHES = (
    "use_relative_positions",
    "use_amp",
    "use_fp16",
    "fp16",
    "amp",
    "use_cuda",
    "weight_sharing",
    "no_cuda",
    "enable_lossscale",
    "enable_global_norm",
)
SAMPLES = {  # values that a flag's type does not tell
    **dict.fromkeys((*_SWITCHES, "enable_modelarts", "enable_lossscale", "enable_global_norm"), "true"),
    "compute_type": "mstype.float32",
    "dtype": "mstype.float32",
    "loss_scale": "128",
    "loss_scaling": "8",
    "scale_factor": "2",
    "lr_scheduler": "noam_decay",
    "gradient_accumulation_steps": "1",
    "loss_scale_value": "8",
    "optimizer.name": "Lamb",
    "max_query_length": "64",
    "doc_stride": "2",
    "seq_length": "400",
    "bucket_list": "128",
    "seeds": "1",
    "num_attention_heads": "2",
    "use_mix_precision": "false",
    "batch_in_tokens": "false",
    "hidden_size": "24",
    "split_begin": "0.25",
}
REQUIRED = {PreprocessingOptions: ("--data_dir=x", "--vocab_file=x", "--label2id=x"), PretrainEvalOptions: ("--eval_ckpt=.",)}


def read_rows():
    """(section, what stands for them, names, whole row) of every table about flags; a row with several meanings comes several times."""
    for page in ("from_model_zoo.md", "from_google.md"):
        section = ""
        for line in (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines():
            if line.startswith("#"):
                section = line.lstrip("# ")
            if section in SCRIPTS and line.startswith("| ") and (names := re.findall(r"`--([\w.-]+)[^`]*`", line.split(" | ")[0])):
                here = line.split(" | ")[1].removesuffix(" |")
                parts = here.split(", ") if len(here.split(", ")) == len(names) else [here] * len(names)
                for part in dict.fromkeys(parts):
                    yield section, part, [name for name, each in zip(names, parts) if each == part], line


ROWS = list(read_rows())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    (path / "config.json").write_text(json.dumps({**SHAPE, "vocab_size": 30522}), encoding="utf-8")
    write_vocabulary(path / "vocab.txt")
    return path


def sample(name, options, folder):
    """A value that the setting takes."""
    keys = {key: field for key, field, _ in fields.leaves(options)}
    key = name if name in keys else aliases.find_aliases(keys).get(name, name)
    if "checkpoint_path" in key or key == "eval_ckpt":
        return folder
    if key in ("vocab_file_path", "vocab_file"):
        return folder / "vocab.txt"
    if key == "bert_config_file":
        return folder / "config.json"
    if name in SAMPLES or key in SAMPLES or key not in keys:
        return SAMPLES.get(name, SAMPLES.get(key, "x"))
    kind = keys[key].type
    kind = next((part for part in typing.get_args(kind) if part is not type(None)), kind) if typing.get_origin(kind) is not tuple else str
    if keys[key].metadata.get("choices"):
        return keys[key].metadata["choices"][0]
    return {bool: "true", int: "7", float: "0.5"}.get(kind, "x")


def test_there_are_tables():
    assert sum(len(names) for _, _, names, _ in ROWS) > 250
    assert {section for section, *_ in ROWS} >= SCRIPTS.keys() - {"run_pretrain.py", "run_ner.py"}


def answer(options, names, folder, capsys):
    """name -> works, accepted, or an error; by one call for all names, and for halves of them if it fails."""
    flags = [*REQUIRED.get(options, ()), *(f"--{name}={sample(name, options, folder)}" for name in names)]
    flags += ["--use_fp16=true"] if "loss_scaling" in names else []  # which it goes with
    try:
        loader.load(options, flags)
    except SystemExit:
        error, half = capsys.readouterr().err, len(names) // 2
        if not half:
            return dict.fromkeys(names, error)
        return answer(options, names[:half], folder, capsys) | answer(options, names[half:], folder, capsys)
    said = capsys.readouterr().out
    return {name: "accepted" if re.search(rf"--{name}=\S+ has no effect", said) else "works" for name in names}


@pytest.mark.parametrize("section", list(dict.fromkeys(section for section, *_ in ROWS)))
def test_flags_do_what_their_rows_say(section, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for options in SCRIPTS[section]:
        if issubclass(options, RunOptions):  # the flags need not say what is to run
            monkeypatch.setattr(options, "check_run", lambda self: None)
    expected = {name: here.split(" ")[0].rstrip(",") for each, here, names, _ in ROWS if each == section for name in names}
    refused = [name for name, here in expected.items() if here in ("refused", "none:", "none", "–")]
    taken = [name for name in expected if name not in refused]
    answers = [answer(options, taken, folder, capsys) for options in SCRIPTS[section]]
    for name in taken:
        wanted = "accepted" if expected[name] == "accepted" else "works"
        assert wanted in [found[name] for found in answers], (name, [found[name] for found in answers])
    for options in SCRIPTS[section]:
        for name in refused:
            assert f"--{name}" in answer(options, [name], folder, capsys)[name]


def read_commands():
    """(names, what stands for them) of every table about scripts and files."""
    for page in ("from_model_zoo.md", "from_google.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8").split("## Scripts, commands and files\n")[1].split("\n## ")[0]
        for line in text.splitlines()[3:]:
            if line.startswith("| "):
                names, here = line.strip("| ").split(" | ")
                yield re.findall(r"`([^`]*)`", names), here


def find_file(command):
    """The file that a command runs: a script, or a module by its name."""
    words = [word for word in command.split() if word not in ("bash", "sh", "python")]
    if words[0] == "mpirun":
        words = words[words.index("-np") + 2 :]
        words.remove("python") if "python" in words else None
    if words[0] == "-m":
        path = ROOT / words[1].replace(".", "/")
        return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    return ROOT / words[0]


@pytest.mark.parametrize(("names", "here"), list(read_commands()), ids=lambda value: str(value)[:60])
def test_commands_and_files_are_where_the_tables_say(names, here):
    if here.startswith(("same", "the same")):
        assert [name for name in names if not find_file(name).exists()] == []
    else:
        assert here.startswith(("stands for it: ", "not needed: ", "refused: "))
        assert [name for name in names if (ROOT / name.split()[-1]).exists()] == []
        named = [code for code in re.findall(r"`([^`]*)`", here) if re.match(r"(python|bash|sh) |[\w/]+/\w+\.py|run_\w+\.py", code)]
        assert [command for command in named if not find_file(command).exists()] == []


def test_the_files_that_the_page_shows_are_read(tmp_path):
    text = (ROOT / "docs/from_model_zoo.md").read_text(encoding="utf-8")
    schema, table = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL))
    assert schema["datasetType"] == "TF" and len(schema["columns"]) == 7
    (tmp_path / "hccl.json").write_text(json.dumps(table), encoding="utf-8")
    found = read_table(tmp_path / "hccl.json")
    assert (found.world_size, find_notes(found)) == (2, [])
