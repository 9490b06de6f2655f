import importlib.util
import json
from pathlib import Path

import pytest

from src.text.tokenization import Tokenizer, read_vocabulary

GOLDEN = Path(__file__).parent.parent / "golden"
_SPEC = importlib.util.spec_from_file_location("tokenizer_texts", GOLDEN / "tokenizer_texts.py")
TEXTS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(TEXTS)
TEXTS = TEXTS.TEXTS
# where Google's ids are not ours, and why: docs/data.md, "Tokenizer"
DIFFERENT = {
    "\U00011f00 kawi \U0001e900 adlam \u1c89 \u10d0\u1c90",  # U+11F00 and U+1C89: assigned after the Unicode version of that Python
    "extension E a\U0002b820b",  # the library starts CJK extension E at U+2B920 instead of U+2B820
}


@pytest.mark.parametrize("name", ["cased", "uncased", "chinese"])
def test_ids_equal_googles(name, shared_file):
    golden = json.loads((GOLDEN / "tokenizer.json").read_text())[name]
    assert len(golden) == len(TEXTS)
    tokenizer = Tokenizer(shared_file(f"vocab/bert-base-{name}-vocab.txt"), name != "cased")
    different = set()
    for text, ours, theirs in zip(TEXTS, tokenizer.encode(TEXTS), golden):
        if ours != theirs:
            assert text in DIFFERENT, f"{text!r}: {[tokenizer.tokens[n] for n in ours]}, Google's {[tokenizer.tokens[n] for n in theirs]}"
            different.add(text)
    assert different  # a difference that is gone leaves the list and the document


@pytest.mark.parametrize("name", ["cased", "uncased", "chinese"])
def test_casing_of_published_vocabularies_is_found(name, shared_file):
    assert decide(shared_file(f"vocab/bert-base-{name}-vocab.txt")) is (name != "cased")


def test_special_tokens_in_the_text_are_text(vocab_file):
    tokenizer = Tokenizer(vocab_file, True)
    special = {tokenizer.vocabulary[token] for token in ("[PAD]", "[CLS]", "[SEP]", "[MASK]")}
    ids = tokenizer.encode(["the [SEP] cat [CLS][PAD] [MASK]"])[0]
    assert ids
    assert not special & set(ids)


def test_offsets_index_the_original_text(vocab_file):
    tokenizer = Tokenizer(vocab_file, True)
    text = "  The CÁT\u0378 sat\u200b,\u00a0on a\u0301 mat!"
    ids, offsets = tokenizer.encode_with_offsets([text])[0]
    assert ids == tokenizer.encode([text])[0]
    assert [tokenizer.tokens[number] for number in ids] == ["the", "cat", "sat", ",", "on", "a", "mat", "!"]
    assert [text[start:end].strip("\u0378\u200b\u0301") for start, end in offsets] == ["The", "CÁT", "sat", ",", "on", "a", "mat", "!"]


def test_an_accent_of_its_own_belongs_to_the_token_of_its_letter(vocab_file):
    text = "\u0301 a ca\u0301t\u0301\u0302. \u0301sat\u0301"
    _, offsets = Tokenizer(vocab_file, True).encode_with_offsets([text])[0]
    assert [text[start:end].lstrip("\u0301") for start, end in offsets] == ["a", "ca\u0301t\u0301\u0302", ".", "sat\u0301"]


def test_offsets_of_pieces_join_to_the_word(vocab_file):
    tokenizer = Tokenizer(vocab_file, True)
    ids, offsets = tokenizer.encode_with_offsets(["xyz the"])[0]
    assert [tokenizer.tokens[number] for number in ids] == ["x", "##y", "##z", "the"]
    assert offsets == [(0, 1), (1, 2), (2, 3), (4, 7)]


def truncate_like_google(first, second, room):
    """_truncate_seq_pair of google-research/bert run_classifier.py: one token at a time from the longer, from the second if equal."""
    first, second = list(first), list(second)
    while len(first) + len(second) > room:
        (first if len(first) > len(second) else second).pop()
    return first, second


def test_pairs_are_cut_as_google_cuts_them(vocab_file):
    tokenizer = Tokenizer(vocab_file, True)
    cls, sep = tokenizer.vocabulary["[CLS]"], tokenizer.vocabulary["[SEP]"]
    for max_length in range(4, 13):
        for size_a in range(13):
            for size_b in range(13):
                first, second = list(range(100, 100 + size_a)), list(range(200, 200 + size_b))
                a, b = truncate_like_google(first, second, max_length - 3)
                ids, types = tokenizer.join(first, second, max_length)
                assert ids == [cls, *a, sep, *b, sep], (size_a, size_b, max_length)
                assert types == [0] * (len(a) + 2) + [1] * (len(b) + 1)


@pytest.mark.parametrize("size", range(8))
def test_single_texts_are_cut_at_the_end(size, vocab_file):
    tokenizer = Tokenizer(vocab_file, True)
    ids, types = tokenizer.join(list(range(size)), None, 6)
    assert ids == [tokenizer.vocabulary["[CLS]"], *range(min(size, 4)), tokenizer.vocabulary["[SEP]"]]
    assert types == [0] * len(ids)


def write_vocabulary(folder, *words):
    path = folder / "vocab.txt"
    path.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words]) + "\n", encoding="utf-8")
    return path


def decide(path, flag=None):
    return Tokenizer(path, flag).do_lower_case


def test_capital_letters_decide_the_casing(tmp_path):
    assert decide(write_vocabulary(tmp_path, "cat", "[MASK]", "[unused1]", "<S>", "漢")) is True
    assert decide(write_vocabulary(tmp_path, "cat", "Dog")) is False
    assert decide(write_vocabulary(tmp_path, "cat", "##É")) is False
    assert decide(write_vocabulary(tmp_path, "кот", "Пёс")) is False


@pytest.mark.parametrize("few", [["Ａ"], ["NBA", "iPhone"], ["É"]])
def test_a_few_capital_letters_make_no_vocabulary_cased(few, tmp_path):
    words = [f"{first}{second}" for first in "abcdefghij" for second in "klmnopqrst"]
    assert decide(write_vocabulary(tmp_path, *words, "漢", *few)) is True
    tokenizer = Tokenizer(write_vocabulary(tmp_path, *words[:50], *map(str.upper, words[:4])))
    assert (tokenizer.do_lower_case, tokenizer.casing_reason.split(" in ")[0]) == (False, "as 7.41% of the tokens with letters")


def test_full_width_letters_alone_are_no_casing(tmp_path):
    assert decide(write_vocabulary(tmp_path, "漢", "Ａ", "##Ｂ")) is True


def test_tokenizer_config_outweighs_capitals_and_the_flag_outweighs_it(tmp_path):
    path = write_vocabulary(tmp_path, "cat", "Dog")
    config = tmp_path / "tokenizer_config.json"
    config.write_text('{"do_lower_case": true}')
    assert decide(path) is True
    assert decide(path, False) is False
    config.write_text('{"model_max_length": 512}')
    assert decide(path) is False
    assert decide(path, True) is True


@pytest.mark.parametrize("text", ["[]", "{", "3"])
def test_broken_tokenizer_config_is_refused(text, tmp_path):
    path = write_vocabulary(tmp_path, "cat")
    (tmp_path / "tokenizer_config.json").write_text(text)
    with pytest.raises(ValueError, match="tokenizer_config.json"):
        decide(path)


def test_casing_changes_tokens(tmp_path):
    path = write_vocabulary(tmp_path, "cat", "Cat", "CÁT")
    for lower, expected in ((True, ["cat", "cat", "cat"]), (False, ["cat", "Cat", "CÁT"])):
        tokenizer = Tokenizer(path, lower)
        assert [tokenizer.tokens[number] for number in tokenizer.encode(["cat Cat CÁT"])[0]] == expected


def test_line_ends_of_the_vocabulary_do_not_matter(tmp_path):
    path = write_vocabulary(tmp_path, "cat")
    expected = read_vocabulary(path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_vocabulary(path) == expected == {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "cat": 4}


def test_vocabulary_defects_are_named(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n[CLS]\ncat\n")
    with pytest.raises(ValueError, match=r"\[UNK\], \[SEP\] missing"):
        read_vocabulary(tmp_path / "vocab.txt")
    (tmp_path / "vocab.txt").write_bytes(b"[PAD]\ncaf\xe9\n")
    with pytest.raises(ValueError, match="not a UTF-8 text file"):
        read_vocabulary(tmp_path / "vocab.txt")
    with pytest.raises(FileNotFoundError, match="a vocab.txt is expected"):
        read_vocabulary(tmp_path / "none.txt")
