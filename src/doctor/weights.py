"""Checks of weights against their configuration, and of the vocabulary against both."""

from collections.abc import Iterator

from src.convert import conversion, parameters
from src.convert.description import Description, read_description
from src.doctor.finding import NOTE, OK, TO_DO, Finding
from src.formats import names, weights
from src.log import shorten

_VOCABULARY_MULTIPLE = 8  # tables of words may be padded to a multiple of this


def check_weights(path: str) -> Iterator[Finding]:
    """The weights against their configuration, and the vocabulary against both."""
    try:
        description = read_description(path)
        found = weights.read(path)
        arrays = {
            name: weights.cut_vocabulary(name, array, description.model.vocab_size)
            for name, array in weights.to_float32(found.arrays).items()
            if names.is_ours(name)
        }
        parameters.check_shapes(description.model, arrays)
        missing = parameters.find_missing(description.model, arrays)
        if not missing:
            conversion.check_heads(found, description, arrays)
    except (ValueError, OSError) as error:
        yield Finding(TO_DO, "weights", str(error))
        return
    if missing:
        yield Finding(TO_DO, "weights", f"{found.path}: lacks {shorten(missing, 4)}: they would be random")
    else:
        yield Finding(OK, "weights", f"{found.path}: {len(arrays)} tensors fit the configuration")
    yield from _check_vocabulary(path, description)
    yield from _check_length(description)


def _check_vocabulary(path: str, description: Description) -> Iterator[Finding]:
    if description.vocabulary is None:
        yield Finding(TO_DO, "vocabulary", f"none beside {path}; --vocab_file_path names one")
        return
    tokens, rows = len(description.vocabulary.splitlines()), description.model.vocab_size
    told = [warning for warning in description.warnings if "vocab_size=" in warning]
    for warning in description.warnings:
        if warning not in told:
            yield Finding(NOTE, "vocabulary", warning)
    if tokens > rows:
        yield Finding(TO_DO, "vocabulary", f"{told[0] if told else tokens}: it belongs to other weights")
    elif rows - tokens >= _VOCABULARY_MULTIPLE:
        yield Finding(NOTE, "vocabulary", f"{told[0] if told else tokens}: does it belong to other weights?")
    else:
        yield Finding(OK, "vocabulary", f"{tokens} tokens, {rows} embeddings")


def _check_length(description: Description) -> Iterator[Finding]:
    model, length = description.model, description.trained_with.get("seq_length")
    if model.position_embedding_type == "absolute" and length and length > model.max_position_embeddings:
        yield Finding(TO_DO, "length", f"trained with seq_length={length}, and there are {model.max_position_embeddings} positions")
