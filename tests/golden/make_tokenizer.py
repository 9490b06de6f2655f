"""Ids that Google's FullTokenizer (bert-tensorflow 1.0.1) gives for tokenizer_texts.py: tests/golden/tokenizer.json.

.venv-tf/bin/python tests/golden/make_tokenizer.py VOCABULARY_FOLDER
"""

import importlib.util
import json
import sys
import unicodedata
from pathlib import Path

import tensorflow.compat.v1 as tf
from tokenizer_texts import TEXTS

sys.modules["tensorflow"] = tf  # bert-tensorflow was written for TensorFlow 1
FOLDER = Path(__file__).parent


def load_google_tokenization():
    """bert/tokenization.py by its path: the package itself imports optimisers that TensorFlow 2 no longer has."""
    folder = next(Path(path) / "bert" for path in sys.path if (Path(path) / "bert" / "tokenization.py").is_file())
    spec = importlib.util.spec_from_file_location("google_tokenization", folder / "tokenization.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(vocabularies):
    google, golden = load_google_tokenization(), {"unicode": unicodedata.unidata_version}
    for name in ("cased", "uncased", "chinese"):
        tokenizer = google.FullTokenizer(f"{vocabularies}/bert-base-{name}-vocab.txt", do_lower_case=name != "cased")
        golden[name] = [tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)) for text in TEXTS]
    rows = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}".replace("], [", "],\n[") for key, value in golden.items())
    (FOLDER / "tokenizer.json").write_text("{" + rows + "}\n")


if __name__ == "__main__":
    main(sys.argv[1])
