import numpy as np
import pytest

from src.records.plan import TrainingPlan
from src.records.record_set import RecordSet
from src.tasks.pretrain.keyed_random import make_keys
from src.tasks.pretrain.masks import Masking, draw_masks
from src.tasks.pretrain.rows import PretrainRows

PAD, CLS, SEP, MASK = 0, 2, 3, 4
MASKING = Masking(mask_id=MASK, vocab_size=90, special_ids=(PAD, CLS, SEP), probability=0.15, max_predictions=5)
NAMES = ("input_ids", "masked_lm_positions", "masked_lm_ids", "masked_lm_weights")


def make_records(count=40, seed=0, continues=False):
    """Rows with masks of their own, and the tokens before them."""
    random = np.random.default_rng(seed)
    lengths = random.integers(6, 30, count).astype(np.int32)
    true = [np.array([CLS, *random.integers(10, 90, length - 2), SEP], np.int32) for length in lengths]
    padded = np.zeros((count, 30), np.int32)
    for row, ids in enumerate(true):
        padded[row, : len(ids)] = ids
    masked, *rest = draw_masks(padded, lengths, make_keys(9, 0, np.arange(count)), MASKING)
    tokens = {"input_ids": masked[np.arange(30) < lengths[:, None]], "token_type_ids": np.zeros(lengths.sum(), np.int32)}
    if continues:
        tokens["word_continues"] = (np.arange(lengths.sum()) % 2 == 0).astype(np.int32)
    rows = dict(zip(NAMES[1:], rest)) | {"next_sentence_labels": np.zeros(count, np.int32)}
    return InMemory(lengths, tokens, rows), true


class InMemory(RecordSet):
    """Stands for StreamedRecords."""

    @property
    def predictions(self):
        return self.rows["masked_lm_weights"].sum(1)

    def maxima(self):
        return super().maxima() | {"width": self.rows["masked_lm_weights"].shape[1]}


def columns(rows, batch):
    return {name: rows.column(name, batch) for name in (*NAMES, "rows_per_token")}


def make_plan(records, **settings):
    return TrainingPlan(records.lengths, (12, 30), 8, 1, **{"epochs": 3, **settings})


def assert_masks_hide(found, true, batch):
    """Masked columns belong to the true tokens of the batch's rows."""
    for index, row in enumerate(batch.row_ids):
        ids, real = true[row], found["masked_lm_weights"][index] > 0
        positions = found["masked_lm_positions"][index][real]
        assert len(set(positions)) == real.sum() == min(5, max(1, round(len(ids) * 0.15)))
        np.testing.assert_array_equal(found["masked_lm_ids"][index][real], ids[positions])
        assert not set(ids[positions]) & {CLS, SEP}
        others = np.setdiff1d(np.arange(len(ids)), positions)
        np.testing.assert_array_equal(found["input_ids"][index][others], ids[others])
        assert not found["input_ids"][index][len(ids) :].any()


def test_drawn_masks_hide_the_tokens_below_the_records_own():
    records, true = make_records()
    rows = PretrainRows(records, MASKING, seed=1)
    plan = make_plan(records)
    for number in range(len(plan)):
        found = columns(rows, plan[number])
        assert found["input_ids"].shape == (8, plan[number].length)
        assert_masks_hide(found, true, plan[number])


def test_masks_are_drawn_anew_each_epoch_and_again_the_same():
    records, _ = make_records()
    plan = make_plan(records)
    first, again = (PretrainRows(records, MASKING, seed=1) for _ in range(2))
    by_epoch = [{}, {}, {}]
    for number in range(len(plan)):
        batch = plan[number]
        for row, positions in zip(batch.row_ids, first.column("masked_lm_positions", batch)):
            by_epoch[batch.epoch][row] = tuple(positions)
    assert sum(by_epoch[0][row] != by_epoch[1][row] for row in range(40)) > 20
    assert sum(by_epoch[1][row] != by_epoch[2][row] for row in range(40)) > 20
    for number in reversed(range(len(plan))):  # whatever was asked for before
        for name, values in columns(again, plan[number]).items():
            np.testing.assert_array_equal(values, first.column(name, plan[number]), err_msg=name)
    assert (columns(PretrainRows(records, MASKING, seed=2), plan[0])["input_ids"] != columns(first, plan[0])["input_ids"]).any()


@pytest.mark.parametrize("masking", [None, MASKING], ids=["static", "dynamic"])
@pytest.mark.parametrize("accumulation_steps", [1, 3, 4])  # 6 batches an epoch: updates of 4 reach into the next one
def test_rows_per_token_counts_the_whole_update_without_filler(masking, accumulation_steps):
    records, _ = make_records(43)
    rows, plan = PretrainRows(records, masking, 1), make_plan(records, accumulation_steps=accumulation_steps)
    for update in range(plan.updates):
        batches = [plan[number] for number in range(update * accumulation_steps, (update + 1) * accumulation_steps)]
        real = sum(batch.num_real for batch in batches)
        masked = sum(rows.column("masked_lm_weights", batch)[: batch.num_real].sum() for batch in batches)
        for batch in batches:
            found = rows.column("rows_per_token", batch)
            assert found.dtype == np.float32
            assert found == pytest.approx(real / masked, rel=1e-6)


def test_whole_words_stay_whole():
    records, true = make_records(continues=True)
    rows, plan = PretrainRows(records, MASKING, seed=1), make_plan(records)
    starts = np.cumsum(records.lengths) - records.lengths
    words_of_two = 0
    for number in range(len(plan)):
        batch = plan[number]
        found = columns(rows, batch)
        for index, row in enumerate(batch.row_ids):
            continues = records.tokens["word_continues"][starts[row] :][: records.lengths[row]].astype(bool)
            chosen = np.zeros(records.lengths[row], bool)
            chosen[found["masked_lm_positions"][index][found["masked_lm_weights"][index] > 0]] = True
            inner = np.arange(2, records.lengths[row] - 1)  # the first token behind [CLS] begins a word in any case
            joined = inner[continues[inner]]
            np.testing.assert_array_equal(chosen[joined], chosen[joined - 1])
            words_of_two += chosen[joined].sum()
    assert words_of_two > 0


def test_static_masks_are_those_of_the_records():
    records, true = make_records()
    rows, plan = PretrainRows(records), make_plan(records)
    for number in range(len(plan)):
        found = columns(rows, plan[number])
        assert_masks_hide(found, true, plan[number])
        np.testing.assert_array_equal(found["masked_lm_positions"], records.rows["masked_lm_positions"][plan[number].row_ids])
