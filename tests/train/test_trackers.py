"""What trackers get of a training; their libraries are played by others, and by themselves where they are installed."""

import sys
from types import SimpleNamespace

import pytest

from src.log import RunLog
from src.tasks.classifier.options import ClassifierOptions
from src.train import trackers

RECORDS = [
    {"event": "compile", "seconds": 1.0},
    {"step": 10, "epoch": 0.5, "loss": 0.7, "skipped": 0},
    {"event": "eval", "step": 10, "f1": 0.25, "auc": float("nan"), "best_metric": "f1", "per_type": {}},
]
TOLD = [({"train/epoch": 0.5, "train/loss": 0.7, "train/skipped": 0.0}, 10), ({"eval/f1": 0.25}, 10)]


def write_all(config, first_step=0):
    log = RunLog(None, tracker=trackers.start_tracker(config, first_step))
    for record in RECORDS:
        log.write(record)
    log.close()


class Service:
    """The functions that swanlab and wandb share."""

    def __init__(self):
        self.begun, self.told, self.is_finished = None, [], False

    def init(self, **settings):
        self.begun = settings

    def log(self, numbers, step):
        self.told.append((numbers, step))

    def finish(self):
        self.is_finished = True


@pytest.mark.parametrize(("name", "said"), [("wandb", {"name": "run", "dir": "out/run"}), ("swanlab", {"experiment_name": "run"})])
def test_a_service_gets_the_settings_and_the_numbers_of_each_step(name, said, monkeypatch):
    service = Service()
    monkeypatch.setitem(sys.modules, name, service)
    write_all(ClassifierOptions(output_dir="out/run", track=name, train_batch_size=7))
    assert said.items() <= service.begun.items() and service.begun["config"]["train_batch_size"] == 7
    assert service.told == TOLD and service.is_finished


def test_a_service_that_refuses_is_told_in_one_line(monkeypatch):
    def refuse(**settings):
        raise RuntimeError("no account")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=refuse))
    with pytest.raises(ValueError, match="track=wandb: no account"):
        trackers.start_tracker(ClassifierOptions(track="wandb"), 0)


def test_without_a_tracker_none_is_started():
    assert trackers.start_tracker(ClassifierOptions(), 0) is None


def split_frames(data):
    """The contents of a file of frames: a length of 8 bytes, 4 of checksum, the content, 4 of checksum."""
    while data:
        end = 12 + int.from_bytes(data[:8], "little")
        yield data[12:end]
        data = data[end + 4 :]


def test_event_files_have_every_number(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    write_all(ClassifierOptions(output_dir=str(tmp_path), track="tensorboard"))
    (path,) = (tmp_path / "tensorboard").glob("events.out.tfevents.*")
    events = [Event.FromString(data) for data in split_frames(path.read_bytes())]
    found = [(value.tag, value.simple_value, event.step) for event in events for value in event.summary.value]
    assert found == [(tag, pytest.approx(value), step) for numbers, step in TOLD for tag, value in numbers.items()]
