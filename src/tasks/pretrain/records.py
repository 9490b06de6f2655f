"""The records of a pretraining: found, checked against vocabulary and network, indexed, and put together as rows."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from src.log import logger, progress
from src.records.files import INPUT_TOKENS, Layout, check_tokens, is_mindrecord, read_description, read_record_file
from src.records.joined import JoinedRecords
from src.records.mixture import Mixture
from src.records.record_set import Chunk, cached_records, fingerprint_file, make_key
from src.records.streamed import StreamedRecords, make_index
from src.tasks.pretrain.masks import Masking, check_runs, make_masking
from src.tasks.pretrain.objectives import DEFAULT, OBJECTIVES
from src.tasks.pretrain.options import PretrainEvalOptions, PretrainOptions, check_similar_words
from src.tasks.pretrain.rows import PretrainRows
from src.tasks.pretrain.similar_words import read_similar_words
from src.tasks.pretrain.sources import Source
from src.text.tokenization import Tokenizer, fingerprint

LABELS = "next_sentence_labels"  # of every objective with a pair, as in the records of Google's and ALBERT's programs
LAYOUT = Layout(
    {**INPUT_TOKENS, "word_continues": "word_continues"},
    {LABELS: LABELS},
    {name: name for name in ("masked_lm_positions", "masked_lm_ids", "masked_lm_weights")},
    optional=("word_continues",),
)
_ALIKE = ("vocabulary", "tokenizer", "objective")  # equal in all records of a split
_OF_MASKS = ("mask_unit", "masked_lm_prob", "similar_words")  # may differ, the unit only where no mask is drawn by it
Options = PretrainOptions | PretrainEvalOptions


def read_headers(config: Options, split: str, paths: Sequence[Path]) -> dict[str, Any]:
    """What the headers of a split's records say by the names of _ALIKE and _OF_MASKS; {} if there is none.

    Where files differ in a name of _OF_MASKS, it has the value of the last one.

    Raises:
        ValueError: files differ in a name of _ALIKE, or in the unit by which masks are drawn.
    """
    names = (*_ALIKE, "mask_unit") if _draws_masks(config, split) and not config.mask_unit else _ALIKE
    first: Path | None = None
    header: dict[str, Any] = {}
    for path in paths:
        if description := read_description(path):
            # older records name only the casing: they were made with Google's other settings, whatever lay beside the vocabulary
            unit = "word" if description.get("do_whole_word_mask") else "token"
            older = {"tokenizer": {"do_lower_case": description.get("do_lower_case")}, "objective": DEFAULT, "mask_unit": unit}
            description = older | description
            before, header = header, {name: description.get(name) for name in _ALIKE + _OF_MASKS}
            first = first or path
            for name in names:
                if before and before[name] != header[name]:
                    hint = "; --mask_unit says which one masks are drawn by" if name == "mask_unit" else ""
                    raise ValueError(f"{first} and {path}: made with different {name}: {before[name]} and {header[name]}{hint}")
    return header


def _draws_masks(config: Options, split: str) -> TypeGuard[PretrainOptions]:
    """Whether a split's masks are drawn anew in each epoch."""
    return isinstance(config, PretrainOptions) and split == "train" and config.masking == "dynamic"


def find_records(
    config: Options,
    tokenizer: Tokenizer | None,
    split: str,
    sources: Sequence[Source],
    paths: Sequence[Sequence[Path]],
    header: dict[str, Any],
) -> list[StreamedRecords]:
    """The rows of each source of a split, indexed once; the index is kept in the cache folder, memory-mapped.

    Args:
        paths: the files of each source.
        header: from `read_headers`.
    """
    if config.schema_file_path and all(map(is_mindrecord, itertools.chain(*paths))):
        logger.warning(f"schema_file_path={config.schema_file_path} is ignored: it applies only to TFRecord files")
    named = ", ".join(source.path for source in sources)
    made_for = header.get("objective")
    if made_for not in (None, config.objective):  # records of other programs name none, and serve each whose columns they have
        raise ValueError(f"objective={config.objective}: {named} was made for --objective {made_for}: give that, or make other records")
    if tokenizer and header.get("vocabulary") not in (None, fingerprint(tokenizer.vocabulary)):
        raise ValueError(f"{named}: made with another vocabulary than {_name_vocabulary(config)}")
    found = [_index(config, split, source_paths) for source_paths in paths]
    for source, records in zip(sources, found):
        _check_rows(config, source.path, records.maxima())
    by_words = _draws_masks(config, split) and config.mask_unit != "token"  # else it does not matter which of the sources mark words
    forms = [_describe_form(records.maxima()) for records in found]
    _refuse_unlike({(width, by_words and has_words): source.path for source, (width, has_words) in zip(sources, forms)})
    return found


def _name_vocabulary(config):
    extension = config.extend_vocabulary
    return f"{config.vocab_file_path} extended by {extension}" if extension else config.vocab_file_path


def _index(config, split, paths):
    about = (*map(fingerprint_file, paths), config.num_samples)
    if config.objective != DEFAULT:
        about += (config.objective,)
    if config.schema_file_path and not all(map(is_mindrecord, paths)):
        about += (fingerprint_file(config.schema_file_path),)
    folder = Path(config.cache_dir or f"{config.output_dir}/cache") / "index" / f"{split}-{make_key('pretraining', *about)}"
    layout = LAYOUT if OBJECTIVES[config.objective].pair else dataclasses.replace(LAYOUT, numbers={})
    chunks = read_chunks(paths, layout, config.schema_file_path, config.num_samples)
    index = cached_records(folder, lambda: make_index(paths, layout, "masked_lm_weights", chunks))
    return StreamedRecords(paths, layout, index)


def mix(config: PretrainOptions, sources: Sequence[Source], records: Sequence[StreamedRecords]) -> Mixture | None:
    """The Mixture of several sources with weights; None of one source, or of sources without weights."""
    if len(sources) == 1 or sources[0].weight is None:
        return None
    if config.packs:
        raise ValueError(f"data_dir={config.data_dir}: sources with weights need --packing false: the packs must hold every batch")
    counts = [len(each.lengths) for each in records]
    try:
        mixture = Mixture([source.path for source in sources], counts, [source.weight or 0 for source in sources], config.seed)
    except ValueError as error:
        raise ValueError(f"data_dir={config.data_dir}: {error}") from None
    logger.info(mixture.describe())
    return mixture


def make_rows(
    config: Options,
    tokenizer: Tokenizer | None,
    split: str,
    parts: Sequence[StreamedRecords],
    mixture: Mixture | None,
    header: dict[str, Any],
) -> PretrainRows:
    """The rows of all sources of a split as one, with the masks that the settings want."""
    records: Any = parts[0]
    if split == "train" and mixture:
        records = JoinedRecords(parts, mixture.repeats, mixture.quotas)
    elif len(parts) > 1:
        records = JoinedRecords(parts, [1] * len(parts))
    if not _draws_masks(config, split):
        return PretrainRows(records)
    assert tokenizer is not None  # dynamic masks need a vocabulary
    return PretrainRows(records, _make_masking(config, tokenizer, header, parts[0].maxima()), config.seed)


def _make_masking(config: PretrainOptions, tokenizer: Tokenizer, header: dict[str, Any], maxima: dict[str, float]) -> Masking:
    """The Masking of masks that are drawn in each epoch."""
    path, width = config.data_dir, int(maxima["width"])
    unit = config.mask_unit or header.get("mask_unit")
    if unit not in (None, "token") and "word_continues" not in maxima:
        raise ValueError(f"mask_unit={unit}: {path} does not mark words; python -m src.build_records --mask_unit {unit} does")
    check_runs(unit, width, f"{path}: max_predictions_per_seq")
    check_similar_words(config.similar_words, unit)
    if config.masked_lm_prob == PretrainOptions.masked_lm_prob != header.get("masked_lm_prob", config.masked_lm_prob):
        share = header["masked_lm_prob"]
        logger.warning(f"masked_lm_prob={config.masked_lm_prob}: {path} was made with {share}; --masked_lm_prob {share} masks as many")
    if header.get("similar_words") and not config.similar_words:
        logger.warning(f"similar_words is not given, with which {path} was made: the masks that are drawn have [MASK] alone")
    wanted = round(config.masked_lm_prob * int(maxima["lengths"]))
    if wanted > width:
        logger.warning(f"masked_lm_prob={config.masked_lm_prob}: {wanted} tokens of the longest row, but {path} has room for {width} masks")
    similar = None
    if config.similar_words:
        similar = read_similar_words(config.similar_words, tokenizer)
        logger.info(f"{config.similar_words}: {similar.tell()}")
    return make_masking(str(config.vocab_file_path), tokenizer.vocabulary, config.masked_lm_prob, width, unit, similar)


def read_chunks(paths: Sequence[Path], layout: Layout, schema_file: str | None, limit: int | None) -> Iterator[tuple[int, Chunk]]:
    """Yield the number of a file and some of its rows, checked; at most `limit` rows in all."""
    left, forms = limit, {}
    for number, path in enumerate(progress(paths, desc="indexing records", unit="file")):
        for chunk in read_record_file(path, layout, schema_file):
            _check_masks(path, chunk)
            forms[_describe_form({"width": chunk.rows["masked_lm_ids"].shape[1]} | chunk.tokens)] = path
            _refuse_unlike(forms)
            chunk = chunk if left is None else chunk.head(left)
            yield number, chunk
            if left is not None and (left := left - len(chunk.lengths)) <= 0:
                return


def _describe_form(found):
    """The masked positions in a row, and whether rows tell which tokens continue a word."""
    return int(found["width"]), "word_continues" in found


def _refuse_unlike(forms):
    """Refuse records of several forms, each with a path."""
    if len({width for width, _ in forms}) > 1:
        shown = ", ".join(f"{width} in {path}" for (width, _), path in forms.items())
        raise ValueError(f"records with different numbers of masked positions: {shown}")
    if len(forms) > 1:
        shown = ", ".join(f"{path} has {'' if has else 'no '}word_continues" for (_, has), path in forms.items())
        raise ValueError(f"records with different columns: {shown}")


def _check_masks(path, chunk):
    positions, weights = chunk.rows["masked_lm_positions"], chunk.rows["masked_lm_weights"]
    if not positions.shape == chunk.rows["masked_lm_ids"].shape == weights.shape:
        raise ValueError(f"{path}: masked_lm_positions, masked_lm_ids and masked_lm_weights have different numbers of values")
    real = weights != 0
    if (real & (chunk.rows["masked_lm_ids"] < 0)).any():
        raise ValueError(f"{path}: masked_lm_ids has a negative number")
    if (real & ((positions < 0) | (positions >= chunk.lengths[:, None]))).any():
        raise ValueError(f"{path}: a masked position lies outside its row's tokens")
    labels = chunk.rows.get(LABELS, np.zeros(1))
    if labels.min() < 0 or labels.max() > 1:
        raise ValueError(f"{path}: next_sentence_labels {labels.min()} to {labels.max()}: 0 and 1 are expected")


def _check_rows(config, path, maxima):
    """Check that the rows of a source, whose index may be that of another run, fit the network."""
    longest = config.seq_length or int(maxima["lengths"])
    config.check_length(f"{path}: its longest row", longest)
    check_tokens(path, maxima, config.model, longest)
    largest = int(maxima["masked_lm_ids"])
    if largest >= config.model.vocab_size:
        raise ValueError(f"{path}: token id {largest} does not fit model.vocab_size={config.model.vocab_size}")
    width, asked = int(maxima["width"]), config.max_predictions_per_seq
    if asked not in (None, width):
        raise ValueError(f"max_predictions_per_seq={asked}, but the records of {path} have {width} masked positions")
