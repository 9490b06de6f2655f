import gzip
import json
import math
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from src.tasks.squad.answers import find_answers
from src.text.tokenization import Tokenizer

GOLDEN = json.loads(gzip.decompress((Path(__file__).parent.parent / "golden" / "squad_answers.json.gz").read_bytes()))


class Row(SimpleNamespace):
    """A window: question, context_start, first, its first token in the context; offsets of its tokens; logits of the row."""


def make_row(question, offsets, first=0, start=(), end=(), null=(0.0, 0.0), query=2):
    """Logits of the window's tokens, of [CLS], and high ones of the query's tokens and [SEP], which are no answers."""
    start_logits, end_logits = ([low, *[9.0] * (query + 1), *values, 9.0] for low, values in zip(null, (start, end)))
    return Row(question=question, context_start=query + 2, first=first, offsets=offsets, logits=(start_logits, end_logits))


def find(contexts, rows, n_best_size=20, max_answer_length=30, null_threshold=None, dtype=np.float32, padding=0):
    """Answers to the questions q0, q1, … of these contexts."""
    questions = [SimpleNamespace(id=f"q{number}", context=context) for number, context in enumerate(contexts)]
    offsets = [[(0, 0)] * row.context_start + row.offsets + [(0, 0)] for row in rows]
    records = SimpleNamespace(
        lengths=np.array([len(pairs) for pairs in offsets], np.int32),
        tokens=dict(zip(("starts", "ends"), np.concatenate(offsets).T.astype(np.int32))),
        rows={
            "question": np.array([row.question for row in rows]),
            "context_start": np.array([row.context_start for row in rows]),
            "window_start": np.array([row.first for row in rows]),
        },
    )
    logits = [[np.array([*row.logits[side], *[np.nan] * padding], dtype) for row in rows] for side in range(2)]
    return find_answers(questions, records, *logits, n_best_size, max_answer_length, null_threshold)


def make_offsets(context):
    """The (start, end) of the words between spaces."""
    starts = [0, *(index + 1 for index, character in enumerate(context) if character == " ")]
    return [(start, start + len(word)) for start, word in zip(starts, context.split(" "))]


def find_one(context, start, end, offsets=None, null=(0.0, 0.0), **options):
    """Answers for one window that holds all."""
    return find([context], [make_row(0, make_offsets(context) if offsets is None else offsets, 0, start, end, null)], **options)


def list_best(answers, key="q0"):
    return [(entry["text"], entry["start_logit"], entry["end_logit"]) for entry in answers.nbest[key]]


def search(contexts, rows, n_best_size, max_answer_length, null_threshold):
    """By the definition, span for span: {id: (prediction, best list without probabilities, null odds, best text)}."""
    found = {}
    for number, context in enumerate(contexts):
        windows, spans = [row for row in rows if row.question == number], []

        def context_of(window, token):
            left, right = token - window.first, window.first + len(window.offsets) - 1 - token
            return min(left, right) + 0.01 * len(window.offsets) if left >= 0 and right >= 0 else -1

        for order, window in enumerate(windows):
            for first in range(window.first, window.first + len(window.offsets)):
                if order == max(range(len(windows)), key=lambda other: context_of(windows[other], first)):  # max: the first of equals
                    for last in range(first, min(first + max_answer_length, window.first + len(window.offsets))):
                        begin, end = (window.context_start + token - window.first for token in (first, last))
                        start_logit, end_logit = window.logits[0][begin], window.logits[1][end]
                        text = context[window.offsets[first - window.first][0] : window.offsets[last - window.first][1]]
                        spans.append((-start_logit - end_logit, order, -start_logit, first, last, -end_logit, text))
        best = {}
        for _, _, start_logit, _, _, end_logit, text in sorted(spans):
            best.setdefault(text, (-start_logit, -end_logit))
        nulls = [(window.logits[0][0], window.logits[1][0]) for window in windows]
        null = min(nulls, key=sum)
        text, logits = next(iter(best.items())) if best else ("", (0.0, 0.0))
        odds = sum(null) - sum(logits)
        entries = [(text, *logits) for text, logits in best.items()]
        if null_threshold is None:
            entries = entries[:n_best_size] or [("", 0.0, 0.0)]
        else:
            ranked = sorted([*entries[:n_best_size], ("", *null)], key=lambda entry: (-entry[1] - entry[2], not entry[0]))
            entries = ranked if ranked[-1][0] == "" and len(ranked) > n_best_size else ranked[:n_best_size]
        is_null = null_threshold is not None and odds > null_threshold
        found[f"q{number}"] = ("" if is_null else text, entries, odds, text)
    return found


def make_random(rng):
    """Contexts of few words, windows of any length and step, logits of which many are equal or none."""
    contexts, rows = [], []
    for number in range(6):
        words = [rng.choice(["a", "b", "ab", "c", "中"]) for _ in range(rng.choice((0, 1, 2, 9, 25)))]
        context, unit = " ".join(words), rng.choice((1, 1 << 10))
        offsets = make_offsets(context) if words else []
        length, step = rng.randint(1, 14), rng.randint(1, 14)
        first, null = 0, rng.gauss(2, 2)
        while first == 0 or first < len(offsets):
            inside = offsets[first : first + length]
            logits = [[round(rng.gauss(0, 2) * unit) / unit for _ in inside] for _ in range(2)]
            nulls = [round((null + rng.gauss(0, 1)) * unit) / unit for _ in range(2)]
            rows.append(make_row(number, inside, first, *logits, nulls, query=rng.randint(0, 3)))
            if first + len(inside) == len(offsets):
                break
            first += min(length, step)
        contexts.append(context)
    return contexts, rows


@pytest.mark.parametrize("null_threshold", [None, -1.0, 2.0])
@pytest.mark.parametrize("n_best_size", [1, 2, 5, 20, 1000])
def test_answers_are_the_best_of_all_spans(n_best_size, null_threshold):
    rng = random.Random(n_best_size)
    for _ in range(25):
        contexts, rows = make_random(rng)
        longest = rng.choice((1, 2, 5, 30))
        answers = find(contexts, rows, n_best_size, longest, null_threshold, padding=rng.randint(0, 3))
        expected = search(contexts, rows, n_best_size, longest, null_threshold)
        assert list(answers.predictions) == list(expected)
        for key, (prediction, entries, odds, text) in expected.items():
            assert answers.predictions[key] == prediction
            assert list_best(answers, key) == entries
            assert (answers.null_odds[key], answers.non_null[key]) == (odds, text)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(GOLDEN["vocabulary"]) + "\n", encoding="utf-8")
    return Tokenizer(path)


def offsets_of(tokenizer, context):
    return tokenizer.encode_with_offsets([context])[0][1]


@pytest.mark.parametrize("version", ["version_1", "version_2"])
def test_answers_are_those_of_googles_script(version, tokenizer):
    contexts, rows = [question["context"] for question in GOLDEN["questions"]], []
    for saved in GOLDEN["rows"]:
        count = saved["length"] - saved["context_start"] - 1
        first = saved["window_start"]
        offsets = offsets_of(tokenizer, contexts[saved["question"]])[first : first + count]
        assert len(offsets) == count
        logits = saved["start_logits"], saved["end_logits"]
        rows.append(Row(question=saved["question"], context_start=saved["context_start"], first=first, offsets=offsets, logits=logits))
    threshold = GOLDEN["null_threshold"] if version == "version_2" else None
    answers = find(contexts, rows, GOLDEN["n_best_size"], GOLDEN["max_answer_length"], threshold)
    expected = GOLDEN[version]
    assert answers.predictions == expected["predictions"]
    assert answers.null_odds == expected.get("null_odds", answers.null_odds)
    for key, entries in expected["nbest"].items():
        assert list_best(answers, key) == list_best(SimpleNamespace(nbest=expected["nbest"]), key)
        probabilities = [entry["probability"] for entry in answers.nbest[key]]
        assert probabilities == pytest.approx([entry["probability"] for entry in entries], rel=1e-12)  # sums in another order


def test_golden_set_has_windows_ties_and_no_answer_at_every_rank():
    ranks, ties = set(), 0
    for entries in GOLDEN["version_2"]["nbest"].values():
        ranks.add([entry["text"] for entry in entries].index(""))
        scores = [entry["start_logit"] + entry["end_logit"] for entry in entries]
        ties += len(scores) - len(set(scores))
    assert {0, 1, GOLDEN["n_best_size"]} < ranks
    assert ties > 100
    assert max(row["window_start"] for row in GOLDEN["rows"]) > 30


# context, ours; Google's is in the golden file
TEXTS = {
    "the  cat\nsat , x": ("the  cat\nsat", "the cat sat"),
    "the CATS sat": ("S", "S"),
    "x Sats x": ("s", "S"),
    "the ☃(cat) sat": ("☃", "☃(cat)"),
    "the (☃) sat": ("☃", "(☃)"),
    "the (cat) sat": ("cat", "cat"),
    "the (\u200bcat) sat": ("cat", "(\u200bcat)"),
    "the (cát) sat": ("cát", "cát"),
    "the (ca\u0301t) sat": ("ca\u0301t", "(ca\u0301t)"),
    "the cat\u0301, sat": ("cat\u0301", "cat\u0301,"),
    "中国人民": ("国人", "国人"),
    "中国\u200b人民": ("国\u200b人", "中国\u200b人民"),
    "中鿕国人": ("鿕国", "中鿕国人"),
}


@pytest.mark.parametrize("saved", GOLDEN["texts"], ids=lambda saved: ascii(saved["context"]))
def test_text_is_the_contexts_where_googles_is_that_of_whole_words(saved, tokenizer):
    context, (first, last) = saved["context"], saved["span"]
    offsets = offsets_of(tokenizer, context)
    start, end = ([20.0 if token == answer else 0.0 for token in range(len(offsets))] for answer in (first, last))
    answers = find_one(context, start, end, offsets)
    assert (answers.predictions["q0"], saved["google"]) == TEXTS[context]


def test_span_counts_in_the_window_where_its_first_token_has_most_context():
    context = "a b c d e f"
    offsets = make_offsets(context)
    rows = [
        make_row(0, offsets[:4], 0, [1, 2, 3, 40], [0, 1, 2, 3]),  # d has no token behind it here, and two in the next window
        make_row(0, offsets[2:], 2, [30, 4, 5, 6], [9, 10, 11, 12]),  # c has none before it
    ]
    answers = find([context], rows, 100)
    best = {text: (start, end) for text, start, end in list_best(answers)}
    assert best["c d"] == (3, 3)
    assert "c d e" not in best  # it does not fit into c's window
    assert best["d e"] == (4, 11)
    assert len(best) == 4 + 3 + 2 + 3 + 2 + 1


def test_longer_one_of_two_windows_counts_where_the_smaller_side_is_equal():
    context = "a b c d e"
    offsets = make_offsets(context)
    rows = [make_row(0, offsets[:3], 0, [0, 1, 2], [0, 0, 0]), make_row(0, offsets[2:3], 2, [50], [50])]
    assert ("c", 2, 0) in list_best(find([context], rows))
    rows = [make_row(0, offsets[:1], 0, [50], [50]), make_row(0, offsets[:3], 0, [0, 1, 2], [0, 0, 0])]
    assert ("a", 0, 0) in list_best(find([context], rows))


def test_first_one_of_two_windows_counts_where_context_is_equal():
    offsets = make_offsets("a b c")
    rows = [make_row(0, offsets[:2], 0, [1, 2], [1, 2]), make_row(0, offsets[1:], 1, [3, 4], [3, 4])]
    assert list_best(find(["a b c"], rows)) == [("c", 4, 4), ("b", 2, 2), ("a b", 1, 2), ("a", 1, 1)]


def test_equal_scores_go_by_window_then_start_logit_then_token():
    answers = find_one("a b c d", [0, 1, 1, 0], [0, -1, -1, 1], max_answer_length=1)
    assert list_best(answers) == [("d", 0, 1), ("b", 1, -1), ("c", 1, -1), ("a", 0, 0)]
    offsets = make_offsets("a b c d")
    rows = [make_row(0, offsets[:2], 0, [0, 0], [0, 0]), make_row(0, offsets[2:], 2, [1, 2], [-1, -2])]
    answers = find(["a b c d"], rows, max_answer_length=1)
    assert [text for text, *_ in list_best(answers)] == ["a", "b", "d", "c"]


def test_equal_texts_are_one_answer_of_the_best_logits():
    answers = find_one("a a b a", [1, 2, 0, 3], [0, 1, 0, 2], max_answer_length=1)
    assert list_best(answers) == [("a", 3, 2), ("b", 0, 0)]


def test_list_is_full_where_the_best_spans_are_of_one_text():
    count = 500
    context = " ".join(["x"] * count + ["y", "z"])
    answers = find_one(context, [5.0] * count + [1.0, 0.0], [0.0] * (count + 2), max_answer_length=1, n_best_size=3)
    assert list_best(answers) == [("x", 5, 0), ("y", 1, 0), ("z", 0, 0)]


@pytest.mark.parametrize("null_threshold", [None, 0.0])
def test_one_token_is_an_answer(null_threshold):
    answers = find_one("北", [1.0], [2.0], null=(0.5, 1.0), null_threshold=null_threshold)
    assert answers.predictions == answers.non_null == {"q0": "北"}
    assert answers.null_odds == {"q0": -1.5}
    assert list_best(answers) == [("北", 1.0, 2.0), ("", 0.5, 1.0)][: 1 if null_threshold is None else 2]


def test_context_without_tokens_has_no_answer():
    for threshold, entry in ((None, ("", 0.0, 0.0)), (9.0, ("", 0.5, 1.0))):
        answers = find_one(" \u3000", [], [], [], (0.5, 1.0), null_threshold=threshold)
        assert answers.predictions == answers.non_null == {"q0": ""}
        assert list_best(answers) == [entry]
        assert answers.nbest["q0"][0]["probability"] == 1.0
        assert answers.null_odds == {"q0": 1.5}


def test_no_answer_needs_odds_above_the_threshold():
    for threshold, prediction in ((1.0, ""), (2.0, "a"), (3.0, "a")):
        answers = find_one("a b", [1, 0], [1, 0], null=(3.0, 1.0), null_threshold=threshold)
        assert (answers.predictions["q0"], answers.non_null["q0"], answers.null_odds["q0"]) == (prediction, "a", 2.0)


def test_logits_of_no_answer_are_of_the_window_where_their_sum_is_least():
    offsets = make_offsets("a b c")
    nulls = [(5.0, 1.0), (-1.0, 6.0), (6.0, -1.0)]
    rows = [make_row(0, offsets[number : number + 1], number, [0], [0], null) for number, null in enumerate(nulls)]
    answers = find(["a b c"], rows, null_threshold=0.0)
    assert list_best(answers)[0] == ("", -1.0, 6.0)
    assert answers.null_odds == {"q0": 5.0}


@pytest.mark.parametrize(
    ("null", "n_best_size", "texts"),
    [
        (9, 2, ["", "b"]),
        (5, 2, ["b", ""]),
        (4, 2, ["b", ""]),
        (3, 2, ["b", "a", ""]),  # it comes behind an equal one
        (-9, 2, ["b", "a", ""]),
        (9, 1, [""]),
        (-9, 1, ["b", ""]),
        (-9, 9, ["b", "a", "c", ""]),
    ],
)
def test_no_answer_stands_at_its_rank_or_behind_all(null, n_best_size, texts):
    answers = find_one("a b c", [3, 5, 1], [0, 0, 0], null=(null, 0), n_best_size=n_best_size, max_answer_length=1, null_threshold=0.0)
    assert [text for text, *_ in list_best(answers)] == texts
    assert answers.non_null == {"q0": "b"}


@pytest.mark.parametrize("shift", [0, 5000, -5000])
def test_probabilities_are_the_softmax_over_the_list(shift):
    start, end = [shift + 3, shift + 2, -9000], [0, 0, -9000]
    answers = find_one("a b c", start, end, null=(shift + 1, 0), max_answer_length=1, null_threshold=0.0)
    powers = [math.exp(score) for score in (3, 2, 1, -13000)]
    expected = [power / sum(powers) for power in powers]
    assert [entry["probability"] for entry in answers.nbest["q0"]] == pytest.approx(expected)


def test_values_can_be_written_as_json():
    answers = find_one("a b", [1, 0], [0, 1], null_threshold=0.0, dtype=np.float16)
    for values in (answers.predictions, answers.nbest, answers.null_odds, answers.non_null):
        assert json.loads(json.dumps(values)) == values


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 5])
def test_logit_that_is_not_finite_is_an_error_with_the_question(value, position):
    rows = [make_row(0, [(0, 1)], 0, [0.0], [0.0]), make_row(1, make_offsets("a b"), 0, [0.0, 1.0], [0.0, 1.0])]
    rows[1].logits[1][position] = value
    with pytest.raises(FloatingPointError, match="question q1: a logit is not finite"):
        find(["a", "a b"], rows)


def test_rows_of_a_question_that_are_apart_are_a_defect():
    rows = [make_row(number, [(0, 1)], 0, [0.0], [0.0]) for number in (0, 1, 0)]
    with pytest.raises(AssertionError, match="not neighbours"):
        find(["a", "b"], rows)


def test_ranking_does_not_depend_on_how_many_answers_are_asked_for():
    rng = np.random.default_rng(1)
    context = " ".join(rng.choice(["a", "b", "c", "d"], 200))
    logits = rng.integers(-3, 4, (2, 200)).tolist()
    long = list_best(find_one(context, *logits, n_best_size=3000))
    assert len(long) > 1000
    for size in (1, 7, 100):
        assert list_best(find_one(context, *logits, n_best_size=size)) == long[:size]
