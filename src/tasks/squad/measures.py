"""Measures of question answering, equal to those of the official scripts to the last digit: SQuAD 1.1, SQuAD 2.0, CMRC 2018.

    python -m src.metrics.squad GOLD.json PREDICTIONS.json [--version_2 [--null_odds NULL_ODDS.json]] [--language zh]

Gold is {question id: [texts of its answers]}, in the order of the file (see src/tasks/squad/file.py); predictions are {question id:
answer text}. All scores are percentages. They are added from left to right with rounding at each step, as the official scripts did
before `sum` of Python 3.12 became more exact.
"""

import json
import re
import string
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from itertools import accumulate

from src import encodings
from src.cli import Parser, bad_input_exits
from src.files import text_limit
from src.log import shorten
from src.tasks.squad.file import read_json, read_squad
from src.tasks.squad.segmentation import fold, segment

Gold = Mapping[str, Sequence[str]]  # question id -> texts of its answers

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)  # ASCII only


def squad_v1(gold: Gold, predictions: Mapping[str, str]) -> dict[str, float]:
    """The measure of SQuAD 1.1: the mean of each question's best score over its answers; 0 where there is no prediction.

    Returns:
        dict: exact_match; f1, over the common words. An answer of only articles has no words, and f1 0 whatever is predicted.

    Raises:
        ValueError: a question with a prediction but no answer, or no question at all.

    Source: evaluate-v1.1.py.
    """
    exact, f1 = _average(_score_each(gold, predictions, _normalize, _word_f1))
    return {"exact_match": exact, "f1": f1}


def squad_v2(
    gold: Gold, predictions: Mapping[str, str], null_odds: Mapping[str, float] | None = None, threshold: float = 1.0
) -> dict[str, float]:
    """The measure of SQuAD 2.0, where a question may have no answer; the prediction "" means that it has none.

    Args:
        null_odds: {question id: number}; a larger number makes no answer more likely.
        threshold: a prediction whose null odds exceed it counts as "".

    Returns:
        dict: exact, f1, total; the same as HasAns_… and NoAns_… for the questions with and without answers, if there are any.
        With null_odds also best_exact and best_f1, and the thresholds that reach them, best_exact_thresh and best_f1_thresh.

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


def cmrc(gold: Gold, predictions: Mapping[str, str]) -> dict[str, float]:
    """The measure of CMRC 2018: like that of SQuAD 1.1, but F1 is over the longest common run of characters and words.

    Returns:
        dict: AVERAGE of the other two, F1, EM; TOTAL questions, and SKIP, the number without a prediction, which score 0.

    Raises:
        ValueError: as `squad_v1`.

    Source: cmrc2018_evaluate.py.
    """
    exact, f1 = _average(_score_each(gold, predictions, fold, _run_f1))
    given = [key in predictions for key in gold]
    return {"AVERAGE": (exact + f1) * 0.5, "F1": f1, "EM": exact, "TOTAL": len(given), "SKIP": given.count(False)}


def _score_each(gold, predictions, prepare, f1):
    """Yield (exact, f1) for each question, the best over its answers; both are 0 without a prediction."""
    for key, answers in gold.items():
        if key not in predictions:
            yield 0, 0
            continue
        if not answers:
            raise ValueError(f"question {key} has no answers; the measure of SQuAD 2.0 (--version_2) allows that")
        answers, predicted = [prepare(answer) for answer in answers], prepare(predictions[key])
        yield predicted in answers, max(f1(answer, predicted) for answer in answers)


def _require_all(questions, given, name):
    missing = [key for key in questions if key not in given]
    if missing:
        count = f"{len(missing)} of {len(questions)} questions"
        raise ValueError(f"no {name} for {count}, but the measure of SQuAD 2.0 needs all: {shorten(missing, 3)}")


def _average(pairs):
    """The means of exact and of f1, in percent."""
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
    """(exact, f1) of a prediction, the best over the answers; an answer without words counts as no answer."""
    answers = [words for words in map(_normalize, answers) if words] or [[]]
    predicted = _normalize(prediction)
    f1 = max(_word_f1(answer, predicted) if answer and predicted else int(answer == predicted) for answer in answers)
    return int(predicted in answers), f1


def _summarize_v2(pairs):
    exact, f1 = _average(pairs)
    return {"exact": exact, "f1": f1, "total": len(pairs)}


def _gain(answers, prediction, score):
    """The change in the sum of scores if the prediction is given instead of none."""
    return score if answers else -bool(prediction)


def _find_threshold(gains, null_odds, sum_without_predictions):
    """(best percentage, threshold): the smallest null odds up to which giving predictions reaches it; 0.0 if none is given.

    Predictions are given one by one, by rising odds; the threshold may separate equal odds, as in the official script.
    """
    keys = sorted((key for key in null_odds if key in gains), key=null_odds.get)
    sums = list(accumulate((gains[key] for key in keys), initial=sum_without_predictions))
    best = max(sums)
    num_given = sums.index(best)
    return 100.0 * best / len(gains), null_odds[keys[num_given - 1]] if num_given else 0.0


def _describe_ids(gold, predictions, path):
    """Yield lines about ids that only gold or only predictions have."""
    missing = [key for key in gold if key not in predictions]
    unknown = predictions.keys() - gold.keys()
    if missing:
        yield f"{path}: no prediction for {len(missing)} of {len(gold)} questions, which score 0: {shorten(missing)}"
    if unknown:
        yield f"{path}: {len(unknown)} predictions for unknown questions, which have no effect: {shorten(sorted(unknown))}"


def _read_gold(path, encoding):
    questions = read_squad(path, encoding)
    missing = [question.id for question in questions if question.answers is None]
    if missing:
        raise ValueError(f'{path}: "answers" is missing in {len(missing)} of {len(questions)} questions: {shorten(missing, 3)}')
    return {question.id: [answer.text for answer in question.answers or ()] for question in questions}


def _read_values(path, kind, form):
    """Parse a file {question id: value of this type}; `form` describes it in errors."""
    values = read_json(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path}: a JSON {type(values).__name__}; expected {form}")
    for key, value in values.items():
        if not isinstance(value, kind) or isinstance(value, bool) or value != value:
            raise ValueError(f"{path}: question {key}: {str(value)[:40]!r}; expected {form}")
    return values


def main(argv: list[str] | None = None) -> None:
    """Print the measures of a file of predictions as one line of JSON."""
    parser = Parser(prog="python -m src.metrics.squad", description=__doc__)
    parser.add_argument("gold", metavar="GOLD.json", help="questions and answers, plain or .gz")
    parser.add_argument("predictions", metavar="PREDICTIONS.json", help="answers by question id")
    parser.add_argument("--version_2", action="store_true", help="the measure of SQuAD 2.0")
    parser.add_argument("--null_odds", metavar="FILE", help="odds of no answer by question id, to find the best thresholds for --version_2")
    parser.add_argument("--null_odds_threshold", type=float, default=1.0, help="above it, a prediction counts as no answer [%(default)s]")
    parser.add_argument("--language", choices=("en", "zh"), default="en", help="zh: the measure of CMRC 2018 [%(default)s]")
    parser.add_argument("--max_text_mb", type=int, default=1024, help="largest size that a .gz file may unpack to [%(default)s]")
    parser.add_argument("--encoding", metavar="NAME", help="encoding of GOLD.json; default: by its byte order mark, else UTF-8")
    with bad_input_exits():
        options = parser.parse_args(argv)
        text_limit(options.max_text_mb << 20)
        if options.version_2 and options.language == "zh":
            raise ValueError("--version_2 and --language zh: the measure of CMRC 2018 does not allow questions without answers")
        if (options.null_odds or options.null_odds_threshold != 1.0) and not options.version_2:
            raise ValueError("--null_odds and --null_odds_threshold have no effect without --version_2")
        encoding = encodings.check_encoding(options.encoding)
        gold = _read_gold(options.gold, encoding)
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
