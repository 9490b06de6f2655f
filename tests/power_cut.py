"""A folder as a power cut would leave it: with what was flushed, and of all else as little, or as much, as a disk may have written."""

import os

_ONLY_FLUSHED, _ALL_NAMES, _REMOVED_FIRST = range(3)


class Disk:
    """Watches os.fsync and os.replace below `root`, and asks `check` what is left whenever one of them is called.

    The content of a file that was not flushed is taken for lost. Names in folders are taken in three ways: as they were flushed last;
    as they are now; and those flushed that were not removed since (a name that is replaced is there all the time).

    Args:
        root: a folder, which is on the disk with all that it holds.
        monkeypatch: pytest's.
        check: (relative path -> bytes) -> None, for each way.
    """

    def __init__(self, root, monkeypatch, check=lambda files: None):
        self.root, self.check = root, check
        self._names, self._contents, self._kept_open = {}, {}, []
        self._fsync, self._replace = os.fsync, os.replace
        for folder, _, names in os.walk(root):
            for path in (folder, *(os.path.join(folder, name) for name in names)):
                self._keep(os.open(path, os.O_RDONLY))
        monkeypatch.setattr(os, "fsync", self._flush)
        monkeypatch.setattr(os, "replace", self._rename)

    def left(self):
        """What each of the three ways leaves: list of relative path -> bytes."""
        return [dict(self._walk(self.root, self._number(self.root), way)) for way in (_ONLY_FLUSHED, _ALL_NAMES, _REMOVED_FIRST)]

    def _flush(self, descriptor):
        self._check_all()
        self._fsync(descriptor)
        self._keep(os.dup(descriptor))
        self._check_all()

    def _keep(self, descriptor):
        """Note what is on the disk. The descriptor stays open, or its number might be given to another file."""
        path, number = os.readlink(f"/proc/self/fd/{descriptor}"), os.fstat(descriptor).st_ino
        if os.path.isdir(path):
            self._names[number] = self._list(path)
        else:
            with open(path, "rb") as file:
                self._contents[number] = file.read()
        self._kept_open.append(descriptor)

    def _rename(self, source, target):
        self._check_all()
        self._replace(source, target)
        self._check_all()

    def _check_all(self):
        for files in self.left():
            self.check(files)

    def _walk(self, path, number, way):
        now = self._list(path) if os.path.isdir(path) else {}
        flushed = self._names.get(number, {})
        both = {name: inner for name, inner in flushed.items() if name in now}
        for name, inner in {_ONLY_FLUSHED: flushed, _ALL_NAMES: now, _REMOVED_FIRST: both}[way].items():
            here = os.path.join(path, name)
            if inner in self._names or (now.get(name) == inner and os.path.isdir(here)):
                yield from self._walk(here, inner, way)
            else:
                yield os.path.relpath(here, self.root), self._contents.get(inner, b"")

    def close(self):
        for descriptor in self._kept_open:
            os.close(descriptor)

    @staticmethod
    def _number(path):
        return os.stat(path).st_ino

    @staticmethod
    def _list(path):
        return {entry.name: entry.inode() for entry in os.scandir(path)}
