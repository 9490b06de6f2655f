"""Settings of evaluations during training, of folds and of trackers: what is refused, and when a run evaluates."""

import pytest

from src.config import trainable
from src.tasks.classifier.options import ClassifierOptions
from src.tasks.ner.options import NerOptions
from src.tasks.pretrain.options import PretrainOptions
from src.tasks.squad.options import SquadOptions

WITH_EVALUATIONS = {"do_train": True, "eval_steps": 5}


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        (
            ClassifierOptions,
            {"best_metric": "macro_f1"},
            "best_metric=macro_f1 is not allowed: this task has accuracy, precision, recall, f1,",
        ),
        (ClassifierOptions, {"best_metric": "f1", "num_class": 1}, "this task has spearman_correlation, pearson_correlation, eval_loss"),
        (NerOptions, {"best_metric": "mcc"}, "best_metric=mcc is not allowed: this task has f1, "),
        (SquadOptions, {"best_metric": "accuracy"}, "this task has f1, exact_match, eval_loss"),
        (PretrainOptions, {"best_metric": "f1"}, "this task has masked_lm_loss, "),
        (ClassifierOptions, {"early_stopping": 3}, "there are none: give --eval_steps or --eval_epochs"),
        (PretrainOptions, {"early_stopping": 3, "eval_steps": 5}, "there are none: give --train_with_eval true"),
        (NerOptions, {"eval_steps": 5, "eval_epochs": 0.5}, "eval_steps=5 and eval_epochs=0.5: give one of them"),
        (ClassifierOptions, {"folds": 5, "seeds": (1, 2)}, "folds and seeds: give one of them"),
        (ClassifierOptions, {"folds": 5, "fold": 6}, "fold=6: the folds are those of --folds, 5"),
        (ClassifierOptions, {"fold": 1}, "fold=1: the folds are those of --folds, which is not given"),
        (ClassifierOptions, {"folds": 1}, "folds=1 is not allowed: it must be at least 2"),
        (ClassifierOptions, {"fold_groups": "author"}, "fold_groups=author: goes with --folds"),
        (ClassifierOptions, {"track": "mlflow"}, "track=mlflow is not allowed: it must be one of tensorboard, swanlab, wandb"),
    ],
)
def test_contradictions_are_refused_by_name(options, settings, message):
    with pytest.raises(ValueError) as refused:
        options(**settings)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("options", "metric"),
    [
        (ClassifierOptions(), "accuracy"),
        (ClassifierOptions(task_name="mrpc"), "f1"),
        (ClassifierOptions(task_name="stsb"), "spearman_correlation"),
        (ClassifierOptions(assessment_method="mcc"), "mcc"),
        (NerOptions(), "f1"),
        (NerOptions(assessment_method="mf1"), "macro_f1"),
        (SquadOptions(), "f1"),
        (PretrainOptions(), "masked_lm_loss"),
    ],
)
def test_the_best_is_chosen_by_what_is_printed(options, metric):
    assert options.measure == metric and metric in options.metrics


def test_only_a_training_evaluates_on_the_way():
    assert ClassifierOptions(**WITH_EVALUATIONS).evaluates
    assert ClassifierOptions(do_train=True, eval_epochs=0.5).evaluates
    assert not ClassifierOptions(do_train=True).evaluates
    assert not ClassifierOptions(do_eval=True, eval_steps=5).evaluates  # with the config.yaml of a training
    assert PretrainOptions(train_with_eval=True).evaluates
    assert not PretrainOptions(eval_steps=5).evaluates


def test_epochs_replace_the_default_of_pretraining():
    assert PretrainOptions(train_with_eval=True, eval_epochs=1).evaluate_every is None
    assert PretrainOptions(train_with_eval=True).evaluate_every > 0


def test_a_run_for_each_fold_has_its_folder_and_is_evaluated():
    runs = ClassifierOptions(do_train=True, folds=3, output_dir="out", save_finetune_checkpoint_path="saved").for_runs()
    assert [(each.fold, each.output_dir, each.checkpoint_dir) for each in runs] == [
        (number, f"out/fold-{number}", f"saved/fold-{number}") for number in (1, 2, 3)
    ]
    assert all(each.do_eval for each in runs)
    (alone,) = ClassifierOptions(do_train=True, folds=3, fold=2, output_dir="out").for_runs()
    assert (alone.fold, alone.output_dir) == (2, "out")


def test_a_tracker_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(trainable.TRACKERS, "wandb", "no_such_package")
    with pytest.raises(ValueError, match="track=wandb: the package no_such_package is not installed: pip install no_such_package"):
        ClassifierOptions(do_train=True, track="wandb").check_run()
