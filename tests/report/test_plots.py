import csv
import itertools
import json
import subprocess
import sys
import xml.etree.ElementTree

import numpy as np
import pytest
from conftest import ROOT
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from src.report import plots
from src.report.curves import compute_panel, plot_metrics, plot_precision_recall, plot_roc, plot_threshold
from src.report.label_curves import plot_label_precision_recall, plot_label_roc, plot_labels
from src.report.plots import draw, main, plot_confusion, plot_loss, plot_scatter
from src.report.runs import read_evaluation, read_losses, read_scores

ALWAYS = {"loss"}
BINARY = {"confusion", "metrics", "roc", "threshold", "precision_recall"}


def write_rows(run, header, rows):
    run.mkdir(exist_ok=True)
    with open(run / "evaluation.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return run / "evaluation.csv"


def write_log(run, records):
    run.mkdir(exist_ok=True)
    (run / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return run / "log.jsonl"


def write_classes(run, classes, seed=0, rows=40, labels=None):
    """Random rows of a classification; half of the probabilities are rounded, so that there are ties."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, len(classes), rows) if labels is None else labels
    probabilities = random.dirichlet(np.ones(len(classes)), len(labels)) + 0.4 * np.eye(len(classes))[labels]
    probabilities /= probabilities.sum(1, keepdims=True)
    probabilities[::2, 0] = np.round(probabilities[::2, 0], 1)
    probabilities[::2, 1:] *= (1 - probabilities[::2, :1]) / probabilities[::2, 1:].sum(1, keepdims=True)
    table = [[classes[label], classes[row.argmax()], *(f"{p:.9g}" for p in row)] for label, row in zip(labels, probabilities)]
    return write_rows(run, ["label", "predicted_label", *classes], table)


def write_scores(run, seed=0, rows=30):
    random = np.random.default_rng(seed)
    true = random.uniform(0, 5, rows)
    predicted = true + random.normal(size=rows)
    return write_rows(run, ["label", "predicted_label"], zip(true, predicted)), true, predicted


def names_in(run, suffix):
    return {path.stem for path in (run / "figures").iterdir() if path.suffix == suffix}


def legend(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def share_of_ordered_pairs(labels, scores):
    pairs = itertools.product(scores[labels == 1], scores[labels == 0])
    return np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs])


def write_label_lists(run, seed=0, rows=40):
    """Random rows of twelve labels, of which the last never occurs; predicted from 0.6 on."""
    random = np.random.default_rng(seed)
    names = [*"abcdefghijk", "never"]
    truth = random.random((rows, 12)) < np.linspace(0.6, 0, 12)
    probabilities = np.round(0.4 * truth + 0.6 * random.random((rows, 12)), 3)

    def listed(has):
        return json.dumps([name for name, there in zip(names, has) if there])

    table = [[listed(true), listed(row >= 0.6), *row] for true, row in zip(truth, probabilities)]
    return write_rows(run, ["labels", "predicted_labels", *names], table), truth, probabilities


KINDS = [("binary", BINARY), ("five", {"confusion"}), ("regression", {"scatter"}), ("lists", {"roc", "precision_recall", "labels"})]


@pytest.mark.parametrize("kind, expected", KINDS)
def test_each_kind_of_run_has_its_figures(tmp_path, kind, expected):
    write_log(tmp_path, [{"event": "compile", "seconds": 1}, {"step": 1, "loss": 0.7}, {"step": 2, "loss": 0.5}])
    if kind == "regression":
        write_scores(tmp_path)
    elif kind == "lists":
        write_label_lists(tmp_path)
    else:
        write_classes(tmp_path, ["no", "yes"] if kind == "binary" else list("abcde"))
    draw(tmp_path)
    assert names_in(tmp_path, ".png") == names_in(tmp_path, ".svg") == expected | ALWAYS
    assert len(list((tmp_path / "figures").iterdir())) == 2 * len(expected | ALWAYS)
    for name in expected | ALWAYS:
        assert (tmp_path / f"figures/{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert xml.etree.ElementTree.parse(tmp_path / f"figures/{name}.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_drawing_twice_gives_the_same_bytes(tmp_path):
    write_scores(tmp_path)
    seen = []
    for _ in range(2):
        draw(tmp_path)
        seen.append([(tmp_path / f"figures/scatter.{suffix}").read_bytes() for suffix in ("png", "svg")])
    assert seen[0] == seen[1]
    assert b"dc:date" not in seen[0][1]


@pytest.mark.parametrize("seed", range(4))
def test_panel_counts_decisions_by_hand(tmp_path, seed):
    path = write_classes(tmp_path, ["no", "yes"], seed)
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))[1:]
    count = {"tp": ("yes", "yes"), "tn": ("no", "no"), "fp": ("no", "yes"), "fn": ("yes", "no")}
    tp, tn, fp, fn = (sum((row[0], row[1]) == pair for row in rows) for pair in count.values())
    assert min(tp, tn, fp, fn) > 0
    labels, scores = np.array([row[0] == "yes" for row in rows]), np.array([float(row[3]) for row in rows])
    precision, recall = tp / (tp + fp), tp / (tp + fn)
    counts = {"n": 40, "tp": tp, "tn": tn, "fp": fp, "fn": fn, "accuracy": (tp + tn) / 40}
    rates = {"precision": precision, "recall": recall, "f1": 2 * precision * recall / (precision + recall)}
    curve = {"auc": share_of_ordered_pairs(labels, scores), "tpr": recall, "fpr": fp / (fp + tn)}
    assert compute_panel(read_evaluation(path)) == pytest.approx(counts | rates | curve)


def test_decisions_are_those_of_the_run_not_a_threshold_on_rounded_probabilities(tmp_path):
    path = write_rows(tmp_path, ["label", "predicted_label", "no", "yes"], [["yes", "yes", 0.5, 0.5], ["no", "no", 0.5, 0.5]])
    panel = compute_panel(read_evaluation(path))
    assert (panel["tp"], panel["tn"], panel["fp"], panel["fn"]) == (1, 1, 0, 0)


def test_panel_of_one_class_has_no_auc_and_zeros(tmp_path):
    path = write_rows(tmp_path, ["label", "predicted_label", "no", "yes"], [["no", "no", 0.9, 0.1]] * 3)
    expected = {"n": 3, "tp": 0, "tn": 3, "fp": 0, "fn": 0, "accuracy": 1, "precision": 0, "recall": 0, "f1": 0, "tpr": 0, "fpr": 0}
    assert compute_panel(read_evaluation(path)) == {**expected, "auc": None}
    path = write_rows(tmp_path, ["label", "predicted_label", "no", "yes"], [["yes", "yes", 0.1, 0.9]] * 3)
    assert compute_panel(read_evaluation(path))["fpr"] == 0


def test_panel_is_drawn_as_a_table(tmp_path):
    rows = [["yes", "yes", 0.25, 0.75], ["yes", "no", 0.75, 0.25], ["no", "no", 0.875, 0.125]]
    figure = plot_metrics(read_evaluation(write_rows(tmp_path, ["label", "predicted_label", "no", "yes"], rows)))
    cells = figure.axes[0].tables[0].get_celld()
    shown = {cells[row, 0].get_text().get_text(): cells[row, 1].get_text().get_text() for row in range(len(cells) // 2)}
    counts = {"n": "3", "tp": "1", "tn": "1", "fp": "0", "fn": "1"}
    rates = {"accuracy": "0.6667", "precision": "1.0000", "recall": "0.5000", "F1": "0.6667"}
    assert shown == counts | rates | {"AUC": "1.0000", "tpr": "0.5000", "fpr": "0.0000"}
    assert "positive class: yes" in figure.axes[0].get_title()


@pytest.mark.parametrize("seed", range(3))
def test_roc_legend_holds_the_auc_and_the_curve_the_shares(tmp_path, seed):
    evaluation = read_evaluation(write_classes(tmp_path, ["no", "yes"], seed))
    labels, scores = evaluation.labels, evaluation.probabilities[:, 1]
    figure = plot_roc(evaluation)
    curve, diagonal = figure.axes[0].lines
    assert legend(figure)[0] == f"AUC = {share_of_ordered_pairs(labels, scores):.4f}"
    possible = {(np.mean(scores[labels == 0] >= t), np.mean(scores[labels == 1] >= t)) for t in [*scores, 2]}
    drawn = set(zip(*curve.get_data()))
    assert drawn <= possible and {(0, 0), (1, 1)} <= drawn and len(drawn) > 5
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]


def test_auc_tells_probabilities_apart_that_both_print_as_one(tmp_path):
    rows = [["no", "yes", 2e-12, 1], ["yes", "yes", 1e-12, 1], ["yes", "yes", 0, 1], ["no", "no", 1, 1e-12], ["yes", "no", 1, 1e-10]]
    evaluation = read_evaluation(write_rows(tmp_path, ["label", "predicted_label", "no", "yes"], rows))
    assert compute_panel(evaluation)["auc"] == pytest.approx(5 / 6)
    assert legend(plot_roc(evaluation))[0] == "AUC = 0.8333"


@pytest.mark.parametrize("seed", range(3))
def test_rates_at_any_threshold_are_the_shares_at_or_above_it(tmp_path, seed):
    evaluation = read_evaluation(write_classes(tmp_path, ["no", "yes"], seed))
    lines = plot_threshold(evaluation).axes[0].lines
    for line, label in zip(lines, (1, 0)):
        thresholds, rates = map(np.asarray, line.get_data())
        assert line.get_drawstyle() == "steps-pre"  # a rate holds from the previous threshold to its own
        assert np.all(np.diff(thresholds) >= 0) and (thresholds[0], thresholds[-1]) == (0, 1) and (rates[0], rates[-1]) == (1, 0)
        scores = evaluation.probabilities[evaluation.labels == label, 1]
        for threshold in np.linspace(0.003, 0.997, 50):
            assert rates[np.searchsorted(thresholds, threshold)] == pytest.approx(np.mean(scores >= threshold))


@pytest.mark.parametrize("seed", range(3))
def test_precision_recall_legend_holds_average_precision_and_base_rate(tmp_path, seed):
    evaluation = read_evaluation(write_classes(tmp_path, ["no", "yes"], seed))
    labels, scores = evaluation.labels, evaluation.probabilities[:, 1]
    average, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        recall, precision = np.mean(scores[labels == 1] >= threshold), np.mean(labels[scores >= threshold])
        average, before = average + (recall - before) * precision, recall
    figure = plot_precision_recall(evaluation)
    assert legend(figure) == [f"average precision = {average:.4f}", f"base rate = {labels.mean():.4f}"]
    assert set(figure.axes[0].lines[1].get_ydata()) == {labels.mean()}


def test_single_class_has_no_curves_and_one_line_says_so(tmp_path, capsys):
    path = write_classes(tmp_path, ["no", "yes"], labels=np.ones(6, int))
    draw(tmp_path)
    assert names_in(tmp_path, ".png") == {"confusion", "metrics"}
    told = [line for line in capsys.readouterr().out.splitlines() if "roc" in line]
    assert len(told) == 1 and told[0].startswith(f"{path}: yes is the only class") and "skipped" in told[0]


def test_confusion_shows_the_counts_even_with_a_class_named_label(tmp_path):
    classes = ["label", "predicted_label", "c"]
    path = write_classes(tmp_path, classes, rows=60)
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))[1:]
    axes = plot_confusion(read_evaluation(path)).axes[0]
    shown = {tuple(map(int, text.get_position())): int(text.get_text()) for text in axes.texts}
    counts = {(p, t): sum(row[:2] == [classes[t], classes[p]] for row in rows) for p in range(3) for t in range(3)}
    assert shown == {cell: count for cell, count in counts.items() if count} and len(shown) > 6
    assert [tick.get_text() for tick in axes.get_yticklabels()] == classes


def test_confusion_of_many_classes_stays_drawable(tmp_path):
    figure = plot_confusion(read_evaluation(write_classes(tmp_path, [f"class {number}" for number in range(300)])))
    assert max(figure.get_size_inches()) <= 40


def test_names_in_chinese_or_with_dollars_stay_as_they_are(tmp_path):
    classes = ["体育", "$财经_$", "<a&b>"]
    write_classes(tmp_path, classes)
    draw(tmp_path)
    texts = {element.text for element in xml.etree.ElementTree.parse(tmp_path / "figures/confusion.svg").iter()}
    assert set(classes) <= texts


def test_missing_glyphs_are_one_warning_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(plots, "find_cjk_font", list)
    write_classes(tmp_path, ["体育", "财经", "娱乐"])
    draw(tmp_path)
    captured = capsys.readouterr()
    told = [line for line in captured.out.splitlines() if "fonts-noto-cjk" in line]
    assert len(told) == 1 and "confusion.png" in told[0]
    assert captured.err == ""


def test_scatter_title_holds_the_correlations(tmp_path):
    path, true, predicted = write_scores(tmp_path)
    figure = plot_scatter(read_evaluation(path))
    ranks = [scores.argsort().argsort() for scores in (true, predicted)]
    spearman, pearson = np.corrcoef(*ranks)[0, 1], np.corrcoef(true, predicted)[0, 1]
    assert figure.axes[0].get_title() == f"Spearman {spearman:.4f}, Pearson {pearson:.4f}"
    identity = figure.axes[0].lines[0]
    assert list(identity.get_xdata()) == list(identity.get_ydata()) == [min(*true, *predicted), max(*true, *predicted)]
    assert np.allclose(figure.axes[0].collections[0].get_offsets(), np.stack([true, predicted], 1))


def test_scatter_of_a_constant_has_no_correlation(tmp_path):
    path = write_rows(tmp_path, ["label", "predicted_label"], [[1, 2.5], [2, 2.5]])
    assert plot_scatter(read_evaluation(path)).axes[0].get_title() == "Spearman –, Pearson –"


def test_losses_of_a_resumed_run_do_not_go_back(tmp_path):
    steps = [(1, 0.9), (10, 0.8), (20, 0.7), (30, 0.6), (21, 0.65), (30, 0.5)]
    path = write_log(tmp_path, [{"step": step, "loss": loss} for step, loss in steps] + [{"event": "eval", "loss": 9}])
    assert read_losses(path) == {"loss": ([1, 10, 20, 21, 30], [0.9, 0.8, 0.7, 0.65, 0.5])}


def test_a_run_without_evaluated_rows_has_its_loss_alone(tmp_path):
    write_log(tmp_path, [{"step": 1, "loss": 0.5}])
    main([str(tmp_path)])
    assert names_in(tmp_path, ".svg") == {"loss"}


def test_losses_that_are_missing_are_skipped_with_a_line_that_names_the_file(tmp_path, capsys):
    write_scores(tmp_path / "scored")
    write_scores(tmp_path / "evaluated")
    write_log(tmp_path / "evaluated", [{"event": "eval", "rows": 2}])
    for run, figures, told in (
        ("scored", {"scatter"}, "log.jsonl: no such file; loss is skipped"),
        ("evaluated", {"scatter"}, "log.jsonl: no training losses; loss is skipped"),
    ):
        main([str(tmp_path / run)])
        assert names_in(tmp_path / run, ".svg") == figures
        lines = capsys.readouterr().out.splitlines()
        assert [line for line in lines if not line.startswith("wrote")] == [line for line in lines if f"{tmp_path}/{run}/{told}" in line]
        assert len(lines) == 2


HEADER = "label,predicted_label,no,yes\n"


@pytest.mark.parametrize(
    "name, text, told",
    [
        (None, None, "neither log.jsonl nor evaluation.csv"),
        ("log.jsonl", '{"step": 1, "loss": 0.5}\n{"step": 2, "lo\n', "log.jsonl:2: not JSON"),
        ("log.jsonl", '{"step": 1, "loss": 0.5}\n[]\n', "log.jsonl:2: a record"),
        ("log.jsonl", '{"step": 1, "loss": "low"}\n', "log.jsonl:1: step=1 loss=low"),
        ("log.jsonl", "", "log.jsonl: the file is empty"),
        ("evaluation.csv", "a,b\n1,2\n", "evaluation.csv:1: the header"),
        ("evaluation.csv", "label,predicted_label,no\nno,no,1\n", "evaluation.csv:1: a column for each"),
        ("evaluation.csv", HEADER, "evaluation.csv: no rows"),
        ("evaluation.csv", HEADER + "no,no,1,0\nno,no,1\n", "evaluation.csv:3: 3 columns, the first row has 4"),
        ("evaluation.csv", HEADER + "no,perhaps,1,0\n", "evaluation.csv:2: 'perhaps' is none of the classes"),
        ("evaluation.csv", HEADER + "no,no,1,none\n", "evaluation.csv:2: 'none' is not a finite number"),
        ("evaluation.csv", HEADER + "no,no,nan,0\n", "evaluation.csv:2: 'nan' is not a finite number"),
        ("evaluation.csv", HEADER + "no,no,0.9,0.9\n", "evaluation.csv:2: probabilities that sum to 1"),
        ("evaluation.csv", "label,predicted_label\n1.5,high\n", "evaluation.csv:2: 'high' is not a finite number"),
    ],
)
def test_damaged_run_ends_with_2_and_one_line_that_names_the_place(tmp_path, capsys, name, text, told):
    if name:
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as exit_info:
        main([str(tmp_path)])
    error = capsys.readouterr().err
    assert exit_info.value.code == 2
    assert error.startswith(f"error: {tmp_path}") and told in error and error.count("\n") == 1
    assert not (tmp_path / "figures").exists()


def test_run_that_does_not_exist_ends_with_2(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_info:
        main([str(tmp_path / "absent")])
    assert exit_info.value.code == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/absent: no such folder; the output folder of a run is expected\n"


def make_events(metric, values, best_step):
    steps = [{"step": step, "loss": 1 / step} for step in range(1, 10)]
    scored = {"event": "eval", "best_metric": metric, "best_step": best_step}
    return [*steps, *({**scored, "step": step, "eval_loss": 0.5, metric: value} for step, value in values)]


def test_scores_have_an_axis_of_their_own_and_the_best_is_marked(tmp_path):
    path = write_log(tmp_path, make_events("f1", [(3, 0.5), (6, 0.9), (6, 0.8), (9, None)], 6))  # 6 again after a resume
    scores = read_scores(path)
    assert (scores.metric, scores.steps, scores.values, scores.best_step) == ("f1", [3, 6], [0.5, 0.8], 6)
    losses, measures = plot_loss(read_losses(path), scores).axes
    assert measures.get_ylabel() == "f1"
    assert [list(line.get_ydata()) for line in measures.lines] == [[0.5, 0.8], [0.8]]
    texts = [text.get_text() for text in measures.get_legend().get_texts()]
    assert texts == ["loss", "eval eval_loss", "eval f1", "best: 0.8000 at step 6"]


def test_the_best_of_a_loss_is_marked_on_the_axis_of_losses(tmp_path):
    path = write_log(tmp_path, make_events("masked_lm_loss", [(3, 0.5), (6, 0.4)], 6))
    (axes,) = plot_loss(read_losses(path), read_scores(path)).axes
    assert [list(line.get_ydata()) for line in axes.lines][-1] == [0.4]


def test_evaluations_of_older_versions_have_no_score(tmp_path):
    assert read_scores(write_log(tmp_path, [{"step": 1, "loss": 1.0}, {"event": "eval", "step": 1, "eval_loss": 2.0}])) is None


def test_curves_of_labels_are_named_with_their_areas(tmp_path):
    path, truth, probabilities = write_label_lists(tmp_path)
    evaluation = read_evaluation(path)
    np.testing.assert_array_equal(evaluation.labels, truth)
    np.testing.assert_array_equal(evaluation.predicted, probabilities >= 0.6)
    named, everything = [number for number in np.argsort(-truth.sum(0), kind="stable") if truth[:, number].any()][:10], [*"abcdefghijk"]
    for plot, area in ((plot_label_roc, roc_auc_score), (plot_label_precision_recall, average_precision_score)):
        figure = plot(evaluation)
        expected = [f"{everything[number]}: {area(truth[:, number], probabilities[:, number]):.4f}" for number in named]
        assert legend(figure) == [*expected, f"micro average: {area(truth.ravel(), probabilities.ravel()):.4f}"]
        drawn = truth.any(0).sum() + 1 + (plot is plot_label_roc)  # labels that occur, all together, and chance
        assert len(figure.axes[0].lines) == drawn
    bars = plot_labels(evaluation).axes[0]
    assert [text.get_text() for text in bars.get_yticklabels()][-1] == "never (0)"
    assert [bar.get_width() for bar in bars.patches] == pytest.approx(f1_score(truth, probabilities >= 0.6, average=None, zero_division=0))


def test_lists_that_are_none_or_name_others_are_refused(tmp_path):
    for text, message in (("a", "'a' is no list of labels"), ('["x"]', "'x' is none of the classes")):
        path = write_rows(tmp_path, ["labels", "predicted_labels", "a", "b"], [[text, "[]", 0.5, 0.5]])
        with pytest.raises(ValueError, match=f"evaluation.csv:2: .*{message}"):
            read_evaluation(path)


def test_help_waits_for_neither_scipy_nor_scikit_learn():
    code = "import sys; from src.report import plots; assert not {'scipy', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
