import asyncio
import random
import threading
from dataclasses import dataclass

import pytest
from serving import serving, wait_until

from src.serve.batching import PADDING, Batcher, ComputeError, split_window


@dataclass
class Row:
    input_ids: range
    owner: str = ""


class Recorder:
    """Computes nothing, remembers every batch; `gate` holds it up."""

    def __init__(self, failing=()):
        self.batches, self.failing = [], failing
        self.gate = threading.Semaphore(0)

    def compute(self, rows):
        assert self.gate.acquire(timeout=10)
        self.batches.append([row.owner for row in rows])
        if any(row.owner in self.failing for row in rows):
            raise RuntimeError("a bad row")
        return [(row.owner, len(row.input_ids)) for row in rows]

    def observe_batch(self, rows, tokens, padded, seconds):
        assert padded >= tokens >= rows


def run(recorder, requests, max_batch_tokens=64, first_batch=True, **options):
    """Outputs of requests {owner: lengths} that all wait together, the first one ahead of the others."""

    async def all_outputs():
        batcher = Batcher(recorder.compute, max_batch_tokens, options.get("max_wait", 0), options.get("on_their_way", int), recorder)
        batcher.start()
        tasks = []
        for number, (owner, lengths) in enumerate(requests.items()):
            tasks.append(asyncio.ensure_future(batcher.outputs([Row(range(length), owner) for length in lengths])))
            await asyncio.sleep(0.02 if number == 0 else 0)
        await asyncio.sleep(0)
        for _ in range(1000):
            recorder.gate.release()
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
        assert (batcher.waiting_rows, batcher.waiting_tokens, len(batcher.jobs)) == (0, 0, 0)
        batcher.close()
        return dict(zip(requests, results))

    return asyncio.run(all_outputs())


def test_every_output_goes_to_its_owner_in_order():
    draw = random.Random(3)
    requests = {f"r{number}": [draw.randint(1, 50) for _ in range(draw.choice([0, 1, 2, 30]))] for number in range(60)}
    recorder = Recorder()
    results = run(recorder, requests)
    assert results == {owner: [(owner, length) for length in lengths] for owner, lengths in requests.items()}
    assert sum(map(len, recorder.batches)) == sum(map(len, requests.values()))


def test_waiting_requests_share_a_batch():
    recorder = Recorder()
    run(recorder, {"first": [4], **{f"r{number}": [4] for number in range(20)}})
    assert [len(batch) for batch in recorder.batches] == [1, 16, 4]  # 64 tokens hold 16 rows of 4


def test_batches_hold_rows_of_about_one_length():
    recorder = Recorder()
    run(recorder, {"first": [1], "short": [5] * 10, "long": [500] * 3, "also short": [6] * 10}, max_batch_tokens=2000)
    assert sorted(map(len, recorder.batches)) == [1, 3, 20]


def test_padding_costs_less_than_calls_would():
    draw = random.Random(4)
    for _ in range(200):
        lengths = sorted((draw.randint(1, 128) for _ in range(draw.randint(1, 60))), reverse=True)
        job = type("Job", (), {"lengths": lengths})
        parts = list(split_window([(job, index) for index in range(len(lengths))], 512))
        assert [index for part in parts for _, index in part] == list(range(len(lengths)))
        for part in parts:
            members = [lengths[index] for _, index in part]
            assert len(members) * max(members) <= 512 or len(members) == 1
            assert len(members) * max(members) - sum(members) <= PADDING


def test_a_row_longer_than_a_batch_is_a_batch_of_its_own():
    recorder = Recorder()
    assert run(recorder, {"first": [1], "long": [100], "short": [99]})["long"] == [("long", 100)]
    assert [len(batch) for batch in recorder.batches] == [1, 1, 1]


def test_a_huge_request_lets_small_ones_through():
    recorder = Recorder()
    run(recorder, {"huge": [8] * 800, **{f"small{number}": [20] for number in range(10)}})
    last = max(number for number, batch in enumerate(recorder.batches) if any(owner.startswith("small") for owner in batch))
    assert last <= 8 and len(recorder.batches) > 90


def test_small_requests_do_not_starve_a_huge_one():
    recorder = Recorder()
    run(recorder, {"first": [9], "huge": [30] * 8, **{f"small{number}": [9] for number in range(600)}})
    with_huge = [number for number, batch in enumerate(recorder.batches) if "huge" in batch]
    assert with_huge[0] <= 2 and sum(map(len, recorder.batches)) == 609


def test_a_row_that_breaks_the_network_fails_alone():
    recorder = Recorder(failing={"bad"})
    results = run(recorder, {"first": [3], "good": [3, 4], "bad": [3, 3], "fine": [3]})
    assert isinstance(results["bad"], ComputeError)
    assert (results["good"], results["fine"]) == ([("good", 3), ("good", 4)], [("fine", 3)])


def test_a_cancelled_request_leaves_the_queue():
    async def cancelled():
        recorder = Recorder()
        batcher = Batcher(recorder.compute, 4, 0, int, recorder)
        batcher.start()
        first = asyncio.ensure_future(batcher.outputs([Row(range(4), "first")]))
        await asyncio.sleep(0.02)
        second = asyncio.ensure_future(batcher.outputs([Row(range(4), "second")] * 5))
        await asyncio.sleep(0)
        assert batcher.waiting_rows == 5
        second.cancel()
        await asyncio.sleep(0)
        assert (batcher.waiting_rows, batcher.waiting_tokens, first.done()) == (0, 0, False)
        recorder.gate.release()
        await first
        batcher.close()
        return recorder.batches

    assert asyncio.run(cancelled()) == [["first"]]


@pytest.mark.parametrize(("coming", "batches"), [(1, 1), (0, 2)])
def test_a_batch_waits_for_rows_on_their_way_and_for_nothing_else(coming, batches):
    recorder = Recorder()
    run(recorder, {"first": [4], "second": [4]}, max_wait=0.2, on_their_way=lambda: coming)
    assert len(recorder.batches) == batches


def test_concurrent_requests_over_http_are_batched_and_answered_rightly():
    with serving(seconds=0.01) as served:
        texts = [f"{'good ' * (number % 9)}{'bad ' * (number % 7)}" for number in range(120)]
        answers = [served.send_later(text) for text in texts]
        results = [answer().json()["predictions"][0] for answer in answers]
        batches = list(served.bundle.batches)
        assert results == served.bundle.predict(texts)
        assert sum(map(len, batches)) == 120 and len(batches) < 80


def test_small_requests_overtake_a_huge_one_over_http():
    with serving(seconds=0.02, max_batch_tokens=64) as served:
        huge = served.send_later(*["one two"] * 600)
        wait_until(lambda: served.bundle.batches)
        for _ in range(3):
            assert served.predict("a good one").status_code == 200
        assert served.predictor.batcher.waiting_rows > 0
        assert len(huge().json()["predictions"]) == 600
