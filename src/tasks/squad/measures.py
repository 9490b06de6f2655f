"""Measures of question answering, equal to the official scripts' to the last digit: SQuAD 1.1, SQuAD 2.0, CMRC 2018.

    python -m src.metrics.squad GOLD.json PREDICTIONS.json [--version_2 [--null_odds NULL_ODDS.json]] [--language zh]

Gold is {question id: [texts of its answers]}, in the order of the file (src/tasks/squad/file.py reads it); predictions are {question
id: answer text}. All scores are percentages. They are added from left to right, each sum rounded, as the official scripts did
before Python 3.12 gave its `sum` more digits.
"""

import json
import re
import string
import sys
from collections import Counter
from difflib import SequenceMatcher
from itertools import accumulate

from src.cli import Parser, bad_input_exits
from src.log import shorten
from src.tasks.squad.file import read_json, read_squad
from src.tasks.squad.segmentation import fold, segment

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)  # of ASCII alone


def squad_v1(gold, predictions):
    """The measure of SQuAD 1.1: each question's best score over its answers; 0 where it has no prediction.

    Returns:
        dict: exact_match; f1, of the words in common. An answer of articles alone has no words, and f1 0 whatever is predicted.

    Raises:
        ValueError: a question with a prediction but no answer, or no question at all.

    Source: evaluate-v1.1.py.
    """
    exact, f1 = _average(_score_each(gold, predictions, _normalize, _word_f1))
    return {"exact_match": exact, "f1": f1}


def squad_v2(gold, predictions, null_odds=None, threshold=1.0):
    """The measure of SQuAD 2.0, where a question may have no answer and "" predicts that it has none.

    Args:
        null_odds: {question id: number}, the larger, the likelier that there is no answer.
        threshold: of null_odds; a prediction above it counts as "".

    Returns:
        dict: exact, f1, total; the same as HasAns_… and NoAns_… of the questions with and without answers, if there are any.
        With null_odds also best_exact, best_f1, and the thresholds best_exact_thresh, best_f1_thresh, which reach them.

    Raises:
        ValueError: a question without prediction or null odds; no question at all.

    Source: evaluate-v2.0.py.
    """
    _require_all(gold, predictions, "prediction")
    odds = dict.fromkeys(predictions, 0.0) if null_odds is None else null_odds
    _require_all(gold, odds, "null odds")
    raw = {key: _score_v2(answers, predictions[key]) for key, answers in gold.items()}  # (exact, f1) of the predictions
    scores = {key: [not gold[key]] * 2 if odds[key] > threshold else pair for key, pair in raw.items()}
    metrics = _summarize_v2(scores.values())
    for prefix, has_answer in (("HasAns", True), ("NoAns", False)):
        part = [pair for key, pair in scores.items() if bool(gold[key]) == has_answer]
        if part:
            metrics |= {f"{prefix}_{name}": value for name, value in _summarize_v2(part).items()}
    if null_odds is not None:
        for index, name in enumerate(("exact", "f1")):
            gains = {key: _gain(gold[key], predictions[key], pair[index]) for key, pair in raw.items()}
            num_unanswerable = sum(not answers for answers in gold.values())
            metrics[f"best_{name}"], metrics[f"best_{name}_thresh"] = _find_threshold(gains, null_odds, num_unanswerable)
    return metrics


def cmrc(gold, predictions):
    """The measure of CMRC 2018: like that of SQuAD 1.1, but F1 is of the longest run of characters and words in common.

    Returns:
        dict: AVERAGE of the two, F1, EM; TOTAL questions, SKIP of them without prediction, which score 0.

    Raises:
        ValueError: as `squad_v1`.

    Source: cmrc2018_evaluate.py.
    """
    exact, f1 = _average(_score_each(gold, predictions, fold, _run_f1))
    given = [key in predictions for key in gold]
    return {"AVERAGE": (exact + f1) * 0.5, "F1": f1, "EM": exact, "TOTAL": len(given), "SKIP": given.count(False)}


def _score_each(gold, predictions, prepare, f1):
    """(exact, f1) of each question, the best over its answers; both 0 without a prediction."""
    for key, answers in gold.items():
        if key not in predictions:
            yield 0, 0
            continue
        if not answers:
            raise ValueError(f"question {key} has no answers; the measure of SQuAD 2.0 (--version_2) allows that")
        answers, predicted = [prepare(answer) for answer in answers], prepare(predictions[key])
        yield predicted in answers, max(f1(answer, predicted) for answer in answers)


def _require_all(questions, given, name):
    lacking = [key for key in questions if key not in given]
    if lacking:
        count = f"{len(lacking)} of {len(questions)} questions"
        raise ValueError(f"no {name} for {count}, but the measure of SQuAD 2.0 needs all: {shorten(lacking, 3)}")


def _average(pairs):
    """The mean (exact, f1) in percent."""
    pairs = list(pairs)
    if not pairs:
        raise ValueError("no questions")
    *_, exact = accumulate(pair[0] for pair in pairs)
    *_, f1 = accumulate(pair[1] for pair in pairs)
    return 100.0 * exact / len(pairs), 100.0 * f1 / len(pairs)


def _normalize(text):
    """The words of a text in lower case, without articles and ASCII punctuation."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _f1(common, answer, predicted):
    if common == 0:
        return 0
    precision, recall = common / len(predicted), common / len(answer)
    return 2 * precision * recall / (precision + recall)


def _word_f1(answer, predicted):
    return _f1((Counter(answer) & Counter(predicted)).total(), answer, predicted)


def _run_f1(answer, predicted):
    answer, predicted = segment(answer), segment(predicted)
    common = SequenceMatcher(None, answer, predicted, autojunk=False).find_longest_match()
    return _f1(common.size, answer, predicted)


def _score_v2(answers, prediction):
    """(exact, f1) of a prediction, the best over the answers; answers without words count as no answer."""
    answers = [words for words in map(_normalize, answers) if words] or [[]]
    predicted = _normalize(prediction)
    f1 = max(_word_f1(answer, predicted) if answer and predicted else int(answer == predicted) for answer in answers)
    return int(predicted in answers), f1


def _summarize_v2(pairs):
    exact, f1 = _average(pairs)
    return {"exact": exact, "f1": f1, "total": len(pairs)}


def _gain(answers, prediction, score):
    """What it changes in the sum of scores to give a prediction instead of none."""
    return score if answers else -bool(prediction)


def _find_threshold(gains, null_odds, sum_without_predictions):
    """(best percentage, the smallest odds up to which predictions are given to reach it; 0.0 if none is given).

    Predictions are given one by one, by rising odds; the threshold may cut between equal odds, as the official one does.
    """
    keys = sorted((key for key in null_odds if key in gains), key=null_odds.get)
    sums = list(accumulate((gains[key] for key in keys), initial=sum_without_predictions))
    best = max(sums)
    num_given = sums.index(best)
    return 100.0 * best / len(gains), null_odds[keys[num_given - 1]] if num_given else 0.0


def _describe_ids(gold, predictions, path):
    """Lines that tell which ids gold and predictions do not share."""
    lacking, unknown = [key for key in gold if key not in predictions], predictions.keys() - gold.keys()
    if lacking:
        yield f"{path}: no prediction for {len(lacking)} of {len(gold)} questions, which score 0: {shorten(lacking)}"
    if unknown:
        yield f"{path}: {len(unknown)} predictions for unknown questions, without effect: {shorten(sorted(unknown))}"


def _read_gold(path):
    questions = read_squad(path)
    lacking = [question.id for question in questions if question.answers is None]
    if lacking:
        raise ValueError(f'{path}: "answers" is missing in {len(lacking)} of {len(questions)} questions: {shorten(lacking, 3)}')
    return {question.id: [answer.text for answer in question.answers] for question in questions}


def _read_values(path, kind, form):
    """A parsed file {question id: value of this kind}; `form` describes it."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path}: a JSON {type(values).__name__}; expected {form}")
    for key, value in values.items():
        if not isinstance(value, kind) or isinstance(value, bool) or value != value:
            raise ValueError(f"{path}: question {key}: {str(value)[:40]!r}; expected {form}")
    return values


def main(argv=None):
    parser = Parser(prog="python -m src.metrics.squad", description=__doc__)
    parser.add_argument("gold", metavar="GOLD.json", help="questions and answers, plain or .gz")
    parser.add_argument("predictions", metavar="PREDICTIONS.json", help="answers by question id")
    parser.add_argument("--version_2", action="store_true", help="the measure of SQuAD 2.0")
    parser.add_argument("--null_odds", metavar="FILE", help="odds of no answer by question id, for the best thresholds of --version_2")
    parser.add_argument("--null_odds_threshold", type=float, default=1.0, help="above it a prediction counts as no answer [%(default)s]")
    parser.add_argument("--language", choices=("en", "zh"), default="en", help="zh: the measure of CMRC 2018 [%(default)s]")
    with bad_input_exits():
        options = parser.parse_args(argv)
        if options.version_2 and options.language == "zh":
            raise ValueError("--version_2 and --language zh: CMRC 2018 has no measure with questions that have no answer")
        if (options.null_odds or options.null_odds_threshold != 1.0) and not options.version_2:
            raise ValueError("--null_odds and --null_odds_threshold have no effect without --version_2")
        gold = _read_gold(options.gold)
        predictions = _read_values(options.predictions, str, '{"question id": "answer text"}')
        odds = _read_values(options.null_odds, (int, float), '{"question id": number}') if options.null_odds else None
        try:
            if options.version_2:
                metrics = squad_v2(gold, predictions, odds, options.null_odds_threshold)
            else:
                metrics = (cmrc if options.language == "zh" else squad_v1)(gold, predictions)
        except ValueError as error:
            paths = filter(None, (options.gold, options.predictions, options.null_odds))
            raise ValueError(f"{', '.join(paths)}: {error}") from None
        for line in _describe_ids(gold, predictions, options.predictions):
            print(line, file=sys.stderr)
        print(json.dumps(metrics))
