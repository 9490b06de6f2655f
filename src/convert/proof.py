"""The proof of a conversion: the result is read back and compared bit by bit, and both networks compute the same outputs.

Each side is run by its own library if that is installed (transformers), else by the network in src/convert/network.py. TensorFlow,
if installed, also reads the variables written.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from src.config.model import ModelConfig
from src.convert import libraries, network
from src.convert.description import Description, choose_architecture, read_description
from src.convert.parameters import POOLER, has_plain_head
from src.formats import huggingface, tensorflow, weights

TOLERANCE = 2e-5
_OURS = "src/convert/network.py"
_MAY_LACK = {"pooled"}  # Transformers' classes of taggers, spans and masked words have no pooler, whatever the file has
_ROWS, _LENGTH = 2, 16
_PARTS = {"pooled": "bert.pooler.", "masked_lm": "masked_lm.", "next_sentence": "next_sentence.", "head": "head.", "span": "head.span."}


def prove(
    source: weights.Weights,
    description: Description,
    arrays: Mapping[str, np.ndarray],
    target: str,
    folder: Path,
    tolerance: float,
    by_library: bool = True,
) -> dict[str, Any]:
    """Compare a source with the result of its conversion.

    Args:
        source, description: the weights as they were read, and the files beside them.
        arrays: our name -> array, as written.
        target, folder: format and folder of the result.
        tolerance: largest allowed difference of an output; in a layer with outputs above 1, multiplied by the largest.
        by_library: whether Transformers, which reads the configuration beside the weights, may compute the source.

    Returns:
        The report's entries: source and converted, the programs that computed each side; read_by, another program that read the
        result; differences, the largest of each output; changed, names of arrays that differ in any bit; not_compared, outputs that
        only one side has; refusal, the error of a library that refused the result; tolerance; passed.
    """
    inputs = make_inputs(description.model)
    back = weights.read(folder)
    changed = _find_changed(arrays, back.arrays)
    read_by = libraries.find_tensorflow() if target == "tensorflow" else None
    if read_by:
        changed += _find_changed(tensorflow.read(back.path), libraries.read_tensorflow(back.path))
    by, outputs, _ = _run(source.kind if by_library else None, source.path, description, arrays, inputs)
    outputs = {name: values for name, values in outputs.items() if _was_written(name, arrays)}
    by_converted, others, refusal = _run(target, back.path, read_description(folder), back.arrays, inputs)
    differences = {name: _compare(outputs[name], others[name]) for name in outputs if name in others}
    within = [value <= tolerance * max(1.0, _find_largest(outputs[name])) for name, value in differences.items()]
    lacking = outputs.keys() - differences.keys()
    not_computed = {"head"} if _has_other_head(arrays) else set()
    return {
        "source": by,
        "converted": by_converted,
        "read_by": read_by,
        "tolerance": tolerance,
        "differences": differences,
        "changed": changed,
        "not_compared": sorted(lacking | not_computed),
        "refusal": refusal,
        "passed": not changed and not refusal and all(within) and lacking <= _MAY_LACK,
    }


def _has_other_head(arrays):
    """Whether the task's head is one that neither side can compute: CNN, RCNN, BiLSTM."""
    return not has_plain_head(arrays) and any(name.startswith("head.") and not name.startswith("head.span.") for name in arrays)


def make_inputs(model: ModelConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """input_ids, input_mask, token_type_ids: int64 [B, S], the last row half padding."""
    length = min(_LENGTH, model.max_position_embeddings)
    numbers = np.arange(_ROWS * length).reshape(_ROWS, length)
    mask = np.ones_like(numbers)
    mask[-1, (length + 1) // 2 :] = 0
    return numbers * 7919 % model.vocab_size, mask, (numbers % length >= length // 2) % model.type_vocab_size


def _was_written(output, arrays):
    """Whether the parameters of an output were written."""
    return output not in _PARTS or any(name.startswith(_PARTS[output]) for name in arrays)


def _run(kind, path, description, arrays, inputs):
    """The program that computed, its outputs by name, and the error of a library that refused the weights, or None."""
    is_theirs = kind == "huggingface" and path.name in huggingface.CANDIDATES and (path.parent / "config.json").is_file()
    refusal = None
    if is_theirs and (library := libraries.find_transformers(path.parent)):
        try:
            return library, libraries.run_transformers(path.parent, *inputs), None
        except ValueError as error:  # old files without metadata, or missing heads
            refusal = f"{library}: {error}"
    if "TokenClassification" in choose_architecture(description, arrays):  # this class has no pooler, even if the file does
        arrays = {name: array for name, array in arrays.items() if name not in POOLER}
    with np.errstate(all="ignore"):  # the report lists weights that are not finite
        return _OURS, network.run(description.model, arrays, *inputs), refusal


def _find_changed(ours, theirs):
    return [name for name in {**ours, **theirs} if not _is_same(ours.get(name), theirs.get(name))]


def _is_same(one, other):
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    return _bytes(one) == _bytes(other)  # makes no copy, and treats NaN as equal to itself


def _bytes(array):
    return np.ascontiguousarray(array).data.cast("B")


def _compare(one, other):
    """The largest difference: 0 where both are NaN or the same infinity, infinite where only one is."""
    with np.errstate(invalid="ignore"):
        difference = np.nan_to_num(np.abs(one - other), nan=np.inf, posinf=np.inf)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    return float(np.where(same, 0.0, difference).max(initial=0.0))


def _find_largest(values):
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
