import socket

import pytest

from src.ranks import RankInfo
from src.train import cluster


@pytest.fixture
def taken(monkeypatch):
    """A port on which another program listens, as the scheduler's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        monkeypatch.setenv("MS_SCHED_PORT", port)
        yield port


def test_a_scheduler_whose_port_is_taken_ends_with_one_line(taken, monkeypatch):
    monkeypatch.setattr(cluster.communication, "init", None)
    with pytest.raises(ValueError, match=f"MS_SCHED_PORT={taken}: another program of this host listens on the port; set another"):
        cluster.run_scheduler()


def test_rank_0_of_mpirun_whose_port_is_taken_ends_with_one_line(taken, monkeypatch):
    monkeypatch.setattr(cluster.subprocess, "Popen", None)
    monkeypatch.setattr(cluster.os, "environ", {"MS_SCHED_PORT": taken})
    with pytest.raises(ValueError, match=f"MS_SCHED_PORT={taken}: another program"):
        cluster.become_worker(RankInfo("mpirun", 0, 2))
    cluster.become_worker(RankInfo("mpirun", 1, 2))  # starts none


def test_ranks_that_do_not_meet_end_with_one_line(monkeypatch):
    def fail():
        raise RuntimeError("Failed to register.\n\n----------\n- C++ Call Stack:\n----------\nsomewhere.cc:1\n")

    monkeypatch.setattr(cluster.communication, "init", fail)
    monkeypatch.setenv("MS_SCHED_HOST", "10.0.0.1")
    monkeypatch.setenv("MS_SCHED_PORT", "8118")
    with pytest.raises(ValueError, match=r"^the ranks do not meet at 10.0.0.1:8118, where another job may be: Failed to register.$"):
        cluster.join(RankInfo("msrun", 0, 2), "CPU")
