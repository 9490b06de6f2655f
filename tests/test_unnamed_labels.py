"""Weights from elsewhere whose outputs have no names, or are of several labels each."""

import json

import numpy as np
import pytest
from conftest import SHAPE

from src.config import loader
from src.formats import mindspore_checkpoint
from src.tasks import fine_tuning
from src.tasks.classifier import task as classifier
from src.tasks.classifier.export import settle
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.ner import task as ner
from src.tasks.ner.options import NerOptions

PLACEHOLDERS = {str(number): f"LABEL_{number}" for number in range(3)}
ORDER = "their order is a guess: 0=contradiction, 1=entailment, 2=neutral; --labels gives another"


@pytest.fixture
def weights(tmp_path, vocab_file):
    """Writes a folder of weights with a config.json of the settings that are given; its flags are returned."""

    def write(**settings):
        (tmp_path / "config.json").write_text(json.dumps(SHAPE | {"id2label": PLACEHOLDERS} | settings), encoding="utf-8")
        mindspore_checkpoint.write(tmp_path / "model.ckpt", {"head.dense.bias": np.zeros(3, np.float32)})
        return [f"--load_finetune_checkpoint_path={tmp_path}", "--task_name=mnli"]

    return write


def load(*flags):
    return loader.load(ClassifierOptions, flags)


def test_the_order_of_labels_that_weights_do_not_name_is_told_as_a_guess(weights, tmp_path, caplog):
    (tmp_path / "dev.tsv").write_text("sentence1\tsentence2\tgold_label\na\tb\tneutral\n", encoding="utf-8")
    options = load("--do_eval", *weights(), f"--eval_data_file_path={tmp_path}/dev.tsv", f"--output_dir={tmp_path}/out")
    assert classifier.prepare(options).config.labels == ("contradiction", "entailment", "neutral")
    assert ORDER in caplog.text


def test_the_order_of_tags_that_weights_do_not_name_is_told_as_a_guess(weights, tmp_path, caplog):
    (tmp_path / "dev.txt").write_text("a B-x\nb O\n", encoding="utf-8")
    flags = ["--do_eval", weights()[0], f"--eval_data_file_path={tmp_path}/dev.txt", f"--output_dir={tmp_path}/out"]
    assert ner.prepare(loader.load(NerOptions, flags)).config.labels == ("O", "B-x", "I-x")
    assert "their order is a guess: 0=O, 1=B-x, 2=I-x; --labels gives another" in caplog.text


@pytest.mark.parametrize(("names", "is_told"), [(("PER", "per"), True), (("PER", "LOC"), False)])
def test_names_that_differ_in_case_alone_are_told(names, is_told, caplog):
    fine_tuning.warn_of_case("types", names)
    assert ("some types differ in case alone: PER, per; each counts by itself" in caplog.text) == is_told


def test_an_export_tells_the_guess_too(weights, tmp_path, caplog):
    assert settle(load("--do_predict", *weights()), tmp_path).labels == ("contradiction", "entailment", "neutral")
    assert ORDER in caplog.text


def test_labels_that_are_given_are_no_guess(weights, tmp_path, caplog):
    options = load("--do_predict", "--labels=entailment,neutral,contradiction", *weights())
    assert settle(options, tmp_path).labels == ("entailment", "neutral", "contradiction")
    assert "guess" not in caplog.text


def test_weights_of_several_labels_a_text_are_taken_as_that_by_the_classifier_alone(weights, tmp_path, capsys):
    flags = [weights(problem_type="multi_label_classification")[0], "--columns=text_a=0,label=1"]
    assert load("--do_eval", *flags).multi_label and load("--do_predict", *flags).measure == "micro_f1"
    for script, given, message in (
        (
            ClassifierOptions,
            [flags[1], "--multi_label=false"],
            f"multi_label=false: {tmp_path} has problem_type=multi_label",
        ),
        (ClassifierOptions, ["--task_name=mnli"], "multi_label=true: is for task_name=custom; the texts of mnli have one label each"),
        (NerOptions, [], f"{tmp_path}: problem_type=multi_label_classification: several labels a text"),
    ):
        with pytest.raises(SystemExit, match="2"):
            loader.load(script, ["--do_eval", flags[0], *given])
        assert message in capsys.readouterr().err
    assert not load("--do_train", f"--load_pretrain_checkpoint_path={tmp_path}", flags[1]).multi_label  # whose head is its own
    assert not load("--do_eval", *weights(problem_type="single_label_classification")).multi_label


@pytest.mark.parametrize(("labels", "is_told"), [("-1,0,1,2", True), ("-1,0,1", False)])
def test_a_class_that_may_stand_for_no_agreement_is_told(labels, is_told, tmp_path, vocab_file, caplog):
    (tmp_path / "train.tsv").write_text("a\t0\nb\t1\n", encoding="utf-8")
    files = [f"--vocab_file_path={vocab_file}", f"--train_data_file_path={tmp_path}/train.tsv", f"--output_dir={tmp_path}/out"]
    classifier.prepare(load("--do_train", f"--labels={labels}", "--columns=text_a=0,label=1", *files))
    assert ("where it means that annotators did not agree" in caplog.text) == is_told
