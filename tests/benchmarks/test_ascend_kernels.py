import pytest

from benchmarks import ascend_kernels


def graph(function, aclnn, aclop):
    return {"function": function, "aclnn": aclnn, "aclop": aclop, "other": 0}


def make_report(*graphs):
    step = {"network": "src_train_step_TrainStep", "launches": 1509, "graphs": list(graphs)}
    memory = {"tensors": 12870 << 20, "with_gaps": 13697 << 20}
    return {"networks": [step], "aclop": ["AddN"], "without_kernel": [], "peak_memory": memory}


STEP = "src_train_step_TrainStep"


def test_the_figures_of_a_report_are_read():
    graphs = [graph(STEP, 0, 1), graph(STEP, 942, 2), graph(STEP, 24, 4), graph("✓2↓update", 509, 19), graph("✗2↓update", 3, 2)]
    found = ascend_kernels.count(make_report(*graphs))
    assert (found["forward_backward"], found["update"], found["others"], found["aclop"]) == (944, 528, 34, 28)
    assert (found["launches"], found["peak_mb"], found["peak_with_gaps_mb"]) == (1509, 12870, 13697)
    assert found["aclop_names"] == ["AddN"]


def test_a_report_without_an_update_is_refused():
    with pytest.raises(ValueError, match="no training step with an update in the report, which has .'src_train_step_TrainStep'"):
        ascend_kernels.count(make_report(graph(STEP, 942, 2)))


def test_more_than_a_tenth_is_growth():
    before = {"update": 100, "peak_mb": 1000, "aclop_names": []}
    assert ascend_kernels.grown(before, {"update": 110, "peak_mb": 1101, "aclop_names": ["AddN"]}, {}) == ["peak_mb"]
    assert ascend_kernels.grown(before, {"update": 105, "peak_mb": 1000}, {"update": 104}) == ["update"]


def test_a_case_without_a_record_fails(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(ascend_kernels, "RECORD", tmp_path / "figures.json")
    monkeypatch.setattr(ascend_kernels, "measure", lambda *case: {"update": 100})
    for flags, code in (([], 1), (["--record"], 0), ([], 0)):
        monkeypatch.setattr("sys.argv", ["ascend_kernels.py", "--cases", "Lamb, O1", *flags])
        with pytest.raises(SystemExit) as ended:
            ascend_kernels.main()
        assert ended.value.code == code
    assert "Lamb, O1; 12 layers: nothing is recorded" in capsys.readouterr().err
