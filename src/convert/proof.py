"""The proof of a conversion: what was written is read back, bit by bit, and both networks compute the same.

Both sides are run by their own library where it is installed (transformers), else by the network of src/convert/network.py. TensorFlow,
where it is installed, reads the variables that were written.
"""

import numpy as np

from src.convert import libraries, network
from src.convert.description import choose_architecture, read_description
from src.convert.parameters import POOLER, has_plain_head
from src.formats import huggingface, tensorflow, weights

TOLERANCE = 2e-5
_OURS = "src/convert/network.py"
_MAY_LACK = {"pooled"}  # Transformers' classes of taggers, spans and masked words have no pooler, whatever the file has
_ROWS, _LENGTH = 2, 16
_PARTS = {"pooled": "bert.pooler.", "masked_lm": "masked_lm.", "next_sentence": "next_sentence.", "head": "head.", "span": "head.span."}


def prove(source, description, arrays, target, folder, tolerance, by_library=True):
    """Compare a source with what was made of it.

    Args:
        source: Weights as they were read. description: Description of it. arrays: our name -> array, as written.
        target: format of `folder`, the result.
        tolerance: largest difference allowed between outputs, times the largest output of the layer where that is above 1.
        by_library: whether Transformers may compute the source, which reads the configuration beside it.

    Returns:
        dict: `source` and `converted`, who computed; `read_by`, what has read the result besides, or None; `differences`, of each output;
        `changed`, names of arrays that are not the same bit by bit; `not_compared`, outputs that not both sides have; `refusal` of the
        result by its library, None if it did not; `passed`.
    """
    inputs = _make_inputs(description.model)
    back = weights.read(folder)
    changed = _find_changed(arrays, back.arrays)
    read_by = libraries.find_tensorflow() if target == "tensorflow" else None
    if read_by:
        changed += _find_changed(tensorflow.read(back.path), libraries.read_tensorflow(back.path))
    by, outputs, _ = _run(source.kind if by_library else None, source.path, description, arrays, inputs)
    outputs = {name: values for name, values in outputs.items() if _is_of(name, arrays)}
    by_converted, others, refusal = _run(target, back.path, read_description(folder), back.arrays, inputs)
    differences = {name: _compare(outputs[name], others[name]) for name in outputs if name in others}
    within = [value <= tolerance * max(1.0, _find_largest(outputs[name])) for name, value in differences.items()]
    lacking = outputs.keys() - differences.keys()
    by_nobody = {"head"} if _has_other_head(arrays) else set()
    return {
        "source": by,
        "converted": by_converted,
        "read_by": read_by,
        "tolerance": tolerance,
        "differences": differences,
        "changed": changed,
        "not_compared": sorted(lacking | by_nobody),
        "refusal": refusal,
        "passed": not changed and not refusal and all(within) and not lacking - _MAY_LACK,
    }


def _has_other_head(arrays):
    """Whether the task's head is one that neither side computes: CNN, RCNN, BiLSTM."""
    return not has_plain_head(arrays) and any(name.startswith("head.") and not name.startswith("head.span.") for name in arrays)


def _make_inputs(model):
    """input_ids, input_mask, token_type_ids: int64 [B, S], the last row half padding."""
    length = min(_LENGTH, model.max_position_embeddings)
    places = np.arange(_ROWS * length).reshape(_ROWS, length)
    mask = np.ones_like(places)
    mask[-1, (length + 1) // 2 :] = 0
    return places * 7919 % model.vocab_size, mask, (places % length >= length // 2) % model.type_vocab_size


def _is_of(output, arrays):
    """Whether the parameters of an output were written."""
    return output not in _PARTS or any(name.startswith(_PARTS[output]) for name in arrays)


def _run(kind, path, description, arrays, inputs):
    """(who computes; name of output -> array; why the library would not, None without one)."""
    is_theirs = kind == "huggingface" and path.name in huggingface.CANDIDATES and (path.parent / "config.json").is_file()
    refusal = None
    if is_theirs and (library := libraries.find_transformers(path.parent)):
        try:
            return library, libraries.run_transformers(path.parent, *inputs), None
        except ValueError as error:  # old files without metadata, and heads that are not there
            refusal = f"{library}: {error}"
    if "TokenClassification" in choose_architecture(description, arrays):  # its class has no pooler, whatever the file has
        arrays = {name: array for name, array in arrays.items() if name not in POOLER}
    with np.errstate(all="ignore"):  # weights that are no numbers are in the report
        return _OURS, network.run(description.model, arrays, *inputs), refusal


def _find_changed(ours, theirs):
    return [name for name in {**ours, **theirs} if not _is_same(ours.get(name), theirs.get(name))]


def _is_same(one, other):
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    return _bytes(one) == _bytes(other)  # needs no memory, and NaN is the same as NaN


def _bytes(array):
    return memoryview(np.ascontiguousarray(array)).cast("B")


def _compare(one, other):
    """The largest difference: 0 where both are the same infinity or no number, infinite where one alone is."""
    with np.errstate(invalid="ignore"):
        difference = np.nan_to_num(np.abs(one - other), nan=np.inf, posinf=np.inf)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    return float(np.where(same, 0.0, difference).max(initial=0.0))


def _find_largest(values):
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
