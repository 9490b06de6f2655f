"""The text column of Parquet files, by the pyarrow library, which is optional."""

from collections.abc import Iterator
from pathlib import Path

MAGIC = b"PAR1"
_ROWS = 256  # at once
_BUFFER = 1 << 20  # bytes; without it, the packed and the unpacked form of a whole row group are in memory


def read_texts(path: Path | str, column: str) -> Iterator[str | None]:
    """Yield the text of each row, None for a null.

    Raises:
        ValueError: the library is not installed, the file is damaged, or it has no such column of text.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ValueError(f"{path}: a Parquet file, which needs the library pyarrow: pip install 'pyarrow<25'") from None
    try:
        with parquet.ParquetFile(path, buffer_size=_BUFFER) as file:
            _check_column(path, file.schema_arrow, column)
            for batch in file.iter_batches(_ROWS, columns=[column]):
                yield from batch.column(0).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{path}: damaged Parquet file: {' '.join(str(error).split())}") from None


def _check_column(path, schema, column):
    types = dict(zip(schema.names, map(str, schema.types)))
    if column not in types:
        raise ValueError(f"{path}: no column {column!r}; --text_column names one of {', '.join(types)}")
    if types[column] not in ("string", "large_string", "string_view"):
        raise ValueError(f"{path}: the column {column!r} has {types[column]}; --text_column names one of string")
