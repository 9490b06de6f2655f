"""Reading .zst files by the zstandard library, which is optional.

Its own stream reader takes a file that was cut for a whole one; here it is an EOFError, as in Python's gzip and bz2.
"""

import io
from typing import Any, BinaryIO

# the first bytes of a frame, and of one that readers skip, as of pzstd or of a seekable file; the latter have 16 forms (RFC 8878, 3.1.2)
MAGICS = (b"\x28\xb5\x2f\xfd", *(bytes([number]) + b"\x2a\x4d\x18" for number in range(0x50, 0x60)))
_WINDOW = 1 << 31  # the largest that zstd --long=31 makes
_PIECE = 1 << 13  # compressed bytes; a piece may unpack to thousands of times its size


def open(file: BinaryIO) -> io.RawIOBase:
    """The content of a .zst file, of one frame or several.

    Raises:
        ValueError: the library is not installed.
    """
    try:
        import zstandard
    except ImportError:
        raise ValueError("a .zst file, which needs the library zstandard: pip install zstandard") from None
    return _Unpacked(file, zstandard)


class _Unpacked(io.RawIOBase):
    def __init__(self, file: BinaryIO, library: Any) -> None:
        super().__init__()
        self._file, self._library = file, library
        self._frame: Any = None
        self._rest: bytes | memoryview = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # mypy's stub has a buffer protocol type of its own
        while not self._rest:
            data = self._frame.unused_data if self._frame and self._frame.eof else b""
            data = data or self._file.read(_PIECE)
            if not data:
                if self._frame and not self._frame.eof:
                    raise EOFError("the file ends inside a frame")
                return 0
            if self._frame is None or self._frame.eof:
                self._frame = self._library.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
            try:
                self._rest = memoryview(self._frame.decompress(data))
            except self._library.ZstdError as error:
                raise OSError(str(error)) from None
        part = self._rest[: len(buffer)]
        buffer[: len(part)] = part
        self._rest = self._rest[len(part) :]
        return len(part)
