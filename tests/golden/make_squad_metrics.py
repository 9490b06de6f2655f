"""Scores of the official scripts of SQuAD 1.1, SQuAD 2.0 and CMRC 2018: tests/golden/squad_metrics.json.gz.

    PYTHON tests/golden/make_squad_metrics.py FOLDER

FOLDER has evaluate-v1.1.py, evaluate-v2.0.py (SQuAD's site), cmrc2018_evaluate.py (ymcui/cmrc2018, the version for Python 3) and
NLTK's punkt_tab under nltk_data/. PYTHON is 3.10 or 3.11, whose `sum` rounds every addition, with nltk==3.9.2 (3.3 to 3.9.2 split
CMRC's texts alike, later ones also at dashes) and numpy.

By measure: gold and predictions (null_odds); scores of each question by itself; the result of the script for all of them.
"""

import gzip
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

# (answers, prediction); None: no prediction
ENGLISH = [
    (["the Denver Broncos", "Denver Broncos"], "Broncos"),
    (["Denver Broncos"], "  THE   denver\tbroncos!! "),
    (["a"], "the"),  # no words are left: a match, but F1 0 in 1.1
    (["a"], "cat"),
    (["theatre and a banana"], "theatre banana"),
    (["A.B.C."], "abc"),
    (["an-an"], "an an"),  # punctuation goes first, then articles
    (["the-cat"], "the cat"),
    (["it's"], "its"),
    (["it’s"], "its"),  # only ASCII punctuation goes
    (["“quoted”"], '"quoted"'),
    (["3,500"], "3500"),
    (["$5.2 million"], "5 2 million"),
    (["ÉCOLE Straße"], "école STRASSE"),
    (["Café"], "Cafe\u0301"),
    (["İstanbul"], "istanbul"),
    (["Ａ　ＢＣ"], "ａ ｂｃ"),  # full width: a space, but no articles or punctuation
    (["é a b"], "éa b"),
    (["_a_"], "a"),
    (["x"], ""),
    (["..."], ""),  # no words are left: in 2.0 no answer
    (["..."], "the"),
    (["", "real"], "real"),
    (["", "real"], ""),
    (["New York", "New York City", "NYC"], "the city of New York"),
    (["b b b c"], "b b c c"),
    (["one two three four five six seven"], "seven one three"),
    (["10\u00a0000"], "10 000"),
    (["日本"], "日本人"),
    (["same"], None),
    (["Same", "other"], None),
]
UNANSWERABLE = [([], ""), ([], "guess"), ([], " "), ([], "the"), ([], "..."), ([], "\u3000")]
CHINESE = [
    (["光荣和ω-force", "光荣和ω-force", "光荣"], "光荣和ω-force开发"),
    (["《战国无双3》"], "战国无双3"),
    (["1990年3月", "1990年"], "于1990年3月10日"),
    (["北京大学"], "北大"),
    (["北京，上海。"], "北京上海"),
    (["ＮＢＡ总冠军"], "nba总冠军"),
    (["３．５％"], "3.5%"),
    (["3.5 %"], "3.5%"),
    (["......"], "……"),
    (["等等…"], "等等……"),
    (["，"], "。"),  # nothing is left: a match, but F1 0
    (["，"], ""),
    (["的"], ""),
    (["Windows XP 和 Mac OS X"], "windows xp"),
    (["iPhone 4S手机"], "iphone4s手机"),
    (["Henry A. Walsh"], "A. Walsh"),
    (["St. John of Matha教堂"], "St. John"),
    (["S.G. Tallentyre"], "tallentyre"),
    (["He left. The end."], "left. The end"),
    (["He left e.g. early. Fine."], "early."),
    (["in no. 5. chapter 3. part"], "no. 5. chapter"),
    (['"P. Bennisoni" (1995).'], "bennisoni (1995)"),
    (["don't you can't cannot gonna wanna go"], "do n't you can not"),
    (["the dogs' and 'tis John's, they'll"], "dogs' and 'tis John"),
    (['他说 "hello world" 吗'], "hello world"),
    (["a,b, c,,d,1,000"], "b, c,,d"),
    (["Rock'n'Roll 'n' Blues"], "'n' blues"),
    (["20—30岁", "20–30岁"], "20-30岁"),
    (["μ's ‘x’ «y» „z“"], "μ's x y z"),
    (["AT&T #1 @home; 50% [x] {y} <z>"], "at & t # 1 @ home ; 50 %"),
    (["what? no! yes?!"], "no! yes?"),
    (["wait... what.. end"], "what .. end"),
    (["台湾　台北"], "台湾 台北"),
    (["龦鿿㐀ぁァ한"], "㐀ぁ"),  # beyond U+9FA5 it is no Chinese character
    (["李 白"], "李白"),
    (["甲"], None),
]
ENGLISH_PIECES = [
    *"abc",
    "the",
    "an",
    "The",
    "cat",
    "dog",
    "house",
    "x.y",
    "U.S.",
    "1,000",
    "20%",
    "—",
    "é",
    "’s",
    "'s",
    ".",
    ",",
    "-",
    '"',
]
CHINESE_PIECES = [
    *"中国人年月日的是在，。《》：（）、“”",
    *"abc.,-:'\"!?()　 ",
    " ",
    " the ",
    "st. ",
    "mr. ",
    "J. ",
    "2018",
    "3.5",
    "word. ",
    "can't",
    "…",
]


def make_random(rng, pieces, separator, count):
    def text(longest):
        return separator.join(rng.choice(pieces) for _ in range(rng.randint(1, longest)))

    rows = []
    for _ in range(count):
        answers = [text(rng.choice((3, 10, 20))) for _ in range(rng.randint(1, 3))]
        words = [*rng.choice(answers)] if separator == "" else rng.choice(answers).split(separator)
        begin = rng.randrange(len(words))
        rows.append((answers, separator.join(words[begin : begin + rng.randint(0, 12)]) + rng.choice(("", separator + text(3)))))
    return rows


def make_set(rows):
    """Gold of several articles and paragraphs, and predictions, among them some for questions that are not there."""
    questions = [
        {"id": f"q{n}", "question": "?", "answers": [{"text": a, "answer_start": 0} for a in row[0]]} for n, row in enumerate(rows)
    ]
    paragraphs = [{"context": "", "qas": questions[n : n + 7]} for n in range(0, len(questions), 7)]
    gold = {"version": "1.1", "data": [{"title": "", "paragraphs": paragraphs[n : n + 3]} for n in range(0, len(paragraphs), 3)]}
    predictions = {f"q{n}": row[1] for n, row in enumerate(rows) if row[1] is not None}
    return {"gold": gold, "predictions": {"unknown": "the", **predictions, "unknown too": ""}}


def load_module(folder, name):
    spec = importlib.util.spec_from_file_location(name.replace("-", "_").replace(".", "_"), Path(folder) / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_script(script, saved, *flags):
    """What the script prints for these files."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in saved.items():
            (Path(folder) / name).write_text(json.dumps(content), encoding="utf-8")
        command = [sys.executable, script.resolve(), "gold", "predictions", *flags]
        return json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout)


def score_each(saved, exact, f1):
    """The best scores of every question over its answers; both functions take (prediction, answer)."""
    questions = [q for article in saved["gold"]["data"] for paragraph in article["paragraphs"] for q in paragraph["qas"]]
    scores = {question["id"]: (0, 0) for question in questions}
    for question in questions:
        text, answers = saved["predictions"].get(question["id"]), [answer["text"] for answer in question["answers"]]
        if text is not None:
            scores[question["id"]] = int(max(exact(text, a) for a in answers)), max(f1(text, a) for a in answers)
    return scores


def main(folder):
    os.environ["NLTK_DATA"] = str(folder / "nltk_data")
    v1, v2, zh = (load_module(folder, name) for name in ("evaluate-v1.1", "evaluate-v2.0", "cmrc2018_evaluate"))
    rng = random.Random(1)

    first = make_set(ENGLISH + make_random(rng, ENGLISH_PIECES, " ", 250))
    answered = [row for row in ENGLISH if row[1] is not None]
    rows = [row if rng.random() < 0.7 else ([], rng.choice(("", row[1]))) for row in make_random(rng, ENGLISH_PIECES, " ", 250)]
    second = make_set(answered + UNANSWERABLE + rows)
    odds = [(key, round(rng.gauss(0, 1) - bool(text), 1)) for key, text in second["predictions"].items()]  # many of them equal
    rng.shuffle(odds)
    second["null_odds"] = dict([("unknown odds", -3.0), *odds])
    third = make_set(CHINESE + make_random(rng, CHINESE_PIECES, "", 250))

    first["scores"] = score_each(first, v1.exact_match_score, v1.f1_score)
    exact, f1 = v2.get_raw_scores(second["gold"]["data"], second["predictions"])
    second["scores"] = {key: (exact[key], f1[key]) for key in exact}
    third["scores"] = score_each(third, lambda text, a: zh.calc_em_score([a], text), lambda text, a: zh.calc_f1_score([a], text))

    first["result"] = run_script(folder / "evaluate-v1.1.py", first)
    second["result"] = run_script(folder / "evaluate-v2.0.py", second)
    second["result_with_odds"] = run_script(folder / "evaluate-v2.0.py", second, "--na-prob-file", "null_odds")
    second["result_at_0"] = run_script(folder / "evaluate-v2.0.py", second, "--na-prob-file", "null_odds", "--na-prob-thresh", "0")
    third["result"] = dict(zip(("F1", "EM", "TOTAL", "SKIP"), zh.evaluate(third["gold"], third["predictions"])))
    third["words"] = {text: zh.mixed_segmentation(text, rm_punc=True) for row in CHINESE for text in (*row[0], row[1] or "")}

    text = json.dumps({"squad_v1": first, "squad_v2": second, "cmrc": third}, separators=(",", ":"))
    (Path(__file__).parent / "squad_metrics.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.version_info >= (3, 12):
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
