"""Tags of tokens (BIO, BIOES, BMES and their relatives) and the entities that they describe."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.tasks.label_file import is_json, read_json_labels
from src.text.tables import clean_name, read_text

OUTSIDE = "O"
_FORMS = (  # of the tags of a file
    re.compile(r"(?P<prefix>[BIMESLU])[-_](?P<type>.+)", re.DOTALL),
    re.compile(r"(?P<type>.+)[-_](?P<prefix>[BIMESLU])", re.DOTALL),
    re.compile(r"(?P<prefix>[BIMESLU])(?P<type>)"),
)
UNTYPED = "ENTITY"  # the type of tags without one
_PREFIXES = {"L": "E", "U": "S"}  # BILOU's names
_ORDER = {"BIO": "BI", "BIOS": "BIS", "IOE": "IE", "BIOE": "BIE", "BIOES": "BIES", "BMES": "BMES"}

Tag = tuple[str, str]  # (prefix, type); ("O", "") outside entities


class Entity(NamedTuple):
    """A typed span in characters or tokens; `end` is exclusive."""

    type: str
    start: int
    end: int


def parse_tags(tags: Iterable[str]) -> dict[str, Tag]:
    """Tag as written -> its prefix and type, by the form that the most of these tags have; those of another form are left out.

    The forms are B-PER (or B_PER), PER-B, and B without a type, which is then UNTYPED; a tag of several forms counts as the first. The
    prefixes L and U become E and S; `O` is ("O", "").
    """
    tags = dict.fromkeys(tags)
    form = max(_FORMS, key=lambda form: sum(bool(form.fullmatch(tag)) for tag in tags))
    return {tag: _split_tag(tag, form) for tag in tags if tag == OUTSIDE or form.fullmatch(tag)}


def _split_tag(tag, form):
    if tag == OUTSIDE:
        return OUTSIDE, ""
    found = form.fullmatch(tag)
    return _PREFIXES.get(found["prefix"], found["prefix"]), found["type"] or UNTYPED


def explain_tag(tag: str) -> str:
    """The error message about a text that is no tag, or of another form than the other tags."""
    forms = "of all tags the prefix first, or the type, or no type"
    return f"{tag[:40]!r} is no tag; allowed: O, or one of B I M E S L U, - or _, and a type ({forms})"


def find_scheme(prefixes: Collection[str]) -> str:
    """The first of BIO, BIOS, IOE, BIOE and BIOES that has all these prefixes (of parsed tags); BMES if M is among them.

    Raises:
        ValueError: both I and M, or M without B.
    """
    if "M" not in prefixes:
        return next(scheme for scheme, letters in _ORDER.items() if {*prefixes} <= {OUTSIDE, *letters})
    if "I" in prefixes:
        raise ValueError("tags of two schemes mixed: M (BMES) and I (BIO, BIOES)")
    if "B" not in prefixes:
        raise ValueError("tags of no scheme: M without any B")
    return "BMES"


def find_spans(tags: Iterable[Tag]) -> list[Entity]:
    """The entities that tags describe, in order, whatever their scheme.

    An entity continues where I, M or E follows B, I or M of its type; any other tag but O begins a new one.

    Source: seqeval's default mode, which reads BIO as conlleval does.
    """
    spans, start, previous = [], 0, (OUTSIDE, "")
    for position, tag in enumerate([*tags, (OUTSIDE, "")]):
        if not _continues(previous, tag):
            if previous[1]:
                spans.append(Entity(previous[1], start, position))
            start = position
        previous = tag
    return spans


def _continues(previous, tag):
    """Whether a tag belongs to the entity of the previous tag."""
    return previous[1] == tag[1] and previous[0] in "BIM" and tag[0] in "IME"


def spell(letters: Collection[str], length: int, inner: str = "I") -> str:
    """The prefixes of an entity's tags, as one string.

    Args:
        letters: the prefixes that tags of its type have.
        length: the number of its tags.
        inner: I or M.
    """
    if length == 1:
        return next((prefix for prefix in "SBE" if prefix in letters), inner)
    return ("B" if "B" in letters else inner) + inner * (length - 2) + ("E" if "E" in letters else inner)


def count_oddities(sentences: Iterable[tuple[list[Tag], list[Entity]]], scheme: str) -> tuple[int, tuple[int, Entity] | None]:
    """The number of entities whose tags differ from their scheme, and the first of them: (sentence, Entity) or None.

    Args:
        sentences: (tags, entities) of each sentence; the entities are from `find_spans`.
    """
    inner, count, first = _inner(scheme), 0, None
    for number, (tags, spans) in enumerate(sentences):
        for span in spans:
            if "".join(prefix for prefix, _ in tags[span.start : span.end]) != spell(_ORDER[scheme], span.end - span.start, inner):
                count, first = count + 1, first or (number, span)
    return count, first


def _inner(scheme):
    return "M" if scheme == "BMES" else "I"


@dataclass(frozen=True)
class TagSet:
    """Labels and their meaning; made by `make_tag_set`.

    Args:
        labels: tags in id order.
        scheme: see `find_scheme`.
    """

    labels: tuple[str, ...]
    scheme: str

    @cached_property
    def _tags(self):
        parsed = parse_tags(self.labels)
        return [parsed[label] for label in self.labels]

    @cached_property
    def _ids(self):
        return {tag: label_id for label_id, tag in enumerate(self._tags)}

    @cached_property
    def _letters(self):
        """Type -> the prefixes of its tags."""
        return {name: {prefix for prefix, entity_type in self._tags if entity_type == name} for name in self.types}

    @cached_property
    def types(self) -> tuple[str, ...]:
        """Entity types in order of first appearance."""
        return tuple(dict.fromkeys(entity_type for _, entity_type in self._tags if entity_type))

    def find_spans(self, label_ids: Sequence[int]) -> list[Entity]:
        """The entities of a sequence of label ids (0 to C-1), in positions of the sequence."""
        assert min(label_ids, default=0) >= 0, "label ids of unlabelled positions are not to be decoded"
        return find_spans([self._tags[label_id] for label_id in label_ids])

    def make_labels(self, length: int, spans: Iterable[Entity]) -> list[int]:
        """The label ids of a sequence with these entities, which must not overlap.

        Raises:
            ValueError: a span beyond the sequence, an unknown type, or a tag that the set lacks.
        """
        label_ids, previous_end = [self._ids[OUTSIDE, ""]] * length, 0
        for entity_type, start, end in sorted(spans, key=lambda span: span[1]):
            if not 0 <= start < end <= length:
                raise ValueError(f"entity {entity_type} from {start} to {end} in a sequence of {length}")
            assert start >= previous_end, "entities overlap"
            prefixes = spell(self._letters.get(entity_type, ""), end - start, _inner(self.scheme))
            if start and _continues(self._tags[label_ids[start - 1]], (prefixes[0], entity_type)):
                prefixes = "B" + prefixes[1:]  # the set has no B, or the prefix would already be B; hence _find_id raises
            label_ids[start:end] = [self._find_id(prefix, entity_type) for prefix in prefixes]
            previous_end = end
        return label_ids

    def _find_id(self, prefix, entity_type):
        if (prefix, entity_type) not in self._ids:
            raise ValueError(f"the labels have no tag {prefix}-{entity_type}; their entity types: {', '.join(self.types)}")
        return self._ids[prefix, entity_type]

    def allowed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The sequences that `make_labels` can produce: start bool [C], transitions bool [C, C] from -> to, end bool [C].

        The tags of each type decide: I and M begin an entity if there is no B, and end one if there is no E; a single token is E if
        there is neither S nor B, and B if there is no S.
        """
        outside = (OUTSIDE, "")
        start = [self._may_follow(outside, tag) for tag in self._tags]
        transitions = [[self._may_follow(previous, tag) for tag in self._tags] for previous in self._tags]
        end = [self._may_follow(tag, outside) for tag in self._tags]
        return np.array(start), np.array(transitions), np.array(end)

    def _may_follow(self, previous, tag):
        return _continues(previous, tag) or (self._may_end(previous) and self._may_begin(tag))

    def _may_begin(self, tag):
        letters = self._letters.get(tag[1])
        return tag[0] in "OBS" or (spell(letters, 1) == "E" if tag[0] == "E" else "B" not in letters)

    def _may_end(self, tag):
        return tag[0] in "OES" or ("S" if tag[0] == "B" else "E") not in self._letters[tag[1]]


def make_tag_set(labels: Iterable[str]) -> TagSet:
    """The TagSet of labels in id order; the scheme follows from their prefixes.

    Raises:
        ValueError: an unknown prefix, two schemes, a repeated tag, no O, or no other tag.
    """
    labels = tuple(labels)
    parsed = parse_tags(labels)
    first: dict[Tag, str] = {}
    for label in labels:
        if label not in parsed:
            raise ValueError(explain_tag(label))
        tag = parsed[label]
        if tag in first:
            raise ValueError(f"tag {label!r} twice" if first[tag] == label else f"tags {first[tag]!r} and {label!r} are the same")
        first[tag] = label
    if (OUTSIDE, "") not in first:
        raise ValueError(f"no tag {OUTSIDE}")
    if len(first) == 1:
        raise ValueError(f"no tag but {OUTSIDE}")
    return TagSet(labels, find_scheme({prefix for prefix, _ in first}))


def list_labels(types: Iterable[str], scheme: str, separator: str = "-") -> tuple[str, ...]:
    """All tags of a scheme: O, then for each type one per prefix, such as B I for BIO or B I E S for BIOES."""
    return (OUTSIDE, *(f"{prefix}{separator}{entity_type}" for entity_type in types for prefix in _ORDER[scheme]))


def zoo_labels(types: Iterable[str]) -> tuple[str, ...]:
    """Tags in the order of MindSpore's model zoo: O, then S_ B_ M_ E_ for each type."""
    return (OUTSIDE, *(f"{prefix}_{entity_type}" for entity_type in types for prefix in "SBME"))


def read_label_file(path: Path | str) -> tuple[str, ...]:
    """Labels in id order, from a file in one of three forms, recognised by its content.

    One tag per line; one entity type per line, as in the model zoo (see `zoo_labels`); or JSON in a form of `read_json_labels`.

    Raises:
        ValueError: the labels are no valid tag set; also the errors of `read_text`.
    """
    text = read_text(path)
    labels = read_json_labels(path, text, "tag") if is_json(text) else _read_lines(path, text)
    try:
        make_tag_set(labels)
        "".join(labels).encode()  # fails for a lone surrogate, from a \u escape
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return labels


def _read_lines(path, text):
    names: dict[str, int] = {}
    for line, name in enumerate(text.split("\n"), 1):
        name = clean_name(name)
        if re.search(r"\s|\0", name):
            raise ValueError(f"{path}:{line}: found {name[:40]!r}, expected one tag or one entity type")
        if name in names:
            raise ValueError(f"{path}:{line}: {name!r} twice, first in line {names[name]}")
        if name:
            names[name] = line
    if not any(name == OUTSIDE or _FORMS[0].fullmatch(name) for name in names):
        return zoo_labels(names)
    parsed = parse_tags(names)
    for name, line in names.items():
        if name not in parsed:
            raise ValueError(f"{path}:{line}: {explain_tag(name)}")
    return tuple(names)
