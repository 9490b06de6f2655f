"""Which rows a fold holds out."""

from types import SimpleNamespace

import numpy as np
import pytest

from src.tasks import folds
from src.tasks.ner.inputs import find_strata
from src.tasks.ner.tagged_text import Sentence
from src.tasks.ner.tags import Entity

STRATA = ["yes"] * 20 + ["no"] * 10


def config(**changes):
    return SimpleNamespace(**{"folds": 5, "fold": None, "seed": 1, **changes})


def test_each_row_is_held_out_once_and_each_fold_has_its_share_of_every_class():
    held_out = [folds.choose_rows(config(fold=fold), "eval", "train.tsv", STRATA) for fold in range(1, 6)]
    assert sorted(sum(held_out, [])) == list(range(30))
    assert all(sum(STRATA[number] == "no" for number in rows) == 2 for rows in held_out)
    trained = folds.choose_rows(config(fold=2), "train", "train.tsv", STRATA)
    assert sorted([*trained, *held_out[1]]) == list(range(30))
    assert held_out[0] != folds.choose_rows(config(fold=1, seed=2), "eval", "train.tsv", STRATA)


@pytest.mark.parametrize("split", ["train", "eval", "predict"])
def test_without_folds_all_rows_are_taken(split):
    assert folds.choose_rows(config(), split, "train.tsv", STRATA) == list(range(30))
    assert folds.choose_rows(config(fold=1), "predict", "train.tsv", STRATA) == list(range(30))


def test_a_group_is_never_divided():
    groups = [f"author {number // 3}" for number in range(30)]
    assigned = folds.assign_folds("train.tsv", STRATA, groups, 5, 1)
    assert all(len({*assigned[number : number + 3]}) == 1 for number in range(0, 30, 3))
    assert set(assigned) == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    ("strata", "groups", "message"),
    [
        ([*STRATA, *["maybe"] * 4], None, "folds=5: train.tsv has only 4 rows of the rarest class, 'maybe'"),
        (STRATA, ["a", "b"] * 15, "folds=5: train.tsv has only 2 groups of rows"),
    ],
)
def test_more_folds_than_rows_or_groups_are_refused(strata, groups, message):
    with pytest.raises(ValueError) as refused:
        folds.assign_folds("train.tsv", strata, groups, 5, 1)
    assert message in str(refused.value)


def test_scores_are_divided_by_rank():
    scores = np.random.default_rng(1).normal(size=100)
    strata = folds.bin_scores(scores, 5)
    assert [strata.count(name) for name in sorted(set(strata))] == [10] * 10
    assert strata[int(scores.argmin())] == "scores 1 of 10 by rank"
    assert len(set(folds.bin_scores(scores[:12], 5))) == 2


def test_sentences_are_divided_by_their_rarest_type():
    def sentence(*types):
        return Sentence("text", tuple(Entity(kind, 0, 1) for kind in types), 1)

    assert find_strata([sentence("A", "B"), sentence("A"), sentence(), sentence("A")]) == ["B", "A", "no entity", "A"]
