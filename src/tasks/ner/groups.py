"""The tokens and tags of many sentences, held in columns while a file is read."""

from array import array
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Groups(Generic[Item]):
    """A sequence of (line, items): the items of each sentence, and the line where it begins.

    There are few different items, such as a character and its tag: each is kept once, and an item of a sentence takes 4 bytes.
    """

    def __init__(self) -> None:
        self._numbers: dict[Item, int] = {}
        self._items: list[Item] = []
        self._codes = array("i")
        self._ends = array("q", [0])
        self._lines = array("q")

    def append(self, line: int, items: Iterable[Item]) -> None:
        for item in items:
            number = self._numbers.setdefault(item, len(self._items))
            if number == len(self._items):
                self._items.append(item)
            self._codes.append(number)
        self._ends.append(len(self._codes))
        self._lines.append(line)

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> tuple[int, list[Item]]:
        number = range(len(self))[index]
        codes = self._codes[self._ends[number] : self._ends[number + 1]]
        return self._lines[number], [self._items[code] for code in codes]

    def __iter__(self) -> Iterator[tuple[int, list[Item]]]:
        return map(self.__getitem__, range(len(self)))

    @property
    def num_items(self) -> int:
        """The number of items of all sentences."""
        return len(self._codes)
