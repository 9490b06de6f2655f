"""A global pointer beside a CRF, from a small random BERT: on CLUENER, and on CLUENER with entities inside its entities.

    .venv/bin/python benchmarks/pointer.py --data ../shared/data/cluener --vocab vocab.txt --output /tmp/pointer --rows 4000 --seeds 1,2,3

The nested set: a text of two or more characters that the training file labels at least three times is also an entity wherever it is
inside a longer entity, of the type that it has most often (中国 inside 中国足协). The rule reads the training file alone and is applied to
both files. The CRF trains without the inner entities (--drop_overlapping true) and is scored against all. Runs take turns, seed by seed; a
finished one, kept as a JSON file in --output, is not repeated.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from src.tasks.ner.sentences import Sentences  # noqa: E402
from src.tasks.ner.tagged_text import read_tagged  # noqa: E402
from src.tasks.ner.tags import Entity, find_overlapping  # noqa: E402

HEADS = {"crf": ["--drop_overlapping", "true"], "global_pointer": []}
FIGURES = ("f1", "precision", "recall", "macro_f1")
_FEWEST_LETTERS, _FEWEST_LABELS = 2, 3  # of a text that counts as an entity inside others


def find_known(sentences: Sentences) -> dict[str, str]:
    """The texts that count as entities inside others, and their types."""
    counts: dict[str, Counter[str]] = {}
    for sentence in sentences:
        for kind, start, end in sentence.entities:
            counts.setdefault(sentence.text[start:end], Counter())[kind] += 1
    enough = {text: found.most_common(1)[0] for text, found in counts.items() if len(text) >= _FEWEST_LETTERS}
    return {text: kind for text, (kind, count) in enough.items() if count >= _FEWEST_LABELS}


def add_inner(text: str, entities: tuple[Entity, ...], known: dict[str, str]) -> list[Entity]:
    """The entities, and those inside them."""
    found = set(entities)
    for _, start, end in entities:
        places = ((first, behind) for first in range(start, end) for behind in range(first + 1, end + 1) if behind - first < end - start)
        found |= {Entity(known[text[first:behind]], first, behind) for first, behind in places if text[first:behind] in known}
    return sorted(found, key=lambda entity: (entity.start, entity.end, entity.type))


def write_sets(options: argparse.Namespace) -> None:
    """Write both sets as span JSON lines, the first --rows of the training file, and tell what is in them."""
    read = {split: read_tagged(options.data / f"{split}.json").sentences for split in ("train", "dev")}
    known = find_known(read["train"])
    for name in ("flat", "nested"):
        (options.output / name).mkdir(parents=True, exist_ok=True)
        for split, sentences in read.items():
            lines, total, overlapping = [], 0, 0
            for sentence in sentences[: options.rows if split == "train" else None]:
                entities = add_inner(sentence.text, sentence.entities, known) if name == "nested" else list(sentence.entities)
                total, overlapping = total + len(entities), overlapping + len(find_overlapping(entities))
                row = {"text": sentence.text, "entities": [entity._asdict() for entity in entities]}
                lines.append(json.dumps(row, ensure_ascii=False) + "\n")
            (options.output / name / f"{split}.json").write_text("".join(lines), encoding="utf-8")
            print(f"{name} {split}: {len(lines)} sentences, {total} entities, {overlapping} of them overlap a longer one", file=sys.stderr)


def run(options: argparse.Namespace, name: str, head: str, seed: int) -> dict[str, float]:
    """The figures of a run, from its file if it is finished."""
    folder = options.output / f"{name}-{head}-{seed}"
    path = folder.with_suffix(".json")
    if not path.is_file():
        command = [
            sys.executable, "run_ner.py", "--do_train", "true", "--do_eval", "true", "--data_dir", options.output / name, "--head", head,
            *HEADS[head], "--bert_config_file", options.network, "--vocab_file_path", options.vocab, "--epoch_num", str(options.epochs),
            "--seed", str(seed), "--output_dir", folder, "--log_steps", "50", "--optimizer.name", "AdamW",
            "--optimizer.learning_rate", options.learning_rate, "--head_learning_rate", options.head_learning_rate,
            "--optimizer.schedule", "linear", "--optimizer.eps", "1e-8",
        ]  # fmt: skip
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        events = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        events = {event["event"]: event for event in events if "event" in event}
        results = json.loads((folder / "eval_results.json").read_text(encoding="utf-8"))
        speeds = {f"{kind}_samples_per_s": events[event]["samples_per_s"] for kind, event in (("train", "trained"), ("eval", "eval"))}
        path.write_text(json.dumps({name: results[name] for name in FIGURES} | speeds), encoding="utf-8")
        print(path.stem, path.read_text(encoding="utf-8"), file=sys.stderr, flush=True)
    return json.loads(path.read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of CLUENER's train.json and dev.json")
    parser.add_argument("--vocab", type=Path, required=True)
    parser.add_argument("--network", default="configs/networks/bert_small.json")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=4000, help="training sentences [%(default)s]")
    parser.add_argument("--sets", default="flat,nested")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--epochs", type=float, default=5)
    parser.add_argument("--learning_rate", default="1e-3")
    parser.add_argument("--head_learning_rate", default="5e-3")
    options = parser.parse_args()
    for key in ("data", "vocab", "output"):
        setattr(options, key, getattr(options, key).resolve())
    write_sets(options)
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for seed in map(int, options.seeds.split(",")):
        for name in options.sets.split(","):
            for head in HEADS:
                found.setdefault((name, head), []).append(run(options, name, head, seed))
    for (name, head), parts in found.items():
        single = ", ".join(f"{part['f1']:.4f}" for part in parts)
        means = " ".join(f"{key}={statistics.mean(part[key] for part in parts):.4f}" for key in parts[0])
        print(f"{name} {head} {means} f1 of each seed: {single}")


if __name__ == "__main__":
    main()
