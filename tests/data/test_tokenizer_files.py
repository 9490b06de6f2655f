"""Vocabularies, settings and added tokens as Google and Hugging Face write them; golden values of tests/golden/make_tokenizer_files.py."""

import gzip
import json
from pathlib import Path
from random import Random

import pytest
from conftest import SHAPE

from src.config.model import ModelConfig, describe_weights
from src.formats.vocabulary import count_ids, list_tokens
from src.tasks.task import Description
from src.text.tokenization import Tokenizer, fingerprint, read_vocabulary
from src.train.model_files import write_description

GOLDEN = json.loads(gzip.decompress((Path(__file__).parents[1] / "golden/tokenizer_files.json.gz").read_bytes()))
FOLDERS = [(version, name) for version in ("folders 4", "folders 5") for name in GOLDEN[version]]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
NORMALIZER = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
MODEL = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}


def write_files(folder, files):
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder


def write_vocabulary(folder, *tokens, **files):
    write_files(folder, {"vocab.txt": "".join(f"{token}\n" for token in [*SPECIAL, *tokens])})
    write_files(folder, {f"{name}.json": content for name, content in files.items()})
    return folder / "vocab.txt"


def make_fast(*tokens, model=None, **changes):
    """A tokenizer.json."""
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *tokens])}
    whole = {
        "normalizer": NORMALIZER,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {**MODEL, "vocab": vocabulary} | (model or {}),
    }
    return whole | changes


@pytest.mark.parametrize(("version", "name"), FOLDERS)
def test_a_folder_of_hugging_face_is_read_as_its_own_program_reads_it(version, name, tmp_path):
    folder = GOLDEN[version][name]
    write_files(tmp_path, folder["files"])
    path = describe_weights(tmp_path).vocab_file
    expected = folder["ids"]["BertTokenizerFast" if version == "folders 4" else "BertTokenizer"]
    assert dict(zip(GOLDEN["texts"], Tokenizer(path).encode(GOLDEN["texts"]))) == dict(zip(GOLDEN["texts"], expected))


@pytest.mark.parametrize(("version", "name"), FOLDERS)
def test_what_is_kept_with_a_checkpoint_makes_the_same_tokenizer(version, name, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").mkdir()
    write_files(tmp_path / "theirs", GOLDEN[version][name]["files"])
    theirs = Tokenizer(describe_weights(tmp_path / "theirs").vocab_file)
    write_description(tmp_path / "ours", ModelConfig(**SHAPE), Description((), theirs.tokens, theirs.description, {}))
    ours = Tokenizer(describe_weights(tmp_path / "ours").vocab_file)
    assert (ours.vocabulary, ours.description) == (theirs.vocabulary, theirs.description)
    assert ours.encode(GOLDEN["texts"]) == theirs.encode(GOLDEN["texts"])


def test_a_plain_berts_settings_are_the_casing_alone(tmp_path):
    assert Tokenizer(write_vocabulary(tmp_path, "a", tokenizer_config={"do_lower_case": True, "strip_accents": None})).description == {
        "do_lower_case": True
    }


@pytest.mark.parametrize("name", GOLDEN["vocabularies"])
def test_ids_are_the_numbers_of_lines_as_google_and_hugging_face_count_them(name, tmp_path):
    golden = GOLDEN["vocabularies"][name]
    (tmp_path / "vocab.txt").write_bytes(golden["text"].encode())
    ours = read_vocabulary(tmp_path / "vocab.txt")
    for theirs in (golden["google"], golden["huggingface"]):
        # a blank line is no token here, and a byte order mark no part of one
        assert {token.lstrip("\ufeff"): number for token, number in theirs.items() if token}.items() <= ours.items()
    assert {token for token in ours if token.strip()} == {token.lstrip("\ufeff") for token in golden["google"] if token}


@pytest.mark.parametrize(
    ("tokens", "expected", "told"),
    [
        (["a", "", "b", ""], {"a": 5, "b": 7}, "2 blank lines, whose ids have no token"),
        (["a", "b", "a", "c"], {"b": 6, "a": 7, "c": 8}, "1 tokens are repeated, and have the id of their last line: a"),
        (["\u2028", "\u00a0", "\u3000"], {"\u2028": 5, "\u00a0": 6, "\u3000": 7}, None),
        (["a ", "a", " b", "c\u00a0"], {"a ": 5, "a": 6, "b": 7, "c": 8}, None),
        ([" a", "a "], {" a": 5, "a ": 6}, None),
        (["a\u2028b", "a\x0bb"], {"a\u2028b": 5, "a\x0bb": 6}, None),
    ],
)
def test_odd_lines_of_a_vocabulary(tokens, expected, told, tmp_path):
    tokenizer = Tokenizer(write_vocabulary(tmp_path, *tokens))
    assert {token: number for token, number in tokenizer.vocabulary.items() if token not in SPECIAL} == expected
    assert all(tokenizer.tokens[number] == token for token, number in expected.items())
    assert count_ids(tokenizer.vocabulary) == len(tokenizer.tokens) == max(expected.values()) + 1
    assert [note.split("vocab.txt: ")[1] for note in tokenizer.notes] == ([told] if told else [])
    (tmp_path / "again.txt").write_text("".join(f"{token}\n" for token in list_tokens(tokenizer.vocabulary)), encoding="utf-8")
    assert read_vocabulary(tmp_path / "again.txt") == tokenizer.vocabulary


def test_a_gap_changes_the_fingerprint_of_a_vocabulary(tmp_path):
    assert fingerprint({"a": 0, "b": 1}) != fingerprint({"a": 0, "b": 2}) == fingerprint({"a": 0, "\u2028": 1, "b": 2})


def test_the_published_chinese_vocabulary_has_the_fingerprint_that_older_records_tell(shared_file):
    vocabulary = read_vocabulary(shared_file("vocab/bert-base-chinese-vocab.txt"))
    assert vocabulary["\u2028"] == 343 and len(vocabulary) == 21128
    assert fingerprint(vocabulary) == "22cc7b05d1c6bb919788b621fb1c5833ad3c841ef19bf7f4b30de3a4fc1be217"


def test_added_tokens_and_named_special_tokens_are_found_in_the_text(tmp_path):
    path = write_vocabulary(
        tmp_path,
        *["a", "b", "x", "<", ">", "e", "1"],
        "<e1>",
        added_tokens={"<num>": 13},
        special_tokens_map={"additional_special_tokens": ["<e1>", {"content": "<none>"}], "unk_token": {"content": "[UNK]"}},
    )
    tokenizer = Tokenizer(path)
    ids = tokenizer.encode(["a<num>b <NUM> <e1>x [SEP]"])[0]
    assert [tokenizer.tokens[number] for number in ids] == ["a", "<num>", "b", "<num>", "<e1>", "x", "[UNK]", "[UNK]", "[UNK]"]
    assert [note.split("vocab.txt: ")[1] for note in tokenizer.notes] == [
        "1 special tokens have no id, and are text like any other: <none>"
    ]


def test_offsets_of_an_added_token_are_its_own(tmp_path):
    tokenizer = Tokenizer(write_vocabulary(tmp_path, "a", "b", added_tokens={"<num>": 7}))
    assert tokenizer.encode_with_offsets(["a <num>b"])[0] == ([5, 7, 6], [(0, 1), (2, 7), (7, 8)])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"tokenizer_config": {"tokenizer_class": "BertJapaneseTokenizer"}},
            "tokenizer_config.json: tokenizer_class=BertJapaneseTokenizer",
        ),
        (
            {"config": {"tokenizer_class": "RobertaTokenizer"}},
            "config.json: tokenizer_class=RobertaTokenizer: only BERT's tokenizer is supported",
        ),
        ({"tokenizer_config": {"tokenizer_class": "PreTrainedTokenizerFast"}}, "without a tokenizer.json nothing defines it"),
        ({"tokenizer_config": {"word_tokenizer_type": "mecab"}}, "word_tokenizer_type='mecab'"),
        ({"tokenizer_config": {"do_basic_tokenize": False}}, "do_basic_tokenize=False"),
        ({"tokenizer_config": {"never_split": ["x"]}}, "never_split="),
        ({"tokenizer_config": {"strip_accents": "yes"}}, "tokenizer_config.json: strip_accents must be true or false, not 'yes'"),
        ({"tokenizer_config": {"do_lower_case": 1}}, "tokenizer_config.json: do_lower_case must be true or false, not 1"),
        ({"tokenizer_config": {"max_input_chars_per_word": 0}}, "max_input_chars_per_word=0"),
        ({"tokenizer_config": {"cls_token": "<s>"}}, "cls_token=<s>: BERT's tokenizer has \\[CLS\\]"),
        ({"special_tokens_map": {"mask_token": {"content": "<mask>"}}}, "mask_token=<mask>"),
        ({"tokenizer_config": {"added_tokens_decoder": {"x": {}}}}, "added_tokens_decoder must map ids to tokens"),
        ({"added_tokens": {"<num>": "7"}}, "added_tokens.json: an added token has a content, a text, and an id, a number"),
        ({"added_tokens": {"<num>": 5}}, "the added token '<num>' should have id 5, but in the vocabulary 'a' has it"),
        ({"added_tokens": {"a": 9}}, "the added token 'a' should have id 9, but in the vocabulary it has 5"),
        ({"added_tokens": {"x\ny": 7}}, "a text of one line and an id from 0 to 9999999 are expected"),
        (
            {"added_tokens": {"x": 7}, "tokenizer_config": {"added_tokens_decoder": {"8": {"content": "x"}}}},
            "'x' has id 7; 8 in another file",
        ),
        ({"tokenizer": make_fast("b", "a")}, "vocab.txt and the tokenizer.json beside it are two vocabularies: 'a' with id 5"),
        ({"tokenizer": make_fast("a", model={"type": "BPE"})}, "tokenizer.json: model.type=BPE: BERT's tokenizer has WordPiece"),
        ({"tokenizer": make_fast("a", normalizer=None)}, "normalizer.type=None: BERT's tokenizer has BertNormalizer"),
        ({"tokenizer": make_fast("a", normalizer=NORMALIZER | {"clean_text": False})}, "normalizer.clean_text=False"),
        ({"tokenizer": make_fast("a", pre_tokenizer={"type": "Whitespace"})}, "pre_tokenizer.type=Whitespace"),
        ({"tokenizer": make_fast("a", model={"vocab": ["a"]})}, "model.vocab must map tokens to numbers from 0"),
        ({"tokenizer": make_fast("a", model={"vocab": {"a": 0, "b": 0}})}, "model.vocab gives two tokens one id"),
        ({"tokenizer": make_fast("a", added_tokens=3)}, "an added token has a content"),
        ({"tokenizer_config": "{"}, "tokenizer_config.json: not a JSON file"),
    ],
)
def test_what_is_not_berts_or_contradicts_is_refused_by_file_and_key(files, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        Tokenizer(write_vocabulary(tmp_path, "a", "b" if "vocabularies" in message else "", **files))


@pytest.mark.parametrize("files", [{"added_tokens": {"<n>": 10**9}}, {"tokenizer": make_fast(model={"vocab": {"a": 10**9}})}])
def test_an_id_beyond_any_vocabulary_takes_no_memory(files, tmp_path):
    with pytest.raises(ValueError, match="from 0 to 9999999"):
        Tokenizer(write_vocabulary(tmp_path, **files))


def test_a_special_token_that_is_not_berts_is_refused_by_its_own_file(tmp_path):
    path = write_vocabulary(tmp_path, special_tokens_map={"unk_token": "<unk>"}, tokenizer_config={"unk_token": "[UNK]"})
    with pytest.raises(ValueError, match="special_tokens_map.json: unk_token=<unk>"):
        Tokenizer(path)


def test_white_space_around_a_token_makes_no_second_vocabulary(tmp_path):
    path = write_vocabulary(tmp_path, "a ", "b", tokenizer=make_fast("a ", "b"))
    assert Tokenizer(path).encode(["a b"]) == [[5, 6]]


def test_a_generic_class_follows_tokenizer_json_alone(tmp_path):
    fast = make_fast("ö", "Ö", "o", normalizer=NORMALIZER | {"lowercase": False})
    files = {"tokenizer.json": fast, "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True}}
    path = describe_weights(write_files(tmp_path, files)).vocab_file
    assert path == str(tmp_path / "tokenizer.json")
    assert Tokenizer(path).encode(["ö Ö o"]) == [[5, 6, 7]]
    write_files(tmp_path, {"tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "do_lower_case": True}})
    assert Tokenizer(path).encode(["ö Ö o"]) == [[7, 7, 7]]


def test_the_longest_word_is_as_tokenizer_json_says(tmp_path):
    for longest, expected in ((100, [1]), (200, [5] + [6] * 119)):
        write_files(tmp_path, {"tokenizer.json": make_fast("a", "##a", model={"max_input_chars_per_word": longest})})
        assert Tokenizer(tmp_path / "tokenizer.json").encode(["a" * 120]) == [expected]


def test_the_flag_outweighs_the_casing_and_leaves_the_accents(tmp_path):
    path = write_vocabulary(tmp_path, "ö", "Ö", "o", "O", tokenizer_config={"do_lower_case": True, "strip_accents": False})
    assert [Tokenizer(path, flag).encode(["Ö O"])[0] for flag in (None, False)] == [[5, 7], [6, 8]]


def test_random_vocabularies_are_numbered_by_line(tmp_path):
    random, parts = (
        Random(1),
        ["", "a", "b", " a", "a ", "\ta", "\u00a0", "\u2028", "\u3000", "\x0b", "\x85", "##a", "a\u2029b", "\ufeff", "é"],
    )
    for _ in range(200):
        lines = SPECIAL + random.choices(parts, k=random.randrange(12))
        end = random.choice(["\n", "\r\n"])
        text = end.join(lines) + random.choice(["", end])
        (tmp_path / "vocab.txt").write_bytes(random.choice(["", "\ufeff"]).encode() + text.encode())
        vocabulary = read_vocabulary(tmp_path / "vocab.txt")
        for token, number in vocabulary.items():
            assert lines[number] == token or lines[number].strip() == token
            assert token not in lines[number + 1 :]
        assert len(vocabulary) == len(set(lines) - {""})  # no two different lines are one token


def test_damaged_files_beside_a_vocabulary_are_refused_or_read(tmp_path):
    random, values = Random(2), [None, 3, -1, 1.5, "x", "", [], {}, True, ["a"], {"a": 1}, [{}]]
    config = {"do_lower_case": True, "tokenizer_class": "BertTokenizer", "added_tokens_decoder": {"7": {"content": "<n>", "special": True}}}
    config |= {
        "cls_token": {"content": "[CLS]"},
        "additional_special_tokens": ["a"],
        "extra_special_tokens": {"b": "b"},
        "never_split": None,
    }
    fast = make_fast("a", "b", added_tokens=[{"id": 7, "content": "<n>", "special": True}])
    files = {"tokenizer_config": config, "tokenizer": fast, "added_tokens": {"<n>": 7}, "special_tokens_map": {"mask_token": "[MASK]"}}
    refused = 0
    for _ in range(200):
        damaged = json.loads(json.dumps(files))
        spot = damaged[random.choice(list(damaged))]
        while isinstance(inner := spot[key := random.choice(list(spot))], dict) and inner and random.random() < 0.7:
            spot = inner
        spot[key] = random.choice(values)
        try:
            Tokenizer(write_vocabulary(tmp_path, "a", "b", **damaged)).encode(["a <n> b"])
        except ValueError as error:
            assert str(tmp_path) in str(error)
            refused += 1
    assert 50 < refused < 200
