"""What run_ner.py takes from the weights that it evaluates."""

import json

import pytest

from src.config import loader
from src.tasks.ner.options import NerOptions
from tests.conftest import TINY

LABELS = {"0": "O", "1": "B-PER", "2": "I-PER"}


@pytest.fixture
def load(tmp_path):
    """`load(config, *flags)` are the options for a folder of weights with this in its config.json."""
    (tmp_path / "model.safetensors").write_bytes(b"")

    def load(config, *flags):
        (tmp_path / "config.json").write_text(json.dumps(TINY | config), encoding="utf-8")
        return loader.load(NerOptions, [*flags, f"--output_dir={tmp_path}/out"])

    load.weights = f"--load_finetune_checkpoint_path={tmp_path}"
    load.encoder = f"--load_pretrain_checkpoint_path={tmp_path}"
    return load


@pytest.mark.parametrize(
    ("config", "pieces"),
    [
        ({"id2label": LABELS}, "first"),
        ({"id2label": LABELS, "trained_with": {"seq_length": 32}}, "all"),  # ours, of before the setting
        ({"id2label": LABELS, "trained_with": {"seq_length": 32, "tagged_pieces": "first"}}, "first"),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}}, "all"),
        ({}, "all"),
    ],
)
def test_word_has_the_tag_of_its_first_piece_where_other_programs_trained_the_weights(load, config, pieces):
    assert load(config, "--do_eval=true", load.weights, "--seq_length=32").tagged_pieces == pieces


def test_given_setting_counts_before_that_of_the_weights(load):
    assert load({"id2label": LABELS}, "--do_eval=true", load.weights, "--tagged_pieces=all", "--seq_length=32").tagged_pieces == "all"
    for head, pieces in (("Softmax", "first"), ("CRF", "all")):
        assert load({"id2label": LABELS}, "--do_eval=true", load.weights, f"--head={head}", "--seq_length=32").tagged_pieces == pieces


def test_foreign_weights_with_a_crf_have_all_pieces_tagged(load):
    assert load({"id2label": LABELS}, "--do_eval=true", load.weights, "--use_crf=true", "--seq_length=32").tagged_pieces == "all"


OLD = {"seq_length": 32, "use_crf": True, "with_lstm": False}
NEW = {"seq_length": 32, "head": "lstm_crf"}


@pytest.mark.parametrize(
    ("trained_with", "flags", "head"),
    [
        (OLD, [], "crf"),
        (OLD, ["--with_lstm=true"], "lstm_crf"),
        (OLD, ["--head=softmax"], "softmax"),
        (NEW, [], "lstm_crf"),
        (NEW, ["--use_crf=true"], "lstm_crf"),
        (NEW, ["--use_crf=false"], "lstm_softmax"),
        (NEW, ["--head=crf", "--use_crf=true"], "crf"),
        ({"seq_length": 32, "head": "global_pointer"}, [], "global_pointer"),
        ({"seq_length": 32, "head": "global_pointer"}, ["--use_crf=false"], "global_pointer"),
        ({"seq_length": 32}, [], "softmax"),
    ],
)
def test_head_is_that_of_the_weights_unless_it_or_its_switches_are_given(load, trained_with, flags, head):
    options = load({"id2label": LABELS, "trained_with": trained_with}, "--do_eval=true", load.weights, *flags)
    assert options.head == head and (options.use_crf, options.with_lstm) == (None, None)
    assert options.trained_settings()["head"] == head and "use_crf" not in options.trained_settings()


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("use_crf: true\nwith_lstm: true\n", "lstm_crf"),
        ("use_crf: false\nwith_lstm: false\n", "softmax"),
        ("with_lstm: true\n", "lstm_softmax"),
        ("head: lstm_crf\nuse_crf: null\nwith_lstm: null\n", "lstm_crf"),
        ("head: Global_Pointer\n", "global_pointer"),
    ],
)
def test_yaml_names_the_head_in_either_way(load, tmp_path, text, head):
    (tmp_path / "ner.yaml").write_text(text, encoding="utf-8")
    path = f"--config_path={tmp_path}/ner.yaml"
    options = load({}, "--do_train=true", load.encoder, path, "--seq_length=32")
    assert options.head == head
    assert load({}, "--do_train=true", load.encoder, path, "--seq_length=32", "--head=crf" if "head" in text else "--epoch_num=1")
    assert loader.build(NerOptions, loader.to_dict(options)).head == head


def test_a_flag_for_the_head_outweighs_the_switches_of_a_file(load, tmp_path, capsys):
    (tmp_path / "ner.yaml").write_text("use_crf: false\nwith_lstm: false\n", encoding="utf-8")
    flags = ["--do_train=true", load.encoder, f"--config_path={tmp_path}/ner.yaml", "--seq_length=32"]
    assert load({}, *flags, "--head=lstm_crf").head == "lstm_crf"
    with pytest.raises(SystemExit):
        load({}, *flags, "--head=crf", "--use_crf=false")
    assert "use_crf=false and head=crf contradict each other" in capsys.readouterr().err


def test_a_head_and_a_switch_that_contradict_each_other_are_refused(load, capsys):
    with pytest.raises(SystemExit):
        load({}, "--do_train=true", load.encoder, "--seq_length=32", "--head=softmax", "--use_crf=true")
    assert "use_crf=true and head=softmax contradict each other; give the head alone" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "trained"), [("crf", "global_pointer"), ("Global_Pointer", "crf")])
def test_spans_and_tags_do_not_replace_each_other(load, given, trained, capsys):
    described = {"id2label": LABELS, "trained_with": {"seq_length": 32, "head": trained}}
    with pytest.raises(SystemExit):
        load(described, "--do_eval=true", load.weights, f"--head={given}")
    assert f"head={given}: " in (told := capsys.readouterr().err) and f" was trained with head={trained}" in told
    assert load(described, "--do_train=true", load.encoder, f"--head={given}", "--seq_length=32").head == given.lower()


def test_training_tags_all_pieces_unless_told_otherwise(load):
    assert load({"id2label": LABELS}, "--do_train=true", load.encoder, "--seq_length=32").tagged_pieces == "all"
    assert "tagged_pieces" in NerOptions.TRAINED_WITH


def test_crf_tags_all_pieces(load, capsys):
    with pytest.raises(SystemExit):
        load({}, "--do_train=true", load.encoder, "--seq_length=32", "--use_crf=true", "--tagged_pieces=first")
    assert "tagged_pieces=first: only for the softmax" in capsys.readouterr().err
