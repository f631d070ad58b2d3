"""A folder of updates, one file for each row of the result, which appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from robustagg import errors
from robustagg.files.layout import Layout, Middles
from robustagg.files.output import Output, check_model
from robustagg.files.tensors import Model
from robustagg.files.writers import WRITERS
from robustagg.kernels.interface import Array
from robustagg.memory.publish import Draft
from robustagg.memory.vectors import PIECE, Disk, Memory, OnDisk, Stored, Vector
from robustagg.protocol import Client


def check(path: Path, suffix: str, clients: Sequence[Client]) -> None:
    """Whether a folder of these clients' files can be made there at all; raises if not."""
    if suffix.lower() not in WRITERS:
        raise errors.unknown_output(f"*{suffix}", WRITERS)
    if not path.absolute().parent.is_dir():
        raise errors.no_folder(path.parent)
    if path.is_symlink() or (path.exists() and not (path.is_dir() and not any(path.iterdir()))):
        raise errors.not_an_empty_folder(path)
    seen: dict[str, Client] = {}
    for client in clients:
        name = str(client)
        if not name or name in (".", "..") or any(sign in name for sign in "/\\\0"):
            raise errors.no_file_name(client)
        if name in seen:
            raise errors.same_file_name(seen[name], client)
        seen[name] = client


class Folder:
    """A folder under a name of its own until it is complete; left without that, it is deleted.

    Its files have the names of the clients whose rows they hold, or of buckets where `clients` is None.
    """

    def __init__(self, path: Path, suffix: str, clients: Sequence[Client] | None, model: Model) -> None:
        check_model(path / f"*{suffix}", suffix, model)
        self.path, self.suffix, self._clients = path, suffix, clients
        self.draft = Draft(path)

    @property
    def folder(self) -> Path:
        """Where temporary files go."""
        return self.path.absolute().parent

    def sink(self, layout: Layout, kept: Sequence[int], middles: Middles) -> RowFiles:
        return RowFiles(self, layout, kept, middles)

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.draft.__exit__()

    def names(self, kept: Sequence[int], m: int) -> list[str]:
        """Of the files of m rows, in their order."""
        if self._clients is None:
            return [f"bucket-{k:0{len(str(m - 1))}}{self.suffix}" for k in range(m)]
        return [f"{self._clients[i]}{self.suffix}" for i in kept]


class RowFiles:
    """Takes the pieces of m rows in the order of the cuts. They are in one file before each gets its own."""

    def __init__(self, folder: Folder, layout: Layout, kept: Sequence[int], middles: Middles) -> None:
        self._folder, self._layout, self._kept, self._middles = folder, layout, kept, middles
        self._m = 0
        self._memory: Memory | None = None

    def add(self, piece: Array) -> None:
        if self._memory is None:
            self._m = len(piece)
            self._memory = OnDisk(
                {}, range(self._m), self._layout.d, self._layout.dtype, Disk.nameless(self._folder.folder)
            )
        self._memory.add(piece)

    def result(self) -> list[Path]:
        """Write the files."""
        assert self._memory is not None
        rows, middles = self._memory.vectors(), self._shared_middles()
        names = self._folder.names(self._kept, self._m)
        self._folder.draft.path.mkdir()
        for k, name in enumerate(names):
            self._write(rows[k], middles, self._folder.draft.path / name)
        return [self._folder.path / name for name in names]

    def publish(self) -> None:
        self._folder.draft.publish()

    def _write(self, row: Vector, middles: dict[int, Stored], path: Path) -> None:
        tensors, at = self._layout.tensors, 0
        with path.open("xb+") as file:
            output = Output(file, path.suffix, self._layout, lambda k: pieces_of(middles[k]), self._folder.folder)
            for cut in self._layout.cuts():
                following = at + int((cut[:, 2] - cut[:, 1]).sum())
                compute = np.float64 if tensors[cut[0, 0]].dtype == "float64" else np.float32
                output.add(row[at:following].astype(compute, copy=False))
                at = following
            output.finish()
            file.flush()
            os.fsync(file.fileno())

    def _shared_middles(self) -> dict[int, Stored]:
        """The lower medians of the integer tensors, which all files share."""
        disk, end, found = Disk.nameless(self._folder.folder), 0, {}
        for k, tensor in enumerate(self._layout.tensors):
            if not tensor.votes:
                found[k], at = Stored(disk, end, tensor.size, tensor.storage), 0
                for values in self._middles(k):
                    found[k].write(at, values)
                    at += values.size
                end += tensor.nbytes
        return found


def pieces_of(vector: Stored) -> Iterator[Array]:
    for start in range(0, vector.size, PIECE // 8):
        yield vector[start : start + PIECE // 8]
