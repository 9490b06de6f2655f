"""What lies in a folder about its tokenizer, as Google and Hugging Face write it: the vocabulary, settings, added tokens.

vocab.txt has a token a line, the line's number from 0 being the id. tokenizer.json has all in one (transformers 5 writes no vocab.txt).
tokenizer_config.json, added_tokens.json and special_tokens_map.json lie beside either.
"""

import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from src.files import read_json_object
from src.log import shorten

CONFIG = "tokenizer_config.json"
BESIDE = (CONFIG, "tokenizer.json", "added_tokens.json", "special_tokens_map.json")
SPECIAL = {name: f"[{name[:-6].upper()}]" for name in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")}
MAX_WORD_CHARS = 200  # Google's
_MAX_IDS = 10_000_000  # as of model.vocab_size; a list of tokens has so many places, whatever a file says
_FAST, _ADDED, _SPECIAL_MAP = BESIDE[1:]
_SHOWN = 4  # tokens in a message
_BERTS = [f"{name}Tokenizer{end}" for name in ("Bert", "DistilBert", "Electra") for end in ("", "Fast")]
_GENERIC = ("PreTrainedTokenizerFast", "TokenizersBackend")  # whatever tokenizer.json says, and nothing else
_SWITCHES = {"do_lower_case": "lowercase", "strip_accents": "strip_accents", "tokenize_chinese_chars": "handle_chinese_chars"}
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized")
_ONLY = {  # settings of tokenizer_config.json -> values that leave BERT's tokenizer what it is
    "do_basic_tokenize": (True, None),
    "clean_text": (True, None),
    "never_split": (None, []),
    "word_tokenizer_type": ("basic", None),
    "subword_tokenizer_type": ("wordpiece", None),
}


@dataclass(frozen=True)
class TokenizerFiles:
    """What the files say.

    vocabulary: token -> id in the order of ids, with the added tokens; ids may have gaps.
    do_lower_case, strip_accents: None where nothing tells. tokenize_chinese_chars: whether each ideograph is a word.
    casing_file: Path of the file that tells do_lower_case, or None.
    max_word_chars: longer words are [UNK].
    added: content -> flags, of tokens that are found in the text as they stand; BERT's special tokens are not among them.
    is_generic: whether Hugging Face's class follows tokenizer.json alone.
    notes: lines of text about what was passed over.
    """

    vocabulary: dict
    do_lower_case: bool | None
    strip_accents: bool | None
    tokenize_chinese_chars: bool
    casing_file: Path | None
    max_word_chars: int
    added: dict
    is_generic: bool
    notes: tuple


def find_vocabulary(folder):
    """vocab.txt of a folder, else its tokenizer.json; None if it has neither."""
    return next((path for name in ("vocab.txt", _FAST) if (path := Path(folder) / name).is_file()), None)


def count_ids(vocabulary):
    """Rows that an embedding needs for a vocabulary, dict of token -> id."""
    return max(vocabulary.values(), default=-1) + 1


def list_tokens(vocabulary):
    """The token of each id, a list of str; an empty one for an id that has none."""
    tokens = [""] * count_ids(vocabulary)
    for token, number in vocabulary.items():
        tokens[number] = token
    return tokens


def read_tokenizer_files(path):
    """Read a vocabulary and what lies beside it.

    Args:
        path: of a vocab.txt, whatever its name, or of a tokenizer.json.

    Raises:
        FileNotFoundError: no such file. ValueError: damaged or contradicting files, or a tokenizer that is not BERT's.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such vocabulary; a vocab.txt is expected")
    config_file, fast_file = path.with_name(CONFIG), path if path.suffix == ".json" else path.with_name(_FAST)
    config, fast, special = map(_read_if_there, (config_file, fast_file, path.with_name(_SPECIAL_MAP)))
    is_generic = _check_class(path, config, fast)
    _check_settings(config_file, config)
    normalizer, longest = _read_pipeline(fast_file, fast) if fast else ({}, None)
    vocabulary, notes = number_tokens(path)
    added = _collect_added(path, {config_file: _list_decoder(config_file, config), fast_file: fast.get("added_tokens", [])})
    _add(path, vocabulary, added)
    notes += _add_named(path, vocabulary, added, config, special)
    if fast and path != fast_file:
        _compare(path, vocabulary, _number_fast(fast_file, fast), added)
    told = {config_file: {key: config[key] for key in _SWITCHES if key in config}, fast_file: normalizer}
    order = [fast_file, config_file] if is_generic else [config_file, fast_file]
    casing_file = next((file for file in order if told[file].get("do_lower_case") is not None), None)
    switches = {key: value for file in reversed(order) for key, value in told[file].items()}
    return TokenizerFiles(
        vocabulary=dict(sorted(vocabulary.items(), key=lambda item: item[1])),
        do_lower_case=told[casing_file]["do_lower_case"] if casing_file else None,
        strip_accents=switches.get("strip_accents"),
        tokenize_chinese_chars=switches.get("tokenize_chinese_chars") is not False,
        casing_file=casing_file,
        max_word_chars=config.get("max_input_chars_per_word") or longest or MAX_WORD_CHARS,
        added={content: {key: value for key, value in token.items() if key != "id"} for content, token in added.items()},
        is_generic=is_generic,
        notes=tuple(notes),
    )


def number_tokens(path):
    """(token -> id, notes) of a vocab.txt or a tokenizer.json, without what lies beside it."""
    return (_number_fast(path, read_json_object(path)), []) if Path(path).suffix == ".json" else _number_lines(path)


def _number_lines(path):
    """(token -> id, notes) of a vocab.txt: of a token that stands twice the last line counts, and a blank line is no token.

    White space around a token is dropped where no other token becomes the same.
    """
    try:
        lines = io.StringIO(Path(path).read_bytes().decode("utf-8-sig"), newline=None).read().split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a UTF-8 text file: {error.reason} at byte {error.start}") from None
    if lines[-1] == "":
        lines.pop()
    alike = Counter(line.strip() for line in set(lines))
    vocabulary, twice = {}, []
    for number, line in enumerate(lines):
        token = line.strip()
        token = token if token and alike[token] == 1 else line
        twice += [token] if token in vocabulary else []
        vocabulary[token] = number
    blank = lines.count("")
    vocabulary.pop("", None)
    repeated = [token for token in twice if token]
    notes = [f"{path}: {blank} blank lines, whose ids have no token"] if blank else []
    if repeated:
        notes.append(f"{path}: {len(repeated)} tokens stand there again, and have the id of their last line: {shorten(repeated, _SHOWN)}")
    return vocabulary, notes


def _read_if_there(path):
    return read_json_object(path) if path.is_file() else {}


def _check_class(path, config, fast):
    """Whether the class of the tokenizer is one that follows tokenizer.json alone; refused if it is neither that nor BERT's."""
    beside = path.with_name("config.json")
    file, name = path.with_name(CONFIG), config.get("tokenizer_class")
    if not name and beside.is_file():
        file, name = beside, read_json_object(beside).get("tokenizer_class")
    if not name or name in _BERTS:
        return False
    if name in _GENERIC and fast:
        return True
    reason = "without a tokenizer.json nothing tells what it does" if name in _GENERIC else "BERT's tokenizer is supported"
    raise ValueError(f"{file}: tokenizer_class={name}: {reason}")


def _check_settings(path, config):
    for key in _SWITCHES:
        if not isinstance(config.get(key), bool | None):
            raise ValueError(f"{path}: {key} must be true or false, not {config[key]!r}")
    for key, allowed in _ONLY.items():
        if config.get(key) not in allowed:
            raise ValueError(f"{path}: {key}={config[key]!r}: BERT's tokenizer has {allowed[0]!r}")
    longest = config.get("max_input_chars_per_word")
    if longest is not None and (type(longest) is not int or longest < 1):
        raise ValueError(f"{path}: max_input_chars_per_word={longest!r}: a number from 1 is expected")


def _read_pipeline(path, fast):
    """(the switches of tokenizer_config.json by the normaliser of tokenizer.json, characters of its longest word)."""
    parts = {key: fast.get(key) if isinstance(fast.get(key), dict) else {} for key in ("normalizer", "pre_tokenizer", "model")}
    model = parts["model"]
    kind = model.get("type", "WordPiece" if "continuing_subword_prefix" in model else None)  # old files have no type
    found = {
        "model.type": (kind, "WordPiece"),
        "model.unk_token": (model.get("unk_token"), SPECIAL["unk_token"]),
        "model.continuing_subword_prefix": (model.get("continuing_subword_prefix"), "##"),
        "normalizer.type": (parts["normalizer"].get("type"), "BertNormalizer"),
        "normalizer.clean_text": (parts["normalizer"].get("clean_text"), True),
        "pre_tokenizer.type": (parts["pre_tokenizer"].get("type"), "BertPreTokenizer"),
    }
    for key, (value, expected) in found.items():
        if value != expected:
            raise ValueError(f"{path}: {key}={value}: BERT's tokenizer has {expected}")
    switches = {ours: parts["normalizer"][theirs] for ours, theirs in _SWITCHES.items() if theirs in parts["normalizer"]}
    longest = {"max_input_chars_per_word": model.get("max_input_chars_per_word")}
    _check_settings(path, switches | longest)
    return switches, longest["max_input_chars_per_word"]


def _number_fast(path, fast):
    """token -> id of a tokenizer.json; a token with a line's end, which no text gives, is left out."""
    vocabulary = fast["model"].get("vocab") if isinstance(fast.get("model"), dict) else None
    if not isinstance(vocabulary, dict) or not all(type(number) is int and 0 <= number < _MAX_IDS for number in vocabulary.values()):
        raise ValueError(f"{path}: model.vocab must map tokens to numbers from 0 to {_MAX_IDS - 1}")
    if len(set(vocabulary.values())) < len(vocabulary):
        raise ValueError(f"{path}: model.vocab gives two tokens one id")
    return {token: number for token, number in vocabulary.items() if token and not set(token) & {"\n", "\r"}}


def _collect_added(path, told):
    """Added tokens: content -> {id, flags}; the files may tell the same several times, but not otherwise."""
    added, file = {}, path.with_name(_ADDED)
    plain = {"normalized": True}  # what Hugging Face takes for a token without flags
    told |= {file: [{"content": content, "id": number, **plain} for content, number in _read_if_there(file).items()]}
    for file, tokens in told.items():
        for token in tokens if isinstance(tokens, list) else [None]:
            if not isinstance(token, dict) or not isinstance(token.get("content"), str) or type(token.get("id")) is not int:
                raise ValueError(f"{file}: an added token has a content, a text, and an id, a number")
            content, number = token["content"], token["id"]
            if set(content) & {"\n", "\r"} or not content.strip() or not 0 <= number < _MAX_IDS:
                expected = f"a text of one line and an id from 0 to {_MAX_IDS - 1} are expected"
                raise ValueError(f"{file}: added token {content!r} with id {number}: {expected}")
            if added.setdefault(content, {"id": number, **{key: token.get(key) is True for key in _FLAGS}})["id"] != number:
                raise ValueError(f"{file}: added token {content!r} has id {number}; {added[content]['id']} in another file beside it")
    return added


def _list_decoder(path, config):
    decoder = config.get("added_tokens_decoder") or {}
    if not isinstance(decoder, dict) or not all(number.isdecimal() and isinstance(token, dict) for number, token in decoder.items()):
        raise ValueError(f"{path}: added_tokens_decoder must map ids to tokens")
    return [{**token, "id": int(number)} for number, token in decoder.items()]


def _add(path, vocabulary, added):
    """Put added tokens into a vocabulary; BERT's own special ones, which a text never means, leave `added`."""
    tokens = {number: token for token, number in vocabulary.items()}
    for content, token in added.items():
        number = token["id"]
        there = tokens.get(number, content)
        if there.strip() != content.strip() or vocabulary.get(content, number) != number:
            has = f"{there!r} has it" if there != content else f"it has {vocabulary[content]}"
            raise ValueError(f"{path}: the added token {content!r} should have id {number}, but in the vocabulary {has}")
        vocabulary.pop(there, None)
        vocabulary[content] = tokens[number] = number
        tokens[number] = content
    for content in SPECIAL.values():
        added.pop(content, None)


def _add_named(path, vocabulary, added, config, special):
    """Add the special tokens that are named without an id, where the vocabulary has them; gives notes of the others."""
    named = {key: special.get(key, config.get(key)) for key in (*SPECIAL, "bos_token", "eos_token")}
    for key, expected in SPECIAL.items():
        if (found := _content(named.pop(key))) not in (None, expected):
            file = path.with_name(_SPECIAL_MAP if key in special else CONFIG)
            raise ValueError(f"{file}: {key}={found}: BERT's tokenizer has {expected}")
    others = list(named.values())
    for source in (config, special):
        for key in ("additional_special_tokens", "extra_special_tokens"):
            values = source.get(key) or []
            others += values.values() if isinstance(values, dict) else values if isinstance(values, list) else []
    contents = {_content(token) for token in others} - {None, *SPECIAL.values(), *added}
    added.update({content: dict.fromkeys(_FLAGS, False) for content in sorted(contents & vocabulary.keys())})
    unknown = sorted(contents - vocabulary.keys())
    return [f"{path}: {len(unknown)} special tokens have no id, and are text like any other: {shorten(unknown, _SHOWN)}"] if unknown else []


def _content(token):
    """The text of a token in either of Hugging Face's forms; None where there is none."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None


def _compare(path, vocabulary, fast, added):
    """Raises: ValueError: vocab.txt and the tokenizer.json beside it are two vocabularies; white space around tokens does not matter."""
    theirs = {number: token.strip() for token, number in fast.items() if token.strip()}
    ours = {number: token.strip() for token, number in vocabulary.items() if token.strip() and (token not in added or token in fast)}
    if ours != theirs:
        number, token = min(ours.items() ^ theirs.items())
        raise ValueError(
            f"{path} and the {_FAST} beside it are two vocabularies: {token!r} with id {number} is in one alone; remove the wrong one"
        )
