"""Counts and hashes of what the readers make of the files of the data folder: tests/golden/parses.json, which holds no text of them.

    .venv/bin/python -m tests.golden.make_parses [FOLDER]

FOLDER is that of the tests by default ($BERT_TEST_DATA, else ../shared/data). Every reader tries every file; one that refuses a file has
no entry for it. An entry is the number of items (rows, sentences, questions, lines, tokens) and a hash of them all, of tagged text also the
number of entities. A change that reads a file otherwise on purpose makes the file anew; the difference shows which files it is about.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

from src.tasks.classifier import data_sets
from src.tasks.classifier import rows as classifier
from src.tasks.ner import tagged_text
from src.tasks.pretrain.corpus import text as corpus
from src.tasks.squad.file import read_squad
from src.text import tables, tokenization

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = Path(__file__).parent / "parses.json"
_COLUMNS = {  # folder -> columns of a task that has no name of its own
    "afqmc": "text_a=sentence1,text_b=sentence2,label=label",
    "csl": "text_a=abst,label=label",
    "iflytek": "text_a=sentence,label=label",
    "lcqmc": "text_a=0,text_b=1,label=2",
    "ocnli": "text_a=sentence1,text_b=sentence2,label=label",
    "waimai_10k": "text_a=review,label=label",
    "wsc": "text_a=text,label=label",
}
_NAMES = {"xnli_zh": "xnli"}  # folder -> name of its task, where they differ
_SETS = {"afqmc": "afqmc", "csl": "csl", "iflytek": "iflytek", "ocnli": "ocnli", "wsc": "cluewsc"}  # folder -> name among CLUE's tasks


def _tagged(path):
    sentences = tagged_text.read_tagged(path).sentences
    return [(sentence.text, [tuple(entity) for entity in sentence.entities], sentence.line) for sentence in sentences]


def _plain(path):
    return [(sentence.text, sentence.line) for sentence in tagged_text.read_plain(path)]


def _table(path):
    return tables.read_rows(path)


def _examples(path, with_labels=True):
    folder = path.parent.name
    columns, name = _COLUMNS.get(folder), _NAMES.get(folder, folder)
    if not columns and name not in data_sets.DATA_SETS:
        raise ValueError(f"{folder}: no task")
    task = data_sets.make_data_set("custom" if columns else name, columns)
    return [(each.text_a, each.text_b, each.label, each.line) for each in classifier.read_examples(path, task, with_labels)]


def _set(path):
    if path.parent.name not in _SETS:
        raise ValueError(f"{path.parent.name}: no task")
    found = classifier.read_examples(path, data_sets.make_data_set(_SETS[path.parent.name], None), True)
    return [(each.text_a, each.text_b, each.label, each.line, each.id) for each in found]


def _unlabelled(path):
    return _examples(path, with_labels=False)


def _questions(path):
    questions = read_squad(path)
    return [(q.id, q.text, q.context, q.is_impossible, q.answers and [(a.text, a.start) for a in q.answers]) for q in questions]


def _corpus(path):
    return [part for line in corpus.read_corpus([path]) for part in (corpus.split_sentences(line) or [""])]


def _vocabulary(path):
    return list(tokenization.read_vocabulary(path).items())


_READERS = {
    "tagged": _tagged,
    "plain": _plain,
    "table": _table,
    "examples": _examples,
    "set": _set,
    "unlabelled": _unlabelled,
    "questions": _questions,
    "corpus": _corpus,
    "vocabulary": _vocabulary,
}


def find_folder():
    return Path(os.environ.get("BERT_TEST_DATA", ROOT.parent / "shared" / "data"))


def describe(path):
    """Reader -> [items, hash] of the readers that take the file; of tagged text the number of entities stands between them."""
    found = {}
    for name, read in _READERS.items():
        try:
            items = read(path)
        except ValueError:
            continue
        digest = hashlib.sha256()
        for item in items:
            digest.update(repr(item).encode("utf-8", "backslashreplace") + b"\n")
        entities = [sum(len(item[1]) for item in items)] if name == "tagged" else []
        found[name] = [len(items), *entities, digest.hexdigest()[:16]]
    return found


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else find_folder()
    files = (path for path in folder.rglob("*") if path.is_file())
    paths = sorted(path for path in files if path.suffix not in (".md", ".sha256"))  # those are about the folder, no data
    lines = [f"{json.dumps(str(path.relative_to(folder)))}: {json.dumps(describe(path))}" for path in paths]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
