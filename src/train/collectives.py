"""Communication between ranks outside of the training step: all ranks must call each function at the same point.

With a single rank, each function returns its argument; in a dry run too, after compiling the collective. Data are sent as int32,
which HCCL, NCCL and MCCL all support.
"""

import functools
import io

import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from src.config.training import DeviceSettings

_PIECE = 4 << 20  # int32 values sent at a time: a graph is compiled for this one length


class _Broadcast(nn.Cell):
    def __init__(self):
        super().__init__()
        self.broadcast = ops.Broadcast(0)

    def construct(self, values: Tensor) -> Tensor:
        return self.broadcast((values,))[0]


class _Gather(nn.Cell):
    def __init__(self):
        super().__init__()
        self.gather = ops.AllGather()

    def construct(self, values: Tensor) -> Tensor:
        return self.gather(values)


_broadcast_cell = functools.cache(_Broadcast)
_gather_cell = functools.cache(_Gather)


def broadcast(device: DeviceSettings, values: np.ndarray) -> np.ndarray:
    """The values of rank 0, on all ranks.

    Args:
        values: on other ranks any array of the same shape and dtype.
    """
    if device.world_size == 1:
        return values
    words = _to_words(values)
    pieces = [_broadcast_cell()(Tensor(piece)).asnumpy() for piece in _cut(words)]
    return values if device.simulated else _from_words(np.concatenate(pieces), values)


def share_parameters(device: DeviceSettings, cell: nn.Cell) -> None:
    """Copy the parameters of the cell on rank 0 to the same cell on all ranks."""
    if device.world_size == 1:
        return
    waiting: list[Parameter] = []
    size = 0
    for parameter in cell.get_parameters():
        waiting.append(parameter)
        size += parameter.size
        if size >= _PIECE:
            _share(device, waiting)
            waiting = []
            size = 0
    _share(device, waiting)


def _share(device, parameters):
    """Copy several parameters at once, because most are small."""
    arrays = [parameter.asnumpy() for parameter in parameters]
    shared = broadcast(device, np.concatenate([_to_words(array) for array in arrays] or [np.zeros(0, np.int32)]))
    start = 0
    for parameter, array in zip(parameters, arrays):
        end = start + len(_to_words(array))
        parameter.set_data(Tensor(_from_words(shared[start:end], array)))
        start = end


def gather_arrays(device: DeviceSettings, arrays: list[np.ndarray]) -> list[list[np.ndarray]]:
    """The lists of arrays of all ranks, in the order of the ranks; the arrays may have any shapes."""
    if device.world_size == 1:
        return [arrays]
    file = io.BytesIO()
    np.savez(file, *arrays)
    words = _to_words(np.frombuffer(file.getvalue(), np.uint8))
    sizes = _gather_cell()(Tensor(np.array([file.getbuffer().nbytes], np.int32))).asnumpy()
    if device.simulated:
        return [arrays] * device.world_size
    longest = -(-int(sizes.max()) // words.itemsize)
    words = np.pad(words, (0, longest - len(words)))
    gathered = [_gather_cell()(Tensor(piece)).asnumpy().reshape(device.world_size, -1) for piece in _cut(words)]
    rows = np.concatenate(gathered, 1)
    return [_load(row.tobytes()[:size]) for row, size in zip(rows, sizes)]


def largest(device: DeviceSettings, number: int) -> int:
    """The largest int32 of all ranks; no rank returns before all have called."""
    if device.world_size == 1:
        return number
    found = int(_gather_cell()(Tensor(np.array([number], np.int32))).asnumpy().max())
    return number if device.simulated else found


def _load(data):
    with np.load(io.BytesIO(data)) as file:
        return [file[name] for name in file.files]


def _cut(words):
    """Pieces of equal length, the last padded with zeros."""
    count = max(1, -(-len(words) // _PIECE))
    if count > 1:
        words = np.pad(words, (0, count * _PIECE - len(words)))
    return np.split(words, count)


def _to_words(values):
    data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    return np.pad(data, (0, -len(data) % 4)).view(np.int32)


def _from_words(words, like):
    return np.frombuffer(words.tobytes()[: like.nbytes], like.dtype).reshape(like.shape)
