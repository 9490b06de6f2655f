"""Many texts in one buffer, so that the rows of a large table take little more memory than their text."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload


class TextColumn(Sequence[str]):
    """A sequence of texts; each takes its UTF-8 bytes and 8 more.

    Args:
        texts: the first ones.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._data = bytearray()
        self._ends = array("q", [0])
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        self._data += text.encode()
        self._ends.append(len(self._data))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._get(number) for number in range(*index.indices(len(self)))]
        return self._get(range(len(self))[index])

    def __iter__(self) -> Iterator[str]:
        return map(self._get, range(len(self)))

    def _get(self, number: int) -> str:
        return self._data[self._ends[number] : self._ends[number + 1]].decode()
