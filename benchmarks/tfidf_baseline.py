"""The classical baseline: TF-IDF of words and word pairs with logistic regression, on a table with header text, label.

    python benchmarks/tfidf_baseline.py --train train.tsv --dev dev.tsv

Prints one JSON line with accuracy and macro F1.
"""

import argparse
import json

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline


def read(path):
    with open(path, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file][1:]
    return [row[0] for row in rows], [row[1] for row in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True)
    parser.add_argument("--dev", required=True)
    options = parser.parse_args()
    (texts, labels), (dev_texts, dev_labels) = read(options.train), read(options.dev)
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10.0, max_iter=2000))
    predicted = model.fit(texts, labels).predict(dev_texts)
    scores = {"accuracy": accuracy_score(dev_labels, predicted), "macro_f1": f1_score(dev_labels, predicted, average="macro")}
    print(json.dumps({"baseline": "tfidf_logistic_regression", "rows": len(dev_labels), **scores}))


if __name__ == "__main__":
    main()
