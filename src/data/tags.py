"""Tags of tokens (BIO, BIOES, BMES) and the spans that they stand for."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from src.data.tables import clean_name, read_text

OUTSIDE = "O"
_TAG = re.compile(r"([BIMESLU])[-_](.+)", re.DOTALL)
_PREFIXES = {"L": "E", "U": "S"}  # BILOU's names
_ORDER = {"BIO": "BI", "BIOES": "BIES", "BMES": "BMES"}


class Entity(NamedTuple):
    """A typed span; `end` exclusive, in units of what the sequence is made of (characters, tokens)."""

    type: str
    start: int
    end: int


def parse_tag(tag):
    """(prefix, type): `B-PER` and `B_PER` as ("B", "PER"), `O` as ("O", ""); the prefixes L and U as E and S.

    Raises:
        ValueError: neither O nor a known prefix with a type.
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    found = _TAG.fullmatch(tag)
    if not found:
        raise ValueError(f"{tag[:40]!r} is no tag; allowed: O, or one of B I M E S L U, - or _, and a type")
    prefix, entity_type = found.groups()
    return _PREFIXES.get(prefix, prefix), entity_type


def find_scheme(prefixes):
    """The scheme that uses these prefixes, as `parse_tag` gives them: BIO, BIOES or BMES.

    Raises:
        ValueError: both I and M.
    """
    if "M" in prefixes:
        if "I" in prefixes:
            raise ValueError("tags of two schemes mixed: M (BMES) and I (BIO, BIOES)")
        return "BMES"
    return "BIOES" if "E" in prefixes or "S" in prefixes else "BIO"


def find_spans(tags, scheme):
    """The entities that a list of (prefix, type) stands for, in order.

    BIO is read by conlleval's rule: an I that does not continue an entity of its type begins one. BIOES and BMES are strict: only S,
    or B, any number of I or M, and E of one type are an entity; other tags belong to none.
    """
    return _find_bio(tags) if scheme == "BIO" else _find_strict(tags)


def _find_bio(tags):
    spans, current, start = [], "", 0
    for place, (prefix, entity_type) in enumerate(tags):
        if prefix == "I" and entity_type == current:
            continue
        if current:
            spans.append(Entity(current, start, place))
        current, start = entity_type, place
    if current:
        spans.append(Entity(current, start, len(tags)))
    return spans


def _find_strict(tags):
    spans, current, start = [], "", 0  # current: type of the entity that is open, "" if none
    for place, (prefix, entity_type) in enumerate(tags):
        if prefix == "S":
            spans.append(Entity(entity_type, place, place + 1))
        elif prefix == "E" and entity_type == current:
            spans.append(Entity(entity_type, start, place + 1))
        if prefix == "B":
            current, start = entity_type, place
        elif prefix in "OSE" or entity_type != current:
            current = ""
    return spans


@dataclass(frozen=True)
class TagSet:
    """Labels and what they mean; made by `make_tag_set`.

    Args:
        labels: tags in id order.
        scheme: BIO, BIOES or BMES.
    """

    labels: tuple
    scheme: str

    @cached_property
    def _tags(self):
        return [parse_tag(label) for label in self.labels]

    @cached_property
    def _ids(self):
        return {tag: label_id for label_id, tag in enumerate(self._tags)}

    @cached_property
    def types(self):
        """Entity types in order of first appearance."""
        return tuple(dict.fromkeys(entity_type for _, entity_type in self._tags if entity_type))

    def find_spans(self, label_ids):
        """The entities of a sequence of label ids (0 to C-1), over its positions."""
        assert min(label_ids, default=0) >= 0, "label ids of unlabelled places are not to be decoded"
        return find_spans([self._tags[label_id] for label_id in label_ids], self.scheme)

    def make_labels(self, length, spans):
        """The label ids of a sequence with these entities, which must not overlap.

        Raises:
            ValueError: a span beyond the sequence, an unknown type, or a tag that the set lacks.
        """
        label_ids, done = [self._ids[OUTSIDE, ""]] * length, 0
        for entity_type, start, end in sorted(spans, key=lambda span: span[1]):
            if not 0 <= start < end <= length:
                raise ValueError(f"entity {entity_type} from {start} to {end} in a sequence of {length}")
            assert start >= done, "entities overlap"
            touches = start > 0 and self._tags[label_ids[start - 1]][1] == entity_type
            prefixes = self._choose_prefixes(entity_type, end - start, touches)
            label_ids[start:end] = [self._find_id(prefix, entity_type) for prefix in prefixes]
            done = end
        return label_ids

    def _choose_prefixes(self, entity_type, length, touches):
        if self.scheme == "BIO":
            begins_with_inner = not touches and ("B", entity_type) not in self._ids and ("I", entity_type) in self._ids
            return ("I" if begins_with_inner else "B") + "I" * (length - 1)
        inner = "M" if self.scheme == "BMES" else "I"
        return "S" if length == 1 else "B" + inner * (length - 2) + "E"

    def _find_id(self, prefix, entity_type):
        if (prefix, entity_type) not in self._ids:
            raise ValueError(f"the labels have no tag {prefix}-{entity_type}; their entity types: {', '.join(self.types)}")
        return self._ids[prefix, entity_type]

    def allowed(self):
        """What the scheme permits: (start bool [C], transitions bool [C, C] from -> to, end bool [C]).

        In BIO, I may not begin an entity (unless its type has no B); everything else is free.
        """
        outside = (OUTSIDE, "")
        start = [self._may_follow(outside, tag) for tag in self._tags]
        transitions = [[self._may_follow(previous, tag) for tag in self._tags] for previous in self._tags]
        end = [self._may_follow(tag, outside) for tag in self._tags]
        return np.array(start), np.array(transitions), np.array(end)

    def _may_follow(self, previous, tag):
        prefix, entity_type = tag
        if self.scheme == "BIO":
            return prefix != "I" or previous in (("B", entity_type), tag) or ("B", entity_type) not in self._ids
        inside = previous[0] in "BIM"
        continues = prefix in "IME"
        return inside == continues and (not inside or previous[1] == entity_type)


def make_tag_set(labels):
    """The TagSet of labels in id order; its scheme follows from their prefixes.

    Raises:
        ValueError: an unknown prefix, two schemes, a tag twice, no O, no other tag.
    """
    labels = tuple(labels)
    first = {}
    for label in labels:
        tag = parse_tag(label)
        if tag in first:
            raise ValueError(f"tag {label!r} twice" if first[tag] == label else f"tags {first[tag]!r} and {label!r} are the same")
        first[tag] = label
    if (OUTSIDE, "") not in first:
        raise ValueError(f"no tag {OUTSIDE}")
    if len(first) == 1:
        raise ValueError(f"no tag but {OUTSIDE}")
    return TagSet(labels, find_scheme({prefix for prefix, _ in first}))


def list_labels(types, scheme, separator="-"):
    """All tags of a scheme: O, then for each type B I (BIO), B I E S (BIOES) or B M E S (BMES)."""
    return (OUTSIDE, *(f"{prefix}{separator}{entity_type}" for entity_type in types for prefix in _ORDER[scheme]))


def zoo_labels(types):
    """Tags in the order of MindSpore's model zoo: O, then S_ B_ M_ E_ of each type."""
    return (OUTSIDE, *(f"{prefix}_{entity_type}" for entity_type in types for prefix in "SBME"))


def read_label_file(path):
    """Labels in id order, from a file of one of three forms, told apart by content.

    Tags one a line; entity types one a line (the model zoo's; `zoo_labels` of them); a JSON object {tag: id}.

    Raises:
        As `read_text`; ValueError also where the labels make no tag set.
    """
    text = read_text(path)
    labels = _read_json(path, text) if text.lstrip().startswith("{") else _read_lines(path, text)
    try:
        make_tag_set(labels)
        "".join(labels).encode()  # what a \u escape can bring: half of a surrogate pair
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return labels


def _read_lines(path, text):
    names = {}
    for line, name in enumerate(text.split("\n"), 1):
        name = clean_name(name)
        if re.search(r"\s|\0", name):
            raise ValueError(f"{path}:{line}: found {name[:40]!r}, expected one tag or one entity type")
        if name in names:
            raise ValueError(f"{path}:{line}: {name!r} twice, first in line {names[name]}")
        if name:
            names[name] = line
    if not any(name == OUTSIDE or _TAG.fullmatch(name) for name in names):
        return zoo_labels(names)
    for name, line in names.items():
        try:
            parse_tag(name)
        except ValueError as error:
            raise ValueError(f"{path}:{line}: {error}") from None
    return tuple(names)


def _read_json(path, text):
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: no JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise ValueError(f"{path}: no JSON: {error}") from None
    taken = {}
    for tag, label_id in pairs:
        line = text.count("\n", 0, max(0, text.find(json.dumps(tag, ensure_ascii=False)))) + 1
        if type(label_id) is not int or not 0 <= label_id < len(pairs):
            raise ValueError(f"{path}:{line}: {tag!r} has id {label_id!r}; the {len(pairs)} tags need the ids 0 to {len(pairs) - 1}")
        if label_id in taken:
            raise ValueError(f"{path}:{line}: {tag!r} has id {label_id}, which {taken[label_id]!r} has too")
        taken[label_id] = clean_name(tag)
    return tuple(taken[label_id] for label_id in range(len(pairs)))
