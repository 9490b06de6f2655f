import numpy as np
import pytest

from src.records.packing import Packing, choose_packing, compose, find_slots, make_columns
from src.records.plan import TrainingPlan, plan_epoch

KINDS = {  # rows, and their lengths, like those of real sets: shape and scale of a gamma distribution, shortest and longest row
    "sentences": (2000, 6, 1.9, 4, 47),
    "pairs": (2490, 3, 22, 12, 290),
    "questions": (1000, 8, 21, 40, 384),
}


def make_lengths(kind, seed=0):
    count, shape, scale, shortest, longest = KINDS[kind]
    return np.clip(np.random.default_rng(seed).gamma(shape, scale, count), shortest, longest).astype(np.int32)


def plan_of(lengths, batch_size=32, epoch=0, shuffle=True, seed=1, world_size=1, multiple=1):
    longest, packing = choose_packing(lengths, batch_size, world_size, multiple)
    return plan_epoch(lengths, (longest,), batch_size, seed, epoch, shuffle, packing)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 803])
@pytest.mark.parametrize("shuffle", [True, False])
def test_each_row_is_in_one_batch_exactly(count, shuffle):
    plan = plan_of(make_lengths("pairs")[:count], 8, shuffle=shuffle)
    assert len(plan) == -(-count // 8)
    rows = np.concatenate([plan[number].row_ids[: plan[number].num_real] for number in range(len(plan))])
    assert sorted(rows) == list(range(count))
    short = plan[int(plan.num_real.argmin())]
    assert (short.row_ids[short.num_real :] == short.row_ids[short.num_real - 1]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_little_is_padding(kind):
    lengths = make_lengths(kind)
    plan = plan_of(lengths)
    in_order = plan_epoch(lengths, (int(lengths.max()),), 32, 1, 0)
    assert plan.padding_share(lengths) < 0.06 < 0.5 * in_order.padding_share(lengths)


@pytest.mark.parametrize("kind", ["pairs", "questions"])
@pytest.mark.parametrize("world_size", [1, 3, 8])
def test_the_packs_hold_every_rank_s_share_of_every_batch_in_every_epoch(kind, world_size):
    lengths = make_lengths(kind)
    for epoch in range(2):
        plan = plan_of(lengths, 8 * world_size, epoch, world_size=world_size)
        for number in range(len(plan)):
            for rank in range(world_size):
                share = plan[number].share(rank, world_size)
                assert share.packing.packs * world_size == plan.packing.packs
                slots = find_slots(lengths[share.row_ids][None], share.packing.packs, share.packing.slots)[0]
                taken = np.concatenate([np.arange(slot, slot + length) for slot, length in zip(slots, lengths[share.row_ids])])
                assert len(set(taken)) == len(taken)  # no two tokens in one slot
                assert (slots // share.packing.slots == (slots + lengths[share.row_ids] - 1) // share.packing.slots).all()  # no row in two
                assert taken.min() >= 0 and taken.max() < share.packing.num_slots


def test_a_plan_depends_on_the_global_batch_and_not_on_the_ranks():
    lengths = make_lengths("pairs")
    alone, shared = plan_of(lengths, 64), plan_of(lengths, 64, world_size=8)
    np.testing.assert_array_equal(alone.row_ids, shared.row_ids)


def test_ranks_get_nearly_equal_shares():
    lengths = make_lengths("pairs")
    row_ids, num_real = compose(lengths, 64, None)
    for world_size in (2, 4, 8):
        tokens = np.stack([lengths[row_ids[num_real == 64, rank::world_size]].sum(1) for rank in range(world_size)])
        assert np.ptp(tokens, axis=0).max() < lengths.max()
        assert np.ptp(tokens, axis=0).mean() < 0.25 * tokens.mean()  # of eight rows; by chance it would be 0.6


def test_an_epoch_mixes_rows_of_one_length_anew():
    lengths = make_lengths("sentences")
    epochs = [plan_of(lengths, epoch=epoch) for epoch in range(2)]

    def pairs(plan):
        return {(a, b) for rows in plan.row_ids for a in rows for b in rows if a < b}

    first, second = map(pairs, epochs)
    assert len(first & second) / len(first) < 3 * 31 / (len(lengths) - 1)  # by chance 31 of all others meet a row again
    assert (plan_of(lengths).row_ids == epochs[0].row_ids).all()
    assert (plan_of(lengths, seed=2).row_ids != epochs[0].row_ids).any()


def test_evaluation_takes_the_same_batches_each_time():
    lengths = make_lengths("pairs")
    np.testing.assert_array_equal(plan_of(lengths, shuffle=False).row_ids, plan_of(lengths, shuffle=False, seed=9, epoch=3).row_ids)


def test_any_batch_of_a_training_can_be_asked_for_first():
    lengths = make_lengths("pairs")[:100]
    longest, packing = choose_packing(lengths, 8, 1, 1)
    settings = {"epochs": 3, "accumulation_steps": 2, "packing": packing}
    forwards = TrainingPlan(lengths, (longest,), 8, 1, **settings)
    expected = [forwards[number] for number in range(len(forwards))]
    plan = TrainingPlan(lengths, (longest,), 8, 1, **settings)
    for number in reversed(range(len(plan))):
        np.testing.assert_array_equal(plan[number].row_ids, expected[number].row_ids)
        assert plan[number].packing == packing
        assert sum(map(len, dict(plan[number].update).values())) == sum(expected[number // 2 * 2 + part].num_real for part in (0, 1))


def test_a_training_of_whole_batches_leaves_rows_of_all_lengths_out():
    lengths = make_lengths("pairs")[:100]
    longest, packing = choose_packing(lengths, 8, 1, 1)
    plan = TrainingPlan(lengths, (longest,), 8, 1, drop_short=True, packing=packing)
    assert len(plan) == 12
    assert {plan[number].num_real for number in range(12)} == {8}


def test_lengths_are_multiples():
    for multiple in (8, 16):
        lengths = make_lengths("pairs")
        longest, packing = choose_packing(lengths, 32, 1, multiple)
        assert longest == -(-lengths.max() // multiple) * multiple
        assert packing.slots % multiple == 0 and packing.slots >= longest


def test_rows_of_full_length_stand_alone():
    assert choose_packing(np.full(64, 512, np.int32), 8, 1, 1) == (512, Packing(8, 512))


def test_a_row_longer_than_the_given_length_is_refused():
    lengths = np.array([3, 40], np.int32)
    with pytest.raises(ValueError, match="bucket_list=\\(8,\\): a row has 40 tokens"):
        plan_epoch(lengths, (8,), 2, 1, 0, packing=choose_packing(lengths, 2, 1, 1)[1])


def test_columns_are_inverse_and_padding_points_to_the_rows_first_token():
    lengths = np.array([3, 5, 2, 4], np.int32)
    columns = make_columns(lengths, 6, Packing(2, 8))
    tokens, slots = columns["packed_tokens"], columns["token_slots"]
    assert tokens.shape == (2, 8) and slots.shape == (4, 6)
    assert tokens.dtype == slots.dtype == np.int32
    assert (tokens == -1).sum() == 16 - lengths.sum()
    for row, length in enumerate(lengths):
        np.testing.assert_array_equal(tokens.reshape(-1)[slots[row, :length]], row * 6 + np.arange(length))
        np.testing.assert_array_equal(np.diff(slots[row, :length]), 1)
        assert (slots[row, length:] == slots[row, 0]).all()
