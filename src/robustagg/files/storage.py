"""A file that other people write, read with distrust.

Explicit reads into buffers instead of a memory map: a file cut short under a mapping kills the process (SIGBUS), and
mapped pages count as resident. A file is opened anew for every read, so that any number of clients fits into the
limit on open files, and is known again by what the file system says about it.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from robustagg import errors
from robustagg.kernels.interface import Array
from robustagg.memory.vectors import Disk, Stored


class File:
    """A regular file that must not change while it is in use. Where it cannot be read it is :class:`errors.Unreadable`.

    What this machine has none left of, descriptors or memory, is no fault of the file's, nor is what whoever reads it
    does meanwhile: such an error stays an :class:`OSError`.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            _identity(os.stat(path))  # before opening: to open a device may already do something
            with io.FileIO(path, opener=_opener) as raw:  # over a network, what is told without may be of a while ago
                self._identity = _identity(os.fstat(raw.fileno()))
        except (OSError, ValueError) as fault:
            raise errors.cannot_open(fault) from None

    @property
    def size(self) -> int:
        return self._identity.size

    def __getstate__(self) -> dict[str, Any]:
        """What other machines need: each has its own numbers for the file, where it finds it."""
        told = self._identity._replace(device=None, inode=None, changed=None)
        return {"path": os.path.abspath(self.path), "_identity": told}

    @contextmanager
    def open(self) -> Iterator[Handle]:
        with ExitStack() as opened:
            try:
                raw = opened.enter_context(io.FileIO(self.path, opener=_opener))
                found = _identity(os.fstat(raw.fileno()))
            except OSError as fault:
                raise errors.cannot_open(fault) from None
            if not self._identity.fits(found):
                raise errors.file_changed()
            self._identity = found
            yield Handle(raw)


class Handle:
    """An open file."""

    def __init__(self, raw: io.FileIO | Disk, begin: int = 0) -> None:
        self._raw, self._begin = raw, begin

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill the view from the file's bytes at an offset."""
        if isinstance(self._raw, Disk):
            self._raw.read_into(self._begin + offset, view)
            return
        done = 0
        try:
            self._raw.seek(offset)
            while done < len(view) and (count := self._raw.readinto(view[done:])):
                done += count
        except OSError as fault:
            raise errors.cannot_open(fault) from None
        if done < len(view):
            raise errors.file_truncated(offset + done)

    def fileno(self) -> int:
        return self._raw.fileno()

    def read(self, offset: int, size: int) -> bytes:
        """Exactly `size` bytes."""
        data = bytearray(size)
        self.read_into(offset, memoryview(data))
        return bytes(data)


class Region:
    """A part of a file of ours, read like somebody's."""

    def __init__(self, disk: Disk, begin: int, size: int) -> None:
        self._disk, self._begin, self.size = disk, begin, size

    @contextmanager
    def open(self) -> Iterator[Handle]:
        yield Handle(self._disk, self._begin)


Readable: TypeAlias = File | Region


class Scratch:
    """A temporary file for private copies of what cannot be read as it is; made when it is needed."""

    def __init__(self, make: Callable[[], Disk]) -> None:
        self._make = make
        self._disk: Disk | None = None
        self.end = 0

    @property
    def disk(self) -> Disk:
        if self._disk is None:
            self._disk = self._make()
        return self._disk

    def append(self, values: Array) -> None:
        self.disk.write(self.end, values)
        self.end += values.nbytes

    def vector(self, begin: int, dtype: np.dtype[np.generic]) -> Stored:
        """What has been appended from `begin` on."""
        return Stored(self.disk, begin, (self.end - begin) // dtype.itemsize, dtype)

    def region(self, begin: int) -> Region:
        return Region(self.disk, begin, self.end - begin)


class Limited(io.RawIOBase):
    """An open file as the standard library's parsers want it, which refuses to read a lot at once."""

    def __init__(self, handle: Handle, size: int, limit: int) -> None:
        self._handle, self._size, self._limit, self._at = handle, size, limit, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._at)
        size = left if size < 0 else min(size, left)
        if size > self._limit:
            raise errors.header_too_long(size, self._limit)
        data = self._handle.read(self._at, size)
        self._at += size
        return data


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe put in a file's place must not hang us


class _Identity(NamedTuple):
    device: int | None
    inode: int | None
    size: int
    modified: int
    changed: int | None  # nobody but the file system sets this one

    def fits(self, other: _Identity) -> bool:
        """Whether they are one, as far as both are known."""
        return all(mine is None or mine == theirs for mine, theirs in zip(self, other, strict=True))


def _identity(status: os.stat_result) -> _Identity:
    if not stat.S_ISREG(status.st_mode):
        raise errors.not_regular()
    return _Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
