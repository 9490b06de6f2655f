"""Text files to pretraining records in three stages: tokens, instances, rows. The bytes do not depend on the number of workers.

Instances are pairs of ranges of tokens, or single ranges: arrangements.py.

The first two stages write files into a temporary folder beside the output; the third maps them into memory and reads them in the
order of a seeded permutation. Each stage works on blocks and keeps none, so that memory does not grow with the corpus.
"""

import functools
import glob
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from src.files import make_folder, move_whole, read_json_object, written_whole
from src.locks import locked, work_folder
from src.log import format_fields, logger, progress
from src.records.record_set import fingerprint_file, make_key
from src.records.writers import open_writer, pack, shard_suffix
from src.tasks.pretrain.corpus.arrangements import ARRANGEMENTS
from src.tasks.pretrain.corpus.columns import count, list_columns, make_columns, summarise
from src.tasks.pretrain.corpus.options import BuilderOptions
from src.tasks.pretrain.corpus.text import find_files, read_corpus
from src.tasks.pretrain.corpus.token_store import MappedArray, TokenStore, TokenStoreWriter
from src.tasks.pretrain.corpus.tokens import CorpusTokenizer, cut_lines, id_type, load_segmenter
from src.tasks.pretrain.corpus.workers import open_workers
from src.tasks.pretrain.keyed_random import make_keys, permute
from src.tasks.pretrain.masks import KEEP_SHARE, MASK_SHARE, make_masking
from src.tasks.pretrain.objectives import DEFAULT
from src.tasks.pretrain.similar_words import read_similar_words
from src.text.tokenization import CLS, SEP, Tokenizer

_PAIRS = "pairs.bin"
_STATISTICS = "statistics.json"
BLOCK_CHARS = 1 << 18  # characters of a block of text
BLOCK_ROWS = 4096
_ROWS_AT_ONCE = 512  # rows of a part of a block, few enough for the cache of a core
_ORDER_STREAM = 1 << 32  # added to the seed, so that the order of the rows is independent of all other random numbers


def build(options: BuilderOptions) -> dict[str, Any]:
    """Write the files of records and their statistics.

    Returns:
        the statistics.

    Raises:
        ValueError, OSError: bad input, with file and line.
    """
    started = time.perf_counter()
    paths = find_files(options.input_file)
    tokenizer = _load(options).tokenizer
    tokenizer.log_casing()
    if options.do_whole_word_mask and not options.segmenter and "的" in tokenizer.vocabulary:
        logger.warning("do_whole_word_mask: without --segmenter each Chinese character is a word")
    wanted = round(options.masked_lm_prob * options.max_seq_length)
    if wanted > options.max_predictions_per_seq:
        share = f"masked_lm_prob={options.masked_lm_prob} of max_seq_length={options.max_seq_length} is {wanted} tokens"
        logger.warning(f"{share}, and max_predictions_per_seq={options.max_predictions_per_seq} masks fewer")
    _make_masking(options)  # fails on an unsuitable vocabulary before anything is read
    description = describe(options, tokenizer)
    if similar := _load_similar(options):
        logger.info(f"{options.similar_words}: {similar.tell()}")
    output = Path(options.output_file)
    make_folder(output.parent)
    if options.store_dir:
        make_folder(options.store_dir)
    with (
        work_folder(output) as folder,
        _naming(output, folder),
        open_workers(options.num_workers) as run,
    ):
        try:
            store, statistics = _find_store(run, options, paths, folder, tokenizer)
            results = Path(folder, "results")
            results.mkdir()
            statistics |= _write_rows(run, options, store, statistics["instances"], results / output.name, description)
        finally:
            for cached in (_load, _load_similar, _open_store, _open_pairs):
                cached.cache_clear()
        statistics |= {"seconds": round(time.perf_counter() - started, 3), "description": description}
        text = json.dumps(statistics, indent=1, ensure_ascii=False) + "\n"
        shard = "" if options.own_shard is None else shard_suffix(options.own_shard, options.shards)
        (results / f"{output.stem}{shard}.statistics.json").write_text(text, encoding="utf-8")
        if options.own_shard is None:  # those of shards that were made one by one would describe the new ones
            for stale in output.parent.glob(f"{glob.escape(output.stem)}-?????-of-?????.statistics.json"):
                stale.unlink()
        move_whole(sorted(results.iterdir()), output.parent)
    return statistics


@contextmanager
def _naming(output: Path, folder: Path) -> Iterator[None]:
    """Make an OSError about a temporary file name the output instead."""
    try:
        yield
    except OSError as error:
        if error.filename and str(folder.parent) not in str(error.filename):
            raise
        raise OSError(error.errno, error.strerror, str(output)) from error


def describe(options: BuilderOptions, tokenizer: Tokenizer) -> dict[str, Any]:
    """The settings that records were made with, as stored in MindRecord files and in the statistics."""
    names = ("max_seq_length", "max_predictions_per_seq", "do_whole_word_mask", "segmenter", "masked_lm_prob")
    others = ARRANGEMENTS[options.objective].settings
    description = {
        **tokenizer.record_description,
        **{name: getattr(options, name) for name in (*names, *others, "dupe_factor", "random_seed")},
        "mask_share": MASK_SHARE,
        "keep_share": KEEP_SHARE,
    }
    # what Google's records cannot be is said only where it is the case
    if options.objective != DEFAULT:
        description["objective"] = options.objective
    if options.mask_unit not in ("token", "word"):
        description["mask_unit"] = options.mask_unit
    if similar := _load_similar(options):
        description["similar_words"] = similar.digest
    return description


@functools.lru_cache(maxsize=1)
def _load(options: BuilderOptions) -> CorpusTokenizer:
    """The CorpusTokenizer of this process."""
    tokenizer = Tokenizer(options.vocab_file, options.do_lower_case)
    return CorpusTokenizer(tokenizer, options.do_whole_word_mask, load_segmenter(options.segmenter) if options.segmenter else None)


@functools.lru_cache(maxsize=1)
def _load_similar(options):
    return read_similar_words(options.similar_words, _load(options).tokenizer) if options.similar_words else None


@functools.lru_cache(maxsize=1)
def _open_store(folder, vocab_size):
    return TokenStore(folder, id_type(vocab_size))


@functools.lru_cache(maxsize=1)
def _open_pairs(folder, dtype):
    return MappedArray(Path(folder, _PAIRS), dtype)


def _make_masking(options):
    vocabulary, similar = _load(options).tokenizer.vocabulary, _load_similar(options)
    numbers = options.masked_lm_prob, options.max_predictions_per_seq
    return make_masking(options.vocab_file, vocabulary, *numbers, options.mask_unit, similar)


def _find_store(run, options, paths, folder, tokenizer):
    """The folder with tokens and pairs, and their statistics: a new one, or, with store_dir, one that an earlier run has made."""
    if options.store_dir is None:
        return folder, _fill_store(run, options, paths, folder)
    of_text = ("input_format", "encoding", "text_column", "do_whole_word_mask", "segmenter")
    of_pairs = ("max_seq_length", "dupe_factor", "random_seed", "objective", *ARRANGEMENTS[options.objective].settings)
    settings = [getattr(options, name) for name in of_text + of_pairs]
    key = make_key("tokens and pairs", tokenizer.record_description, settings, *map(fingerprint_file, paths))
    store = Path(options.store_dir) / key
    with locked(store.parent):  # of several runs that get here together, one makes it
        if store.is_dir():
            logger.info(f"{store}: has the tokens and {ARRANGEMENTS[options.objective].noun} of an earlier run")
        else:
            with written_whole(store) as temporary:
                temporary.mkdir()
                found = _fill_store(run, options, paths, temporary)
                (temporary / _STATISTICS).write_text(json.dumps(found), encoding="utf-8")
    return store, read_json_object(store / _STATISTICS)


def _fill_store(run, options, paths, folder):
    """Stages 1 and 2: text to tokens and pairs in `folder`."""
    return _write_tokens(run, options, paths, folder) | _write_pairs(run, options, folder)


def _write_tokens(run, options, paths, folder):
    """Stage 1: text to the TokenStore in `folder`."""
    corpus = read_corpus(paths, options.input_format, options.encoding, options.text_column)
    blocks = ((options, lines) for lines in cut_lines(corpus, BLOCK_CHARS))
    with TokenStoreWriter(folder) as writer, progress(desc="tokens", unit=" tokens", unit_scale=True) as bar:
        for block in run(_tokenize, blocks):
            writer.append(block)
            bar.update(len(block.tokens))
    found = {
        "documents": writer.num_documents,
        "empty_documents": writer.num_empty,
        "sentences": writer.num_sentences,
        "tokens": writer.num_tokens,
    }
    logger.info(f"stage=tokens {format_fields(found)}")
    fewest = ARRANGEMENTS[options.objective].num_documents
    if writer.num_documents < fewest:
        content = "only one document" if writer.num_documents else "no text"
        may_be_plain = options.input_format in (None, "plain")
        hint = "; a blank line separates documents of plain text" if writer.num_documents and may_be_plain else ""
        need = ", but next-sentence pairs need two documents" if fewest == 2 else ""
        raise ValueError(f"{options.input_file}: {content}{need}{hint}")
    return found


def _tokenize(options, lines):
    return _load(options).tokenize(lines)


def _write_pairs(run, options, folder):
    """Stage 2: the TokenStore to instances, which are ranges of its tokens."""
    vocab_size = len(_load(options).tokenizer.tokens)
    arrangement = ARRANGEMENTS[options.objective]
    borders = arrangement.cut(_open_store(folder, vocab_size), options).tolist()
    tasks = ((options, folder, vocab_size, dupe, *block) for dupe in range(options.dupe_factor) for block in zip(borders, borders[1:]))
    num_pairs = 0
    with open(Path(folder, _PAIRS), "wb") as file, progress(desc=arrangement.noun, unit=f" {arrangement.noun}", unit_scale=True) as bar:
        for pairs in run(_pair, tasks):
            file.write(pairs.tobytes())
            num_pairs += len(pairs)
            bar.update(len(pairs))
    if not num_pairs:
        raise ValueError(f"{options.input_file}: its documents are too short for any row of --objective {options.objective}")
    logger.info(f"stage={arrangement.noun} instances={num_pairs}")
    return {"instances": num_pairs, "instances_per_document": num_pairs / _open_store(folder, vocab_size).num_documents}


def _pair(options, folder, vocab_size, dupe, first, last):
    store = _open_store(folder, vocab_size)
    pairs = ARRANGEMENTS[options.objective].make(store, first, last, options, dupe)
    store.release()
    return pairs


def _write_rows(run, options, folder, num_rows, path, description):
    """Stage 3: pairs to records, in the order of a seeded permutation."""
    if num_rows < options.shards:
        raise ValueError(f"shards={options.shards}: there are only {num_rows} instances in {options.input_file}")
    writer = open_writer(options.format, path, list_columns(options), num_rows, options.shards, description, options.own_shard)
    counts: Counter[str] = Counter()
    own = range(num_rows) if options.own_shard is None else range(options.own_shard, num_rows, options.shards)
    tasks = ((options, folder, num_rows, own[first : first + BLOCK_ROWS]) for first in range(0, len(own), BLOCK_ROWS))
    with progress(desc="rows", unit=" rows", unit_scale=True, total=len(own)) as bar:
        for parts, found in run(_make_rows, tasks):
            for part in parts:
                writer.write(part)
            counts.update(found)
            bar.update(found["rows"])
    writer.close()
    found = summarise(counts, options)
    logger.info(f"stage=rows {format_fields(found)}")
    return found


def _make_rows(options, folder, num_rows, numbers):
    """The rows of some numbers, packed for the writer in parts, and counts of their content."""
    tokenizer, masking = _load(options).tokenizer, _make_masking(options)
    cls, sep = tokenizer.vocabulary[CLS], tokenizer.vocabulary[SEP]
    arrangement = ARRANGEMENTS[options.objective]
    store, pairs = _open_store(folder, len(tokenizer.tokens)), _open_pairs(folder, arrangement.dtype)
    order = permute(np.array(numbers), num_rows, options.random_seed + _ORDER_STREAM)
    keys = make_keys(options.random_seed, 0, np.array(numbers))
    parts = []
    counts: Counter[str] = Counter()
    for start in range(0, len(numbers), _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        rows = arrangement.lay_out(store, pairs.take(order[some]), options, cls, sep)
        columns = make_columns(rows, keys[some], masking)
        counts.update(count(columns, masking.mask_id))
        parts.append(pack(options.format, columns))
    return parts, counts
