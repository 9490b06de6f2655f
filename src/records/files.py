"""Ready-made MindRecord and TFRecord files, the model zoo's and Google's, read into Chunks without padding."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mindspore.dataset as ds
import numpy as np

from src.config.model import ModelConfig
from src.log import logger
from src.records import mindrecord
from src.records.mindrecord_format import count_rows
from src.records.record_set import Chunk
from src.records.tfrecord import check_length, check_tfrecord

_ROWS_PER_CHUNK = 4096
_SHARD = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})$")


@dataclass(frozen=True)
class Layout:
    """A task's columns: their names in the files -> their names in the network.

    Attributes:
        tokens: columns with one value per token.
        numbers: columns with one value per row.
        lists: columns with a fixed number of values per row.
        optional: columns that may be absent.
    """

    tokens: dict[str, str]
    numbers: dict[str, str]
    lists: dict[str, str]
    optional: tuple[str, ...] = ()


INPUT_TOKENS = {"input_ids": "input_ids", "segment_ids": "token_type_ids"}  # of every Layout


def find_record_files(path: Path | str) -> list[Path]:
    """The file itself, or the record files in a folder.

    Raises:
        FileNotFoundError: no such path.
        ValueError: no records; an incomplete set of shards; shards of one name from sets of different sizes; or MindRecords beside
            TFRecords, which would be the same rows twice.
    """
    path = Path(path)
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = sorted(
            file for file in path.iterdir() if file.is_file() and not file.name.startswith(".") and file.suffix not in (".db", ".json")
        )
    else:
        raise FileNotFoundError(f"{path}: no such file or folder of records")
    found = [file for file in files if is_record_file(file)]
    if not found:
        raise ValueError(f"{path}: no MindRecord or TFRecord here; python -m src.build_records makes them")
    for file in sorted(set(files) - set(found)):
        logger.warning(f"{file} is ignored: neither MindRecord nor TFRecord")
    if len({is_mindrecord(file) for file in found}) > 1:
        raise ValueError(f"{path}: holds MindRecords and TFRecords; name the file, or keep them in folders of their own")
    if path.is_dir():
        _check_shards(path, found)
    return found


def _check_shards(folder, files):
    shards: dict[str, dict[int, list[int]]] = {}
    for match in filter(None, (_SHARD.match(file.name) for file in files)):
        shards.setdefault(match["name"], {}).setdefault(int(match["count"]), []).append(int(match["number"]))
    for name, counts in shards.items():
        if len(counts) > 1:
            raise ValueError(
                f"{folder}: {name} is there in {' and in '.join(map(str, sorted(counts)))} shards; remove those of an earlier run"
            )
        for count, numbers in counts.items():
            if missing := sorted(set(range(count)) - set(numbers)):
                raise ValueError(f"{folder}: of the {count} shards of {name}, number {', '.join(map(str, missing))} is missing")


def read_description(path: Path | str) -> dict[str, Any]:
    """The description that src.build_records wrote into a MindRecord or into the statistics beside a TFRecord; {} if it wrote neither.

    Raises:
        ValueError: a MindRecord's header is damaged.
    """
    path = Path(path)
    if is_mindrecord(path):
        return mindrecord.read_description(path)
    match = _SHARD.match(path.name)
    stem = Path(match["name"] if match else path.name).stem
    suffixes = [*([f"-{match['number']}-of-{match['count']}"] if match else []), ""]  # of a shard that was made by itself, or of a set
    for suffix in suffixes:
        try:
            return json.loads(path.with_name(f"{stem}{suffix}.statistics.json").read_text(encoding="utf-8"))["description"]
        except (OSError, ValueError, KeyError, TypeError):  # not written by src.build_records
            continue
    return {}


def is_record_file(path: Path | str) -> bool:
    """Whether a data file is a MindRecord or a TFRecord rather than a text table, judged by its content."""
    with open(path, "rb") as file:
        return is_mindrecord(path) or check_length(file.read(12)) is not None


def is_mindrecord(path: Path | str) -> bool:
    """Whether `path` is a MindRecord, judged by its name or by the index beside it."""
    return Path(path).suffix == ".mindrecord" or Path(f"{path}.db").is_file()


def read_record_file(path: Path | str, layout: Layout, schema_file: str | None = None) -> Iterator[Chunk]:
    """All rows of a ready-made MindRecord or TFRecord, as Chunks without the padding that input_mask shows.

    Args:
        path: made for the model zoo or for Google's programs.
        layout: the task's columns, which must be present unless they are optional.
        schema_file: the model zoo's schema JSON, for TFRecord.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, truncated, without the columns, with padding before tokens, or with negative ids.
    """
    count = 0
    try:
        for batch in _open(path, layout, schema_file):
            chunk = strip(batch, layout)
            _check_values(batch["input_mask"], chunk)
            count += len(chunk.lengths)
            yield chunk
    except (RuntimeError, TypeError, ValueError) as error:
        names = ", ".join(name for name in column_names(layout) if name not in layout.optional)
        raise ValueError(f"{path}: not readable as records with columns {names}: {mindrecord.find_reason(error)}") from None
    if not count:
        raise ValueError(f"{path}: no rows")


def column_names(layout: Layout) -> list[str]:
    """The columns that a file of this layout has, optional ones included, by its names for them."""
    return ["input_mask", *layout.tokens, *layout.numbers, *layout.lists]


def _open(path, layout, schema_file):
    """Batches of rows as dicts of padded arrays."""
    if is_mindrecord(path):
        _check_mindrecord(path)
        found = ds.MindDataset([str(path)], shuffle=False).get_col_names()
        names = [name for name in column_names(layout) if name in found or name not in layout.optional]
        dataset = ds.MindDataset([str(path)], columns_list=names, shuffle=False)
    else:
        count = check_tfrecord(path)
        found = ds.TFRecordDataset(str(path), schema=schema_file, shuffle=False).get_col_names()
        names = [name for name in column_names(layout) if name in found or name not in layout.optional]
        dataset = ds.TFRecordDataset(str(path), schema=schema_file, columns_list=names, shuffle=False)
        rows = dataset.get_dataset_size()
        if rows < count:
            logger.warning(f"{schema_file}: numRows takes {rows} of the {count} rows of {path}")
    dataset = dataset.padded_batch(_ROWS_PER_CHUNK, drop_remainder=False, pad_info={})
    return dataset.create_dict_iterator(output_numpy=True, num_epochs=1)


def _check_mindrecord(path):
    """Count the rows, and open the file in another process first, because the framework aborts on an empty index and some headers.

    Raises:
        ValueError: no row, no index, or that process aborted.
    """
    if not count_rows(path):
        raise ValueError(f"the index {path}.db has no rows")
    code = "import sys; from mindspore.dataset import MindDataset; MindDataset([sys.argv[1]], shuffle=False).get_dataset_size()"
    if subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True).returncode < 0:
        raise ValueError("damaged header")


def strip(batch: Mapping[str, np.ndarray], layout: Layout) -> Chunk:
    """Padded columns, by the names of the files, as a Chunk without the padding that input_mask shows.

    Raises:
        ValueError: the columns do not fit each other.
    """
    lengths = np.count_nonzero(batch["input_mask"], 1).astype(np.int32)
    tokens = {ours: batch[name] for name, ours in layout.tokens.items() if name in batch}
    width = min(values.shape[1] for values in tokens.values())
    if lengths.min() == 0 or lengths.max() > width:
        wrong = lengths[(lengths == 0) | (lengths > width)][0]
        raise ValueError(f"a row of {wrong} tokens by input_mask has {width} values in {', '.join(layout.tokens)}")
    numbers = {ours: batch[name].reshape(len(lengths), -1) for name, ours in layout.numbers.items()}
    for name, values in numbers.items():
        if values.shape[1] != 1:
            raise ValueError(f"a row has {values.shape[1]} values in {name}, 1 expected")
    return Chunk(
        lengths,
        {name: values[:, :width][np.arange(width) < lengths[:, None]] for name, values in tokens.items()},
        {name: values[:, 0] for name, values in numbers.items()} | {ours: batch[name] for name, ours in layout.lists.items()},
    )


def _check_values(input_mask, chunk):
    """Raise a ValueError for rows that `strip` would take other tokens of, and for ids that no table has."""
    is_token = input_mask != 0
    if (is_token[:, 1:] > is_token[:, :-1]).any():
        raise ValueError("input_mask has padding before a token: ones, and zeros after them, are expected")
    for theirs, ours in INPUT_TOKENS.items():
        if (least := chunk.tokens[ours].min(initial=0)) < 0:
            raise ValueError(f"{theirs} has the negative number {least}")


def check_tokens(path: Path | str, maxima: dict[str, float], model: ModelConfig, seq_length: int) -> None:
    """Check that the rows read from `path` fit a network and a length.

    Args:
        maxima: what `Chunk.maxima` returns for the rows.

    Raises:
        ValueError: a token or segment id outside its embedding table, or a row that is too long.
    """
    token = int(maxima["input_ids"])
    segment = int(maxima["token_type_ids"])
    length = int(maxima["lengths"])
    if token >= model.vocab_size:
        raise ValueError(f"{path}: token id {token} does not fit model.vocab_size={model.vocab_size}")
    if segment >= model.type_vocab_size:
        raise ValueError(f"{path}: segment {segment} does not fit model.type_vocab_size={model.type_vocab_size}")
    if length > seq_length:
        raise ValueError(f"{path}: a row has {length} tokens, seq_length={seq_length}")
