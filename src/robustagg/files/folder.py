"""A folder of updates, one file for each row of the result, which appears whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robustagg import errors
from robustagg.files.output import WRITERS, Output, Target, check_model, renamed
from robustagg.files.tensors import Tensor
from robustagg.kernels.interface import Array
from robustagg.memory.vectors import PIECE, Disk, Memory, Stored, Vector
from robustagg.protocol import Client

if TYPE_CHECKING:
    from robustagg.files.source import Files


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

    def __init__(self, path: Path, suffix: str, clients: Sequence[Client] | None, tensors: tuple[Tensor, ...]) -> None:
        check_model(path / f"*{suffix}", suffix, tensors)
        self.path, self._suffix, self._clients = path, suffix, clients
        self.partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        self.partial.mkdir()

    @property
    def folder(self) -> Path:
        """Where temporary files go."""
        return self.path.parent

    def sink(self, source: Files, kept: Sequence[int]) -> Rows:
        return Rows(source, kept, self)

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self.partial, ignore_errors=True)

    def names(self, kept: Sequence[int], m: int) -> list[str]:
        """Of the files of m rows, in their order."""
        if self._clients is None:
            return [f"bucket-{k:0{len(str(m - 1))}}{self._suffix}" for k in range(m)]
        return [f"{self._clients[i]}{self._suffix}" for i in kept]


class Rows:
    """Takes the pieces of m rows in the order of the cuts. They are in one file before each gets its own."""

    def __init__(self, source: Files, kept: Sequence[int], folder: Folder) -> None:
        self._source, self._kept, self._folder = source, kept, folder
        self._m = 0
        self._memory: Memory | None = None

    def add(self, piece: Array) -> None:
        if self._memory is None:
            self._m = len(piece)
            self._memory = self._source.memory({}, range(self._m))
        self._memory.add(piece)

    def result(self) -> list[Path]:
        """Write the files."""
        assert self._memory is not None
        rows, middles = self._memory.vectors(), self._middles()
        names = self._folder.names(self._kept, self._m)
        for k, name in enumerate(names):
            self._write(rows[k], middles, self._folder.partial / name)
        return [self._folder.path / name for name in names]

    def publish(self) -> None:
        renamed(self._folder.partial, self._folder.path)

    def _write(self, row: Vector, middles: dict[int, Stored], path: Path) -> None:
        tensors, at = self._source.tensors, 0
        with Target(path, tensors) as target:
            output = Output(self._source, target, lambda k: pieces_of(middles[k]) if k in middles else iter(()))
            for cut in self._source.cuts():
                for k, start, stop in cut.tolist():
                    compute = np.float64 if tensors[k].dtype == "float64" else np.float32
                    output.add(row[at : at + stop - start].astype(compute, copy=False))
                    at += stop - start
            output.result()
            output.publish()

    def _middles(self) -> dict[int, Stored]:
        """The lower medians of the integer tensors, which all files share."""
        disk, end, found = Disk.nameless(self._folder.folder), 0, {}
        for k, tensor in enumerate(self._source.tensors):
            if not tensor.counts:
                found[k], at = Stored(disk, end, tensor.size, tensor.storage), 0
                for values in self._source.middles(self._kept, k):
                    found[k].write(at, values)
                    at += values.size
                end += tensor.nbytes
        return found


def pieces_of(vector: Stored) -> Iterator[Array]:
    for start in range(0, vector.size, PIECE // 8):
        yield vector[start : start + PIECE // 8]
