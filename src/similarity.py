"""For each vector of a file the nearest vectors of another by their cosine; writes one line of JSON for each, in the order of the file.

    python -m src.predict --bundle minilm_bundle --input questions.txt --output questions.npy
    python -m src.predict --bundle minilm_bundle --input answers.txt --output answers.npy
    python -m src.similarity --queries questions.npy --corpus answers.npy --corpus_texts answers.txt --output nearest.jsonl --top_k 5

A file of vectors is a .npy or JSON lines, as src.predict writes both. Rows are counted from 0.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from src import encodings, signals
from src.cli import Parser, bad_input_exits
from src.files import written_whole
from src.log import logger
from src.records.vectors import read_vectors
from src.text.lines import read_lines

QUERIES_AT_ONCE, CORPUS_AT_ONCE = 256, 65536  # rows that are compared
_SMALLEST = 1e-12  # a shorter vector is divided by this instead of its length


def main(argv: list[str] | None = None) -> None:
    """Parse, read, compare, write."""
    with bad_input_exits():
        options = _parse(argv)
        queries, corpus = read_vectors(options.queries), read_vectors(options.corpus)
        if queries.shape[1] != corpus.shape[1]:
            told = f"{options.queries} has vectors of {queries.shape[1]} numbers, {options.corpus} of {corpus.shape[1]}"
            raise ValueError(f"{told}: both must come from the same model")
        texts = _read_texts(options.corpus_texts, options.encoding, len(corpus)) if options.corpus_texts else []
        with written_whole(options.output) as temporary, open(temporary, "w", encoding="utf-8") as file:
            for row, (numbers, cosines) in enumerate(find_nearest(queries, corpus, min(options.top_k, len(corpus)))):
                nearest = [{"row": number, "similarity": round(cosine, 6)} for number, cosine in zip(numbers.tolist(), cosines.tolist())]
                for found in nearest if texts else ():
                    found["text"] = texts[found["row"]]
                file.write(json.dumps({"row": row, "nearest": nearest}, ensure_ascii=False) + "\n")
    logger.info(f"wrote {options.output} rows={len(queries)}")


def _parse(argv):
    parser = Parser(prog="python -m src.similarity", description=__doc__)
    parser.add_argument("--queries", required=True, metavar="FILE", help="vectors whose nearest are looked for")
    parser.add_argument("--corpus", required=True, metavar="FILE", help="vectors among which they are looked for")
    parser.add_argument("--output", required=True, metavar="FILE", help="JSON lines")
    parser.add_argument("--top_k", type=int, default=5, metavar="K", help="number of nearest vectors [%(default)s]")
    parser.add_argument("--corpus_texts", metavar="FILE", help="the texts of the corpus, one a line, to be written beside their rows")
    parser.add_argument("--encoding", metavar="NAME", help=encodings.HELP)
    options = parser.parse_args(argv)
    if options.top_k < 1:
        raise ValueError(f"--top_k {options.top_k}: must be 1 or more")
    options.encoding = encodings.check_encoding(options.encoding)
    given = (options.queries, options.corpus, options.corpus_texts)
    if (
        Path(options.output).is_dir()
        or Path(options.output).exists()
        and any(Path(options.output).samefile(path) for path in given if path)
    ):
        raise ValueError(f"--output {options.output}: is a folder or one of the inputs; another file is expected")
    return options


def _read_texts(path, encoding, count):
    texts = [line for _, line in read_lines(path, encoding)]
    if len(texts) != count:
        raise ValueError(f"{path}: {len(texts)} lines, and the corpus has {count} vectors: one text a line is expected")
    return texts


def find_nearest(queries: np.ndarray, corpus: np.ndarray, top_k: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each query the rows of the nearest vectors and their cosines, the largest first; of equal ones the earlier row.

    Args:
        queries, corpus: float32 [rows, H].
        top_k: not more than the rows of the corpus.
    """
    for begin in range(0, len(queries), QUERIES_AT_ONCE):
        some = _scale(queries[begin : begin + QUERIES_AT_ONCE])
        numbers = np.zeros((len(some), 0), np.int64)
        cosines = np.zeros((len(some), 0), np.float32)
        for first in range(0, len(corpus), CORPUS_AT_ONCE):
            block = _scale(corpus[first : first + CORPUS_AT_ONCE])
            numbers = np.hstack([numbers, np.broadcast_to(np.arange(first, first + len(block)), (len(some), len(block)))])
            cosines = np.hstack([cosines, some @ block.T])
            best = _find_largest(cosines, min(top_k, cosines.shape[1]))
            numbers, cosines = np.take_along_axis(numbers, best, 1), np.take_along_axis(cosines, best, 1)
        yield from zip(numbers, cosines)


def _find_largest(values, count):
    """The columns of the largest values of each row, the largest first; of equal ones the earlier column."""
    smallest = np.partition(values, -count, axis=1)[:, -count]  # with a sort of all, the search would take six times as long
    chosen = []
    for row, least in zip(values, smallest):
        columns = np.flatnonzero(row >= least)
        chosen.append(columns[np.argsort(-row[columns], kind="stable")[:count]])
    return np.array(chosen)


def _scale(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _SMALLEST)


if __name__ == "__main__":
    signals.watch()
    main()
