import itertools

import numpy as np
import pytest

from src.records.plan import MAX_BUCKETS, TrainingPlan, choose_buckets, plan_epoch

SAVING = 0.04  # what one bucket more must save: the rule under test, written here a second time on purpose


def make_lengths(count, seed=0, top=60):
    return np.random.default_rng(seed).integers(3, top, count).astype(np.int32)


def plan_of(lengths, batch_size=8, seed=1, epoch=0, shuffle=True, buckets=(16, 32, 64)):
    return plan_epoch(lengths, buckets, batch_size, seed, epoch, shuffle)


def batches_of(plan):
    return [plan[number] for number in range(len(plan))]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 803])
@pytest.mark.parametrize("shuffle", [True, False])
def test_each_row_is_in_one_batch_exactly(count, shuffle):
    plan = plan_of(make_lengths(count), shuffle=shuffle)
    assert len(plan) == -(-count // 8)
    assert sorted(np.concatenate([batch.row_ids[: batch.num_real] for batch in batches_of(plan)])) == list(range(count))


def test_filler_rows_copy_the_last_real_row_of_the_short_batch():
    plan = plan_of(make_lengths(803))
    short = np.flatnonzero(plan.num_real < 8)
    assert len(short) == 1
    assert plan.num_real[short] == 3
    row = plan.row_ids[short[0]]
    assert (row[3:] == row[2]).all()
    np.testing.assert_array_equal(plan[int(short[0])].is_real, [True] * 3 + [False] * 5)


def test_seed_and_epoch_alone_decide_the_order():
    lengths = make_lengths(200)
    first = plan_of(lengths, seed=3, epoch=2)
    np.testing.assert_array_equal(first.row_ids, plan_of(lengths, seed=3, epoch=2).row_ids)
    for seed, epoch in ((4, 2), (3, 3), (2, 3)):
        assert (first.row_ids != plan_of(lengths, seed=seed, epoch=epoch).row_ids).any()


def test_every_batch_gets_the_smallest_bucket_that_holds_it():
    lengths, buckets = make_lengths(500), (16, 32, 64)
    plan = plan_of(lengths, buckets=buckets)
    longest = lengths[plan.row_ids].max(1)
    assert list(plan.lengths) == [min(bucket for bucket in buckets if bucket >= length) for length in longest]
    assert set(plan.lengths) == set(buckets)


def test_row_longer_than_every_bucket_is_refused():
    with pytest.raises(ValueError, match="40 tokens"):
        plan_epoch(np.array([3, 40]), (8, 32), 2, 1, 0)


def test_evaluation_is_packed_best():
    lengths = make_lengths(500)
    packed = plan_of(lengths, shuffle=False)
    assert (np.diff(packed.lengths) >= 0).all()
    assert packed.padding_share(lengths) <= plan_of(lengths).padding_share(lengths)


def test_rows_of_a_bucket_keep_a_random_order():
    lengths = make_lengths(400)  # one window
    in_order = lengths[np.concatenate([batch.row_ids for batch in sorted(batches_of(plan_of(lengths)), key=lambda batch: batch.length)])]
    rising = [(np.diff(in_order[(in_order > low) & (in_order <= high)]) > 0).mean() for low, high in ((0, 16), (16, 32), (32, 64))]
    assert all(0.35 < share < 0.6 for share in rising)  # of random neighbours nearly half rise; sorted ones never fall


def test_padding_share_counts_places_without_a_token():
    lengths = np.array([2, 3, 4], np.int32)
    plan = plan_epoch(lengths, (3, 4), 2, 1, 0, shuffle=False)
    # batches [2, 3] in 2 * 3 places and [4, filler] in 2 * 4 places
    assert plan.padding_share(lengths) == pytest.approx(1 - 9 / 14)


@pytest.mark.parametrize(("epochs", "batches"), [(1, 13), (2, 26), (0.5, 6), (1.5, 20), (2.25, 29), (0.01, 1)])
def test_fractional_epochs_cut_the_plan(epochs, batches):
    lengths = make_lengths(100)
    plan = TrainingPlan(lengths, (64,), 8, 1, epochs=epochs)
    assert plan.batches_per_epoch == 13
    assert len(plan) == plan.updates == batches
    whole = np.concatenate([plan_epoch(lengths, (64,), 8, 1, epoch).row_ids for epoch in range(3)])
    for number, batch in enumerate(batches_of(plan)):
        np.testing.assert_array_equal(batch.row_ids, whole[number])
        assert batch.epoch == number // 13


def test_a_number_of_updates_goes_round_the_rows_as_often_as_needed():
    plan = TrainingPlan(make_lengths(100), (64,), 8, 1, updates=20, accumulation_steps=3)
    assert (plan.updates, len(plan)) == (20, 60)
    assert plan[59].epoch == 4


@pytest.mark.parametrize("accumulation_steps", [1, 2, 5])
def test_an_update_is_known_to_all_its_batches(accumulation_steps):
    plan = TrainingPlan(make_lengths(100), (16, 32, 64), 8, 1, epochs=3, accumulation_steps=accumulation_steps)
    batches = batches_of(plan)
    for number, batch in enumerate(batches):
        first = number // accumulation_steps * accumulation_steps
        members = batches[first : first + accumulation_steps]
        assert [epoch for epoch, _ in batch.update] == sorted({part.epoch for part in members})
        for epoch, rows in batch.update:
            np.testing.assert_array_equal(rows, np.concatenate([part.row_ids[: part.num_real] for part in members if part.epoch == epoch]))


def test_any_batch_can_be_asked_for_first():
    lengths = make_lengths(100)
    forwards = batches_of(TrainingPlan(lengths, (16, 32, 64), 8, 1, epochs=3))
    plan = TrainingPlan(lengths, (16, 32, 64), 8, 1, epochs=3)
    for number in reversed(range(len(plan))):
        np.testing.assert_array_equal(plan[number].row_ids, forwards[number].row_ids)


def test_a_training_of_whole_batches_leaves_the_short_one_out():
    plan = TrainingPlan(make_lengths(100), (16, 32, 64), 8, 1, epochs=2, drop_short=True)
    assert len(plan) == 24
    assert {batch.num_real for batch in batches_of(plan)} == {8}
    with pytest.raises(ValueError, match="not one whole batch"):
        TrainingPlan(make_lengths(5), (64,), 8, 1, drop_short=True)


def test_more_micro_batches_than_batches_are_refused():
    with pytest.raises(ValueError, match="accumulation_steps=14, but the whole training has 13 batches"):
        TrainingPlan(make_lengths(100), (64,), 8, 1, accumulation_steps=14)


def test_one_bucket_leaves_the_rows_where_chance_put_them():
    lengths = make_lengths(400)
    rows = plan_of(lengths, buckets=(64,)).row_ids
    spread = np.ptp(lengths[rows], axis=1)
    assert spread.mean() > 2 * np.ptp(lengths[plan_of(lengths).row_ids], axis=1).mean()


def test_shares_of_a_batch_keep_its_filler():
    batch = plan_of(make_lengths(11))[int(np.argmin(plan_of(make_lengths(11)).num_real))]
    assert batch.num_real == 3
    shares = [batch.share(rank, 4) for rank in range(4)]
    assert [share.num_real for share in shares] == [1, 1, 1, 0]
    np.testing.assert_array_equal(np.stack([share.row_ids for share in shares], 1).reshape(-1), batch.row_ids)


def batch_maxima(lengths, batch_size, seed, shuffle):
    longest = int(lengths.max())
    plan = plan_epoch(lengths, (*range(1, longest + 1),), batch_size, seed, 0, shuffle)
    return plan.lengths, longest


def cost(maxima, buckets):
    return sum(min(bucket for bucket in buckets if bucket >= length) for length in maxima)


def best_costs(maxima, longest, multiple):
    """The least cost with 1, 2, … buckets, by trying every set of lengths; the last always holds the longest row."""
    top = -(-longest // multiple) * multiple
    candidates = sorted({-(-int(length) // multiple) * multiple for length in maxima} - {top})
    return [
        min(cost(maxima, (*chosen, top)) for size in range(count + 1) for chosen in itertools.combinations(candidates, size))
        for count in range(MAX_BUCKETS)
    ]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("multiple", [1, 8])
def test_chosen_buckets_cost_as_little_as_the_best_of_their_number(seed, shuffle, multiple):
    random = np.random.default_rng(seed)
    lengths = np.maximum(3, random.gamma(2.0, 6.0, random.integers(1, 120))).astype(np.int32)
    buckets = choose_buckets(lengths, 4, seed, shuffle, multiple)
    maxima, longest = batch_maxima(lengths, 4, seed, shuffle)
    best = best_costs(maxima, longest, multiple)
    assert cost(maxima, buckets) == best[len(buckets) - 1]
    for count in range(1, len(buckets)):
        assert best[count] <= best[count - 1] * (1 - SAVING)
    if len(buckets) < MAX_BUCKETS:
        assert best[len(buckets)] > best[len(buckets) - 1] * (1 - SAVING)


@pytest.mark.parametrize("multiple", [1, 8, 32])
def test_buckets_are_few_ascending_multiples_that_hold_the_longest_row(multiple):
    counts = set()
    for seed in range(8):
        lengths = make_lengths(400, seed, top=12 * (seed + 1))
        buckets = choose_buckets(lengths, 8, seed, multiple=multiple)
        assert 1 <= len(buckets) <= MAX_BUCKETS == 4
        assert list(buckets) == sorted(set(buckets))
        assert all(bucket % multiple == 0 for bucket in buckets)
        assert lengths.max() <= buckets[-1] < lengths.max() + multiple
        counts.add(len(buckets))
    assert multiple == 32 or 4 in counts


def test_one_length_makes_one_bucket():
    assert choose_buckets(np.full(50, 17), 8, 1) == (17,)


def test_more_buckets_pad_less_than_one():
    lengths = make_lengths(1000, top=128)
    one, several = ((128,), choose_buckets(lengths, 16, 1))
    assert plan_of(lengths, 16, buckets=several).padding_share(lengths) < plan_of(lengths, 16, buckets=one).padding_share(lengths)
