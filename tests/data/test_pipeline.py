import numpy as np
import pytest

from src.records.pipeline import make_dataset
from src.records.plan import TrainingPlan, plan_epoch
from src.records.record_set import RecordSet

COLUMNS = ("input_ids", "input_mask", "token_type_ids", "label_ids", "weights", "row_id")


@pytest.fixture(scope="module")
def record_set():
    random = np.random.default_rng(2)
    lengths = random.integers(2, 15, 29).astype(np.int32)
    tokens = random.integers(1, 50, lengths.sum()).astype(np.int32)
    return RecordSet(lengths, {"input_ids": tokens, "token_type_ids": tokens % 2}, {"label_ids": np.arange(29, dtype=np.int32) % 3})


def batches(record_set, plan, **ranks):
    dataset = make_dataset(record_set, plan, COLUMNS, **ranks)
    return [dict(zip(COLUMNS, values)) for values in dataset.create_tuple_iterator(num_epochs=1, output_numpy=True)]


@pytest.mark.parametrize("world_size", [2, 4])
def test_shares_of_all_ranks_are_the_global_batch(world_size, record_set):
    plan = TrainingPlan(record_set.lengths, (6, 10, 14), 8, 1, epochs=1.5)
    whole = batches(record_set, plan)
    shares = [batches(record_set, plan, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert len(whole) == len(plan) == 6
    for number, batch in enumerate(whole):
        assert batch["input_ids"].shape == (8, plan[number].length)
        for name in COLUMNS:
            share = [shares[rank][number][name] for rank in range(world_size)]
            assert {part.shape[0] for part in share} == {8 // world_size}
            interleaved = np.stack(share, 1).reshape(batch[name].shape)
            np.testing.assert_array_equal(interleaved, batch[name], err_msg=name)


def test_columns_are_those_of_their_rows(record_set):
    plan = plan_epoch(record_set.lengths, (6, 10, 14), 8, 1, 0)
    starts = np.cumsum(record_set.lengths) - record_set.lengths
    seen = []
    for batch in batches(record_set, plan):
        for place, row in enumerate(batch["row_id"]):
            if row < 0:
                continue
            seen.append(row)
            length = record_set.lengths[row]
            np.testing.assert_array_equal(batch["input_ids"][place][:length], record_set.tokens["input_ids"][starts[row] :][:length])
            assert not batch["input_ids"][place][length:].any()
            assert batch["input_mask"][place].sum() == length
            assert batch["label_ids"][place] == row % 3
    assert sorted(seen) == list(range(29))


def test_filler_rows_weigh_nothing_and_have_no_id(record_set):
    plan = plan_epoch(record_set.lengths, (14,), 8, 1, 0)
    found = batches(record_set, plan)
    weights = np.concatenate([batch["weights"] for batch in found])
    row_ids = np.concatenate([batch["row_id"] for batch in found])
    assert weights.dtype == np.float32
    assert row_ids.dtype == np.int32
    assert (row_ids == -1).sum() == 3
    np.testing.assert_array_equal(weights, row_ids >= 0)
    short = next(batch for batch in found if (batch["row_id"] < 0).any())
    np.testing.assert_array_equal(short["input_ids"][5:], short["input_ids"][[4] * 3])  # copies of the last real row


def test_batches_of_different_lengths_come_in_the_plans_order(record_set):
    plan = TrainingPlan(record_set.lengths, (6, 10, 14), 8, 5, epochs=2)
    assert [batch["input_ids"].shape[1] for batch in batches(record_set, plan)] == [plan[number].length for number in range(len(plan))]
    assert len({plan[number].length for number in range(len(plan))}) > 1


def test_a_dataset_begins_where_a_resumed_training_does(record_set):
    plan = TrainingPlan(record_set.lengths, (6, 10, 14), 8, 5, epochs=2)
    whole = batches(record_set, plan)
    for first in (1, 4, 7):
        rest = batches(record_set, plan, first=first)
        assert len(rest) == len(whole) - first
        for batch, expected in zip(rest, whole[first:]):
            for name in COLUMNS:
                np.testing.assert_array_equal(batch[name], expected[name])
