"""Files of questions and predictions in SQuAD's form, checked as far as the measures read them; every defect names file and place."""

import gzip
import json
import zlib
from pathlib import Path


def _read_json(path):
    data = Path(path).read_bytes()
    try:
        return json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except (ValueError, EOFError, OSError, zlib.error, RecursionError) as error:
        raise ValueError(f"{path}: no JSON: {error}") from None


def _take(owner, key, kind, place):
    value = owner.get(key) if isinstance(owner, dict) else None
    if not isinstance(value, kind):
        names = {list: "list", str: "string"}
        raise ValueError(f'{place}: "{key}" is missing or no {names[kind]}; expected SQuAD\'s form, see --help')
    return value


def read_gold(path):
    """The parsed file, plain or .gz, checked as far as the measures read it.

    Raises:
        OSError: it cannot be read. ValueError: another form, or two questions of one id; with path and place.
    """
    gold, seen = _read_json(path), set()
    for i, article in enumerate(_take(gold, "data", list, path)):
        for j, paragraph in enumerate(_take(article, "paragraphs", list, f"{path}: data[{i}]")):
            for k, question in enumerate(_take(paragraph, "qas", list, f"{path}: data[{i}].paragraphs[{j}]")):
                key = _take(question, "id", str, f"{path}: data[{i}].paragraphs[{j}].qas[{k}]")
                if key in seen:
                    raise ValueError(f"{path}: two questions have the id {key}")
                seen.add(key)
                for answer in _take(question, "answers", list, f"{path}: question {key}"):
                    _take(answer, "text", str, f"{path}: question {key}")
    return gold


def read_values(path, kind, form):
    """A parsed file {question id: value of this kind}; `form` describes it.

    Raises:
        OSError: it cannot be read. ValueError: another form; with path and id.
    """
    values = _read_json(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path}: a JSON {type(values).__name__}; expected {form}")
    for key, value in values.items():
        if not isinstance(value, kind) or isinstance(value, bool) or value != value:
            raise ValueError(f"{path}: question {key}: {str(value)[:40]!r}; expected {form}")
    return values
