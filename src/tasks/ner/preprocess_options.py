"""Options of src/finetune_data_preprocess.py, under the model zoo's names."""

from dataclasses import dataclass

from src import encodings
from src.config.fields import PlainOptions, check_fields, setting


@dataclass(frozen=True)
class PreprocessingOptions(PlainOptions):
    """Make a MindRecord for run_ner.py from tagged sentences."""

    data_dir: str = setting("", "the file of sentences: tagged text, CLUENER's or doccano's JSON, or MSRA's XML")
    vocab_file: str = setting("", "vocabulary, one token a line")
    save_path: str = setting("./my.mindrecord", "the MindRecord to write")
    label2id: str = setting(
        "", "file of entity types (tags then follow in the model zoo's order) or of tags, one per line, or JSON {tag: id}"
    )
    max_seq_len: int = setting(128, "tokens in a row; longer sentences are cut", minimum=3, maximum=32768)
    class_filter: tuple[str, ...] = setting((), "elements of an XML file that count as entities, such as NAMEX; default: all")
    split_begin: float = setting(0.0, "share of the sentences that is skipped at the beginning", minimum=0, maximum=1)
    split_end: float = setting(1.0, "share of the sentences after which the rest is skipped", minimum=0, maximum=1)
    do_lower_case: bool | None = setting(None, "lower-case the text; default: from the vocabulary")
    encoding: str | None = setting(None, encodings.HELP)
    max_text_mb: int = setting(1024, "largest size in MB that a .gz file may unpack to", minimum=1)

    def __post_init__(self):
        check_fields(self)
        object.__setattr__(self, "encoding", encodings.check_encoding(self.encoding))
        for name in ("data_dir", "vocab_file", "save_path", "label2id"):
            if not getattr(self, name):
                raise ValueError(f"--{name} is missing")
        if self.split_begin >= self.split_end:
            raise ValueError(f"split_begin={self.split_begin} must be less than split_end={self.split_end}")
