"""Reading the tensors of a PyTorch file (.bin, .pt) without PyTorch and without running any code from it.

Both formats of `torch.save` are read: the zip archive (since PyTorch 1.6) and the legacy pickle stream. The unpickler resolves a short
list of names to functions of this module; every other class or function becomes an inert stub.

Source: torch/serialization.py and torch/_utils.py.
"""

import functools
import io
import math
import os
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from src.formats.bfloat16 import widen

_STORAGE_TYPES: dict[str, np.dtype] = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype("<u2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
_MAX_EXPANDED = 1 << 24  # elements of a view that repeats its storage (stride 0)
_MAX_SHARED = 16  # bytes of all tensors per byte of the file, besides _MAX_EXPANDED: tensors may share a storage
_MAX_DIMS = 32
_MAX_TUPLE = 1 << 16  # parts, including nested ones; the state of Python's random generator has 628
_MAX_MESSAGE = 300  # letters: a quotation may be as long as the file
_DAMAGE = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError, RuntimeError),
    *(OSError, zipfile.BadZipFile, struct.error),
)


def read(path: Path | str) -> dict[str, np.ndarray]:
    """All tensors of a PyTorch file: a state dict, or a dict that holds one under "model" or "state_dict".

    Returns:
        parameter name -> array; bfloat16 becomes float32.

    Raises:
        ValueError: truncated, damaged, or without tensors. FileNotFoundError: no such file.
    """
    with open(path, "rb") as file:
        try:
            tensors = _find_tensors(_read_zip(file) if zipfile.is_zipfile(file) else _read_legacy(file), os.stat(path).st_size)
        except _DAMAGE as error:
            raise ValueError(f"{path}: not a readable PyTorch file ({type(error).__name__}: {str(error)[:_MAX_MESSAGE]})") from None
    if not tensors:
        raise ValueError(f"{path}: no tensors in it; a state dict is expected")
    return tensors


def _find_tensors(loaded: Any, file_size: int) -> dict[str, np.ndarray]:
    for candidate in (loaded, *(loaded.get(key) for key in ("model", "state_dict") if isinstance(loaded, dict))):
        if isinstance(candidate, dict):
            tensors = {name: value for name, value in candidate.items() if isinstance(name, str) and isinstance(value, StoredTensor)}
            if sum(tensor.num_bytes for tensor in tensors.values()) > _MAX_SHARED * file_size + _MAX_EXPANDED:
                raise ValueError(f"tensors more than {_MAX_SHARED} times as large as the file")
            if tensors:
                return {name: tensor.to_array() for name, tensor in tensors.items()}
    return {}


@dataclass(eq=False, repr=False)  # a repr could be of any size
class StoredTensor:
    """A view of a storage, resolved only on request: legacy files have their data after the pickle."""

    storage: "Storage"
    offset: int
    shape: Sequence[int]
    stride: Sequence[int]

    @functools.cached_property
    def layout(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(shape, stride), checked."""
        shape = tuple(map(int, self.shape))
        stride = tuple(map(int, self.stride))
        if not len(shape) == len(stride) <= _MAX_DIMS or not all(0 <= number <= sys.maxsize for number in (*shape, *stride, self.offset)):
            raise ValueError(f"tensor of shape {shape}, stride {stride}, offset {self.offset}")
        return shape, stride

    @property
    def num_bytes(self) -> int:
        """The size of the array before bfloat16 is widened."""
        return math.prod(self.layout[0]) * self.storage.dtype.itemsize

    def to_array(self) -> np.ndarray:
        """The elements, copied."""
        flat = self.storage.array
        shape, stride = self.layout
        last = self.offset + sum((size - 1) * step for size, step in zip(shape, stride))
        if 0 not in shape and last >= flat.size:
            raise ValueError(f"a tensor reaches element {last} of a storage of {flat.size}")
        if math.prod(shape) > max(flat.size, _MAX_EXPANDED):
            raise ValueError(f"a storage of {flat.size} elements is expanded to shape {shape}")
        if 0 in shape:
            return np.zeros(shape, flat.dtype)
        view = np.lib.stride_tricks.as_strided(flat[self.offset :], shape, [step * flat.itemsize for step in stride])
        if self.storage.is_bfloat16:
            return widen(view)
        return np.array(view)


class Storage:
    """Elements that are read only when a tensor needs them: a training checkpoint also holds the optimiser's state, which does not.

    Args:
        type_name: key of _STORAGE_TYPES.
        count: number of elements.
        load: reads the bytes.
    """

    def __init__(self, type_name: str, count: int, load: Callable[[], bytes] | None = None):
        self.dtype = _STORAGE_TYPES[type_name]
        self.count = count
        self.load = load
        self.is_bfloat16 = type_name == "BFloat16Storage"

    @functools.cached_property
    def array(self) -> np.ndarray:
        """All elements; bfloat16 as its bits."""
        if self.load is None:
            raise ValueError("the data of a storage is missing")
        data = self.load()
        if len(data) < self.count * self.dtype.itemsize:
            raise ValueError(f"a storage of {self.count} elements has {len(data)} bytes only")
        return np.frombuffer(data, self.dtype, self.count)


class _Stub:
    """A stand-in for any other class or function of the pickle: it accepts every operation and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "_Stub":
        return object.__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def __call__(self, *args: Any, **kwargs: Any) -> "_Stub":
        return _Stub()

    def append(self, item: Any) -> None:
        pass

    def extend(self, items: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass


def rebuild_tensor(storage: Storage, offset: int, shape: Sequence[int], stride: Sequence[int], *_: Any) -> StoredTensor:
    """The tensor that torch's function of this name would make."""
    return StoredTensor(storage, offset, shape, stride)


def _rebuild_parameter(tensor: Any, *_: Any) -> Any:
    return tensor


_SAFE_GLOBALS = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _rebuild_parameter,
}


class _Tuple(tuple):
    """A tuple whose hash is computed by Python code, whose recursion limit raises an error: deep nesting would overflow C's stack.

    The hash is computed once, as a file may use a long tuple as a key many times. Nested parts are counted as often as they occur:
    comparing 40 tuples of two parts each, nested in each other, could take practically forever.
    """

    size: int
    hash: int | None

    def __new__(cls, items: Iterable[Any]) -> "_Tuple":
        made = super().__new__(cls, items)
        made.size = 1 + sum(item.size if isinstance(item, _Tuple) else 1 for item in made)
        if made.size > _MAX_TUPLE:
            raise ValueError(f"a tuple of more than {_MAX_TUPLE} parts")
        made.hash = None
        return made

    def __hash__(self) -> int:
        if self.hash is None:
            self.hash = super().__hash__()
        return self.hash


def _load_tuple(code: int) -> Callable[[Any], None]:
    def load(unpickler: Any) -> None:
        pickle._Unpickler.dispatch[code](unpickler)
        unpickler.stack[-1] = _Tuple(unpickler.stack[-1])

    return load


class _Unpickler(pickle._Unpickler):
    """Python's unpickler, restricted; the one in C allocates as much memory as a damaged memo index demands."""

    dispatch: ClassVar[dict[int, Callable[[Any], Any]]] = {
        **pickle._Unpickler.dispatch,
        **{code[0]: _load_tuple(code[0]) for code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)},
        pickle.BUILD[0]: lambda unpickler: unpickler.stack.pop(),  # ignores state: it could change functions of this module
    }
    del dispatch[pickle.BYTEARRAY8[0]]  # allocates the announced size before reading

    def __init__(self, file: BinaryIO | io.BytesIO, load_storage: Callable[[Any], Storage]):
        super().__init__(file, encoding="utf-8")
        self._load_storage = load_storage

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _SAFE_GLOBALS:
            return _SAFE_GLOBALS[module, name]
        if module == "torch" and name in _STORAGE_TYPES:
            return name
        return _Stub

    def persistent_load(self, pid: Any) -> Storage:
        return self._load_storage(pid)


def _read_zip(file: BinaryIO) -> Any:
    archive = zipfile.ZipFile(file)  # not closed: storages read from it later, and it holds nothing but `file`
    pickle_name = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
    if pickle_name is None:
        raise ValueError("no data.pkl in the archive, as PyTorch's files have: unpack other archives")
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
        raise ValueError("compressed, as PyTorch's own files are not: not supported")
    root = pickle_name.removesuffix("data.pkl")
    storages: dict[Hashable, Storage] = {}

    def load_storage(pid: Any) -> Storage:
        _, type_name, key, _, count = pid
        load = functools.partial(archive.read, f"{root}data/{key}")
        return storages.setdefault(key, Storage(type_name, count, load))

    return _Unpickler(io.BytesIO(archive.read(pickle_name)), load_storage).load()


def _read_legacy(file: BinaryIO) -> Any:
    storages: dict[Hashable, Storage] = {}

    def load_storage(pid: Any) -> Storage:
        _, type_name, key, _, count, *view = pid
        if view and view[0] is not None:
            raise ValueError("storage views of PyTorch before 0.4 are not supported")
        return storages.setdefault(key, Storage(type_name, count))

    def load() -> Any:
        return _Unpickler(file, load_storage).load()

    file.seek(0)
    if load() != LEGACY_MAGIC or load() != LEGACY_PROTOCOL:
        raise ValueError("neither a zip archive nor PyTorch's legacy form")
    load()  # sizes of C types on the writing machine, not needed: storage types have fixed sizes
    loaded = load()
    for key in load():
        count = int.from_bytes(file.read(8), "little")
        storage = storages.get(key)
        if storage is None or storage.count != count:
            raise ValueError(f"storage {key} has {count} elements, another number was announced")
        size = count * storage.dtype.itemsize
        storage.load = functools.partial(_read_at, file, file.tell(), size)
        file.seek(size, os.SEEK_CUR)
    return loaded


def _read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)
