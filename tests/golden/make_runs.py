"""A tiny run of each task: the losses of its 20 updates, hashes of what it leaves, and its checkpoint after 10.

    python -m tests.golden.make_runs tests/golden/runs      # write, from the commit whose numbers shall stay
    python -m tests.golden.make_runs --compare tests/golden/runs

`--compare` trains anew and goes on from the stored checkpoints; on the machine that wrote the folder every bit must be the same. Losses
are written with all their digits; another processor may round them otherwise. On a machine like that of machine.txt, which
wrote the folder, tests/test_runs_stay.py compares every bit of losses and results; elsewhere losses to 1e-4.
"""

import argparse
import contextlib
import hashlib
import importlib
import io
import json
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
UPDATES, HALF = 20, 10
SHAPE = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}
WORDS = ["the", "cat", "sat", "on", "a", "mat", "dog", "ran", "fast", "slow", "good", "bad", "very", "not", "it", "was"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", *LETTERS[1:], *(f"##{letter}" for letter in LETTERS)]
COMMON = {"seq_length": 24, "epoch_num": 100, "train_batch_size": 8, "eval_batch_size": 8, "do_train": "true", "do_eval": "true"}
COMMON |= {"do_predict": "true", "packing": "false", "optimizer.name": "Lamb", "optimizer.learning_rate": 0.01}
RECIPES = {
    "classifier": ("run_classifier", COMMON | {"task_name": "custom", "columns": "text_a=text,label=label", "data_dir": "classifier"}),
    "regression": (
        "run_classifier",
        COMMON | {"task_name": "custom", "columns": "text_a=text,label=label", "data_dir": "regression", "num_class": 1},
    ),
    "ner": ("run_ner", COMMON | {"data_dir": "ner", "optimizer.name": "AdamW"}),
    "ner_crf": ("run_ner", COMMON | {"data_dir": "ner", "use_crf": "true", "with_lstm": "true", "accumulation_steps": 2}),
    "squad": ("run_squad", COMMON | {"data_dir": "squad", "doc_stride": 6, "max_query_length": 4, "optimizer.name": "Momentum"}),
    "pretrain": (
        "run_pretrain",
        {
            "data_dir": "pretrain/text.mindrecord",
            "eval_data_dir": "pretrain/text.mindrecord",
            "train_with_eval": "true",
            "eval_steps": HALF,
            "batch_size": 8,
            "masking": "dynamic",
            "enable_data_sink": "false",
            "optimizer.name": "AdamWeightDecay",
            "optimizer.learning_rate": 0.01,
            "optimizer.warmup_steps": 2,
        },
    ),
}


def write_data(folder):
    """Made-up files of every task, the same each time."""
    random = np.random.default_rng(7)
    (folder / "vocab.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    (folder / "bert_config.json").write_text(json.dumps({**SHAPE, "vocab_size": len(TOKENS)}), encoding="utf-8")
    for name in ("classifier", "regression", "ner", "squad", "pretrain"):
        (folder / name).mkdir()
    for split, rows in (("train", 60), ("dev", 21), ("test", 13)):
        tables, sentences, paragraphs = {"classifier": ["text\tlabel"], "regression": ["text\tlabel"]}, [], []
        for number in range(rows):
            words = list(random.choice(WORDS[:10], random.integers(4, 12)))
            place = int(random.integers(0, len(words) - 1))
            words[place : place + 2] = ("good", "kxy") if number % 2 else ("bad", "dog")
            text = " ".join(words)
            tables["classifier"].append(f"{text}\t{'positive' if number % 2 else 'negative'}")
            tables["regression"].append(f"{text}\t{place / 2}")
            tags = ["O"] * len(words)
            tags[place : place + 2] = ("B-THING", "I-THING") if number % 2 else ("B-PET", "I-PET")
            sentences.append("\n".join(f"{word}\t{tag}" for word, tag in zip(words, tags)) + "\n")
            answer = {"text": words[place + 1], "answer_start": len(" ".join([*words[: place + 1], ""]))}
            question = {"id": f"{split}-{number}", "question": words[place], "answers": [answer]}
            paragraphs.append({"context": text, "qas": [question]})
        for name, lines in tables.items():
            (folder / name / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "ner" / f"{split}.txt").write_text("\n".join(sentences), encoding="utf-8")
        content = {"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}
        name = {"train": "train-v1.1.json", "dev": "dev-v1.1.json", "test": "test.json"}[split]
        (folder / "squad" / name).write_text(json.dumps(content), encoding="utf-8")
    documents = [
        "\n".join(" ".join(WORDS[(start + step + place) % len(WORDS)] for place in range(6)) + " ." for step in range(8))
        for start in random.integers(0, len(WORDS), 12)
    ]
    (folder / "pretrain" / "text.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    flags = {"max_seq_length": 24, "max_predictions_per_seq": 4, "dupe_factor": 3, "workers": 1, "file_format": "mindrecord"}
    flags |= {"input_file": folder / "pretrain/text.txt", "output_file": folder / "pretrain/text.mindrecord"}
    call("src.build_records", flags | {"vocab_file": folder / "vocab.txt"})


def call(module, flags):
    """Run a command in this process; it leaves the handlers of signals as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        importlib.import_module(module).main([f"--{key}={value}" for key, value in flags.items()])
    for number, handler in before.items():
        signal.signal(number, handler)
    return said.getvalue()


def flags_of(name, data, output):
    script, settings = RECIPES[name]
    settings = {key: data / value if key.endswith("data_dir") else value for key, value in settings.items()}
    settings |= {"vocab_file_path": data / "vocab.txt", "bert_config_file": data / "bert_config.json", "device_target": "CPU"}
    settings |= {"train_steps": UPDATES, "log_steps": 1, "save_checkpoint_steps": HALF, "save_checkpoint_num": 2}
    settings |= {"save_checkpoint_path" if script == "run_pretrain" else "output_dir": output}
    return script, settings


def checkpoints(output):
    """Checkpoints of a run's folder, the oldest first."""
    return sorted([*output.glob("*.ckpt"), *output.glob("ckpt/*.ckpt")], key=lambda path: int(path.stem.rpartition("_")[2]))


def losses(output):
    """Losses of the updates that a run has made."""
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line["loss"] for line in lines if "loss" in line and "step" in line]


def results(output):
    """Hashes of the files of results."""
    kept = (".json", ".tsv", ".csv", ".txt", ".jsonl")
    files = sorted(path for path in output.iterdir() if path.suffix in kept and path.name != "log.jsonl")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files}


def machine():
    """What the last bits of losses depend on: the processor, its instructions, and the version of MindSpore."""
    import mindspore

    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model, instructions = [re.search(rf"^{key}\s*: (.*)$", text, re.MULTILINE) for key in ("model name", "flags")]
    known = hashlib.sha256(" ".join(sorted(instructions[1].split())).encode()).hexdigest()[:16] if instructions else ""
    return f"{model[1] if model else ''}, instructions {known}, MindSpore {mindspore.__version__}\n"


def run(name, data, output):
    """Train, evaluate and predict: losses, hashes of results and the name of the first checkpoint."""
    script, flags = flags_of(name, data, output)
    call(script, flags)
    return {"losses": losses(output), "results": results(output), "checkpoint": checkpoints(output)[0].name}


def go_on(name, data, output, stored, file_name):
    """As `run`, from a stored checkpoint, which had the file name in the folder of its training."""
    script, flags = flags_of(name, data, output)
    folder = output if script == "run_pretrain" else output / "ckpt"
    folder.mkdir(parents=True)
    shutil.copyfile(stored, folder / file_name)
    call(script, flags | {"resume": "true"})
    return {"losses": losses(output), "results": results(output)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of runs.json and the checkpoints")
    parser.add_argument("--compare", action="store_true", help="compare with the folder instead of writing it")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "data").mkdir()
        write_data(work / "data")
        figures = {}
        for name in RECIPES:
            figures[name] = run(name, work / "data", work / name)
            stored = options.folder / f"{name}.ckpt"
            if not options.compare:
                options.folder.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(checkpoints(work / name)[0], stored)
                continue
            expected = json.loads((options.folder / "runs.json").read_text(encoding="utf-8"))[name]
            resumed = go_on(name, work / "data", work / f"{name}-resumed", stored, expected["checkpoint"])
            for told, found, wanted in (
                ("losses", figures[name]["losses"], expected["losses"]),
                ("results", figures[name]["results"], expected["results"]),
                ("losses after resuming", resumed["losses"], expected["losses"][HALF:]),
                ("results after resuming", resumed["results"], expected["results"]),
            ):
                same = found == wanted
                failed |= not same
                print(f"{name}: {told} {'the same' if same else f'DIFFER: {found} instead of {wanted}'}", flush=True)
        if not options.compare:
            lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(found)}" for name, found in figures.items())
            (options.folder / "runs.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
            (options.folder / "machine.txt").write_text(machine(), encoding="utf-8")
    sys.exit(failed)


if __name__ == "__main__":
    main()
