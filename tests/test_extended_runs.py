"""Pretraining that goes on with an extended vocabulary, from its first outputs to the folder that it leaves."""

import contextlib
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import WORDS
from mindspore import Tensor
from tiny_models import make_model, write_model

import run_classifier
import run_pretrain
from src.build_records import main as build_records
from src.build_vocab import main as build_vocab
from src.config.training import DeviceSettings
from src.convert import conversion
from src.export.__main__ import main as export
from src.formats import weights
from src.tasks.pretrain.network import Pretraining
from src.text.tokenization import Tokenizer
from src.train import model_files
from tests.test_run_pretrain import assert_same_training, go_back, read_arrays

PIECES = [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", *PIECES, *"bcdefghijklm"]
NEW = ["catmat", "fastdog"]
CUT = {60: ["cat", "##m", "##a", "##t"], 61: ["fast", "##d", "##o", "##g"]}
NEW_TOKENS = {number: [TOKENS.index(token) for token in tokens] for number, tokens in CUT.items()}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder with old weights in Hugging Face's form, the vocabulary that text extends, and records made with it."""
    folder = tmp_path_factory.mktemp("corpus")
    vocabulary = ("\n".join(TOKENS) + "\n").encode()
    _, arrays = write_model(folder / "old", kind="pretraining", target="huggingface", vocabulary=vocabulary)
    random = np.random.default_rng(3)
    sentences = [" ".join(random.choice([*WORDS, *NEW, *NEW], 6)) + " ." for _ in range(120)]
    (folder / "text.txt").write_text("\n".join(f"{line}\n" if number % 8 == 7 else line for number, line in enumerate(sentences)))
    build_vocab([f"--extend={folder}/old/vocab.txt", "--add=2", f"--input_file={folder}/text.txt", f"--vocab_file={folder}/new/vocab.txt"])
    settings = {"max_seq_length": 24, "max_predictions_per_seq": 4, "dupe_factor": 3, "workers": 1, "vocab_file": folder / "new/vocab.txt"}
    settings |= {"input_file": folder / "text.txt", "output_file": folder / "records/text.mindrecord"}
    build_records([f"--{key}={value}" for key, value in settings.items()])
    return SimpleNamespace(folder=folder, arrays=arrays)


def make_flags(corpus, out, **changes):
    folder = corpus.folder
    settings = {"data_dir": folder / "records", "load_checkpoint_path": folder / "old", "vocab_file_path": folder / "new/vocab.txt"}
    settings |= {"output_dir": out, "train_steps": 8, "save_checkpoint_steps": 4, "save_checkpoint_num": 2, "train_batch_size": 8}
    settings |= {"optimizer": "Momentum", "num_warmup_steps": 0, "learning_rate": 0.01, "log_steps": 1, "masking": "dynamic", **changes}
    return [f"--{key}={value}" for key, value in settings.items() if value is not None]


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """A finished training, its folder and what it printed."""
    out = tmp_path_factory.mktemp("trained") / "out"
    with contextlib.redirect_stdout(io.StringIO()) as said:
        run_pretrain.main(make_flags(corpus, out))
    return SimpleNamespace(out=out, said=said.getvalue())


def test_texts_without_new_words_have_the_outputs_of_before(corpus):
    """And the rows of the old tokens are those of the file, to the last bit."""
    random = np.random.default_rng(5)
    inputs = [random.integers(5, 60, (2, 12)), np.ones((2, 12)), np.zeros((2, 12)), random.integers(0, 12, (2, 3))]
    found = []
    for size, new in ((60, {}), (62, NEW_TOKENS)):
        network = Pretraining(make_model(vocab_size=size), DeviceSettings())
        model_files.load_weights(network, corpus.folder / "old", whole=True, new_tokens=new)
        network.set_train(False)
        found.append([output.asnumpy() for output in network(*(Tensor(array.astype(np.int32)) for array in inputs))])
    (old_words, old_next), (words, next_sentence) = found
    assert np.array_equal(next_sentence, old_next)  # the encoder's outputs, bit for bit
    # a product of another width adds up in another order
    np.testing.assert_allclose(words[:, :60], old_words, rtol=1e-5, atol=1e-5)
    for name, parameter in network.parameters_dict().items():
        array, old = parameter.asnumpy(), corpus.arrays[name]
        assert array[: len(old)].tobytes() == old.tobytes(), name
        if name in weights.OF_WORDS:
            for number, pieces in NEW_TOKENS.items():
                np.testing.assert_allclose(array[number], old[pieces].mean(0), rtol=1e-5)
        else:
            assert array.shape == old.shape


@pytest.mark.slow
def test_a_training_goes_on_with_the_extended_vocabulary_and_keeps_it(corpus, trained):
    assert "vocabulary: 2 new tokens, 62 in all; the rows of each begin as the mean of its 4.00 pieces" in trained.said
    assert "missing=0 unexpected=0 other_shape=0" in trained.said
    assert Tokenizer(trained.out / "vocab.txt").tokens == [*TOKENS, *NEW]
    assert json.loads((trained.out / "config.json").read_text())["vocab_size"] == 62
    arrays = read_arrays(trained.out)
    for name in weights.OF_WORDS:
        begun = weights.grow_vocabulary(name, corpus.arrays[name], NEW_TOKENS)
        assert len(arrays[name]) == 62 and (arrays[name][60:] != begun[60:]).any()  # the records have the new tokens, which are learnt


@pytest.mark.slow
def test_a_resumed_training_equals_an_unbroken_one_bit_for_bit(corpus, trained, tmp_path):
    go_back(trained.out, tmp_path / "out")
    run_pretrain.main(make_flags(corpus, tmp_path / "out", resume="true", extend_vocabulary="auto:2"))
    assert_same_training(trained.out, tmp_path / "out", after=4)


def test_records_of_another_vocabulary_are_refused(corpus, tmp_path, capsys):
    (tmp_path / "words.txt").write_text("catmat\n")
    changes = {"vocab_file_path": None, "extend_vocabulary": tmp_path / "words.txt"}
    with pytest.raises(SystemExit) as caught:
        run_pretrain.main(make_flags(corpus, tmp_path / "out", **changes))
    named = f"{corpus.folder}/old/vocab.txt extended by {tmp_path}/words.txt"
    assert caught.value.code == 2 and f"records: made with another vocabulary than {named}" in capsys.readouterr().err


@pytest.mark.slow
def test_the_folder_is_converted(trained, tmp_path):
    assert conversion.convert("mindspore", "huggingface", trained.out, tmp_path / "made").passed
    assert json.loads((tmp_path / "made/config.json").read_text())["vocab_size"] == 62
    assert Tokenizer(tmp_path / "made/vocab.txt").tokens == [*TOKENS, *NEW]


@pytest.mark.slow
def test_the_folder_is_fine_tuned_and_exported_without_more_flags(corpus, trained, tmp_path):
    (tmp_path / "rows.tsv").write_text("text\tlabel\n" + "the catmat sat\tno\nthe dog sat\tyes\n" * 8)
    flags = ["--do_train=true", "--do_eval=true", "--task_name=custom", "--columns=text_a=text,label=label", "--train_batch_size=8"]
    flags += [f"--{split}_data_file_path={tmp_path}/rows.tsv" for split in ("train", "eval")]
    flags += [f"--load_pretrain_checkpoint_path={trained.out}", f"--output_dir={tmp_path}/run", "--seq_length=16", "--bucket_list=16"]
    run_classifier.main([*flags, "--epoch_num=1"])
    assert "accuracy" in json.loads((tmp_path / "run/eval_results.json").read_text())
    assert Tokenizer(tmp_path / "run/ckpt/vocab.txt").tokens == [*TOKENS, *NEW]
    export(["--task=fill_mask", f"--checkpoint={trained.out}", f"--output={tmp_path}/bundle"])
    assert Tokenizer(tmp_path / "bundle/vocab.txt").tokens == [*TOKENS, *NEW]
