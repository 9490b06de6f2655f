"""run_pretrain.py and pretrain_eval.py as a whole: records made from text, training, resuming, evaluation, bad input."""

import contextlib
import io
import json
import math
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import LAST_DIGIT, NO_DROPOUT, ROOT, TINY, WORDS

import pretrain_eval
import run_pretrain
from src import build_records
from src.config import loader
from src.locks import locked
from src.records.plan import Batch
from src.tasks.task import TASKS
from src.train import checkpoint, runtime


def write_corpus(folder, count):
    """A vocabulary, a network's shape, and a text of so many documents, whose sentences are of known words."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "."]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    random = np.random.default_rng(3)
    documents = []
    for _ in range(count):
        start = random.integers(len(WORDS))
        sentences = [" ".join(WORDS[(start + step + place) % len(WORDS)] for place in range(6)) + " ." for step in range(8)]
        documents.append("\n".join(sentences))
    (folder / "text.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    (folder / "bert_config.json").write_text(json.dumps({**TINY, "vocab_size": len(tokens)}), encoding="utf-8")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder of `write_corpus`, and records in both formats."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, 12)
    for file_format in ("mindrecord", "tfrecord"):
        make_records(folder, file_format, folder / file_format / f"text.{file_format}")
    return folder


def make_records(folder, file_format, path, **changes):
    settings = {"max_seq_length": 24, "max_predictions_per_seq": 4, "dupe_factor": 3, "workers": 1, **changes}
    path.parent.mkdir(exist_ok=True)
    flags = [f"--{key}={value}" for key, value in settings.items()]
    files = [f"--input_file={folder}/text.txt", f"--output_file={path}", f"--vocab_file={folder}/vocab.txt"]
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    build_records.main([*files, *flags, f"--file_format={file_format}"])
    for number, handler in before.items():
        signal.signal(number, handler)


def make_flags(corpus, out, **changes):
    """Flags of a complete tiny training; None leaves one out."""
    settings = {
        "data_dir": corpus / "mindrecord",
        "vocab_file_path": corpus / "vocab.txt",
        "bert_config_file": corpus / "bert_config.json",
        "cache_dir": corpus / "cache",
        "save_checkpoint_path": out,
        "batch_size": 8,
        "train_steps": 12,
        "log_steps": 1,
        "enable_data_sink": "false",
        "optimizer": "AdamWeightDecay",
        "learning_rate": 0.01,
        "num_warmup_steps": 2,
        **changes,
    }
    return [part for key, value in settings.items() if value is not None for part in (f"--{key}", str(value))]


@pytest.fixture
def job(corpus, tmp_path):
    """`job(**changes)`: flags of a training into tmp_path/out."""
    return lambda **changes: make_flags(corpus, tmp_path / "out", **changes)


SHARED = {"masking": "dynamic", "accumulation_steps": 2, "train_steps": 150, "log_steps": 10}  # settings of the training that tests share
KEPT = 100  # the update of its first checkpoint


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """A finished training, its folder and what it printed."""
    out = tmp_path_factory.mktemp("trained") / "out"
    with contextlib.redirect_stdout(io.StringIO()) as said:
        run_pretrain.main(make_flags(corpus, out, **SHARED, save_checkpoint_steps=KEPT, save_checkpoint_num=2))
    return SimpleNamespace(out=out, said=said.getvalue())


def go_back(trained, out):
    """A copy of a training's folder as a stop at its first checkpoint would have left it, but for the log."""
    shutil.copytree(trained, out)
    checkpoint.find_checkpoints(out, "checkpoint_bert")[-1].unlink()
    (out / "log.jsonl").unlink()


def read_log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def read_steps(folder):
    return {record["step"]: record for record in read_log(folder) if "loss" in record}


def read_arrays(folder):
    return checkpoint.read(checkpoint.find_checkpoints(folder, "checkpoint_bert")[-1])


def assert_same_training(first, second, after=0):
    """Equal losses of every step that comes after a given one, and equal parameters and moments, these to the last bit."""
    losses, others = ({step: record["loss"] for step, record in read_steps(folder).items() if step > after} for folder in (first, second))
    assert losses and losses == pytest.approx(others, rel=LAST_DIGIT)
    arrays, other_arrays = read_arrays(first), read_arrays(second)
    assert arrays.keys() == other_arrays.keys()
    assert [name for name in arrays if not np.array_equal(arrays[name], other_arrays[name])] == []


def refusal(capsys, script, flags):
    with pytest.raises(SystemExit) as caught:
        script.main(flags)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: ")
    return error


def test_a_training_learns_and_leaves_the_documented_files(trained, corpus, tmp_path, capsys):
    out = trained.out
    assert [checkpoint.step_of(path) for path in checkpoint.find_checkpoints(out, "checkpoint_bert")] == [KEPT, 150]
    names = {path.name for path in out.iterdir()}
    assert names >= {"config.yaml", "config.json", "vocab.txt", "tokenizer_config.json", "log.jsonl", "figures"}
    steps = read_steps(out)
    assert {
        "masked_lm_loss",
        "next_sentence_loss",
        "learning_rate",
        "loss_scale",
        "skipped",
        "samples_per_s",
        "tokens_per_s",
        "padding",
    } <= steps[20].keys()
    for record in steps.values():
        assert record["loss"] == pytest.approx(record["masked_lm_loss"] + record["next_sentence_loss"], abs=1e-5)
    last = np.mean([record["masked_lm_loss"] for step, record in steps.items() if step > KEPT])
    assert last < 0.85 * steps[1]["masked_lm_loss"]  # how often each word occurs alone gives 0.9
    assert re.search(r"^first step after [\d.]+ s: imports [\d.]+, device [\d.]+, data [\d.]+, network", trained.said, re.MULTILINE)
    assert "step=150/150 loss=" in trained.said and "masked_lm_loss=" in trained.said

    pretrain_eval.main(["--eval_data_dir", f"{corpus}/tfrecord", "--eval_ckpt", str(out), "--output_dir", str(tmp_path / "eval")])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["global_step"] == 150
    assert found["masked_lm_loss"] == pytest.approx(last, abs=0.5)
    assert found["perplexity"] == pytest.approx(math.exp(found["masked_lm_loss"]))
    assert 0.1 < found["masked_lm_accuracy"] <= 1 and 0 <= found["next_sentence_accuracy"] <= 1
    assert json.loads((tmp_path / "eval/eval_results.json").read_text(encoding="utf-8")) == found


@pytest.mark.slow
def test_both_formats_train_alike(job, corpus, tmp_path):
    settings = {"optimizer": "Momentum", "train_steps": 6}
    run_pretrain.main(job(**settings))
    run_pretrain.main(job(**settings, data_dir=corpus / "tfrecord", save_checkpoint_path=tmp_path / "other"))
    assert_weights_equal(tmp_path / "out", tmp_path / "other")


def assert_weights_equal(first, second):
    arrays, others = read_arrays(first), read_arrays(second)
    assert [name for name in arrays if name.startswith("bert.") and not np.array_equal(arrays[name], others[name])] == []


def test_a_resumed_training_equals_an_unbroken_one_bit_for_bit(trained, job, tmp_path):
    go_back(trained.out, tmp_path / "out")
    run_pretrain.main(job(**SHARED, save_checkpoint_steps=KEPT, resume="true"))
    assert_same_training(trained.out, tmp_path / "out", after=KEPT + 10)  # the loss at KEPT + 10 is the mean since the last line of the log


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"optimizer": "Lamb", "bucket_list": "16,24"}, {"masking": "dynamic", "packing": "true", "optimizer": "Momentum"}],
    ids=["buckets", "packed"],
)
def test_a_resumed_training_of_several_lengths_equals_an_unbroken_one(settings, job, tmp_path):
    run_pretrain.main(job(save_checkpoint_path=tmp_path / "whole", save_checkpoint_steps=6, save_checkpoint_num=2, **settings))
    go_back(tmp_path / "whole", tmp_path / "out")
    run_pretrain.main(job(resume="true", **settings))
    assert_same_training(tmp_path / "whole", tmp_path / "out", after=6)


def make_sources(corpus, tmp_path):
    """A second, smaller source in the other format, and `data_dir` of both with weights."""
    make_records(corpus, "tfrecord", tmp_path / "small/text.tfrecord", random_seed=7, dupe_factor=1)
    return f"{corpus}/mindrecord:0.5,{tmp_path}/small:0.5"


@pytest.mark.slow
@pytest.mark.parametrize("masking", ["static", "dynamic"])
def test_a_resumed_training_on_a_mixture_equals_an_unbroken_one(masking, corpus, job, tmp_path, capsys):
    settings = {"data_dir": make_sources(corpus, tmp_path), "masking": masking, "optimizer": "Momentum", "train_steps": 60}
    run_pretrain.main(job(save_checkpoint_path=tmp_path / "whole", save_checkpoint_steps=30, save_checkpoint_num=2, **settings))
    assert "an epoch of the mixture has rows=" in capsys.readouterr().out
    go_back(tmp_path / "whole", tmp_path / "out")
    run_pretrain.main(job(resume="true", **settings))
    assert_same_training(tmp_path / "whole", tmp_path / "out", after=30)
    steps = read_steps(tmp_path / "whole")
    rows = np.array([list(record["source_rows"].values()) for record in steps.values()])
    assert (rows.sum(1) == 8).mean() > 0.9 and 0.4 < rows[:, 1].mean() / 8 < 0.6  # the last batch of an epoch has fewer
    error = refusal(capsys, run_pretrain, job(**{**settings, "data_dir": settings["data_dir"].replace("0.5", "0.4", 1)}, resume="true"))
    assert "was trained with another training data" in error


def prepare(flags):
    """The Prepared of a training, which is not compiled."""
    task = TASKS["pretrain"]
    return task.training.prepare(runtime.start(loader.load(task.options, flags)))


def test_several_sources_are_one_set_or_a_mixture(corpus, job, tmp_path, caplog):
    weighted = make_sources(corpus, tmp_path)
    one, other, both, mixed, again = (
        prepare(job(data_dir=text))
        for text in (corpus / "mindrecord", tmp_path / "small", weighted.replace(":0.5", ""), weighted, weighted.replace("0.5", "3"))
    )
    counts = [len(each.records["train"].lengths) for each in (one, other)]
    assert len(both.records["train"].lengths) == sum(counts) and both.mixture is None
    assert mixed.mixture.num_rows == sum(counts) and abs(np.diff(mixed.mixture.quotas)) <= 1
    assert caplog.messages[-1] == mixed.mixture.describe()
    keys = [each.records["train"].key for each in (one, other, both, mixed, again)]
    assert len(set(keys)) == 4 and keys[3] == keys[4]  # only the ratio counts
    last = np.array([counts[0], counts[0] + counts[1] - 1])
    batch = Batch(last, 2, 24)
    for name in ("input_ids", "masked_lm_ids", "next_sentence_labels"):
        expected = other.records["train"].column(name, Batch(last - counts[0], 2, 24))
        np.testing.assert_array_equal(both.records["train"].column(name, batch), expected)


def test_sources_of_unlike_forms_are_refused(corpus, job, tmp_path, capsys):
    cases = (
        ("wide", {"max_predictions_per_seq": 5}, "records with different numbers of masked positions"),
        ("cased", {"do_lower_case": "false"}, "made with different tokenizer: {'do_lower_case': True} and {'do_lower_case': False}"),
    )
    for name, changes, message in cases:
        make_records(corpus, "tfrecord", tmp_path / name / "text.tfrecord", **changes)
        with pytest.raises(ValueError, match=f"{tmp_path}/{name}") as caught:
            prepare(job(data_dir=f"{corpus}/tfrecord,{tmp_path}/{name}", cache_dir=tmp_path / "cache"))
        assert message in str(caught.value)
    with pytest.raises(ValueError, match="sources with weights need --packing false"):
        prepare(job(data_dir=make_sources(corpus, tmp_path), packing="true"))


def test_mask_units_of_sources_matter_only_where_masks_are_drawn_by_them(corpus, job, tmp_path):
    for unit in ("word", "ngram"):
        make_records(corpus, "tfrecord", tmp_path / unit / "text.tfrecord", mask_unit=unit)
    both = {"data_dir": f"{corpus}/tfrecord,{tmp_path}/word", "cache_dir": tmp_path / "cache"}
    rows = prepare(job(**both)).records["train"]
    assert "word_continues" not in rows.records.maxima()
    assert (rows.column("input_ids", Batch(np.array([0, len(rows.lengths) - 1]), 2, 24))[:, 0] == 2).all()  # [CLS]
    prepare(job(**both, masking="dynamic", mask_unit="token"))
    with pytest.raises(ValueError, match="tfrecord and .*word.*: made with different mask_unit: token and word; --mask_unit says"):
        prepare(job(**both, masking="dynamic"))
    with pytest.raises(ValueError, match="records with different columns: .*tfrecord has no word_continues"):
        prepare(job(**both, masking="dynamic", mask_unit="word"))
    prepare(job(**{**both, "data_dir": f"{tmp_path}/word,{tmp_path}/ngram"}, masking="dynamic", mask_unit="word"))


@pytest.mark.slow
def test_a_killed_training_goes_on_from_its_last_checkpoint_bit_for_bit(job, tmp_path):
    settings = {"train_steps": 200, "save_checkpoint_steps": 7, "save_checkpoint_num": 2, "optimizer": "Momentum"}
    process = subprocess.Popen([sys.executable, "run_pretrain.py", *job(**settings)], cwd=ROOT, stdout=subprocess.DEVNULL)
    log, deadline = tmp_path / "out/log.jsonl", time.monotonic() + 60
    while time.monotonic() < deadline and not (log.is_file() and '"step": 17,' in log.read_text(encoding="utf-8")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 17 <= max(read_steps(tmp_path / "out")) < 200
    run_pretrain.main(job(resume="true", **settings))
    run_pretrain.main(job(save_checkpoint_path=tmp_path / "whole", **settings))
    assert_same_training(tmp_path / "whole", tmp_path / "out")


@pytest.mark.slow
def test_a_damaged_checkpoint_falls_back_to_the_one_before(job, tmp_path, capsys):
    settings = {"train_steps": 4, "optimizer": "Momentum"}
    run_pretrain.main(job(save_checkpoint_steps=2, save_checkpoint_num=3, **settings))
    newest = checkpoint.find_checkpoints(tmp_path / "out", "checkpoint_bert")[-1]
    newest.write_bytes(newest.read_bytes()[:-100])
    capsys.readouterr()
    run_pretrain.main(job(resume="true", **settings))
    printed = capsys.readouterr().out
    assert f"falling back to {tmp_path}/out/checkpoint_bert-1_2.ckpt" in printed
    assert "resumed from" in printed and "step=2" in printed


@pytest.mark.slow
def test_resuming_in_an_empty_folder_starts_anew_and_says_so(job, capsys):
    run_pretrain.main(job(resume="true", train_steps=1, optimizer="Momentum"))
    assert "starting anew" in capsys.readouterr().out


@pytest.mark.slow
def test_micro_batches_train_as_one_batch(job, tmp_path):
    settings = {"enable_global_norm": "true", "do_shuffle": "false", "train_steps": 8}
    settings |= NO_DROPOUT  # micro-batches drop unlike
    run_pretrain.main(job(**settings))
    run_pretrain.main(job(batch_size=4, accumulation_steps=2, save_checkpoint_path=tmp_path / "other", **settings))
    arrays, others = read_arrays(tmp_path / "out"), read_arrays(tmp_path / "other")
    for name in arrays:
        if name.startswith("bert.") and not name.endswith("key.bias"):  # its gradient is rounding alone, which Adam scales up
            np.testing.assert_allclose(arrays[name], others[name], atol=2e-4, err_msg=name)


@pytest.mark.slow
def test_recompute_changes_nothing(job, tmp_path):
    settings = {"train_steps": 6, "optimizer": "Momentum"}
    run_pretrain.main(job(**settings))
    run_pretrain.main(job(**settings, use_recompute="true", save_checkpoint_path=tmp_path / "other"))
    arrays, others = read_arrays(tmp_path / "out"), read_arrays(tmp_path / "other")
    assert arrays.keys() == others.keys()
    for name in arrays:
        np.testing.assert_allclose(arrays[name], others[name], atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_recompute_without_a_compiler_says_that_it_saves_nothing(job, monkeypatch, caplog):
    monkeypatch.setattr("src.kernels.native.build", lambda: None)
    run_pretrain.main(job(train_steps=1, use_recompute="true", optimizer="Momentum"))
    assert any(message.startswith("use_recompute=true saves nothing without a C++ compiler") for message in caplog.messages)


@pytest.mark.slow
def test_evaluation_along_the_way_is_logged_and_changes_nothing(job, corpus, tmp_path):
    run_pretrain.main(job(optimizer="Momentum"))
    evaluated = {
        "optimizer": "Momentum",
        "train_with_eval": "true",
        "eval_steps": 5,
        "eval_data_dir": corpus / "tfrecord",
        "save_checkpoint_path": tmp_path / "evaluated",
    }
    run_pretrain.main(job(**evaluated))
    assert_same_training(tmp_path / "out", tmp_path / "evaluated")
    events = [record for record in read_log(tmp_path / "evaluated") if record.get("event") == "eval"]
    assert [event["step"] for event in events] == [5, 10, 12]
    assert {"masked_lm_loss", "masked_lm_accuracy", "next_sentence_loss", "next_sentence_accuracy", "perplexity"} <= events[0].keys()


@pytest.mark.slow
def test_pretrained_weights_load_into_another_training(trained, job, tmp_path, capsys):
    flags = job(load_checkpoint_path=trained.out, train_steps=1, bert_config_file=None, optimizer="Momentum")
    run_pretrain.main(flags)
    assert "missing=0 unexpected=0" in capsys.readouterr().out
    arrays, others = read_arrays(trained.out), read_arrays(tmp_path / "out")  # the first update has rate 0
    assert [name for name in arrays if name.startswith(("bert.", "masked_lm.")) and not np.array_equal(arrays[name], others[name])] == []


@pytest.mark.slow
def test_no_checkpoint_is_written_where_none_is_wanted(job, tmp_path):
    run_pretrain.main(job(enable_save_ckpt="false", train_steps=1, optimizer="Momentum"))
    assert not list((tmp_path / "out").glob("*.ckpt"))


def test_float16_overflows_end_with_the_parameters_that_did(job, capsys):
    huge = {
        "optimizer": "Momentum",
        "precision.compute_type": "float16",
        "precision.loss_scale": "static",
        "loss_scale_value": 1e38,
        "precision.max_skipped_steps": 4,
    }
    with pytest.raises(SystemExit) as caught:
        run_pretrain.main(job(train_steps=9, **huge))
    assert caught.value.code == 1
    error = capsys.readouterr().err
    assert "4 updates in a row overflowed, the loss scale is 1e+38; not finite last: " in error
    assert "bert." in error


BAD = {
    "no_data": ({"data_dir": None}, "no data: give --data_dir"),
    "absent_data": ({"data_dir": "/nowhere"}, "/nowhere: no such file or folder"),
    "absent_source": ({"data_dir": f"/nowhere:0.5,{ROOT}/configs:0.5"}, "/nowhere: no such file or folder"),
    "empty_source": ({"data_dir": f"{ROOT}/configs:0.5,{ROOT}/docs:0.5"}, "configs: no MindRecord or TFRecord here"),
    "unreadable_weight": ({"data_dir": f"{ROOT}/configs:half,{ROOT}/docs:0.5"}, "configs: the weight 'half' is not a number"),
    "weights_of_zero": ({"data_dir": f"{ROOT}/configs:0,{ROOT}/docs:0.0"}, "the weights sum to 0"),
    "no_records": ({"data_dir": str(ROOT / "configs")}, "configs: no MindRecord or TFRecord here"),
    "many_devices": ({"distribute": "true"}, "this process was started alone"),
    "eval_without_data": ({"train_with_eval": "true"}, "train_with_eval=true: give --eval_data_dir"),
    "no_steps": ({"train_steps": "0"}, "train_steps=0"),
    "other_predictions": ({"max_predictions_per_seq": "5"}, "max_predictions_per_seq=5, but the records of"),
    "too_short": ({"seq_length": "16"}, "a row has 24 tokens, seq_length=16"),
    "beyond_positions": ({"model.max_position_embeddings": "20"}, "its longest row=24 is above model.max_position_embeddings=20"),
    "small_bucket": ({"bucket_list": "16"}, "bucket_list=16: the longest row has 24 tokens"),
    "dynamic_without_vocabulary": ({"masking": "dynamic", "vocab_file_path": None}, "masking=dynamic: give --vocab_file_path"),
    "bucket_beyond_positions": ({"bucket_list": "24,40"}, "bucket_list=40 is above model.max_position_embeddings=32"),
    "batch_beyond_the_data": ({"batch_size": "5000"}, "batch_size=5000: "),
    "bucket_below_length": ({"seq_length": "32", "bucket_list": "24"}, "the largest must equal seq_length=32"),
    "unknown_network": ({"bert_network": "huge"}, "bert_network=huge is not allowed: it must be one of base"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_ends_in_one_line(kind, job, capsys):
    changes, message = BAD[kind]
    assert message in refusal(capsys, run_pretrain, job(**changes))


def test_records_of_another_vocabulary_are_refused(job, corpus, tmp_path, capsys):
    tokens = (corpus / "vocab.txt").read_text(encoding="utf-8").split()
    (tmp_path / "vocab.txt").write_text("\n".join([*tokens[:-1], "zebra"]) + "\n", encoding="utf-8")
    assert "made with another vocabulary than" in refusal(capsys, run_pretrain, job(vocab_file_path=tmp_path / "vocab.txt"))


def test_token_ids_beyond_the_network_are_refused(job, corpus, capsys):
    changes = {"data_dir": corpus / "tfrecord", "vocab_file_path": None, "model.vocab_size": 15}
    assert "does not fit model.vocab_size=15" in refusal(capsys, run_pretrain, job(**changes))


def test_dynamic_masks_need_the_mask_token(job, corpus, tmp_path, capsys):
    tokens = (corpus / "vocab.txt").read_text(encoding="utf-8").split()
    (tmp_path / "vocab.txt").write_text("\n".join(token for token in tokens if token != "[MASK]") + "\n", encoding="utf-8")
    (tmp_path / "text.tfrecord").write_bytes((corpus / "tfrecord/text.tfrecord").read_bytes())  # without its statistics
    changes = {"vocab_file_path": tmp_path / "vocab.txt", "data_dir": tmp_path / "text.tfrecord", "masking": "dynamic"}
    assert "no [MASK] token" in refusal(capsys, run_pretrain, job(**changes, **{"model.vocab_size": 22}))


@pytest.mark.parametrize("file_format", ["mindrecord", "tfrecord"])
def test_truncated_records_are_refused_and_leave_no_cache(file_format, job, corpus, tmp_path, capsys):
    for file in (corpus / file_format).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / f"text.{file_format}"
    path.write_bytes(path.read_bytes()[: -(path.stat().st_size // 3 + 7)])
    assert f"{path}: not readable" in refusal(capsys, run_pretrain, job(data_dir=path, cache_dir=tmp_path / "cache"))
    assert [path.name for path in (tmp_path / "cache/index").iterdir()] == [".lock"]


OTHER_TRAININGS = [
    ({"accumulation_steps": 1}, "number of accumulation steps"),
    ({"masking": "static"}, "training data, vocabulary, length or masking"),
    ({"batch_size": 4}, "batch size, 8"),
    ({"seed": 2}, "seed"),
    ({"do_shuffle": "false"}, "order of rows or bucket_list"),
    ({"bucket_list": "16,24"}, "order of rows or bucket_list"),
    ({"model.hidden_act": "relu"}, "network"),
]


def test_resuming_another_training_is_refused(trained, job, tmp_path, capsys):
    go_back(trained.out, tmp_path / "out")
    for changes, what in OTHER_TRAININGS:
        error = refusal(capsys, run_pretrain, job(**{**SHARED, **changes}, resume="true"))
        assert f"was trained with another {what}; --resume needs the same" in error


@pytest.mark.slow
def test_what_else_has_changed_since_is_told(trained, job, tmp_path, capsys):
    go_back(trained.out, tmp_path / "out")
    kept = {"save_checkpoint_steps": KEPT, "save_checkpoint_num": 2}
    run_pretrain.main(job(**{**SHARED, "train_steps": KEPT + 1}, **kept, learning_rate=0.02, resume="true"))
    assert f"resume: changed since: optimizer.learning_rate 0.01 -> 0.02, train_steps 150 -> {KEPT + 1}, " in capsys.readouterr().out


@pytest.mark.slow
def test_a_new_training_does_not_replace_the_checkpoints_of_another(trained, job, tmp_path, capsys):
    shutil.copytree(trained.out, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    error = refusal(capsys, run_pretrain, job(train_steps=1))
    newest = checkpoint.find_checkpoints(trained.out, "checkpoint_bert")[-1].name
    assert f"out: holds {newest} of an earlier training; give --resume true, or another folder" in error
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}


def test_two_trainings_do_not_share_a_folder(job, tmp_path, capsys):
    with locked(tmp_path / "out"):
        assert "out: another training writes here at this moment" in refusal(capsys, run_pretrain, job())


@pytest.mark.slow
def test_casing_is_that_of_the_records(corpus, job, tmp_path):
    make_records(corpus, "tfrecord", tmp_path / "cased.tfrecord", do_lower_case="false")
    run_pretrain.main(job(data_dir=tmp_path / "cased.tfrecord", train_steps=1, optimizer="Momentum"))
    assert json.loads((tmp_path / "out/tokenizer_config.json").read_text(encoding="utf-8")) == {"do_lower_case": False}


@pytest.mark.slow
def test_shards_must_be_complete_and_of_one_run(corpus, job, tmp_path, capsys):
    for count in (2, 3):
        make_records(corpus, "tfrecord", tmp_path / "data/text.tfrecord", shards=count)
    flags = job(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache", train_steps=1, optimizer="Momentum")
    assert "text.tfrecord is there in 2 and in 3 shards; remove those of an earlier run" in refusal(capsys, run_pretrain, flags)
    for path in (tmp_path / "data").glob("*-of-00002"):
        path.unlink()
    run_pretrain.main(flags)
    (tmp_path / "data/text.tfrecord-00001-of-00003").unlink()
    assert "of the 3 shards of text.tfrecord, number 1 is missing" in refusal(capsys, run_pretrain, flags)
    make_records(corpus, "mindrecord", tmp_path / "data/text.mindrecord")
    assert "holds MindRecords and TFRecords" in refusal(capsys, run_pretrain, flags)


@pytest.mark.slow
def test_a_checkpoint_of_another_network_is_refused(trained, job, tmp_path, capsys):
    go_back(trained.out, tmp_path / "out")
    flags = job(**SHARED, resume="true", **{"model.num_hidden_layers": 2})
    assert "was trained with another network" in refusal(capsys, run_pretrain, flags)
    assert "is of another network or optimiser" in refusal(capsys, run_pretrain, job(**SHARED, resume="true", optimizer="Momentum"))
    newest = checkpoint.find_checkpoints(tmp_path / "out", "checkpoint_bert")[-1]
    flags = job(load_checkpoint_path=newest, **{"model.num_hidden_layers": 2}, save_checkpoint_path=tmp_path / "next")
    assert "is of another network" in refusal(capsys, run_pretrain, flags)
    assert newest.is_file()


def test_evaluation_without_weights_is_refused(corpus, tmp_path, capsys):
    flags = ["--eval_data_dir", f"{corpus}/tfrecord", "--eval_ckpt", str(tmp_path / "absent")]
    assert "absent: no such file or folder" in refusal(capsys, pretrain_eval, flags)


@pytest.mark.parametrize(("name", "device"), [("ascend", "Ascend"), ("for_gpu", "GPU"), pytest.param("cpu", None, marks=pytest.mark.slow)])
def test_launchers_name_the_one_for_the_cpu(name, device, job, corpus, tmp_path):
    script, log = f"scripts/run_standalone_pretrain_{name}.sh", ROOT / "pretraining_log.txt"
    flags = job(data_dir=None, train_steps=2)
    done = subprocess.run(["bash", script, "0", "1", f"{corpus}/mindrecord", *flags], cwd=ROOT, capture_output=True, text=True)
    if device:
        assert done.returncode == 2
        assert f"no {device} device on this machine; on the CPU: bash scripts/run_standalone_pretrain_cpu.sh 0 1" in done.stderr
    else:
        assert done.returncode == 0
        assert "step=2/2" in done.stdout and "step=2/2" in log.read_text(encoding="utf-8")
        log.unlink()
