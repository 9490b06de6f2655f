"""Texts and pairs with labels, one by one and in columns."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import overload

from src.text.columns import TextColumn


@dataclass(frozen=True)
class Example:
    """One row; `label` is the label's name, or a JSON list of several, or None without any; `id` is that of a column of this name."""

    text_a: str
    text_b: str | None
    label: str | None
    line: int
    id: str | None = field(default=None, compare=False)


@dataclass(frozen=True, eq=False)
class Examples(Sequence[Example]):
    """Many examples, held in columns; an Example is made when it is asked for.

    text_b: None if the examples are no pairs.
    labels, ids: empty where the file has none.
    has_lists: whether each of `labels` is a JSON list of names.
    label_names: those of the columns if each label has one.
    separator: at which lists of labels were divided, if any was.
    """

    text_a: TextColumn = field(default_factory=TextColumn)
    text_b: TextColumn | None = None
    labels: Sequence[str] = field(default_factory=TextColumn)
    lines: "array[int]" = field(default_factory=lambda: array("q"))
    ids: TextColumn | None = None
    has_lists: bool = False
    label_names: tuple[str, ...] = ()
    separator: str | None = None

    def __len__(self) -> int:
        return len(self.text_a)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        text_b = None if self.text_b is None else self.text_b[index]
        key = self.ids[index] if self.ids else ""
        return Example(self.text_a[index], text_b, self.labels[index] or None, self.lines[index], key or None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def without_labels(self) -> "Examples":
        """The same texts without labels."""
        return replace(self, labels=[""] * len(self))

    def leave_out(self, label: str) -> "Examples":
        """The examples with another label."""
        return self.choose(array("q", (number for number, each in enumerate(self.labels) if each != label)))

    def choose(self, kept: Sequence[int]) -> "Examples":
        """The examples of these numbers."""
        text_a, labels = [TextColumn(column[number] for number in kept) for column in (self.text_a, self.labels)]
        text_b, ids = [column and TextColumn(column[number] for number in kept) for column in (self.text_b, self.ids)]
        return replace(
            self, text_a=text_a, text_b=text_b, labels=labels, lines=array("q", (self.lines[number] for number in kept)), ids=ids
        )
