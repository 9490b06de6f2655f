"""Sentences with their entities: one, or the many of a file, held in columns."""

import copy
import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

from src.tasks.ner.tags import Entity
from src.text.columns import TextColumn


@dataclass(frozen=True)
class Sentence:
    """A text and its entities by character, sorted by start.

    line: where the sentence begins in its file, from 1.
    entity_lines: where each entity begins, in tagged text.
    id: from its row of JSON.
    """

    text: str
    entities: tuple[Entity, ...]
    line: int
    entity_lines: tuple[int, ...] = field(default=(), compare=False)
    id: int | str | None = field(default=None, compare=False)


class Sentences(Sequence[Sentence]):
    """Many sentences, held in columns; a Sentence is made when it is asked for."""

    def __init__(self, sentences: Iterable[Sentence] = ()) -> None:
        self._texts = TextColumn()
        self._ids = TextColumn()  # as JSON; empty for none
        self._lines = array("q")
        self._ends = array("q", [0])  # entities of all sentences up to each
        self._names: list[str] = []  # types of entities
        self._entities = array("q")  # for each its type by number, start, end, line or 0
        numbers: dict[str, int] = {}
        for sentence in sentences:
            self._texts.append(sentence.text)
            self._ids.append("" if sentence.id is None else json.dumps(sentence.id))
            self._lines.append(sentence.line)
            lines = sentence.entity_lines or [0] * len(sentence.entities)
            for (kind, start, end), line in zip(sentence.entities, lines, strict=True):
                self._entities.extend((numbers.setdefault(kind, len(numbers)), start, end, line))
            self._ends.append(len(self._entities) // 4)
        self._names = list(numbers)

    @property
    def types(self) -> set[str]:
        """The types of all entities."""
        return set(self._names)

    def rename_types(self, names: Mapping[str, str]) -> "Sentences":
        """The same sentences, with the types that `names` has under their new names."""
        renamed = copy.copy(self)
        renamed._names = [names.get(name, name) for name in self._names]
        return renamed

    def without_entities(self) -> "Sentences":
        """The same sentences without entities."""
        bare = copy.copy(self)
        bare._names = []
        bare._entities = array("q")
        bare._ends = array("q", bytes(self._ends.itemsize * len(self._ends)))
        return bare

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, index: int) -> Sentence: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sentence]: ...
    def __getitem__(self, index: int | slice) -> Sentence | list[Sentence]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        key = self._ids[number]
        kinds, starts, ends, lines = [self._entities[4 * self._ends[number] + part : 4 * self._ends[number + 1] : 4] for part in range(4)]
        entities = tuple(Entity(self._names[kind], start, end) for kind, start, end in zip(kinds, starts, ends))
        entity_lines = tuple(lines) if all(lines) else ()
        return Sentence(self._texts[number], entities, self._lines[number], entity_lines, json.loads(key) if key else None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list
