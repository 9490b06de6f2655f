"""run_embedding.py from flags to files, on a tiny random BERT; most tests share one training."""

import csv
import json

import numpy as np
import pytest
from conftest import TINY, exit_code, write_vocabulary

import run_embedding
from src import ensemble
from src.tasks.embed.options import EmbedOptions
from src.train import checkpoint

NOUNS, VERBS = ("cat", "dog", "mat"), ("sat", "ran", "was")


def make_sentence(random, noun):
    return " ".join([random.choice(["the", "a", "very"]), noun, random.choice(VERBS), random.choice(["fast", "slow", "on", "not"])])


def write_data(folder):
    """Pairs with a score, 5 if both are about the same noun; pairs alone; triplets; texts."""
    random = np.random.default_rng(1)
    rows = {"scores.tsv": ["text_a\ttext_b\tscore"], "pairs.tsv": [], "triplets.csv": ["anchor,positive,negative"], "texts.txt": []}
    for number in range(48):
        first, second = NOUNS[number % 3], NOUNS[(number // 3) % 3]
        texts = [make_sentence(random, noun) for noun in (first, second, first)]
        rows["scores.tsv"].append(f"{texts[0]}\t{texts[1]}\t{5.0 if first == second else 0.5}")
        rows["pairs.tsv"].append(f"{texts[0]}\t{texts[2]}")
        rows["triplets.csv"].append(f"{texts[0]},{texts[2]},{make_sentence(random, NOUNS[(number + 1) % 3])}")
        rows["texts.txt"].append(texts[0])
    for name, lines in rows.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "bert_config.json").write_text(json.dumps(TINY), encoding="utf-8")
    write_vocabulary(folder / "vocab.txt")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def make_flags(data, out, train, **changes):
    settings = {
        "do_train": "true",
        "train_data_file_path": data / train,
        "eval_data_file_path": data / "scores.tsv",
        "vocab_file_path": data / "vocab.txt",
        "bert_config_file": data / "bert_config.json",
        "output_dir": out,
        "seq_length": 8,
        "bucket_list": 8,
        "train_batch_size": 8,
        "eval_batch_size": 48,
        "train_steps": 60,
        "optimizer.name": "AdamW",
        "optimizer.learning_rate": 0.01,
        **changes,
    }
    return [part for key, value in settings.items() if value is not None for part in (f"--{key}", str(value))]


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """The output folder of a training by cosines."""
    out = tmp_path_factory.mktemp("run") / "out"
    run_embedding.main(make_flags(data, out, "scores.tsv", do_eval="true", do_predict="true", predict_data_file_path=data / "scores.tsv"))
    return out


def read_results(out):
    return json.loads((out / "eval_results.json").read_text(encoding="utf-8"))


def test_a_training_by_cosines_learns_what_the_scores_say(trained):
    results = read_results(trained)
    assert results["spearman_correlation"] > 0.8 and results["num_examples"] == 48 and results["loss"] == results["eval_loss"] < 0.1
    with open(trained / "evaluation.csv", encoding="utf-8", newline="") as file:
        assert {row["label"] for row in csv.DictReader(file)} == {"1", "0.1"}
    with open(trained / "predictions.csv", encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert len(found) == 48 and float(found[0]["similarity"]) > 0.5 > float(found[3]["similarity"])
    assert (trained / "figures/scatter.png").is_file()
    assert json.loads((trained / "ckpt/config.json").read_text())["trained_with"] == {"seq_length": 8, "pooling": "mean", "normalize": True}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("train", "flags"),
    [
        ("texts.txt", {}),
        ("pairs.tsv", {"eval_steps": 30, "pooling": "cls"}),
        ("triplets.csv", {"objective": "simcse", "normalize": "false", "accumulation_steps": 2}),
        ("pairs.tsv", {"objective": "multiple_negatives", "use_recompute": "true", "adversarial": "fgm", "ema": 0.9}),
    ],
    ids=["texts", "pairs", "triplets", "regularised"],
)
def test_each_objective_trains(train, flags, data, tmp_path):
    run_embedding.main(make_flags(data, tmp_path / "out", train, do_eval="true", train_steps=30, **flags))
    losses = [json.loads(line) for line in (tmp_path / "out/log.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in losses if "loss" in record and "step" in record and "event" not in record]
    assert losses[-1] < losses[0]
    assert -1 <= read_results(tmp_path / "out")["spearman_correlation"] <= 1


@pytest.mark.slow
def test_texts_become_vectors_and_an_export_gives_the_same(trained, data, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install -r requirements-serve.txt")
    from src.bundle.model import Bundle
    from src.export import __main__ as export_command

    flags = make_flags(data, tmp_path, "texts.txt", do_train=None, do_predict="true", predict_data_file_path=data / "texts.txt")
    run_embedding.main([*flags, "--load_finetune_checkpoint_path", str(trained / "ckpt")])
    vectors = np.load(tmp_path / "vectors.npy")
    assert vectors.shape == (48, 16)
    export_command.main(["--task", "embed", "--checkpoint", str(trained), "--output", str(tmp_path / "bundle")])
    texts = (data / "texts.txt").read_text(encoding="utf-8").splitlines()
    found = [result["embedding"] for result in Bundle(tmp_path / "bundle").predict(texts)]
    np.testing.assert_allclose(found, vectors, atol=1e-5)  # float32 rounding


@pytest.mark.slow
def test_a_training_goes_on_bit_for_bit(data, tmp_path):
    flags = {"train_steps": 6, "save_checkpoint_steps": 3, "save_checkpoint_num": 3}
    run_embedding.main(make_flags(data, tmp_path / "whole", "texts.txt", **flags))
    run_embedding.main(make_flags(data, tmp_path / "out", "texts.txt", **flags))
    checkpoint.find_checkpoints(tmp_path / "out/ckpt", "embed")[-1].unlink()
    run_embedding.main(make_flags(data, tmp_path / "out", "texts.txt", **flags, resume="true"))
    one, other = (checkpoint.read(checkpoint.find_checkpoints(tmp_path / name / "ckpt", "embed")[-1]) for name in ("whole", "out"))
    assert one.keys() == other.keys() and [name for name in one if not np.array_equal(one[name], other[name])] == []


@pytest.mark.slow
def test_folds_score_each_pair_once(data, tmp_path):
    run_embedding.main(make_flags(data, tmp_path / "out", "scores.tsv", folds=2, train_steps=5, eval_data_file_path=None))
    with open(tmp_path / "out/out_of_fold.csv", encoding="utf-8", newline="") as file:
        assert sorted(int(row["row"]) for row in csv.DictReader(file)) == list(range(1, 49))


@pytest.mark.parametrize(
    ("train", "flags", "message"),
    [
        ("texts.txt", {"objective": "cosine"}, "texts.txt: objective=cosine needs pairs with a score: columns text_a, text_b and score"),
        ("texts.txt", {"objective": "multiple_negatives"}, "objective=multiple_negatives needs pairs: a column text_b beside text_a"),
        (
            "texts.txt",
            {"model.hidden_dropout_prob": 0, "model.attention_probs_dropout_prob": 0},
            "the network has no dropout, in which the",
        ),
        ("pairs.tsv", {"train_batch_size": 1}, "train_batch_size=1: objective=multiple_negatives compares the rows of a batch, 2 at least"),
        ("scores.tsv", {"largest_score": 2}, "scores.tsv:2: the score 5 is above largest_score=2"),
        ("pairs.tsv", {"do_eval": "true", "eval_data_file_path": "pairs.tsv"}, "pairs.tsv: evaluation needs pairs with a score"),
        ("pairs.tsv", {"packing": "true"}, "packing=true: is not for embeddings, whose rows have several texts"),
        ("pairs.tsv", {"r_drop": 1}, "r_drop=1.0: is not for embeddings"),
        ("pairs.tsv", {"columns": "text_a=0", "task_name": "stsb"}, "columns=text_a=0: only for task_name=custom"),
    ],
)
def test_bad_input_ends_with_2_before_anything_is_compiled(train, flags, message, data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(data)
    assert exit_code(run_embedding.main, make_flags(data, tmp_path / "out", train, **flags)) == 2
    assert message in capsys.readouterr().err


def test_vectors_of_several_runs_have_no_mean(trained, tmp_path, capsys):
    assert exit_code(ensemble.main, [str(trained), str(trained), "--output", str(tmp_path / "mean")]) == 2
    assert "is of the task embed, whose outputs have no mean over several networks" in capsys.readouterr().err


def test_settings_beside_the_weights_are_taken_for_training_too(encoder, tmp_path):
    from src.config import loader

    (tmp_path / "texts.txt").write_text("a text\n", encoding="utf-8")
    flags = ["--do_train", "true", "--load_pretrain_checkpoint_path", str(encoder), "--train_data_file_path", str(tmp_path / "texts.txt")]
    options = loader.load(EmbedOptions, flags)
    assert (options.seq_length, options.pooling, options.normalize) == (256, "mean", True)
    assert loader.load(EmbedOptions, [*flags, "--seq_length", "32"]).seq_length == 32
