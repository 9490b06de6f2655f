"""Tokenised documents in memory-mapped files: the whole corpus is accessible, but little of it is in memory.

A store is a folder: tokens.bin (ids of all sentences, concatenated), sentences.bin (int64, where each sentence begins, and the
end), documents.bin (int64, the first sentence of each document, and the end), spaced.bin (int64, where each document begins in a
stream that has a separator after each document, and the end), and for whole-word masking continues.bin (a bool for each token: it
continues a word). No sentence and no document is empty.
"""

import mmap
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from src.tasks.pretrain.corpus.tokens import TokenBlock


class TokenStoreWriter:
    """Appends blocks to a new store; a context manager.

    Args:
        folder: exists and is empty.
    """

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)
        self._files: dict[str, BinaryIO] = {}
        self._last_end = self._last_token = 0  # where the last document ended: sentence and token
        self.num_tokens = self.num_sentences = self.num_documents = self.num_empty = 0

    def __enter__(self) -> "TokenStoreWriter":
        return self

    def __exit__(self, *error: Any) -> None:
        self._append("sentences", np.array([self.num_tokens], np.int64))
        self._append("documents", np.array([self.num_sentences], np.int64))
        self._append("spaced", np.array([self.num_tokens + self.num_documents], np.int64))
        for file in self._files.values():
            file.close()

    def append(self, block: TokenBlock) -> None:
        """Add a block at the end."""
        self._append("tokens", block.tokens)
        if block.continues is not None:
            self._append("continues", block.continues)
        self._append("sentences", self.num_tokens + np.cumsum(block.lengths) - block.lengths)
        borders = np.concatenate([[self._last_end], self.num_sentences + block.ends])
        is_filled = np.diff(borders) > 0
        starts = borders[:-1][is_filled]
        self._append("documents", starts)
        ends = self.num_tokens + np.concatenate([[0], np.cumsum(block.lengths)])[block.ends]
        tokens = np.concatenate([[self._last_token], ends])
        self._append("spaced", tokens[:-1][is_filled] + self.num_documents + np.arange(len(starts)))
        self._last_token = tokens[-1]
        self.num_documents += len(starts)
        self.num_empty += len(block.ends) - len(starts)
        self._last_end = borders[-1]
        self.num_tokens += len(block.tokens)
        self.num_sentences += len(block.lengths)

    def _append(self, name, values):
        if name not in self._files:
            self._files[name] = open(self._folder / f"{name}.bin", "wb")  # noqa: SIM115 (closed by __exit__)
        self._files[name].write(np.ascontiguousarray(values).data)


class MappedArray:
    """A one-dimensional array in a file, mapped for reading; `release` frees its memory.

    A plain `np.memmap` never shrinks: pages once read count as resident memory until the system needs them.
    """

    def __init__(self, path: Path | str, dtype: DTypeLike) -> None:
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.values = np.frombuffer(self._map, dtype)

    def take(self, indices: np.ndarray, rows: int = 64) -> np.ndarray:
        """`values[indices]`, with indices clipped to the array; memory is freed every few rows.

        Reading one value maps the 64 KiB around it, so that scattered reads would soon have the whole file in memory.

        Args:
            indices: int64 [B] or [B, S].
        """
        found = np.empty(indices.shape, self.values.dtype)
        for start in range(0, len(indices), rows):
            found[start : start + rows] = self.values.take(indices[start : start + rows], mode="clip")
            self.release()
        return found

    def release(self) -> None:
        """Free the memory of the values that were read."""
        self._map.madvise(mmap.MADV_DONTNEED)


class TokenStore:
    """A complete store, open for reading.

    Args:
        folder: written by a TokenStoreWriter, with at least one document.
        dtype: type of the token ids.
    """

    def __init__(self, folder: Path | str, dtype: DTypeLike) -> None:
        folder = Path(folder)
        kinds = {"tokens": dtype, "sentences": np.int64, "documents": np.int64, "spaced": np.int64, "continues": np.bool_}
        self._arrays = {name: MappedArray(path, kind) for name, kind in kinds.items() if (path := folder / f"{name}.bin").is_file()}
        self.tokens = self._arrays["tokens"]
        self.continues = self._arrays.get("continues")
        self.sentences = self._arrays["sentences"].values
        self.documents = self._arrays["documents"].values
        self.spaced = self._arrays["spaced"].values
        self.num_documents, self.num_sentences = len(self.documents) - 1, len(self.sentences) - 1

    def release(self) -> None:
        """Free the memory of the values that were read."""
        for array in self._arrays.values():
            array.release()
