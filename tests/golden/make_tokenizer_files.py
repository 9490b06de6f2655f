"""Ids by line of odd vocabularies, and tokens of folders with settings: tests/golden/tokenizer_files.json.gz.

Run twice: with transformers 4.57.1 (slow and fast class, and what Google's reader of lines gives), then with 5.24.0, whose folders have a
tokenizer.json alone. Either adds its part to the file.

    python tests/golden/make_tokenizer_files.py
"""

import gzip
import json
import tempfile
from pathlib import Path

import transformers
from transformers import AutoTokenizer, BertTokenizer

PATH = Path(__file__).with_name("tokenizer_files.json.gz")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TOKENS = [*SPECIAL, "が", "か", "##か", "mo", "##chte", "##ö", "m", "##m", "##o", "##chte", "möchte", "mochte", "##te", "caf", "##e", "##é"]
TOKENS += [
    "Caf",
    "C",
    "##af",
    "漢",
    "##字",
    "字",
    "漢字",
    "a",
    "b",
    "##b",
    "foo",
    "##bar",
    "bar",
    "<",
    ">",
    "num",
    "e",
    "1",
    ".",
    "!",
    "ab",
]
TOKENS += ["New", "York", "new", "york", "##foo", "E", "M", "##öchte", "##ochte", "お", "##゙"]
TOKENS = list(dict.fromkeys(TOKENS))
TEXTS = [
    "が か möchte Möchte mo\u0308chte",
    "漢字 漢a字 字字",
    "café CAFÉ Café CAFE\u0301.",
    "<num> a<num>b <NUM> <e1> x<e1>! <E1> foobar foo bar FOO",
    "new york New York",
    "が\u3099 か\u3099 お",
]
SETTINGS = {
    "plain": {},
    "accents kept": {"strip_accents": False},
    "accents kept, lower case": {"strip_accents": False, "do_lower_case": True},
    "cased": {"do_lower_case": False},
    "cased, accents stripped": {"do_lower_case": False, "strip_accents": True},
    "ideographs not split": {"tokenize_chinese_chars": False},
    "all three": {"do_lower_case": True, "strip_accents": False, "tokenize_chinese_chars": False},
    "added": {"added": ["<num>", "New York"], "special": ["<e1>"]},
    "added, cased": {"do_lower_case": False, "added": ["<num>", "New York"], "special": ["<e1>"]},
}
VOCABULARIES = {
    "blank lines": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n\na\n\nb\n",
    "blank at the end": "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n\n",
    "twice": "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\na\nc\n",
    "white space": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n\u2028\n\u00a0\na\n",
    "windows": "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n\r\na\r\n",
    "no last line end": "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb",
    "byte order mark": "\ufeff[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n",
}


def read_like_google(text):
    """load_vocab of google-research/bert: lines by their ends, stripped, the number of a line its id."""
    lines = text.split("\n")
    return {line.strip(): number for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines)}


def read_folder(folder):
    """Every file of a tokenizer's folder as text."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).iterdir())}


def main():
    version = transformers.__version__.split(".")[0]
    golden = json.loads(gzip.decompress(PATH.read_bytes())) if PATH.exists() else {"texts": TEXTS}
    golden[f"folders {version}"] = folders = {}
    for name, settings in SETTINGS.items():
        with tempfile.TemporaryDirectory() as folder:
            vocabulary, saved = Path(folder, "vocab.txt"), Path(folder, "saved")
            vocabulary.write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
            switches = {key: value for key, value in settings.items() if key not in ("added", "special")}
            tokenizer = BertTokenizer(str(vocabulary), **switches)
            tokenizer.add_tokens(settings.get("added", []))
            tokenizer.add_special_tokens({"additional_special_tokens": settings.get("special", [])})
            tokenizer.save_pretrained(saved)
            ids = {}
            for use_fast in (True, False):
                loaded = AutoTokenizer.from_pretrained(saved, use_fast=use_fast)
                ids[type(loaded).__name__] = [loaded(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
            folders[name] = {"files": read_folder(saved), "ids": ids}
    if version == "4":
        golden["vocabularies"] = {}
        for name, text in VOCABULARIES.items():
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "vocab.txt")
                path.write_bytes(text.encode())
                theirs = dict(BertTokenizer(str(path)).vocab)
            golden["vocabularies"][name] = {"text": text, "huggingface": theirs, "google": read_like_google(text)}
    text = json.dumps(golden, ensure_ascii=False, sort_keys=True)
    PATH.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    main()
