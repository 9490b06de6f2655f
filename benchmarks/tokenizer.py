"""Our tokenizer beside Google's FullTokenizer on the same text files: equal ids, and megabytes per second.

    .venv/bin/python benchmarks/tokenizer.py FILE... --vocab vocab.txt

Needs .venv-tf (`benchmarks/peers.sh tf`). Prints one JSON line. Speeds are medians of three interleaved passes.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GOOGLE = """
import glob, importlib.util, json, sys, time
import tensorflow.compat.v1 as tf1
sys.modules["tensorflow"] = tf1
path = glob.glob(sys.prefix + "/lib/python*/site-packages/bert/tokenization.py")[0]
spec = importlib.util.spec_from_file_location("google_tokenization", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
request = json.load(sys.stdin)
tokenizer = module.FullTokenizer(request["vocab"], do_lower_case=request["lower"])
started = time.perf_counter()
ids = [tokenizer.convert_tokens_to_ids(tokenizer.tokenize(line)) for line in request["lines"]]
print(json.dumps({"seconds": time.perf_counter() - started, "ids": ids}))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--vocab", required=True)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from src.text.tables import read_text
    from src.text.tokenization import Tokenizer

    lines = [line for file in options.files for line in read_text(file).split("\n")]
    size = sum(len(line.encode()) for line in lines) / 1e6
    tokenizer = Tokenizer(options.vocab)
    request = json.dumps({"vocab": options.vocab, "lower": tokenizer.do_lower_case, "lines": lines})
    ours, google = [], []
    for _ in range(3):
        started = time.perf_counter()
        ids = tokenizer.encode(lines)
        ours.append(size / (time.perf_counter() - started))
        done = subprocess.run([ROOT / ".venv-tf/bin/python", "-c", GOOGLE], input=request, capture_output=True, text=True, check=True)
        answer = json.loads(done.stdout.splitlines()[-1])
        google.append(size / answer["seconds"])
    result = {
        "benchmark": "tokenizer",
        "megabytes": round(size, 2),
        "lines": len(lines),
        "different_lines": sum(a != b for a, b in zip(ids, answer["ids"])),
        "ours_mb_per_s": round(statistics.median(ours), 2),
        "google_mb_per_s": round(statistics.median(google), 2),
        "ratio": round(statistics.median(a / b for a, b in zip(ours, google)), 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
