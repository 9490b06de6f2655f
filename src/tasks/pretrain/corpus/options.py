"""Options of `python -m src.build_records`, which include those of Google's create_pretraining_data.py, and of `src.build_vocab`."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from src import encodings
from src.config.fields import PlainOptions, check_fields, setting
from src.log import logger
from src.tasks.pretrain.masks import check_runs
from src.tasks.pretrain.objectives import DEFAULT, OBJECTIVE_HELP, OBJECTIVES
from src.tasks.pretrain.options import MASK_UNIT_HELP, MASK_UNITS, SIMILAR_HELP, check_similar_words

FORMATS = ("mindrecord", "tfrecord")
INPUT_FORMATS = ("plain", "wikitext", "doc", "json", "parquet")
TEXT_COLUMN = "text"
_FORMAT_HELP = "format of input_file: plain text, WikiText, WikiExtractor's doc, JSON lines or Parquet; default: recognised for each file"
_COLUMN_HELP = "key of JSON objects, or column of Parquet files, that has the text of a document"
_MOST_SHARDS = 1000
_LINE_HELP = "longest line of the text in MB; a line is held in memory several times"


@dataclass(frozen=True)
class BuilderOptions(PlainOptions):
    """Make records for pretraining from raw text."""

    input_file: str = setting("", "text files or globs, separated by commas")
    objective: str = setting(DEFAULT, OBJECTIVE_HELP, tuple(OBJECTIVES))
    across_documents: bool = setting(
        True, "with objective mlm, a row goes on in the next document, after a [SEP]; false: a document begins a row of its own"
    )
    input_format: str | None = setting(None, _FORMAT_HELP, INPUT_FORMATS)
    text_column: str = setting(TEXT_COLUMN, _COLUMN_HELP)
    encoding: str | None = setting(None, encodings.HELP)
    output_file: str = setting("", "the file of records to write")
    vocab_file: str = setting("", "vocab.txt, one token a line")
    do_lower_case: bool | None = setting(None, "lower-case the text; default: decided by the vocabulary")
    do_whole_word_mask: bool = setting(False, "mask all pieces of a word together: mask_unit word")
    mask_unit: str | None = setting(None, f"{MASK_UNIT_HELP}; default: word with do_whole_word_mask, else token", MASK_UNITS)
    similar_words: str | None = setting(None, SIMILAR_HELP)
    max_seq_length: int = setting(128, "tokens in a row", minimum=5, maximum=32768)
    max_predictions_per_seq: int = setting(20, "largest number of masked tokens in a row", minimum=1)
    random_seed: int = setting(12345, "seed of all random numbers", minimum=0)
    dupe_factor: int = setting(10, "passes over the text, each with other pairs and masks", minimum=1)
    masked_lm_prob: float = setting(0.15, "share of tokens that are masked", above=0, maximum=1)
    short_seq_prob: float = setting(0.1, "share of documents cut into shorter rows", minimum=0, maximum=1)
    workers: int = setting(0, "worker processes; 0 means one for each usable core", minimum=0)
    file_format: str | None = setting(None, "format of output_file; default: by its ending", FORMATS)
    shards: int = setting(1, "number of output files", minimum=1, maximum=_MOST_SHARDS)
    shard: str | None = setting(None, "make only one of the output files: 3/16 is number 3, counted from 0, of 16")
    store_dir: str | None = setting(
        None, "folder that keeps the tokenised text and the pairs for further runs, such as those of other shards; default: none is kept"
    )
    segmenter: str | None = setting(None, "finds Chinese words for do_whole_word_mask: jieba, or module:function (text -> list of words)")
    inspect: int = setting(0, "print this many records as text", minimum=0)
    max_text_mb: int = setting(1024, _LINE_HELP, minimum=1)

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "encoding", encodings.check_encoding(self.encoding))
        for name in ("output_file", "vocab_file"):
            if not getattr(self, name):
                raise ValueError(f"--{name} is missing")
        if not self.input_file and not self.inspect:
            raise ValueError("--input_file is missing (without it, --inspect N prints records of an existing --output_file)")
        if self.max_predictions_per_seq > self.max_seq_length:
            raise ValueError(
                f"max_predictions_per_seq={self.max_predictions_per_seq} is more than max_seq_length={self.max_seq_length} tokens"
            )
        self._settle_unit()
        if not self.across_documents and self.objective != "mlm":
            raise ValueError(f"across_documents=false is for --objective mlm, not {self.objective}, whose rows are of one document anyway")
        if "," in self.output_file or Path(self.output_file).is_dir():
            raise ValueError(f"output_file={self.output_file}: one file is expected; --shards N writes several")
        if self.store_dir and Path(self.store_dir).is_file():
            raise ValueError(f"store_dir={self.store_dir}: is a file; a folder is expected")
        if self.shard is not None:
            self._set_shard(self.shard)
        if self.segmenter and not self.do_whole_word_mask:
            raise ValueError(f"segmenter={self.segmenter} has no use without --do_whole_word_mask true")
        if self.objective == "mlm" and self.short_seq_prob != type(self).short_seq_prob:
            logger.warning(f"short_seq_prob={self.short_seq_prob} is ignored: the rows of --objective mlm are full")

    def _settle_unit(self) -> None:
        """Let mask_unit and do_whole_word_mask, whether words are marked, follow from each other.

        Raises:
            ValueError: they contradict each other, or other settings do not fit them.
        """
        if self.do_whole_word_mask and self.mask_unit == "token":
            raise ValueError("do_whole_word_mask=true and mask_unit=token: give one of them")
        unit = self.mask_unit or ("word" if self.do_whole_word_mask else "token")
        object.__setattr__(self, "mask_unit", unit)
        object.__setattr__(self, "do_whole_word_mask", unit != "token")
        check_runs(unit, self.max_predictions_per_seq, "max_predictions_per_seq")
        check_similar_words(self.similar_words, unit)

    def _set_shard(self, shard: str) -> None:
        match = re.fullmatch(r"(\d+)/(\d+)", shard)
        count = int(match[2]) if match else 0
        if match is None or not 1 <= count <= _MOST_SHARDS:
            raise ValueError(f"shard={shard}: expected a number and the count of all, at most {_MOST_SHARDS}, such as 3/16")
        if int(match[1]) >= count:
            raise ValueError(f"shard={shard}: the shards of {count} have the numbers 0 to {count - 1}")
        if self.shards not in (1, count):
            raise ValueError(f"shards={self.shards} and shard={shard} tell different counts; one of them is enough")
        object.__setattr__(self, "shards", count)

    @property
    def own_shard(self) -> int | None:
        """The number of the only shard that is made; None: all are."""
        return None if self.shard is None else int(self.shard.partition("/")[0])

    @property
    def format(self) -> str:
        """mindrecord or tfrecord."""
        is_tfrecord = Path(self.output_file).suffix.lower() in (".tfrecord", ".tf_record", ".tfrecords")
        return self.file_format or ("tfrecord" if is_tfrecord else "mindrecord")

    @property
    def num_workers(self) -> int:
        """The number of worker processes."""
        return self.workers or len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class VocabularyOptions(PlainOptions):
    """Make a WordPiece vocabulary from raw text, or extend one."""

    input_file: str = setting("", "text files or globs, separated by commas")
    input_format: str | None = setting(None, _FORMAT_HELP, INPUT_FORMATS)
    text_column: str = setting(TEXT_COLUMN, _COLUMN_HELP)
    encoding: str | None = setting(None, encodings.HELP)
    vocab_file: str = setting("", "the file to write")
    vocab_size: int = setting(30522, "largest number of tokens, including the five special ones", minimum=6)
    min_frequency: int = setting(
        2, "lowest frequency of a letter, and of a pair of pieces to be merged; of a word that is added", minimum=1
    )
    do_lower_case: bool | None = setting(None, "lower-case the text and strip accents; default: true, or as the extended vocabulary says")
    extend: str | None = setting(None, "vocabulary to extend, instead of making a new one; new tokens follow its last one")
    words: str | None = setting(None, "words to add to the extended vocabulary, a file with one a line")
    add: int | None = setting(None, "number of words to add instead: those of input_file that save the most pieces", minimum=1)
    max_text_mb: int = setting(1024, _LINE_HELP, minimum=1)

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "encoding", encodings.check_encoding(self.encoding))
        if self.extend is None:
            for name in ("words", "add"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name}={getattr(self, name)} has no use without --extend, the vocabulary that it is added to")
        elif (self.words is None) == (self.add is None):
            raise ValueError(f"extend={self.extend}: give either --words, a file, or --add, a number of words of --input_file")
        elif self.vocab_size != VocabularyOptions.vocab_size:
            raise ValueError(f"vocab_size={self.vocab_size} has no use with --extend; --add says how many tokens are new")
        if self.words is not None and self.input_file:
            raise ValueError(f"input_file={self.input_file} has no use with --words; --add learns words from it")
        for name in ("vocab_file",) if self.words is not None else ("input_file", "vocab_file"):
            if not getattr(self, name):
                raise ValueError(f"--{name} is missing")
