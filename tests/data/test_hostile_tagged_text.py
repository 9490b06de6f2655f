"""Fuzzed entities: in every scheme and form the sentences that were written are read; a damaged file is read or refused by name."""

import gzip
import json
import random

import pytest

from src.tasks.ner.tagged_text import read_tagged

SCHEMES = {
    "IOB1": "BI",
    "IOB2": "BI",
    "IO": "I",
    "IOE": "IE",
    "BIOE": "BIE",
    "BIOS": "BIS",
    "BIOES": "BIES",
    "BILOU": "BILU",
    "BMES": "BMES",
    "BME": "BME",
}
CHARACTERS = ["王", "某", "a", "Z", "7", "，", "é", "\u3000", "21", "👍🏽", "Ａ１", "e\u0301", "<", '{"']
WORDS = ["Peter", "is", "at", "10", "U.S.", "Москва", "été", "in", "👍🏽"]
DAMAGE = [
    b"\0",
    b"\xff",
    b"\n",
    b"\n\n",
    b" ",
    b"\t",
    b"O",
    b"X-PER",
    b"M-PER",
    b"B",
    b"\r",
    b"\xe2\x80\xa8",
    b"-DOCSTART-",
    b"0",
    b"<a>",
    b"{",
]


def write_tags(scheme, length):
    """Prefixes of an entity, as the scheme has them."""
    letters = SCHEMES[scheme]
    inner = "M" if "M" in letters else "I"
    last = next((letter for letter in "EL" if letter in letters), inner)
    if length == 1:
        return next((letter for letter in "SUBE" if letter in letters and scheme != "IOB1"), inner)
    return ("B" if "B" in letters and scheme != "IOB1" else inner) + inner * (length - 2) + last


def make_sentence(generator, scheme, tokens):
    """(rows of token and tag, [type, number of the first token, and of the last])."""
    rows, entities = [], []
    while len(rows) < 2 or generator.random() < 0.8:
        kind, start = generator.choice(["PER", "LOC", "a-b_c"]), len(rows)
        if generator.random() < 0.5 or scheme in ("IOB1", "IO") and entities and entities[-1][2] == start - 1 and entities[-1][0] == kind:
            rows.append([generator.choice(tokens), "O"])
            continue
        tags = write_tags(scheme, generator.randint(1, 4))
        rows += [[generator.choice(tokens), f"{prefix}-{kind}"] for prefix in tags]
        entities.append((kind, start, len(rows) - 1))
    return rows, entities


def number_tokens(generator, rows):
    """Behind each token its position in a word, as Weibo NER has it."""
    position = -1
    for number, row in enumerate(rows):
        position = position + 1 if number in (0, 1) or generator.random() < 0.5 else 0  # the first word has two at least
        row[0] += str(position)


def lay_out_spans(generator, sentences):
    """Doccano's JSON, of lists or of objects, a sentence a line or in one array; tokens are joined by spaces."""
    rows = []
    for tokens, entities in sentences:
        starts = [sum(len(token) + 1 for token in tokens[:number]) for number in range(len(tokens))]
        spans = [(starts[first], starts[last] + len(tokens[last]), kind) for kind, first, last in entities]
        names = generator.choice([None, ("start", "end", "type"), ("start_offset", "end_offset", "label")])
        label = [dict(zip(names, span)) for span in spans] if names else [list(span) for span in spans]
        rows.append({"text": " ".join(tokens), generator.choice(["label", "labels", "entities"]): label})
    if generator.random() < 0.5:
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    return json.dumps(rows, ensure_ascii=False, indent=generator.choice([None, 1])).encode()


def lay_out_pairs(generator, sentences):
    """A sentence and its tags a line."""
    joint = generator.choice([" ", "\x02"])
    header = generator.choice(["", "", "text_a\tlabel\n"])
    rows = ["\t".join(joint.join(column) for column in zip(*rows)) for rows in sentences]
    return (header + "".join(f"{row}\n" for row in rows)).encode()


def respell(generator, rows_of_all):
    """The tags with their parts reversed, for some files."""
    if generator.random() < 0.3:
        for rows in rows_of_all:
            for row in rows:
                row[1] = row[1] if row[1] == "O" else f"{row[1][2:]}-{row[1][0]}"


def lay_out(generator, sentences):
    more = generator.choice(["", "", " X NN"])
    separator, end = generator.choice(["\t", " ", "  "]), generator.choice(["\n", "\r\n", " \n"])
    lines = [[f"{token}{more.replace(' ', separator)}{separator}{tag}{end}" for token, tag in rows] for rows in sentences]
    return generator.choice(["\n", "\n\n", "-DOCSTART- O\n"]).join("".join(rows) for rows in lines).encode()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_written_entities_are_read_and_damage_is_named(scheme, tmp_path):
    generator, path, num_read, num_refused = random.Random(scheme), tmp_path / "a.txt", 0, 0
    for _ in range(40):
        tokens = generator.choice([CHARACTERS, CHARACTERS, WORDS])
        sentences = [make_sentence(generator, scheme, tokens) for _ in range(generator.randint(1, 5))]
        texts = [[token for token, _ in rows] for rows, _ in sentences]
        if tokens is CHARACTERS and generator.random() < 0.5:
            for rows, _ in sentences:
                number_tokens(generator, rows)
        form = generator.choice([lay_out, lay_out, lay_out_pairs, lay_out_spans])
        if form is lay_out_spans:
            data = form(generator, list(zip(texts, [entities for _, entities in sentences])))
        else:
            respell(generator, [rows for rows, _ in sentences])
            data = form(generator, [rows for rows, _ in sentences])
        encoding = generator.choice([None, None, "gb18030"])
        data = data.decode().encode(encoding or "utf-8")
        path.write_bytes(generator.choice([data, gzip.compress(data, 1)]))
        found = read_tagged(path, encoding=encoding).sentences
        assert [sentence.text.replace(" ", "") for sentence in found] == ["".join(text) for text in texts], data.decode()
        for sentence, text, (_, entities) in zip(found, texts, sentences):
            parts = [(kind, "".join(text[first : last + 1])) for kind, first, last in entities]
            assert [(kind, sentence.text[start:end].replace(" ", "")) for kind, start, end in sentence.entities] == parts, data.decode()
        position = generator.randrange(len(data))
        path.write_bytes(data[:position] + generator.choice(DAMAGE) + data[position + generator.randrange(3) :])
        try:
            for sentence in read_tagged(path, encoding=encoding).sentences:
                assert all(0 <= start < end <= len(sentence.text) for _, start, end in sentence.entities)
            num_read += 1
        except ValueError as error:
            assert str(error).startswith(f"{path}:")
            num_refused += 1
    assert min(num_read, num_refused) > 3, (num_read, num_refused)
