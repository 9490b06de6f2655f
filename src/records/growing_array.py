"""An array on disk that is written piece by piece, for more rows than memory holds."""

from pathlib import Path

import numpy as np


class GrowingArray:
    """A .npy file whose first axis grows; int64 is stored as int32, float64 as float32.

    Args:
        first: an array with the type and the other axes of all that is appended; it is not appended itself.
    """

    def __init__(self, path: Path, first: np.ndarray) -> None:
        self.dtype = np.dtype({"int64": "int32", "float64": "float32"}.get(first.dtype.name, first.dtype))
        self.shape = first.shape[1:]
        self.count = 0
        self.file = open(path, "wb")  # noqa: SIM115 (closed by close)
        self._write_header()

    def append(self, array: np.ndarray) -> None:
        """Write the rows of an array.

        Raises:
            ValueError: its rows have another shape.
        """
        if array.shape[1:] != self.shape:
            name = Path(self.file.name).stem.partition("-")[2]
            raise ValueError(f"rows with {array.shape[1:]} values in {name} after rows with {self.shape}")
        self.file.write(np.ascontiguousarray(array, self.dtype).data)
        self.count += len(array)

    def _write_header(self):
        header = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.count, *self.shape)}
        np.lib.format.write_array_header_1_0(self.file, header)  # NumPy pads the header, so that a larger count fits later

    def close(self) -> None:
        """Write the number of rows into the header, and close the file."""
        self.file.seek(0)
        self._write_header()
        self.file.close()
