"""Vectors of a model's size that a rule remembers: in memory, or, after a round over files, in a file without a name.

Files are read by offset and never mapped: a file cut short under a mapping kills the process. A file's vectors do not
change once a round is complete; the next round writes a file of its own.
"""

from __future__ import annotations

import copy
import os
import secrets
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from robustagg import errors
from robustagg.kernels.interface import Array
from robustagg.names import Client

PIECE = 2**20  # bytes that are read, and values that are copied, at a time
TOGETHER = os.O_DSYNC
"""How several machines open a file to write to stretches of it: else NFS's client may write whole pages, with what it
takes for the bytes around its own, over what others have written there."""


class Disk:
    """An open file, closed when nobody knows it any more; then goes a folder of ours, if it is empty.

    A file that has lost its name keeps one on NFS (``.nfs...``), and its folder, for as long as it is open.
    """

    def __init__(self, descriptor: int, name: str, folder: Path | None = None) -> None:
        self._descriptor, self._name, self._folder = os.dup(descriptor), name, folder
        weakref.finalize(self, _close, self._descriptor, folder)

    @classmethod
    def nameless(cls, folder: Path) -> Disk:
        """A new file that leaves nothing behind, however the process ends."""
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            return cls(file.fileno(), f"a temporary file in {folder}")

    @classmethod
    def of(cls, other: Disk) -> Disk:
        """The same file, known by its descriptor alone."""
        return Disk(other._descriptor, other._name, other._folder)

    def fileno(self) -> int:
        return self._descriptor

    def read_into(self, offset: int, view: memoryview) -> None:
        """Fill the view from the file's bytes at an offset."""
        done = 0
        while done < len(view):
            data = os.pread(self._descriptor, min(len(view) - done, PIECE), offset + done)
            if not data:
                raise errors.vector_cut_short(self._name, offset + done)
            view[done : done + len(data)] = data
            done += len(data)

    def write(self, offset: int, values: Array) -> None:
        view = np.ascontiguousarray(values).view(np.uint8).data
        done = 0
        while done < len(view):
            done += os.pwrite(self._descriptor, view[done:], offset + done)


class Named(Disk):
    """A file that other processes, on other machines too, open by its name while it has one.

    They see what was written before it went to them, and write to it together, see :data:`TOGETHER`.
    """

    def __init__(self, path: Path, flags: int = TOGETHER) -> None:
        self._path = path
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags)
        try:
            super().__init__(descriptor, str(path), path.parent)
        finally:
            os.close(descriptor)

    @classmethod
    def made(cls, folder: Path) -> Named:
        """A new file in a folder that goes when it is no longer needed."""
        path = folder / secrets.token_hex(8)
        path.touch(exist_ok=False)
        return cls(path, 0)

    def look_again(self) -> None:
        """See what others have written: NFS promises it to whoever opens a file after they have closed it."""
        os.close(os.open(self._path, os.O_RDONLY | os.O_CLOEXEC))

    def __reduce__(self) -> Any:
        os.fsync(self._descriptor)
        return Named, (self._path,)


def _close(descriptor: int, folder: Path | None) -> None:
    os.close(descriptor)
    if folder is not None:
        with suppress(OSError):
            folder.rmdir()


class Stored:
    """A vector in a file. What is taken from it, ``vector[start:stop]``, is an array in memory."""

    def __init__(self, disk: Disk, offset: int, size: int, dtype: np.dtype[Any]) -> None:
        self._disk, self._offset, self.size, self.dtype = disk, offset, size, dtype

    def __getitem__(self, part: slice) -> Array:
        start, stop, _ = part.indices(self.size)
        values = np.empty(max(stop - start, 0), self.dtype)
        self._disk.read_into(self._offset + start * values.itemsize, values.view(np.uint8).data)
        return values

    def __reduce__(self) -> Any:  # a copy, or what goes to another process, is in memory
        if isinstance(self._disk, Named):
            return Stored, (self._disk, self._offset, self.size, self.dtype)
        return np.asarray, (self[:],)

    def on(self, disk: Disk) -> Stored:
        """The same vector in the same file, known otherwise."""
        return Stored(disk, self._offset, self.size, self.dtype)

    def write(self, start: int, values: Array) -> None:
        """Values from `start` on; only before the round that makes the vector is complete."""
        values = values.astype(self.dtype, copy=False)
        self._disk.write(self._offset + start * values.itemsize, values)


Vector: TypeAlias = Array | Stored


def in_memory(vector: Vector) -> Array:
    """A copy of a vector as an array."""
    return vector[:] if isinstance(vector, Stored) else vector.copy()


class Memory(Protocol):
    """The vectors that a rule will remember once the round is complete."""

    def add(self, piece: Array) -> None:
        """The next coordinates of all new vectors, which are the rows of the piece."""

    def vectors(self) -> dict[Client, Vector]:
        """The old vectors and the new ones, once all pieces are there."""


class InMemory:
    """New vectors as arrays, beside the old ones."""

    def __init__(self, old: Mapping[Client, Vector], names: Sequence[Client]) -> None:
        self._old, self._names = old, names
        self._pieces: list[Array] = []

    def add(self, piece: Array) -> None:
        self._pieces.append(piece)

    def vectors(self) -> dict[Client, Vector]:
        new = {name: np.concatenate([piece[i] for piece in self._pieces]) for i, name in enumerate(self._names)}
        return {**self._old, **new}


class OnDisk:
    """New vectors, and those of the old ones that no new one replaces, in one file.

    Parameters
    ----------
    old, names
        The vectors so far, and the names of the new ones.
    d, dtype
        Size and dtype of the new vectors.
    disk : Disk
        The file, which is empty.
    """

    def __init__(
        self, old: Mapping[Client, Vector], names: Sequence[Client], d: int, dtype: np.dtype[Any], disk: Disk
    ) -> None:
        replaced = set(names)
        self._vectors = all_copied({name: old[name] for name in old if name not in replaced}, disk)
        end = sum(vector.size * vector.dtype.itemsize for vector in self._vectors.values())
        self._new = [Stored(disk, end + i * d * dtype.itemsize, d, dtype) for i in range(len(names))]
        self._vectors.update(zip(names, self._new, strict=True))
        self._at = 0

    def add(self, piece: Array) -> None:
        for vector, values in zip(self._new, piece, strict=True):
            vector.write(self._at, values)
        self._at += piece.shape[1]

    def vectors(self) -> dict[Client, Vector]:
        return self._vectors

    def stretch(self, start: int, disk: Disk) -> OnDisk:
        """What takes the coordinates of the new vectors from `start` on."""
        twin = copy.copy(self)
        twin._vectors, twin._new, twin._at = {}, [vector.on(disk) for vector in self._new], start
        return twin


def all_copied(vectors: Mapping[Client, Vector], disk: Disk) -> dict[Client, Vector]:
    """Copies in an empty file, one after the other."""
    found: dict[Client, Vector] = {}
    end = 0
    for name, vector in vectors.items():
        found[name] = copied(vector, disk, end)
        end += vector.size * vector.dtype.itemsize
    return found


def copied(vector: Vector, disk: Disk, offset: int) -> Stored:
    """A copy in a file."""
    copy = Stored(disk, offset, vector.size, vector.dtype)
    for start in range(0, vector.size, PIECE):
        copy.write(start, vector[start : start + PIECE])
    return copy
