import pytest

from src.ranks import RankInfo, find_rank, find_rank_info

STARTED_BY = {
    "nobody": ({}, RankInfo()),
    "msrun": ({"MS_ROLE": "MS_WORKER", "MS_WORKER_NUM": "8", "MS_NODE_ID": "3"}, RankInfo("msrun", 3, 8)),
    "msrun_with_names": ({"MS_ROLE": "MS_WORKER", "MS_WORKER_NUM": "8", "MS_NODE_ID": "pod-3"}, RankInfo("msrun", None, 8)),
    "msrun_scheduler": ({"MS_ROLE": "MS_SCHED", "MS_WORKER_NUM": "8"}, RankInfo("msrun", None, 8, is_scheduler=True)),
    "mpirun": (
        {"OMPI_COMM_WORLD_RANK": "9", "OMPI_COMM_WORLD_SIZE": "16", "OMPI_COMM_WORLD_LOCAL_RANK": "1", "DEVICE_ID": "0"},
        RankInfo("mpirun", 9, 16, device_id=1),
    ),
    "rank_table": (
        {"RANK_ID": "9", "RANK_SIZE": "16", "DEVICE_ID": "1", "RANK_TABLE_FILE": "hccl.json"},
        RankInfo("rank_table", 9, 16, device_id=1),
    ),
    "msrun_on_a_host_with_rank_variables": (
        {"MS_WORKER_NUM": "2", "MS_NODE_ID": "1", "RANK_ID": "0", "RANK_SIZE": "1"},
        RankInfo("msrun", 1, 2),
    ),
}


@pytest.mark.parametrize("name", STARTED_BY)
def test_the_rank_is_found_in_the_environment(name):
    environ, expected = STARTED_BY[name]
    assert find_rank_info({"PATH": "/bin", **environ}) == expected


@pytest.mark.parametrize(
    ("environ", "rank"),
    [({"RANK_ID": "3"}, ""), ({"RANK_ID": "3", "RANK_SIZE": "8"}, "3"), ({"MS_NODE_ID": "pod-3", "MS_WORKER_NUM": "8"}, "pod-3"), ({}, "")],
)
def test_lines_are_marked_with_the_rank_of_the_launcher_that_counts(environ, rank):
    assert find_rank(environ) == rank


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"RANK_ID": "8", "RANK_SIZE": "8"}, "RANK_ID=8, RANK_SIZE=8: ranks count from 0 and stay below their number"),
        ({"RANK_ID": "x", "RANK_SIZE": "8"}, "RANK_ID=x: a number is expected"),
        ({"RANK_SIZE": "8"}, "RANK_SIZE=8, but RANK_ID is not set"),
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "0"}, "OMPI_COMM_WORLD_SIZE=0"),
        ({"MS_WORKER_NUM": "two"}, "MS_WORKER_NUM=two: a number is expected"),
    ],
)
def test_a_bad_variable_is_named(environ, message):
    with pytest.raises(ValueError, match=message):
        find_rank_info(environ)
