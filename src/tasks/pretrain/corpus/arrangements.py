"""How the text of a TokenStore becomes rows, for each objective: pairs of two kinds, or full rows of one text."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from src.tasks.pretrain.corpus.full_rows import RANGE, cut_stream, lay_out_text, make_document_rows, make_stream_rows
from src.tasks.pretrain.corpus.options import BuilderOptions
from src.tasks.pretrain.corpus.ordered_pairs import make_ordered_pairs
from src.tasks.pretrain.corpus.sentence_pairs import PAIR, cut_documents, lay_out, make_pairs
from src.tasks.pretrain.corpus.token_store import TokenStore


class Arrangement(Protocol):
    """Instances, made of a TokenStore in blocks, and laid out as rows in any order."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of an instance, which has ranges of tokens."""

    @property
    def num_documents(self) -> int:
        """The fewest documents that a corpus must have."""

    @property
    def noun(self) -> str:
        """What instances are called in messages."""

    @property
    def settings(self) -> tuple[str, ...]:
        """The names of the builder's settings that not all arrangements have."""

    def cut(self, store: TokenStore, options: BuilderOptions) -> np.ndarray:
        """The borders of the blocks of a pass: int64 [blocks + 1]."""

    def make(self, store: TokenStore, first: int, last: int, options: BuilderOptions, number: int) -> np.ndarray:
        """The instances of the block between two borders, in the pass of this number."""

    def lay_out(self, store: TokenStore, instances: np.ndarray, options: BuilderOptions, cls_id: int, sep_id: int) -> dict[str, Any]:
        """Rows: input_ids, segment_ids int32 [B, S]; lengths int64 [B]; word_continues bool [B, S] or None; labels int32 [B] or None."""


@dataclass(frozen=True)
class _Pairs:
    """Two parts of a row, as `make_pairs` or `make_ordered_pairs` chooses them."""

    make_some: Callable[..., np.ndarray]
    num_documents: int
    dtype = PAIR
    noun = "pairs"
    settings = ("short_seq_prob",)

    def cut(self, store: TokenStore, options: BuilderOptions) -> np.ndarray:
        return cut_documents(store)

    def make(self, store: TokenStore, first: int, last: int, options: BuilderOptions, number: int) -> np.ndarray:
        seed = (options.random_seed, number, first)
        return self.make_some(store, first, last, options.max_seq_length, options.short_seq_prob, seed)

    def lay_out(self, store: TokenStore, instances: np.ndarray, options: BuilderOptions, cls_id: int, sep_id: int) -> dict[str, Any]:
        rows = lay_out(store, instances, options.max_seq_length, cls_id, sep_id)
        return {**rows, "labels": instances["is_random_next"].astype(np.int32)}


@dataclass(frozen=True)
class _FullRows:
    """One text in a row."""

    num_documents = 1
    dtype = RANGE
    noun = "ranges"
    settings = ("across_documents",)

    def cut(self, store: TokenStore, options: BuilderOptions) -> np.ndarray:
        return cut_stream(store, options.max_seq_length) if options.across_documents else cut_documents(store)

    def make(self, store: TokenStore, first: int, last: int, options: BuilderOptions, number: int) -> np.ndarray:
        if options.across_documents:
            return make_stream_rows(store, first, last, options.max_seq_length, options.random_seed, number)
        return make_document_rows(store, first, last, options.max_seq_length)

    def lay_out(self, store: TokenStore, instances: np.ndarray, options: BuilderOptions, cls_id: int, sep_id: int) -> dict[str, Any]:
        rows = lay_out_text(store, instances, options.max_seq_length, options.across_documents, cls_id, sep_id)
        return {**rows, "labels": None}


ARRANGEMENTS: dict[str, Arrangement] = {  # objective -> its rows
    "mlm_nsp": _Pairs(make_pairs, 2),
    "mlm": _FullRows(),
    "mlm_sop": _Pairs(make_ordered_pairs, 1),
}
