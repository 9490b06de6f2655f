import pytest

from src.build_vocab import main, train
from src.text.tokenization import Tokenizer

TEXT = "the cats sat. The dogs sat on a cat!\nnaïve Σίσυφος 中文中文\n\nthe dog ran, the cat ran.\n" * 3


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    return tmp_path / "text.txt"


def test_the_vocabulary_covers_its_text(text, tmp_path):
    main([f"--input_file={text}", f"--vocab_file={tmp_path / 'vocab.txt'}", "--vocab_size=100"])
    tokenizer = Tokenizer(tmp_path / "vocab.txt")
    assert tokenizer.do_lower_case and tokenizer.tokens[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(tokenizer.tokens) <= 100
    ids = [number for numbers in tokenizer.encode(TEXT.split("\n")) for number in numbers]
    assert tokenizer.vocabulary["[UNK]"] not in ids
    assert {"the", "cat", "sat", "中", "文"} <= set(tokenizer.tokens) and "##中" not in tokenizer.tokens


def test_a_cased_vocabulary_keeps_capitals(text, tmp_path):
    main([f"--input_file={text}", f"--vocab_file={tmp_path / 'vocab.txt'}", "--vocab_size=100", "--do_lower_case=false"])
    tokenizer = Tokenizer(tmp_path / "vocab.txt")
    assert not tokenizer.do_lower_case and {"T", "Σ", "##ï"} <= set(tokenizer.tokens)


def test_the_same_text_gives_the_same_tokens(shared_file):
    path = shared_file("text_en/wikitext-2.test.txt")
    first = train([path], 1000)
    assert len(first) == 1000 and train([path], 1000) == first


def test_rare_letters_are_left_out_first(text):
    tokens = train([text], 12)
    assert len(tokens) == 12 and {"a", "t"} <= set(tokens) and "中" not in tokens
    assert "中" not in train([text], 100, min_frequency=7)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--vocab_size=5"], "vocab_size=5 is not allowed: it must be at least 6"),
        (["--min_frequency=1000"], "no letter occurs 1000 times"),
        (["--do_lower_case=maybe"], "do_lower_case=maybe: expected true or false"),
        (["--input_file=nothing"], "nothing: no such file"),
    ],
)
def test_bad_flags_are_one_line(text, tmp_path, capsys, flags, message):
    with pytest.raises(SystemExit) as caught:
        main([f"--input_file={text}", f"--vocab_file={tmp_path / 'vocab.txt'}", *flags])
    assert caught.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "vocab.txt").exists()
