"""Rows of several tokenised texts for the pipeline.

Token column: input_ids [tokens, K], one column for each of the K texts of a row; a row is as long as its longest text, and the others are
padded with 0. Row columns: text_lengths [rows, K], tokens of each text; scores [rows], as in the file, 0 where it has none.
"""

from collections.abc import Iterator

import numpy as np

from src.records.plan import Batch
from src.records.record_set import Chunk, RecordSet
from src.tasks.embed.texts import Texts
from src.text.tokenization import Tokenizer

_CHUNK = 1000  # rows tokenised at once


def make_chunks(texts: Texts, tokenizer: Tokenizer, seq_length: int, twice: bool) -> Iterator[Chunk]:
    """Yield the rows for `cached_records`.

    Args:
        seq_length: longest text in tokens; longer ones are cut.
        twice: whether a row holds its only text twice, as the two sides of a pair.
    """
    columns = texts.texts * 2 if twice else texts.texts
    for begin in range(0, len(texts), _CHUNK):
        some = slice(begin, begin + _CHUNK)
        ids = [[tokenizer.join(tokens, None, seq_length)[0] for tokens in tokenizer.encode(column[some])] for column in columns]
        text_lengths = np.array([[len(tokens) for tokens in column] for column in ids], np.int32).T  # [rows, K]
        lengths = text_lengths.max(1)
        starts = np.cumsum(lengths) - lengths
        flat = np.zeros((lengths.sum(), len(columns)), np.int32)
        for number, column in enumerate(ids):
            for start, tokens in zip(starts, column):
                flat[start : start + len(tokens), number] = tokens
        scores = np.zeros(len(lengths)) if texts.scores is None else np.array(texts.scores[some])
        yield Chunk(lengths, {"input_ids": flat}, {"text_lengths": text_lengths, "scores": scores})


class TextRows:
    """A RecordSet of these rows, which makes their columns: int32 [B, K, S] of tokens; scores divided by `largest_score`."""

    def __init__(self, records: RecordSet, largest_score: float) -> None:
        self.records, self.largest_score = records, largest_score
        self.lengths, self.key, self.rows = records.lengths, records.key, records.rows

    def column(self, name: str, batch: Batch) -> np.ndarray:
        """One column of a Batch, see `RecordSet.column`."""
        if name == "scores":
            return (self.rows["scores"][batch.row_ids] / self.largest_score).astype(np.float32)
        text_lengths = self.rows["text_lengths"][batch.row_ids][:, :, None]  # [B, K, 1]
        positions = np.arange(batch.length)
        if name == "input_mask":
            return (positions < text_lengths).astype(np.int32)
        if name == "token_type_ids":
            return np.zeros((*text_lengths.shape[:2], batch.length), np.int32)
        starts, lengths = self.records.starts[batch.row_ids, None], self.lengths[batch.row_ids, None]
        values = self.records.tokens[name][starts + np.minimum(positions, lengths - 1)]  # [B, S, K]
        return np.where(positions < text_lengths, values.transpose(0, 2, 1), 0).astype(np.int32)
