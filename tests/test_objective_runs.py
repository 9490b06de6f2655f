"""Records, trainings, evaluations and exports of the objectives without next sentences; bad input."""

import json
import shutil
from types import SimpleNamespace

import pytest
from conftest import WORDS
from test_run_pretrain import assert_same_training, go_back, make_flags, make_records, read_log, read_steps, refusal, write_corpus

import pretrain_eval
import run_pretrain
from src import build_records
from src.config.model import describe_weights
from src.convert.__main__ import main as convert
from src.export.__main__ import main as export
from src.records.files import read_description
from src.train import checkpoint

MADE = {"mlm": {"mask_unit": "span", "max_predictions_per_seq": 10, "masked_lm_prob": 0.3}, "mlm_sop": {"mask_unit": "word"}}
KEPT = 6  # the update of the first checkpoint, of 12


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder of `write_corpus`, and records of each objective."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, 24)
    (folder / "similar.txt").write_text("cat dog\nfast slow good\n", encoding="utf-8")
    for objective, settings in MADE.items():
        make_records(folder, "tfrecord", folder / objective / "text.tfrecord", objective=objective, **settings)
    make_records(folder, "tfrecord", folder / "nsp/text.tfrecord", dupe_factor=1)
    return folder


def flags_of(corpus, out, made_for, **changes):
    """Flags of a training of 12 updates on the records of an objective."""
    return make_flags(corpus, out, **{"objective": made_for, "data_dir": corpus / made_for, **changes})


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """A finished training of masked tokens alone, whose masks are drawn in each epoch."""
    out = tmp_path_factory.mktemp("trained") / "out"
    settings = {"masking": "dynamic", "masked_lm_prob": 0.3}
    run_pretrain.main(flags_of(corpus, out, "mlm", save_checkpoint_steps=KEPT, save_checkpoint_num=2, **settings))
    return SimpleNamespace(out=out, settings=settings)


def test_headers_tell_the_objective_and_masks_where_they_are_not_googles(corpus):
    found = {objective: read_description(corpus / objective / "text.tfrecord") for objective in MADE}
    assert found["mlm"]["objective"] == "mlm" and found["mlm"]["mask_unit"] == "span" and found["mlm"]["across_documents"] is True
    assert found["mlm_sop"]["objective"] == "mlm_sop" and found["mlm_sop"]["short_seq_prob"] == 0.1
    assert found["mlm_sop"]["do_whole_word_mask"] is True and "mask_unit" not in found["mlm_sop"] and "short_seq_prob" not in found["mlm"]
    googles = read_description(corpus / "nsp/text.tfrecord")
    assert googles["vocabulary"] and not {"objective", "mask_unit", "across_documents", "similar_words"} & googles.keys()


def test_rows_of_one_text_are_not_called_pairs(corpus, tmp_path, capsys):
    for _ in range(2):
        make_records(corpus, "tfrecord", tmp_path / "x.tfrecord", objective="mlm", store_dir=tmp_path / "store")
    said = capsys.readouterr().out
    assert "stage=ranges instances=" in said and "has the tokens and ranges of an earlier run" in said and "pairs" not in said


def test_statistics_are_those_of_the_objective(corpus):
    found = {name: json.loads((corpus / name / "text.statistics.json").read_text(encoding="utf-8")) for name in MADE}
    assert found["mlm"]["padding_share"] < 0.02  # one short row in each of three passes
    assert 0.28 < found["mlm"]["masked_share"] <= 0.3 and not {"random_next_share", "swapped_share"} & found["mlm"].keys()
    assert found["mlm_sop"]["swapped_share"] == pytest.approx(0.5, abs=0.1) and "random_next_share" not in found["mlm_sop"]


def test_records_are_printed_for_their_objective(corpus, capsys):
    for objective, label in (("mlm", None), ("mlm_sop", "sentence_order_label: ")):
        build_records.main([f"--output_file={corpus}/{objective}/text.tfrecord", f"--vocab_file={corpus}/vocab.txt", "--inspect=8"])
        shown = capsys.readouterr().out
        assert ("segment 1:" in shown) == (label is not None) and "next_sentence" not in shown
        assert label is None or (f"{label}1 (swapped)" in shown and f"{label}0 (as in the text)" in shown)


def test_a_training_of_masked_tokens_alone_is_scored_and_says_nothing_of_next_sentences(trained, corpus, tmp_path, capsys):
    steps = read_steps(trained.out)
    assert all(record["loss"] == record["masked_lm_loss"] for record in steps.values())
    assert steps[12]["loss"] < steps[1]["loss"] and not any("next" in name or "order" in name for name in steps[12])
    assert sum(record["padding"] == 0 for record in steps.values()) > 6  # three of the rows are the short last ones of their pass
    described = json.loads((trained.out / "config.json").read_text(encoding="utf-8"))
    assert described["trained_with"] == {"objective": "mlm"}
    beside = describe_weights(trained.out)
    assert beside.objective == "mlm" and beside.trained_with == {}  # no setting of a fine-tuning
    newest = checkpoint.read(checkpoint.find_checkpoints(trained.out, "checkpoint_bert")[-1])
    assert not any(name.startswith(("bert.pooler.", "next_sentence.")) for name in newest)
    pretrain_eval.main(["--eval_data_dir", f"{corpus}/mlm", "--eval_ckpt", str(trained.out), "--output_dir", str(tmp_path / "eval")])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found.keys() == {"global_step", "masked_lm_accuracy", "masked_lm_loss", "perplexity", "num_examples"}
    assert found["masked_lm_loss"] == pytest.approx(steps[12]["loss"], abs=0.5)


@pytest.mark.slow
def test_a_resumed_training_of_masked_tokens_alone_equals_an_unbroken_one_bit_for_bit(trained, corpus, tmp_path):
    go_back(trained.out, tmp_path / "out")
    run_pretrain.main(flags_of(corpus, tmp_path / "out", "mlm", resume="true", **trained.settings))
    assert_same_training(trained.out, tmp_path / "out", after=KEPT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "settings"),
    [
        ("mlm", {}),
        ("mlm", {"masking": "dynamic", "mask_unit": "ngram", "similar_words": "similar.txt", "packing": "true"}),
        ("mlm_sop", {}),
        ("mlm_sop", {"masking": "dynamic", "accumulation_steps": 2, "model.position_embedding_type": "learned"}),
    ],
    ids=["mlm_static", "mlm_similar_packed", "sop_static", "sop_dynamic_nezha"],
)
def test_resumed_trainings_equal_unbroken_ones_bit_for_bit(objective, settings, corpus, tmp_path):
    if "similar_words" in settings:
        settings = settings | {"similar_words": corpus / settings["similar_words"]}
    evaluated = {"train_with_eval": "true", "eval_steps": KEPT, "eval_data_dir": corpus / objective}
    run_pretrain.main(
        flags_of(corpus, tmp_path / "whole", objective, save_checkpoint_steps=6, save_checkpoint_num=2, **settings, **evaluated)
    )
    shutil.rmtree(tmp_path / "whole/best")
    go_back(tmp_path / "whole", tmp_path / "out")
    run_pretrain.main(flags_of(corpus, tmp_path / "out", objective, resume="true", **settings))
    assert_same_training(tmp_path / "whole", tmp_path / "out", after=KEPT)
    (event,) = [record for record in read_log(tmp_path / "whole") if record.get("event") == "eval" and record["step"] == 12]
    assert ("sentence_order_accuracy" in event) == (objective == "mlm_sop") and "next_sentence_loss" not in event
    assert all("next_sentence_loss" not in record for record in read_steps(tmp_path / "whole").values())


@pytest.mark.slow
@pytest.mark.parametrize("objective", MADE)
@pytest.mark.parametrize("form", [{}, {"across_documents": "false"}], ids=["across", "apart"])
def test_any_number_of_workers_gives_the_same_records(objective, form, corpus, tmp_path, monkeypatch):
    if form and objective != "mlm":
        return
    monkeypatch.setattr("src.tasks.pretrain.corpus.builder.BLOCK_CHARS", 500)
    monkeypatch.setattr("src.tasks.pretrain.corpus.builder.BLOCK_ROWS", 16)
    settings = {"objective": objective, "mask_unit": "ngram", "similar_words": corpus / "similar.txt", **form}
    for workers in (1, 3):
        make_records(corpus, "tfrecord", tmp_path / str(workers) / "x.tfrecord", workers=workers, **settings)
    first, second = ((tmp_path / str(workers) / "x.tfrecord").read_bytes() for workers in (1, 3))
    assert first == second


@pytest.mark.slow
def test_weights_without_a_pooler_are_exported_and_converted(trained, tmp_path, capsys):
    export(["--task", "fill_mask", "--checkpoint", str(trained.out), "--output", str(tmp_path / "bundle"), "--file_format", "MINDIR"])
    convert(["--from", "mindspore", "--to", "huggingface", "--input", str(trained.out), "--output", str(tmp_path / "hf")])
    described = json.loads((tmp_path / "hf/config.json").read_text(encoding="utf-8"))
    assert described["architectures"] == ["BertForMaskedLM"] and described["trained_with"] == {"objective": "mlm"}


@pytest.mark.slow
def test_the_whole_network_is_exported_by_its_objective(trained, tmp_path):
    onnx = pytest.importorskip("onnx")
    export(["--task", "pretrain", "--checkpoint", str(trained.out), "--output", str(tmp_path / "bundle")])
    graph = onnx.load(tmp_path / "bundle/model.onnx").graph
    assert [output.name for output in graph.output] == ["masked_lm_logits"]
    assert json.loads((tmp_path / "bundle/bundle.json").read_text(encoding="utf-8"))["settings"] == {"objective": "mlm"}


@pytest.mark.slow
def test_a_fine_tuning_starts_from_weights_without_a_pooler_and_says_so(trained, tmp_path, caplog):
    import run_classifier

    lines = [f"{word}\t{number % 2}" for number, word in enumerate(WORDS)]
    (tmp_path / "train.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n", encoding="utf-8")
    flags = {"task_name": "custom", "columns": "text_a=text,label=label", "data_dir": tmp_path, "do_train": "true", "train_steps": 2}
    flags |= {"load_pretrain_checkpoint_path": trained.out, "output_dir": tmp_path / "out", "seq_length": 16}
    run_classifier.main([f"--{key}={value}" for key, value in flags.items()])
    assert any(message.startswith("stays random: bert.pooler.weight, bert.pooler.bias") for message in caplog.messages)


REFUSED = {
    "other_objective": ({"data_dir": "nsp"}, "objective=mlm: {corpus}/nsp was made for --objective mlm_nsp: give that"),
    "default_objective": ({"objective": None}, "objective=mlm_nsp: {corpus}/mlm was made for --objective mlm: give that"),
    "unknown_objective": ({"objective": "electra"}, "objective=electra is not allowed: it must be one of mlm_nsp, mlm, mlm_sop"),
    "unknown_unit": ({"mask_unit": "letter"}, "mask_unit=letter is not allowed: it must be one of token, word, ngram, span"),
    "similar_tokens": ({"similar_words": "similar.txt"}, "needs mask_unit word or ngram, not span: a word replaces a word"),
    "unmarked_words": (
        {"mask_unit": "word", "objective": "mlm_nsp", "data_dir": "nsp"},
        "mask_unit=word: {corpus}/nsp does not mark words; python -m src.build_records --mask_unit word does",
    ),
    "few_predictions": (
        {"mask_unit": "span", "objective": "mlm_sop", "data_dir": "mlm_sop"},
        "{corpus}/mlm_sop: max_predictions_per_seq=4: mask_unit=span masks up to 10 words together",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_the_records_were_not_made_for_is_refused(kind, corpus, tmp_path, capsys):
    changes, message = REFUSED[kind]
    changes = {key: corpus / value if key in ("data_dir", "similar_words") else value for key, value in changes.items()}
    flags = flags_of(corpus, tmp_path / "out", "mlm", **{"masking": "dynamic", **changes})
    assert message.format(corpus=corpus) in refusal(capsys, run_pretrain, flags)


def test_masks_that_are_drawn_otherwise_than_in_the_records_are_told(corpus, tmp_path, capsys):
    words = {"mask_unit": "word", "similar_words": corpus / "similar.txt"}
    make_records(corpus, "tfrecord", tmp_path / "similar/text.tfrecord", objective="mlm", **words)
    for folder, told in (
        (corpus / "mlm", "mlm was made with 0.3; --masked_lm_prob 0.3 masks as many"),
        (tmp_path / "similar", "similar_words is not given, with which"),
    ):
        flags = flags_of(corpus, tmp_path / "out", "mlm", data_dir=folder, masking="dynamic", batch_size=5000)
        with pytest.raises(SystemExit):  # for the batch
            run_pretrain.main(flags)
        assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"across_documents": "false"}, "across_documents=false is for --objective mlm, not mlm_nsp"),
        ({"mask_unit": "token", "do_whole_word_mask": "true"}, "do_whole_word_mask=true and mask_unit=token: give one of them"),
        ({"mask_unit": "ngram", "max_predictions_per_seq": 3}, "max_predictions_per_seq=3: mask_unit=ngram masks up to 4 words together"),
        ({"similar_words": "x"}, "similar_words=x: needs mask_unit word or ngram, not token"),
        ({"similar_words": "/nowhere", "mask_unit": "word"}, "/nowhere: no such file; --similar_words takes lines"),
        ({"objective": "mlm", "input_file": "{corpus}/empty.txt"}, "empty.txt: no text"),
        ({"objective": "mlm_sop", "input_file": "{corpus}/short.txt"}, "short.txt: its documents are too short for any row of --objective"),
    ],
)
def test_records_that_cannot_be_made_are_refused(changes, message, corpus, tmp_path, capsys):
    (corpus / "empty.txt").write_text("\n", encoding="utf-8")
    (corpus / "short.txt").write_text("cat\n\ndog\n", encoding="utf-8")
    settings = {"input_file": "{corpus}/text.txt", "output_file": tmp_path / "x.tfrecord", "vocab_file": corpus / "vocab.txt", **changes}
    flags = [f"--{key}={value}".format(corpus=corpus) for key, value in settings.items()]
    assert message in refusal(capsys, build_records, flags)


def test_records_of_other_programs_serve_every_objective_whose_columns_they_have(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("src.tasks.pretrain.records.read_description", lambda path: {})  # they have no header of ours
    flags = flags_of(corpus, tmp_path / "out", "mlm", data_dir=corpus / "mlm_sop", batch_size=5000)
    assert "batch_size=5000: " in refusal(capsys, run_pretrain, flags)  # the next complaint
    flags = flags_of(corpus, tmp_path / "out", "mlm_nsp", data_dir=corpus / "mlm", batch_size=5000)
    assert "not readable as records with columns" in refusal(capsys, run_pretrain, flags)
