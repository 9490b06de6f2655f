"""The text and entities in a JSON object: CLUENER's form, doccano's, and that of this program's predictions."""

from typing import Any

from src.tasks.ner.tags import Entity
from src.text.tables import check_escapes, clean_name

_KEYS = ("label", "labels", "entities")
_STARTS, _ENDS, _TYPES = ("start_offset", "start"), ("end_offset", "end"), ("label", "type")
_FORMS = "{type: {entity text: [[start, last], …]}}, [[start, end, type], …] or [{start, end, type}, …]"


def is_labelled(found: dict[str, Any]) -> bool:
    """Whether the object says which entities its text has."""
    return any(key in found for key in _KEYS)


def read_entities(found: dict[str, Any]) -> tuple[str, tuple[Entity, ...]]:
    """The text and its entities, sorted by start.

    The ends of CLUENER's object are included in the entity, those of doccano's lists are not.

    Raises:
        ValueError: another form, or a span that does not fit the text.
    """
    text = found.get("text")
    keys = [key for key in _KEYS if key in found]
    if not isinstance(text, str):
        raise ValueError(f'"text" is missing or no string; found the keys {str(list(found))[:80]}')
    if not text.strip():
        raise ValueError('"text" is empty')
    if len(keys) > 1:
        raise ValueError(f'both "{keys[0]}" and "{keys[1]}"; one of them must have the entities')
    check_escapes([text])
    label = found[keys[0]] if keys else {}
    if isinstance(label, list):
        entities = {_read_span(text, f'"{keys[0]}"', span) for span in label}
    elif isinstance(label, dict) and all(map(clean_name, label)) and all(isinstance(names, dict) for names in label.values()):
        check_escapes(label)
        named = [(clean_name(entity_type), name, spans) for entity_type, names in label.items() for name, spans in names.items()]
        entities = {_check_named(text, keys[0], entity_type, name, span) for entity_type, name, spans in named for span in _as_list(spans)}
    else:
        raise ValueError(f'"{keys[0]}" is not of the form {_FORMS}')
    return text, tuple(sorted(entities, key=lambda entity: (entity.start, entity.end, entity.type)))


def _as_list(spans):
    return spans if isinstance(spans, list) else [spans]


def _check_named(text, key, entity_type, name, span):
    where = f'"{key}", {entity_type}, {name[:40]!r}:'
    if not isinstance(span, list) or [type(number) for number in span] != [int, int]:
        raise ValueError(f"{where} found {str(span)[:40]}, expected [start, last]")
    start, last = span
    if not 0 <= start <= last < len(text):
        raise ValueError(f"{where} span {span} is not inside the text of {len(text)} characters (counted from 0, the last included)")
    if text[start : last + 1] != name:
        raise ValueError(f"{where} span {span} of the text is {text[start : last + 1][:40]!r}")
    return Entity(entity_type, start, last + 1)


def _read_span(text, key, span):
    """The Entity of [start, end, type], or of an object with these; the end is exclusive."""
    shown = str(span)[:80]
    parts = [_take(span, names) for names in (_STARTS, _ENDS, _TYPES)] if isinstance(span, dict) else span
    if not isinstance(parts, list) or [type(part) for part in parts] != [int, int, str] or not clean_name(parts[2]):
        raise ValueError(f"{key}: found {shown}, expected [start, end, type] or an object with start, end and type (or doccano's names)")
    start, end, entity_type = parts
    check_escapes([entity_type])
    if not 0 <= start < end <= len(text):
        raise ValueError(f"{key}: {shown} is not inside the text of {len(text)} characters (counted from 0, the end not included)")
    name = span.get("text") if isinstance(span, dict) else None
    if name is not None and name != text[start:end]:
        raise ValueError(f"{key}: {shown}: the text from {start} to {end} (the end not included) is {text[start:end][:40]!r}")
    return Entity(clean_name(entity_type), start, end)


def _take(span, names):
    """The value of the one of these keys that an object has; None if it has none or several."""
    found = [span[name] for name in names if name in span]
    return found[0] if len(found) == 1 else None
