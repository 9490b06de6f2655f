import errno
import json
import shutil

import pytest
from power_cut import Disk

from src.log import PartTimer, RunLog
from src.report.runs import read_losses

WHOLE = '{"step": 1, "loss": 0.5}\n'


@pytest.mark.parametrize(
    "half", ["", '{"step": 2, "lo', '{"step": 2, "loss": 0.25}', "\0\0\0", '{"type": "人'.encode()[:-1].decode("latin-1")]
)
def test_half_a_line_is_cut_before_another_is_written(half, tmp_path, capsys):
    path = tmp_path / "log.jsonl"
    path.write_bytes(WHOLE.encode() + half.encode("latin-1"))
    log = RunLog(path, keep=True)
    log.write({"step": 2, "loss": 0.4})
    log.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.4}]
    assert ("log.jsonl: its last line was written in part" in capsys.readouterr().out) == bool(half)


def test_a_file_that_is_half_a_line_becomes_empty(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"ev')
    RunLog(tmp_path / "log.jsonl", keep=True).close()
    assert (tmp_path / "log.jsonl").read_bytes() == b""


def test_losses_are_read_up_to_half_a_line(tmp_path, capsys):
    path = tmp_path / "log.jsonl"
    path.write_text(WHOLE + '{"step": 2, "lo')
    assert read_losses(path) == {"loss": ([1], [0.5])}
    assert f"{path}:2: the last line was written in part and is left out" in capsys.readouterr().out
    assert path.read_text().endswith("lo")


def test_a_full_disk_is_told_with_the_file():
    with pytest.raises(OSError) as full:
        RunLog("/dev/full").write({"step": 1})
    assert full.value.errno == errno.ENOSPC and full.value.filename == "/dev/full"


def test_a_log_that_was_removed_is_begun_anew(tmp_path, capsys):
    path = tmp_path / "run" / "log.jsonl"
    log = RunLog(path)
    log.write({"step": 1})
    shutil.rmtree(tmp_path / "run")
    log.flush()
    log.write({"step": 2})
    log.close()
    assert path.read_text() == '{"step": 2}\n'
    assert capsys.readouterr().out == f"{path}: removed during the run; a new one is begun\n"


def test_records_outlast_a_power_cut_once_flushed(tmp_path, monkeypatch):
    disk = Disk(tmp_path, monkeypatch)
    log = RunLog(tmp_path / "log.jsonl")
    log.write({"step": 1, "loss": 0.5})
    log.flush()
    log.write({"step": 2, "loss": 0.4})
    assert disk.left() == [{"log.jsonl": WHOLE.encode()}] * 3
    log.close()
    disk.close()


def test_the_parts_of_a_start_are_measured_from_its_beginning_to_its_end(monkeypatch):
    clock = iter([10.0, 12.0, 12.5, 16.5, 20.0, 21.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    timer = PartTimer()
    timer.end("before the beginning")
    timer.begin()
    timer.end("imports")
    timer.begin()  # it runs
    timer.end("data")
    timer.end("compilation")
    assert timer.take() == {"imports": 2.0, "data": 0.5, "compilation": 4.0}
    timer.end("after the end")
    timer.begin()
    timer.end("data")
    assert timer.take() == {"data": 1.0}
