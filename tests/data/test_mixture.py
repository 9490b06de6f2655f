import numpy as np
import pytest

from src.records.joined import JoinedRecords
from src.records.mixture import Mixture
from src.records.plan import TrainingPlan
from src.records.record_set import Chunk, RecordSet
from src.tasks.pretrain.sources import Source, parse_sources

COUNTS, WEIGHTS = (30, 7, 12), (0.3, 0.5, 0.2)


def make_mixture(counts=COUNTS, weights=WEIGHTS, seed=3):
    return Mixture([f"source{number}" for number in range(len(counts))], counts, weights, seed)


def locate(mixture, row_ids):
    """Source, and row within it, of each row number, one by one."""
    numbered = [
        (source, row)
        for source, (count, repeat) in enumerate(zip(mixture.counts, mixture.repeats))
        for _ in range(repeat)
        for row in range(count)
    ]
    return [numbered[number] for number in row_ids]


def test_an_epoch_has_the_rows_of_all_sources_in_the_ratio_of_the_weights():
    mixture = make_mixture()
    assert mixture.num_rows == 49 and mixture.quotas == [15, 24, 10]  # 14.7, 24.5, 9.8: the largest remainders are rounded up
    for epoch in range(9):
        rows = mixture.rows(epoch)
        assert len(set(rows)) == 49
        assert mixture.count_rows(rows).tolist() == mixture.quotas
    assert "source1 rows=24 passes=3.429" in mixture.describe()


@pytest.mark.parametrize("weights", [(1, 1, 1), (8, 1, 1), (0.001, 0.5, 0.499), (30, 7, 12)])
def test_a_source_that_ends_begins_again(weights):
    """Each row of a source has been taken as often as any other, or once more; passes have different orders."""
    mixture, taken = make_mixture(weights=[weight + 0.01 for weight in weights]), [[] for _ in COUNTS]
    for epoch in range(8):
        for source, row in locate(mixture, mixture.rows(epoch)):
            taken[source].append(row)
        for count, rows in zip(COUNTS, taken):
            times = np.bincount(rows, minlength=count)
            assert times.max() - times.min() <= 1


def test_passes_go_on_in_the_next_epoch_in_another_order():
    mixture = make_mixture((10, 90), (0.05, 0.95))  # 5 of the first source's 10 rows in each epoch
    halves = [sorted(row for source, row in locate(mixture, mixture.rows(epoch)) if source == 0) for epoch in range(6)]
    for first, second in (halves[:2], halves[2:4], halves[4:]):
        assert sorted(first + second) == list(range(10))
    assert len({tuple(half) for half in halves[::2]}) == 3


def test_epochs_depend_on_the_seed_and_not_on_what_was_asked_for_before():
    first, again = make_mixture(), make_mixture()
    expected = [first.rows(epoch) for epoch in range(4)]
    for epoch in (3, 0, 2, 1):
        np.testing.assert_array_equal(again.rows(epoch), expected[epoch])
    assert any(not np.array_equal(make_mixture(seed=4).rows(epoch), expected[epoch]) for epoch in range(4))


def make_plan(mixture, **settings):
    lengths = np.concatenate([np.tile(np.arange(count) + 1, repeat) for count, repeat in zip(mixture.counts, mixture.repeats)])
    return TrainingPlan(lengths, (16, 30), 4, 1, **{"epochs": 5, "mixture": mixture, **settings})


def test_a_plan_has_each_row_of_the_epoch_once():
    mixture = make_mixture()
    plan = make_plan(mixture, accumulation_steps=3)
    assert plan.batches_per_epoch == 13 and plan.rows_per_epoch == 49
    for epoch in range(5):
        batches = [plan[number] for number in range(epoch * 13, min(epoch * 13 + 13, len(plan)))]
        if len(batches) == 13:
            rows = np.concatenate([batch.row_ids[: batch.num_real] for batch in batches])
            np.testing.assert_array_equal(np.sort(rows), np.sort(mixture.rows(epoch)))
        for batch in batches:
            assert plan.row_lengths[batch.row_ids].max() <= batch.length


def test_a_plan_that_begins_later_is_the_same_on_any_number_of_ranks():
    whole, resumed = make_plan(make_mixture()), make_plan(make_mixture())
    for number in range(29, len(whole)):
        shares = [resumed[number].share(rank, 2).row_ids for rank in range(2)]
        np.testing.assert_array_equal(np.stack(shares, 1).ravel(), whole[number].row_ids)


def test_a_source_without_a_row_is_refused():
    with pytest.raises(ValueError, match="the weight 0.001 gives source1 none of the 49 rows of an epoch"):
        make_mixture(weights=(1, 0.001, 1))


class InMemory(RecordSet):
    @property
    def predictions(self):
        return self.rows["number"] + np.float32(0.5)


def make_source(first, lengths, **more):
    lengths = np.array(lengths, np.int32)
    tokens = {"input_ids": first + np.arange(lengths.sum()), **more}
    chunk = Chunk(lengths, tokens, {"number": first + np.arange(len(lengths))})
    return InMemory(chunk.lengths, chunk.tokens, chunk.rows, largest=chunk.maxima(), key=first)


def test_joined_rows_are_those_of_their_sources():
    sources = [make_source(0, [3, 1]), make_source(100, [2]), make_source(200, [1, 4, 2])]
    joined = JoinedRecords(sources, [1, 3, 2])
    assert joined.lengths.tolist() == [3, 1, 2, 2, 2, 1, 4, 2, 1, 4, 2]
    assert joined.predictions.tolist() == [0.5, 1.5, *[100.5] * 3, *[200.5, 201.5, 202.5] * 2]
    taken = joined.take(np.array([0, 2, 4, 6, 7, 9]))
    assert taken.rows["number"].tolist() == [0, 100, 100, 201, 202, 201]
    assert taken.tokens["input_ids"].tolist() == [0, 1, 2, *[100, 101] * 2, 201, 202, 203, 204, 205, 206, 201, 202, 203, 204]
    assert joined.take(np.array([5])).tokens["input_ids"].tolist() == [200]
    keys = {JoinedRecords(sources, [1, 1, 1], about).key for about in (None, [1, 2, 3])}
    assert len(keys | {JoinedRecords(sources[::-1], [1, 1, 1]).key}) == 3


def test_a_column_that_not_all_sources_have_is_left_out():
    joined = JoinedRecords([make_source(0, [2], word_continues=np.array([0, 1])), make_source(100, [1])], [1, 1])
    assert joined.maxima() == {"lengths": 2, "input_ids": 100, "number": 100}
    for rows in ([0, 1], [0], [1]):
        assert joined.take(np.array(rows)).tokens.keys() == {"input_ids"}


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("wiki", "news", "a:b", "c,d:0.5"):
        (tmp_path / name).mkdir()


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("wiki", [("wiki", None)]),
        ("wiki, news", [("wiki", None), ("news", None)]),
        ("wiki:0.7,news:.3", [("wiki", 0.7), ("news", 0.3)]),
        ("wiki:7,news:0", [("wiki", 7)]),
        ("a:b", [("a:b", None)]),
        ("a:b:2,news:1", [("a:b", 2), ("news", 1)]),
        ("c,d:0.5", [("c,d:0.5", None)]),
        ("absent", [("absent", None)]),
        ("absent:x,news", [("absent:x", None), ("news", None)]),
    ],
)
def test_sources_are_understood(text, sources, folders):
    assert parse_sources(text) == [Source(path, weight) for path, weight in sources]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wiki:x,news:1", "wiki: the weight 'x' is not a number"),
        ("wiki:,news:1", "wiki: the weight '' is not a number"),
        ("wiki:-1,news:1", "wiki: the weight is -1, but must be 0 or above, and finite"),
        ("wiki:nan,news:1", "wiki: the weight is nan"),
        ("wiki:inf,news:1", "wiki: the weight is inf"),
        ("wiki:0,news:0", "the weights sum to 0"),
        ("wiki:1e308,news:1e308", "the weights sum to inf; a finite sum above 0 is expected"),
        ("wiki,./wiki", "./wiki is named twice"),
        ("wiki:1,news", "news has no weight; give every source one, as in wiki:0.7,news:0.3, or none"),
        ("wiki:1,wiki:1", "wiki is named twice"),
        (",", "a name is empty; folders or files are expected"),
        (" , ,", "a name is empty"),
        ("wiki,,news", "a name is empty"),
        ("wiki,", "a name is empty"),
        (":0.5,wiki:0.5", "a name is empty"),
        (":x,wiki", "the weight 'x' is not a number"),
    ],
)
def test_bad_weights_are_refused(text, message, folders):
    with pytest.raises(ValueError, match="data_dir=") as caught:
        parse_sources(text)
    assert message in str(caught.value)
