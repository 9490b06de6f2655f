import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import SHAPE

from src import cli
from src.config import fields, loader
from src.config.model import ModelConfig
from src.config.training import OptimizerConfig
from src.tasks.classifier.options import ClassifierOptions

ROOT = Path(__file__).resolve().parent.parent.parent
KEYS = [key for key, *_ in fields.leaves(ClassifierOptions)]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the default output folder must not exist
    monkeypatch.delenv("BERT_TRACEBACK", raising=False)


def load(*flags, yaml_text=None):
    if yaml_text is not None:
        Path("settings.yaml").write_text(yaml_text, encoding="utf-8")
        flags = ("--config_path=settings.yaml", *flags)
    return loader.load(ClassifierOptions, ["--do_train=true", *flags])


def refusal(capsys, *flags, yaml_text=None):
    """The one line on stderr."""
    with pytest.raises(SystemExit) as caught:
        load(*flags, yaml_text=yaml_text)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    return err


def nested(key, value):
    *groups, leaf = key.split(".")
    tree = {leaf: value}
    for group in reversed(groups):
        tree = {group: tree}
    return yaml.safe_dump(tree)


@pytest.mark.parametrize("key", KEYS)
def test_misspelt_key_names_the_nearest(key, capsys):
    wrong = key + "x"
    assert f"did you mean {key}?" in refusal(capsys, f"--{wrong}=1")
    assert f"did you mean {key}?" in refusal(capsys, yaml_text=nested(wrong, 1))


@pytest.mark.parametrize(("key", "expected"), [("labels", "texts, such as a,b"), ("seeds", "whole numbers, such as 32,64")])
def test_a_mapping_in_place_of_a_list_is_named(key, expected, capsys):
    Path("config.json").write_text(json.dumps(SHAPE | {"id2label": {"0": "a", "1": "b"}}))
    text = f"{key}: {{a: 1}}\ndo_train: false\ndo_eval: true\nbert_config_file: config.json\n"
    Path("settings.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit):
        loader.load(ClassifierOptions, ["--config_path=settings.yaml"])
    assert capsys.readouterr().err == f"error: {key}={{'a': 1}}: expected {expected}\n"


def test_unknown_key_without_a_neighbour_points_to_help(capsys):
    assert "unknown setting zzzqqq; --help lists them" in refusal(capsys, yaml_text="zzzqqq: 1")
    assert "zzzqqq" in refusal(capsys, "--zzzqqq", "1")


@pytest.mark.parametrize("group", ["model", "optimizer", "precision"])
@pytest.mark.parametrize("value", ["3", "null", "[1]", "text"])
def test_group_must_be_a_mapping(group, value, capsys):
    flags = {"model": "--model.hidden_size=8", "optimizer": "--optimizer.name=Lamb", "precision": "--precision.loss_scale=none"}
    for extra in ((), (flags[group],)):
        assert f"{group}=" in refusal(capsys, *extra, yaml_text=f"{group}: {value}")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("- a\n- b", "a mapping of settings is expected"),
        ("a: [", "not a YAML file"),
        ("optimizer: {1: 2}", "unknown setting optimizer.1"),
        ("1: 2", "a mapping of settings is expected"),
        ("device: {target: CPU}", "unknown setting device"),
    ],
)
def test_broken_yaml_is_refused(text, part, capsys):
    line = refusal(capsys, yaml_text=text)
    assert part in line
    assert "settings.yaml" in line


def test_absent_files_are_named(capsys):
    assert "none.yaml" in refusal(capsys, "--config_path=none.yaml")
    assert "none_folder" in refusal(capsys, "--load_pretrain_checkpoint_path=none_folder")
    assert "none.json" in refusal(capsys, "--bert_config_file=none.json")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("train_batch_size", "3.5", "a whole number, at least 1"),
        ("train_batch_size", "many", "a whole number, at least 1"),
        ("train_batch_size", "true", "a whole number, at least 1"),
        ("train_batch_size", "[3]", "a whole number, at least 1"),
        ("train_batch_size", ".inf", "a whole number, at least 1"),
        ("train_batch_size", "null", "a whole number, at least 1"),
        ("optimizer.learning_rate", "fast", "a number, above 0"),
        ("optimizer.learning_rate", ".nan", "a number, above 0"),
        ("do_eval", "1", "true or false"),
        ("do_eval", "maybe", "true or false"),
        ("bucket_list", "a,b", "whole numbers, such as 32,64"),
        ("optimizer.warmup_steps", "x", "a whole number, at least 0"),
        ("task_name", "[cola]", "text, one of custom, cola, sst2"),
    ],
)
def test_wrong_type_tells_what_is_expected(key, value, expected, capsys):
    line = refusal(capsys, yaml_text=nested(key, yaml.safe_load(value)))
    assert key in line
    assert expected in line


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("train_batch_size", "0", "at least 1"),
        ("optimizer.learning_rate", "0", "above 0"),
        ("optimizer.learning_rate", "-1e-5", "above 0"),
        ("optimizer.warmup_proportion", "1.01", "at least 0 and at most 1"),
        ("optimizer.name", "Adam", "one of Lamb, AdamWeightDecay, AdamW, Momentum"),
        ("model.hidden_dropout_prob", "1", "at least 0 and at most 0.99"),
        ("precision.scale_factor", "1", "above 1"),
        ("bucket_list", "0,128", "at least 1"),
        ("seq_length", "3", "at least 4"),
        ("assessment_method", "recall", "one of accuracy, f1"),
    ],
)
def test_value_out_of_bounds_is_refused(key, value, allowed, capsys):
    for line in (refusal(capsys, f"--{key}={value}"), refusal(capsys, yaml_text=nested(key, value))):
        assert f"{key}=" in line
        assert allowed in line


@pytest.mark.parametrize(
    ("key", "value"),
    [("train_batch_size", 1), ("optimizer.warmup_proportion", 1.0), ("optimizer.warmup_steps", 0), ("seed", 0), ("seq_length", 4)],
)
def test_value_on_the_bound_is_allowed(key, value):
    options = load(f"--{key}={value}")
    for name in key.split("."):
        options = getattr(options, name)
    assert options == value


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--model.hidden_size=10", "--model.num_attention_heads=3"], "not divisible by model.num_attention_heads=3"),
        (["--seq_length=513"], "model.max_position_embeddings=512"),
        (["--bucket_list=16,32,64,96,128"], "up to four lengths"),
        (["--bucket_list=16,32"], "the largest must equal seq_length=128"),
        (["--do_train=false"], "nothing to do"),
        (["stray"], "unexpected argument stray"),
    ],
)
def test_impossible_combination_is_refused(flags, part, capsys):
    assert part in refusal(capsys, *flags)


@pytest.mark.parametrize("text", ["3e-5", "3.0e-05", "0.00003", "'3e-5'"])
def test_small_numbers_of_yaml_are_numbers(text):
    assert load(yaml_text=f"optimizer:\n  learning_rate: {text}\n").optimizer.learning_rate == 3e-5


@pytest.mark.parametrize("text", ["true", "True", "TRUE"])
def test_truth_has_the_model_zoos_spellings(text):
    assert load(f"--do_eval={text}").do_eval is True
    assert load(f"--do_eval={text}", "--do_predict", "false").do_predict is False


@pytest.mark.parametrize("text", ["64,128", "[64, 128]", " 64 , 128 "])
def test_lists_are_read_from_flags_and_yaml(text):
    assert load(f"--bucket_list={text}").bucket_list == (64, 128)
    assert load(yaml_text="bucket_list: [64, 128]").bucket_list == (64, 128)


@pytest.mark.parametrize("text", ["None", "null", ""])
def test_optional_setting_may_be_unset(text):
    assert load(f"--num_class={text}", yaml_text="num_class: 3").num_class is None


def test_later_sources_outweigh_earlier_ones():
    weights = Path("weights")
    weights.mkdir()
    described = SHAPE | {"hidden_size": 24, "num_hidden_layers": 3, "vocab_size": 99, "num_attention_heads": 4}
    (weights / "config.json").write_text(json.dumps(described))
    (weights / "vocab.txt").write_text("[PAD]\n")
    text = "load_pretrain_checkpoint_path: weights\nmodel: {hidden_size: 32, num_hidden_layers: 5}\n"
    model = load("--model.num_hidden_layers=7", yaml_text=text).model
    assert (model.num_hidden_layers, model.hidden_size, model.vocab_size) == (7, 32, 99)  # flag, YAML, config.json
    assert model.layer_norm_eps == ModelConfig().layer_norm_eps
    assert load(yaml_text=text).vocab_file_path == "weights/vocab.txt"
    assert load("--vocab_file_path=other.txt", yaml_text=text).vocab_file_path == "other.txt"


def test_bert_config_file_outweighs_the_config_beside_the_weights():
    Path("weights").mkdir()
    Path("weights/config.json").write_text(json.dumps(SHAPE | {"hidden_size": 24}))
    Path("mine.json").write_text(json.dumps(SHAPE | {"hidden_size": 36}))
    flags = ["--load_pretrain_checkpoint_path=weights", "--bert_config_file=mine.json"]
    assert load(*flags[:1]).model.hidden_size == 24
    assert load(*flags).model.hidden_size == 36


REFUSED_CONFIGS = {
    "[]": "bert_config.json: a JSON object is expected, found list",
    "{": "bert_config.json: not a JSON file",
    '{"model_type": "roberta"}': "bert_config.json: model_type=roberta",
    '{"position_embedding_type": "relative_key"}': "bert_config.json: position_embedding_type=relative_key",
    json.dumps(SHAPE | {"hidden_size": "x"}): "model.hidden_size=x: expected a whole number",
}


@pytest.mark.parametrize("text", REFUSED_CONFIGS)
def test_config_of_another_network_is_refused(text, capsys):
    Path("bert_config.json").write_text(text)
    assert REFUSED_CONFIGS[text] in refusal(capsys, "--bert_config_file=bert_config.json")


def test_labels_beside_finetuned_weights_are_taken_for_evaluation():
    Path("weights").mkdir()
    Path("weights/config.json").write_text(json.dumps(SHAPE | {"id2label": {"2": "c", "0": "a", "1": "b"}}))
    flags = ["--do_eval=true", "--load_finetune_checkpoint_path=weights"]
    assert load("--do_train=false", *flags).labels == ("a", "b", "c")
    assert load(*flags).labels == ()
    Path("weights/config.json").write_text(json.dumps(SHAPE | {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}))
    assert load("--do_train=false", *flags).labels == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"id2label": ["a"]}', "id2label must map"),
        ('{"id2label": {"0": "a", "2": "b"}}', "id2label must map"),
        ('{"trained_with": 3}', "trained_with must be"),
    ],
)
def test_damaged_description_of_finetuned_weights_is_refused(text, message, capsys):
    Path("weights").mkdir()
    Path("weights/config.json").write_text(text)
    assert f"weights/config.json: {message}" in refusal(capsys, "--load_pretrain_checkpoint_path=weights")


def test_a_switch_may_stand_alone_and_a_list_may_be_one_value():
    assert load("--do_eval", "--do_lower_case=true").do_eval
    assert load(yaml_text="seeds: 5").seeds == (5,)


def test_settings_of_the_training_count_in_evaluation_unless_given():
    Path("weights").mkdir()
    trained_with = {"task_name": "custom", "columns": "text_a=0", "seq_length": 64, "head": "cnn", "num_class": 3}
    Path("weights/config.json").write_text(json.dumps(SHAPE | {"trained_with": trained_with}))
    flags = ["--do_train=false", "--do_eval", "--load_finetune_checkpoint_path=weights"]
    options = load(*flags)
    assert (options.columns, options.seq_length, options.head, options.num_class) == ("text_a=0", 64, "cnn", 3)
    options = load(*flags, "--task_name=sst2", "--seq_length=32")
    assert (options.columns, options.seq_length, options.head) == (None, 32, "cnn")


def test_options_survive_a_yaml_file():
    options = load("--bucket_list=64,128", "--labels=no,yes", "--optimizer.learning_rate=3e-5", "--model.hidden_size=24", "--epoch_num=0.5")
    plain = loader.to_dict(options)
    assert "device" not in plain
    again = loader.build(ClassifierOptions, yaml.safe_load(yaml.safe_dump(plain)))
    assert again == options
    assert again != dataclasses.replace(options, seed=2)


def test_defaults_are_those_of_the_dataclass():
    assert load() == ClassifierOptions(do_train=True)
    assert load().optimizer == OptimizerConfig()


def test_traceback_is_shown_on_demand(monkeypatch):
    monkeypatch.setenv("BERT_TRACEBACK", "1")
    with pytest.raises(ValueError, match="seed"):
        load("--seed=x")


def test_help_lists_every_flag_without_mindspore():
    command = [sys.executable, "-X", "importtime", str(ROOT / "run_classifier.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not re.search(r"\| +mindspore$", done.stderr, re.MULTILINE)
    assert "src.config.loader" in done.stderr
    assert all(f"--{key} " in done.stdout for key in KEYS)


def test_bad_flag_is_refused_without_mindspore():
    command = [sys.executable, "-X", "importtime", str(ROOT / "run_classifier.py"), "--do_trian=true"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert lines == ["error: --do_trian; did you mean do_train? (unknown flag)"]
    assert not re.search(r"\| +mindspore$", done.stderr, re.MULTILINE)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (
            ("--optimizer.schedule=linear", "--optimizer.power=3", "--optimizer.end_learning_rate=1e-6"),
            ["end_learning_rate=1e-06 is ignored: it has no effect beside optimizer.schedule=linear", "power=3.0 is ignored"],
        ),
        (("--optimizer.clip=none", "--optimizer.clip_norm=2"), ["clip_norm=2.0 is ignored"]),
        (("--optimizer.warmup_steps=5", "--warmup_proportion=0.3"), ["warmup_proportion=0.3 is ignored"]),
        (("--optimizer.name=Lamb", "--optimizer.momentum=0.8", "--optimizer.eps=1e-7"), ["momentum=0.8 is ignored"]),
        (("--optimizer.schedule=linear", "--optimizer.power=1"), []),  # which is the default
    ],
)
def test_what_has_no_effect_is_told(flags, told, caplog):
    load(*flags)
    lines = [message for message in caplog.messages if "is ignored" in message]
    assert len(lines) == len(told)
    assert all(line.startswith(f"optimizer.{start}") for line, start in zip(lines, told))


def test_a_saved_configuration_tells_nothing_of_what_has_no_effect(caplog):
    first = load("--optimizer.schedule=linear", "--optimizer.power=3")
    caplog.clear()
    assert load(yaml_text=yaml.safe_dump(loader.to_dict(first))) == first
    assert not caplog.messages
    load("--optimizer.end_learning_rate=1e-6", yaml_text=yaml.safe_dump(loader.to_dict(first)))
    assert len(caplog.messages) == 1


def test_errors_cannot_draw_lines_or_colours_of_their_own(capsys):
    with pytest.raises(SystemExit), cli.bad_input_exits():
        raise ValueError("a \x1b[31mname\r and 中文")
    assert capsys.readouterr().err == "error: a \\x1b[31mname and 中文\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("train_batch_size: -1\n", "settings.yaml: train_batch_size=-1 is not allowed: it must be at least 1"),
        ("train_batch_size: many\n", "settings.yaml: train_batch_size=many: expected a whole number, at least 1"),
        ("optimizer:\n  clip: x\n", "settings.yaml: optimizer.clip=x is not allowed"),
        ("seed: 1\nseed: 2\n", "settings.yaml:2: the key seed stands twice"),
        ("seed: &a 1\n", "settings.yaml:1: anchors and aliases"),
    ],
)
def test_a_wrong_value_of_a_file_is_named_with_the_file(text, line, capsys):
    assert line in refusal(capsys, yaml_text=text)


def test_a_wrong_value_of_a_flag_is_not_put_down_to_the_file(capsys):
    assert "settings.yaml" not in refusal(capsys, "--train_batch_size=-1", yaml_text="train_batch_size: 8\n")
