"""What the processes of tests/test_many_ranks.py run: `python ranks_job.py JOBS.json`, a list of [name, arguments].

A name is a run script, whose flags are the arguments, or one of the functions below.
"""

import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/train")]
BAD_STEP, BAD_RANK = 2, 1


def overflow(folder):
    """Four steps of a loss-scaled regression; in one of them the rows of one rank overflow. Each rank leaves its state."""
    from mindspore import Tensor
    from test_step import make_batch, make_saturating_step, make_step, state

    from src.ranks import find_rank_info
    from src.train.loss_scale import LossScale

    place = find_rank_info()
    steps = {
        "plain": make_step("Lamb", 0.1, loss_scale=LossScale(8.0, 2.0, 100), world_size=place.world_size),
        "each": make_step(
            "Lamb", 0.1, loss_scale=LossScale(8.0, 2.0, 100), world_size=place.world_size, accumulation_steps=2, reduce_late=False
        ),
        "saturating_post": make_saturating_step("Lamb", world_size=place.world_size, accumulation_steps=2),
    }
    for name, step in steps.items():
        states = []
        for number in range(4 * step.accumulation_steps):
            columns = make_batch(8, seed=number)
            if number == BAD_STEP * step.accumulation_steps:
                columns[0][BAD_RANK] = np.inf  # the first row of that rank
            step(*(Tensor(column[place.rank :: place.world_size]) for column in columns))
            states.append(state(step))
        stacked = {key: np.stack([each[key] for each in states]) for key in states[0]}
        np.savez(Path(folder) / f"{name}-{place.rank}-of-{place.world_size}.npz", **stacked)


def sizes(folder):
    """Arrays of other sizes on each rank reach all ranks as they are."""
    from src.config.training import DeviceSettings
    from src.ranks import find_rank_info
    from src.train import collectives

    place = find_rank_info()
    device = DeviceSettings(rank=place.rank, world_size=place.world_size)

    def arrays_of(rank):
        return [np.arange(rank * 1000, dtype=np.float64), np.array([[rank, 2], [3, 4]], np.uint8)][: 2 - rank % 2]

    gathered = collectives.gather_arrays(device, arrays_of(place.rank))
    for rank, arrays in enumerate(gathered):
        for found, expected in zip(arrays, arrays_of(rank), strict=True):
            assert found.dtype == expected.dtype and np.array_equal(found, expected)
    large = np.random.default_rng(place.rank).random(5_000_000)  # several pieces
    assert np.array_equal(collectives.broadcast(device, large), np.random.default_rng(0).random(5_000_000))
    assert collectives.largest(device, place.rank * 7) == (place.world_size - 1) * 7
    (Path(folder) / f"sizes-{place.rank}-of-{place.world_size}").touch()


def wait_for(path):
    """Until the file is there."""
    while not Path(path).exists():
        time.sleep(0.1)


if __name__ == "__main__":
    for name, arguments in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        if name in globals():
            globals()[name](*arguments)
        else:
            importlib.import_module(name).main(arguments)
