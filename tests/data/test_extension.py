"""Extended vocabularies: made by src.build_vocab --extend, taken up by run_pretrain.py's settings, and the rows of weights that grow."""

import json
import os

import numpy as np
import pytest
from conftest import WORDS
from tiny_models import SIZES, write_model

from src.build_vocab import main
from src.config import loader
from src.convert.conversion import convert
from src.formats.weights import OF_WORDS, grow_vocabulary
from src.tasks.pretrain.corpus.new_words import find_new_words, total_words
from src.tasks.pretrain.options import PretrainOptions
from src.text.tokenization import Tokenizer

PIECES = [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", *PIECES, *"bcdefghijklm"]
TEXT = "The catmat sat on a Fastdog. The dogs sat.\n中文中文 catmat zoo catmat\n\nthe Fastdog ran, dogs and dogs.\n"


@pytest.fixture
def weights(tmp_path):
    """A pretrained network in Hugging Face's form, and its vocabulary of 60 tokens."""
    assert len(TOKENS) == SIZES["vocab_size"]
    folder, _ = write_model(tmp_path / "old", kind="pretraining", target="huggingface", vocabulary=("\n".join(TOKENS) + "\n").encode())
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    return folder


def extend(weights, *flags, to="new/vocab.txt"):
    main([f"--extend={weights / 'vocab.txt'}", f"--vocab_file={weights.parent / to}", *map(str, flags)])
    return weights.parent / to


def write_words(weights, *words):
    path = weights.parent / "words.txt"
    path.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    return path


def test_words_of_a_list_follow_the_old_tokens(weights):
    path = extend(weights, f"--words={write_words(weights, 'catmat', '', 'fastdog', '文')}")
    assert path.read_text(encoding="utf-8") == "\n".join([*TOKENS, "catmat", "fastdog", "文"]) + "\n"
    tokenizer = Tokenizer(path)
    assert tokenizer.do_lower_case and tokenizer.encode(["Catmat catmats"]) == [[60, 60, tokenizer.vocabulary["##s"]]]
    assert extend(weights, f"--words={weights.parent / 'words.txt'}") == path  # again into the folder that it has made


def test_the_words_that_save_the_most_pieces_are_learnt(weights, capsys):
    path = extend(weights, "--add=2", f"--input_file={weights.parent / 'text.txt'}")
    # catmat and its pieces cat ##m ##a ##t: 3 times 3 saved; fastdog: 2 times 3, dogs: 3 times 1
    assert Tokenizer(path).tokens[60:] == ["catmat", "fastdog"]
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["catmat", "3", "9", "cat", "##m", "##a", "##t"] in printed and ["fastdog", "2", "6", "fast", "##d", "##o", "##g"] in printed
    found = find_new_words(total_words(TEXT.splitlines(), Tokenizer(weights / "vocab.txt")), Tokenizer(weights / "vocab.txt"), 9, 2)
    assert [new.word for new in found] == ["catmat", "fastdog", "dogs"]  # zoo and 中 are [UNK], "and" is there once


def test_fewer_words_than_asked_are_told(weights, caplog):
    extend(weights, "--add=9", f"--input_file={weights.parent / 'text.txt'}", "--min_frequency=3")
    assert "add=9: only 2 words that occur 3 times or more are cut into pieces" in caplog.text


def test_a_cased_vocabulary_has_cased_words(weights):
    path = extend(weights, f"--words={write_words(weights, 'Fast')}", "--do_lower_case=false")
    assert Tokenizer(path).encode(["Fast fast"]) == [[60, TOKENS.index("fast")]]


BAD_LISTS = {
    ("cat",): ":1: 'cat' is a token of",
    ("catmat", "cat mat"): ":2: 'cat mat' can be no token: the tokenizer reads 'cat', 'mat'",
    ("CatMat",): ":1: 'CatMat' can be no token: the tokenizer reads 'catmat'",
    ("catmat", "", "catmat"): ":3: 'catmat' is on line 1 already",
    ("c++",): ":1: 'c++' can be no token: the tokenizer reads 'c', '+', '+'",
    ("中文",): ":1: '中文' can be no token: the tokenizer reads '中', '文'",
    ("a" * 201,): "of at most 200 characters",
    ("", ""): ": no words; one a line is expected",
    (): ": no words; one a line is expected",
}


@pytest.mark.parametrize("words", BAD_LISTS)
def test_a_word_that_can_be_no_new_token_is_named(weights, words, capsys):
    path = write_words(weights, *words)
    with pytest.raises(SystemExit) as caught:
        extend(weights, f"--words={path}")
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.count("\n") == 1 and error.startswith(f"error: {path}:")
    assert BAD_LISTS[words] in error and not (weights.parent / "new").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--add=0"], "add=0 is not allowed: it must be at least 1"),
        (["--add=2"], "--input_file is missing"),
        (["--add=2", "--words=w"], "give either --words, a file, or --add"),
        ([], "give either --words, a file, or --add"),
        (["--add=2", "--input_file=TEXT", "--vocab_size=70"], "vocab_size=70 has no use with --extend"),
        (["--words=w", "--input_file=TEXT"], "has no use with --words"),
        (["--add=2", "--input_file=TEXT", "--min_frequency=9"], "no word that occurs 9 times or more is cut into pieces"),
        (["--add=2", "--input_file=TEXT", "--vocab_file=OLD/vocab2.txt"], "OLD/tokenizer_config.json is of another vocabulary"),
        (["--add=2", "--extend=", "--input_file=TEXT"], "add=2 has no use without --extend"),
    ],
)
def test_flags_that_do_not_go_together_are_one_line(weights, flags, message, capsys):
    (weights / "tokenizer_config.json").write_text('{"do_lower_case": true, "model_max_length": 512}', encoding="utf-8")
    flags = [flag.replace("TEXT", f"{weights.parent / 'text.txt'}").replace("OLD", str(weights)) for flag in flags]
    with pytest.raises(SystemExit) as caught:
        extend(weights, *flags)
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.count("\n") == 1 and message.replace("OLD", str(weights)) in error


# the settings of run_pretrain.py


def load(weights, **changes):
    settings = {"data_dir": "records", "load_checkpoint_path": weights, "output_dir": weights.parent / "out", **changes}
    return loader.load(PretrainOptions, [f"--{key}={value}" for key, value in settings.items() if value is not None])


def test_list_and_extended_vocabulary_mean_the_same(weights):
    words = write_words(weights, "catmat", "fastdog", "文")
    path = extend(weights, f"--words={words}")
    for settings in (
        {"extend_vocabulary": words},
        {"vocab_file_path": path},
        {"vocab_file_path": path, "extend_vocabulary": "auto:3"},
        {"vocab_file_path": path, "extend_vocabulary": words},
    ):
        options = load(weights, **settings)
        tokenizer, pieces = options.open_vocabulary()
        assert options.model.vocab_size == 63 and tokenizer.vocabulary == Tokenizer(path).vocabulary
        cut = {60: ["cat", "##m", "##a", "##t"], 61: ["fast", "##d", "##o", "##g"], 62: ["[UNK]"]}
        assert pieces == {number: [TOKENS.index(token) for token in tokens] for number, tokens in cut.items()}
    assert load(weights).model.vocab_size == 60 and load(weights).open_vocabulary()[1] == {}


def test_the_words_are_read_once_and_may_come_from_a_pipe(weights):
    reader, writer = os.pipe()
    os.write(writer, b"catmat\n")
    os.close(writer)
    options = load(weights, extend_vocabulary=f"/dev/fd/{reader}")
    assert options.open_vocabulary()[0].tokens[60:] == ["catmat"]
    os.close(reader)


def test_words_that_have_changed_are_read_again(weights):
    for word in ("catmat", "fastdog"):
        options = load(weights, extend_vocabulary=write_words(weights, word))
        assert options.open_vocabulary()[0].tokens[60:] == [word]


def test_a_vocabulary_that_is_no_extension_is_used_as_before(weights):
    other = weights.parent / "other.txt"
    other.write_text("\n".join([*TOKENS[:5], "new", *TOKENS[5:59]]) + "\n")
    options = load(weights, vocab_file_path=other)
    assert options.model.vocab_size == 60 and options.open_vocabulary()[1] == {}


def test_a_vocabulary_that_is_not_berts_may_be_replaced(weights):
    extended = extend(weights, f"--words={write_words(weights, 'catmat')}")
    (weights / "vocab.txt").write_text("<s>\n</s>\n")
    options = load(weights, vocab_file_path=extended)
    assert options.model.vocab_size == 60 and options.open_vocabulary()[1] == {}


BAD_SETTINGS = {
    "no_weights": ({"extend_vocabulary": "WORDS", "load_checkpoint_path": None}, "give --load_checkpoint_path"),
    "no_number": ({"extend_vocabulary": "auto:some"}, "auto:N with N from 1"),
    "zero": ({"extend_vocabulary": "auto:0", "vocab_file_path": "NEW"}, "auto:N with N from 1"),
    "not_made_yet": ({"extend_vocabulary": "auto:5"}, "--add 5 makes the one that --vocab_file_path takes"),
    "other_number": ({"extend_vocabulary": "auto:5", "vocab_file_path": "NEW"}, "new/vocab.txt has 1 tokens more than"),
    "two_vocabularies": ({"extend_vocabulary": "WORDS", "vocab_file_path": "NEW"}, "is not OLD/vocab.txt with these words"),
    "absent_list": ({"extend_vocabulary": "nothing.txt"}, "nothing.txt: No such file"),
    "known_word": ({"extend_vocabulary": "KNOWN"}, "known.txt:1: 'cat' is a token of"),
}


@pytest.mark.parametrize("kind", BAD_SETTINGS)
def test_bad_settings_end_in_one_line(weights, kind, capsys):
    new = extend(weights, f"--words={write_words(weights, 'fastdog')}")
    (weights.parent / "known.txt").write_text("cat\n")
    names = {"WORDS": write_words(weights, "catmat"), "NEW": new, "KNOWN": weights.parent / "known.txt"}
    settings, message = BAD_SETTINGS[kind]
    with pytest.raises(SystemExit) as caught:
        load(weights, **{key: names.get(value, value) for key, value in settings.items()})
    error = capsys.readouterr().err
    assert caught.value.code == 2 and error.count("\n") == 1 and message.replace("OLD", str(weights)) in error


def test_weights_without_a_vocabulary_cannot_be_extended(weights, capsys):
    words = write_words(weights, "catmat")
    (weights / "vocab.txt").unlink()
    with pytest.raises(SystemExit):
        load(weights, extend_vocabulary=words)
    assert f"{weights} has no vocab.txt beside it" in capsys.readouterr().err


# the rows of weights


@pytest.mark.parametrize("padding", [0, 4])
@pytest.mark.parametrize("name", OF_WORDS)
def test_new_rows_are_means_of_their_pieces_and_old_ones_stay(name, padding):
    """Also where the table is padded: new tokens take the rows that no token had."""
    array = np.random.default_rng(1).standard_normal((60 + padding, 8)[: 1 if name.endswith("bias") else 2]).astype(np.float32)
    pieces = {60: [6, 23, 24], 61: [7, 8], 62: [1]}
    grown = grow_vocabulary(name, array, pieces)
    assert grown.dtype == np.float32 and grown.shape == (60 + max(padding, 3), *array.shape[1:])
    assert grown[:60].tobytes() == array[:60].tobytes() and grown[62].tobytes() == array[1].tobytes()
    for number, ids in pieces.items():
        np.testing.assert_allclose(grown[number], sum(array[each].astype(np.float64) for each in ids) / len(ids), rtol=1e-6)
    assert grow_vocabulary("bert.pooler.weight", array, pieces) is array


def test_a_folder_with_an_extended_vocabulary_is_converted(weights, tmp_path):
    config = json.loads((weights / "config.json").read_text())
    path = extend(weights, f"--words={write_words(weights, 'catmat')}")
    folder, _ = write_model(tmp_path / "trained", load(weights, vocab_file_path=path).model, "encoder", vocabulary=path.read_bytes())
    assert convert("mindspore", "huggingface", folder, tmp_path / "made").passed
    assert json.loads((tmp_path / "made/config.json").read_text())["vocab_size"] == config["vocab_size"] + 1
    assert Tokenizer(tmp_path / "made/vocab.txt").vocabulary == Tokenizer(path).vocabulary
