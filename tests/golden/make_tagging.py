"""Entity scores and spans of seqeval 1.2.2 on random tag sequences: tests/golden/tagging.json.gz.

    .venv-torch/bin/python tests/golden/make_tagging.py

By scheme: labels; gold and predicted tag ids of 300 sequences, illegal transitions among them; the spans [type, start, end) that seqeval
sees in them in its default mode (BMES: after renaming M to I); scores over all sequences.
"""

import gzip
import json
import random
from pathlib import Path

from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities

TYPES = ("PER", "ORG", "WORK_OF-ART")
PREFIXES = {
    "IOB1": "BI",
    "IOB2": "BI",
    "IO": "I",
    "IOE1": "IE",
    "IOE2": "IE",
    "BIOE": "BIE",
    "BIOS": "BIS",
    "BIOES": "BIES",
    "BMES": "BMES",
}
SEQUENCES, LONGEST = 300, 20


def entity_tags(scheme, kind, length):
    letters, inner = PREFIXES[scheme], "M" if scheme == "BMES" else "I"
    first = "B" if "B" in letters and scheme != "IOB1" else inner
    last = "E" if "E" in letters and scheme != "IOE1" else inner
    single = next((letter for letter in "SBE" if letter in letters and scheme not in ("IOB1", "IOE1")), inner)
    return [f"{prefix}-{kind}" for prefix in (single if length == 1 else first + inner * (length - 2) + last)]


def legal_sequence(rng, scheme, length):
    tags = []
    while len(tags) < length:
        gap, kind = rng.choice((0, 0, 1, 2, 4)), rng.choice(TYPES)
        found = entity_tags(scheme, kind, rng.choice((1, 1, 2, 3, 5)))
        if tags and not gap and tags[-1][2:] == kind:  # the older schemes mark nothing but the border of two that touch
            if scheme == "IOB1":
                found[0] = f"B-{kind}"
            if scheme == "IOE1":
                tags[-1] = f"E-{kind}"
        tags += ["O"] * gap + found
    return tags[:length]  # an entity may be cut


def with_noise(rng, tags, labels, share):
    return [rng.choice(labels) if rng.random() < share else tag for tag in tags]


def find_spans(sequences):
    return [[[kind, start, last + 1] for kind, start, last in get_entities(tags)] for tags in sequences]


def run(rng, scheme):
    labels = ["O"] + [f"{prefix}-{kind}" for kind in TYPES for prefix in PREFIXES[scheme]]
    gold = [legal_sequence(rng, scheme, rng.randint(1, LONGEST)) for _ in range(SEQUENCES)]
    gold = [with_noise(rng, tags, labels, rng.choice((0, 0, 0, 0.2, 1))) for tags in gold]
    predicted = [with_noise(rng, tags, labels, rng.choice((0, 0.1, 0.3))) for tags in gold]
    saved = {"labels": labels}
    saved |= {name: [[labels.index(tag) for tag in tags] for tags in given] for name, given in (("gold", gold), ("predicted", predicted))}
    if scheme == "BMES":
        gold, predicted = ([[tag.replace("M-", "I-") for tag in tags] for tags in given] for given in (gold, predicted))
    saved |= {"gold_spans": find_spans(gold), "predicted_spans": find_spans(predicted)}
    report = classification_report(gold, predicted, output_dict=True, zero_division=0)
    rows = {
        name: {"precision": row["precision"], "recall": row["recall"], "f1": row["f1-score"], "support": int(row["support"])}
        for name, row in report.items()
    }
    saved |= {key: rows["micro avg"][key] for key in ("precision", "recall", "f1")}
    return saved | {"macro_f1": rows["macro avg"]["f1"], "per_type": {kind: rows[kind] for kind in sorted(TYPES)}}


def main():
    rng = random.Random(1)
    saved = {scheme: run(rng, scheme) for scheme in PREFIXES}
    text = json.dumps(saved, separators=(",", ":"))
    (Path(__file__).parent / "tagging.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
