"""Convert tagged sentences to a MindRecord with the model zoo's columns, for run_ner.py; the zoo's command, from any folder.

    python src/finetune_data_preprocess.py --data_dir=msra_dataset.xml --vocab_file=vocab.txt --save_path=msra.mindrecord \
        --label2id=types.txt --max_seq_len=128 --class_filter NAMEX --split_begin=0.0 --split_end=1.0

All files that `read_tagged` reads are accepted. A long sentence is cut to one row, which ends before an entity that would be cut.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import argparse
from array import array
from collections import Counter

import numpy as np

from src import cli, signals
from src.config import loader
from src.files import make_folder, move_whole
from src.locks import work_folder
from src.log import logger
from src.records.writers import open_writer, pack
from src.tasks.ner.encoding_report import EncodingReport
from src.tasks.ner.preprocess_options import PreprocessingOptions
from src.tasks.ner.rows import encode_rows
from src.tasks.ner.tagged_text import read_tagged
from src.tasks.ner.tags import make_tag_set, read_label_file
from src.text.tokenization import Tokenizer

_COLUMNS = ("input_ids", "input_mask", "segment_ids", "label_ids")
_ROWS_AT_ONCE = 512


def preprocess(options: PreprocessingOptions) -> None:
    """Write the MindRecord.

    Raises:
        ValueError, OSError: the input is wrong; the message names file and line.
    """
    tag_set, tokenizer = make_tag_set(read_label_file(options.label2id)), Tokenizer(options.vocab_file, options.do_lower_case)
    tokenizer.log_casing()
    tagged = read_tagged(options.data_dir, options.class_filter, options.encoding)
    sentences = _choose(options, tagged.labelled_sentences(options.data_dir))
    report = EncodingReport()
    found = list(map(_lay_out, encode_rows(sentences, tokenizer, tag_set, options.max_seq_len, False, report, options.data_dir)))
    for line in report.describe(options.data_dir, sentences):
        logger.info(line)
    rows = [row for row in found if row]
    if len(rows) < len(found):
        logger.info(f"{options.data_dir}: {len(found) - len(rows)} sentences left out: the entity that they begin with is cut")
    if not rows:
        raise ValueError(f"{options.data_dir}: no row is left; max_seq_len={options.max_seq_len} is too short")
    description = tokenizer.record_description | {"max_seq_len": options.max_seq_len, "labels": tag_set.labels}
    _write(Path(options.save_path), rows, options.max_seq_len, description)
    counts = Counter(span.type for _, labels in rows for span in tag_set.find_spans(labels[1:-1].tolist()))
    types = " ".join(f"{entity_type}={counts[entity_type]}" for entity_type in tag_set.types)
    logger.info(f"{options.save_path} rows={len(rows)} entities={counts.total()} {types}")


def _choose(options, sentences):
    """The sentences from split_begin to split_end, which is exclusive."""
    begin, end = (int(len(sentences) * share) for share in (options.split_begin, options.split_end))
    if begin == end:
        part = f"split_begin={options.split_begin} to split_end={options.split_end}"
        raise ValueError(f"{options.data_dir}: of its {len(sentences)} sentences none is in {part}")
    return sentences[begin:end]


def _lay_out(row):
    """(ids, labels) of a row without the tokens of a cut entity, for which the file has no label; () if there are no others."""
    labels = row["label_ids"][1:-1]
    while labels and labels[-1] < 0:
        labels.pop()
    ids = [*row["input_ids"][: len(labels) + 1], row["input_ids"][-1]]
    return (array("i", ids), array("i", [0, *labels, 0])) if labels else ()


def _write(path, rows, length, description):
    """Write the MindRecord and its index whole, by moving them from a temporary folder."""
    make_folder(path.parent)
    try:
        with work_folder(path) as folder:
            temporary = folder / path.name
            writer = open_writer("mindrecord", temporary, dict.fromkeys(_COLUMNS, ("int32", length)), len(rows), 1, description)
            for first in range(0, len(rows), _ROWS_AT_ONCE):
                writer.write(pack("mindrecord", _make_columns(rows[first : first + _ROWS_AT_ONCE], length)))
            writer.close()
            move_whole(sorted(folder.iterdir()), path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _make_columns(rows, length):
    """Name -> int32 [B, length], padded with 0."""
    columns = {name: np.zeros((len(rows), length), np.int32) for name in _COLUMNS}
    for number, (ids, labels) in enumerate(rows):
        columns["input_ids"][number, : len(ids)] = ids
        columns["label_ids"][number, : len(ids)] = labels
        columns["input_mask"][number, : len(ids)] = 1
    return columns


def _join_words(argv):
    """The flags with `--class_filter NAMEX TIMEX` as `--class_filter=NAMEX,TIMEX`."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--class_filter", nargs="*")
    found, others = parser.parse_known_args(argv)
    return others if found.class_filter is None else [*others, f"--class_filter={','.join(' '.join(found.class_filter).split())}"]


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, encode, write."""
    options = loader.load(PreprocessingOptions, _join_words(argv))
    with cli.bad_input_exits():
        preprocess(options)


if __name__ == "__main__":
    signals.watch()
    main()
