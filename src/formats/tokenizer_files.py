"""The tokenizer files of a folder, as Google and Hugging Face write them: vocabulary, settings, added tokens.

tokenizer_config.json, added_tokens.json and special_tokens_map.json lie beside a vocab.txt or a tokenizer.json, which contains everything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.files import read_json_object
from src.formats.vocabulary import FAST, MAX_IDS, SHOWN, get_object, number_fast, number_tokens
from src.log import shorten

CONFIG = "tokenizer_config.json"
_ADDED, _SPECIAL_MAP = "added_tokens.json", "special_tokens_map.json"
BESIDE = (CONFIG, FAST, _ADDED, _SPECIAL_MAP)
SPECIAL = {name: f"[{name[:-6].upper()}]" for name in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")}
MAX_WORD_CHARS = 200  # as in Google's tokenizer
_BERTS = [f"{name}Tokenizer{end}" for name in ("Bert", "DistilBert", "Electra") for end in ("", "Fast")]
_GENERIC = ("PreTrainedTokenizerFast", "TokenizersBackend")  # defined only by tokenizer.json
_SWITCHES = {"do_lower_case": "lowercase", "strip_accents": "strip_accents", "tokenize_chinese_chars": "handle_chinese_chars"}
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized")
_ONLY: dict[str, tuple[Any, ...]] = {  # settings of tokenizer_config.json -> values that BERT's tokenizer has
    "do_basic_tokenize": (True, None),
    "clean_text": (True, None),
    "never_split": (None, []),
    "word_tokenizer_type": ("basic", None),
    "subword_tokenizer_type": ("wordpiece", None),
}

_Object = Mapping[str, Any]  # a parsed JSON file
_Added = dict[str, dict[str, Any]]  # content -> {id, flags}


@dataclass(frozen=True)
class TokenizerFiles:
    """The content of the files.

    vocabulary: token -> id in the order of ids, including added tokens; ids may have gaps.
    do_lower_case, strip_accents: None if no file says.
    tokenize_chinese_chars: whether each ideograph is a word.
    casing_file: the file that sets do_lower_case, or None.
    max_word_chars: longer words become [UNK].
    added: content -> flags of tokens that are matched in the text verbatim; BERT's special tokens are not among them.
    is_generic: whether Hugging Face's class follows tokenizer.json alone.
    notes: lines of text about what was ignored.
    """

    vocabulary: dict[str, int]
    do_lower_case: bool | None
    strip_accents: bool | None
    tokenize_chinese_chars: bool
    casing_file: Path | None
    max_word_chars: int
    added: dict[str, dict[str, bool]]
    is_generic: bool
    notes: tuple[str, ...]


def read_tokenizer_files(path: Path | str) -> TokenizerFiles:
    """Read a vocabulary and the files beside it.

    Args:
        path: a vocab.txt, whatever its name, or a tokenizer.json.

    Raises:
        FileNotFoundError: no such file. ValueError: damaged or contradicting files, or a tokenizer that is not BERT's.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such vocabulary; a vocab.txt is expected")
    config_file = path.with_name(CONFIG)
    fast_file = path if path.suffix == ".json" else path.with_name(FAST)
    config = _read_if_there(config_file)
    fast = _read_if_there(fast_file)
    special = _read_if_there(path.with_name(_SPECIAL_MAP))
    is_generic = _check_class(path, config, fast)
    _check_settings(config_file, config)
    normalizer, longest = _read_pipeline(fast_file, fast) if fast else ({}, None)
    vocabulary, notes = number_tokens(path)
    added = _collect_added(path, {config_file: _list_decoder(config_file, config), fast_file: fast.get("added_tokens", [])})
    _add(path, vocabulary, added)
    notes += _add_named(path, vocabulary, added, config, special)
    if fast and path != fast_file:
        _compare(path, vocabulary, number_fast(fast_file, fast), added)
    by_file = {config_file: {key: config[key] for key in _SWITCHES if key in config}, fast_file: normalizer}
    order = [fast_file, config_file] if is_generic else [config_file, fast_file]
    casing_file = next((file for file in order if by_file[file].get("do_lower_case") is not None), None)
    switches = {key: value for file in reversed(order) for key, value in by_file[file].items()}
    return TokenizerFiles(
        vocabulary=dict(sorted(vocabulary.items(), key=lambda item: item[1])),
        do_lower_case=by_file[casing_file]["do_lower_case"] if casing_file else None,
        strip_accents=switches.get("strip_accents"),
        tokenize_chinese_chars=switches.get("tokenize_chinese_chars") is not False,
        casing_file=casing_file,
        max_word_chars=config.get("max_input_chars_per_word") or longest or MAX_WORD_CHARS,
        added={content: {key: value for key, value in token.items() if key != "id"} for content, token in added.items()},
        is_generic=is_generic,
        notes=tuple(notes),
    )


def _read_if_there(path: Path) -> dict[str, Any]:
    return read_json_object(path) if path.is_file() else {}


def _check_class(path: Path, config: _Object, fast: _Object) -> bool:
    """Whether the tokenizer's class follows tokenizer.json alone; a class that is neither such nor BERT's is refused."""
    file = path.with_name(CONFIG)
    name = config.get("tokenizer_class")
    if not name and path.with_name("config.json").is_file():
        file = path.with_name("config.json")
        name = read_json_object(file).get("tokenizer_class")
    if not name or name in _BERTS:
        return False
    if name in _GENERIC and fast:
        return True
    reason = "without a tokenizer.json nothing defines it" if name in _GENERIC else "only BERT's tokenizer is supported"
    raise ValueError(f"{file}: tokenizer_class={name}: {reason}")


def _check_settings(path: Path, config: _Object) -> None:
    for key in _SWITCHES:
        if not isinstance(config.get(key), bool | None):
            raise ValueError(f"{path}: {key} must be true or false, not {config[key]!r}")
    for key, allowed in _ONLY.items():
        if config.get(key) not in allowed:
            raise ValueError(f"{path}: {key}={config[key]!r}: BERT's tokenizer has {allowed[0]!r}")
    longest = config.get("max_input_chars_per_word")
    if longest is not None and (type(longest) is not int or longest < 1):
        raise ValueError(f"{path}: max_input_chars_per_word={longest!r}: a number from 1 is expected")


def _read_pipeline(path: Path, fast: _Object) -> tuple[dict[str, Any], int | None]:
    """The pipeline of a tokenizer.json: (switches under their names in tokenizer_config.json, length of the longest word)."""
    normalizer = get_object(fast, "normalizer")
    pre_tokenizer = get_object(fast, "pre_tokenizer")
    model = get_object(fast, "model")
    kind = model.get("type", "WordPiece" if "continuing_subword_prefix" in model else None)  # old files have no type
    found = {
        "model.type": (kind, "WordPiece"),
        "model.unk_token": (model.get("unk_token"), SPECIAL["unk_token"]),
        "model.continuing_subword_prefix": (model.get("continuing_subword_prefix"), "##"),
        "normalizer.type": (normalizer.get("type"), "BertNormalizer"),
        "normalizer.clean_text": (normalizer.get("clean_text"), True),
        "pre_tokenizer.type": (pre_tokenizer.get("type"), "BertPreTokenizer"),
    }
    for key, (value, expected) in found.items():
        if value != expected:
            raise ValueError(f"{path}: {key}={value}: BERT's tokenizer has {expected}")
    switches = {ours: normalizer[theirs] for ours, theirs in _SWITCHES.items() if theirs in normalizer}
    longest = model.get("max_input_chars_per_word")
    _check_settings(path, switches | {"max_input_chars_per_word": longest})
    return switches, longest


def _collect_added(path: Path, by_file: dict[Path, Any]) -> _Added:
    """The added tokens of all files and of added_tokens.json: content -> {id, flags}; repeated ones must agree."""
    added: _Added = {}
    file = path.with_name(_ADDED)
    plain = {"normalized": True}  # Hugging Face's defaults for a token without flags
    by_file |= {file: [{"content": content, "id": number, **plain} for content, number in _read_if_there(file).items()]}
    for file, tokens in by_file.items():
        for token in tokens if isinstance(tokens, list) else [None]:
            if not isinstance(token, dict) or not isinstance(token.get("content"), str) or type(token.get("id")) is not int:
                raise ValueError(f"{file}: an added token has a content, a text, and an id, a number")
            content, number = token["content"], token["id"]
            if set(content) & {"\n", "\r"} or not content.strip() or not 0 <= number < MAX_IDS:
                expected = f"a text of one line and an id from 0 to {MAX_IDS - 1} are expected"
                raise ValueError(f"{file}: added token {content!r} with id {number}: {expected}")
            if added.setdefault(content, {"id": number, **{key: token.get(key) is True for key in _FLAGS}})["id"] != number:
                raise ValueError(f"{file}: added token {content!r} has id {number}; {added[content]['id']} in another file beside it")
    return added


def _list_decoder(path: Path, config: _Object) -> list[dict[str, Any]]:
    decoder = config.get("added_tokens_decoder") or {}
    if not isinstance(decoder, dict) or not all(number.isdecimal() and isinstance(token, dict) for number, token in decoder.items()):
        raise ValueError(f"{path}: added_tokens_decoder must map ids to tokens")
    return [{**token, "id": int(number)} for number, token in decoder.items()]


def _add(path: Path, vocabulary: dict[str, int], added: _Added) -> None:
    """Put added tokens into the vocabulary; BERT's special tokens, which are never matched in a text, are removed from `added`."""
    tokens = {number: token for token, number in vocabulary.items()}
    for content, token in added.items():
        number = token["id"]
        present = tokens.get(number, content)
        if present.strip() != content.strip() or vocabulary.get(content, number) != number:
            has = f"{present!r} has it" if present != content else f"it has {vocabulary[content]}"
            raise ValueError(f"{path}: the added token {content!r} should have id {number}, but in the vocabulary {has}")
        vocabulary.pop(present, None)
        vocabulary[content] = number
        tokens[number] = content
    for content in SPECIAL.values():
        added.pop(content, None)


def _add_named(path: Path, vocabulary: Mapping[str, int], added: _Added, config: _Object, special: _Object) -> list[str]:
    """Add special tokens that are named without an id, if the vocabulary has them; returns notes about the others."""
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
    contents = {content for token in others if (content := _content(token)) is not None} - {*SPECIAL.values(), *added}
    added.update({content: dict.fromkeys(_FLAGS, False) for content in sorted(contents & vocabulary.keys())})
    unknown = sorted(contents - vocabulary.keys())
    return [f"{path}: {len(unknown)} special tokens have no id, and are text like any other: {shorten(unknown, SHOWN)}"] if unknown else []


def _content(token: Any) -> str | None:
    """The text of a token in either of Hugging Face's forms; None if there is none."""
    token = token.get("content") if isinstance(token, dict) else token
    return token if isinstance(token, str) else None


def _compare(path: Path, vocabulary: Mapping[str, int], fast: Mapping[str, int], added: _Object) -> None:
    """Refuse a tokenizer.json that differs from the vocab.txt beside it by more than whitespace around tokens."""
    theirs = {number: token.strip() for token, number in fast.items() if token.strip()}
    ours = {number: token.strip() for token, number in vocabulary.items() if token.strip() and (token not in added or token in fast)}
    if ours != theirs:
        number, token = min(ours.items() ^ theirs.items())
        reason = f"{token!r} with id {number} is in one alone; remove the wrong one"
        raise ValueError(f"{path} and the {FAST} beside it are two vocabularies: {reason}")
