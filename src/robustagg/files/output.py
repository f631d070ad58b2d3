"""The result, written block by block to a file that appears whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from robustagg import errors, kernels
from robustagg.files import npy, safetensors
from robustagg.files.tensors import Tensor
from robustagg.kernels.interface import Array

if TYPE_CHECKING:
    from robustagg.files.source import Files


class Writer(Protocol):
    """Writes tensors in any order, each in one go."""

    def begin(self, k: int) -> None:
        """Tensor k comes next."""

    def write(self, values: Array) -> None: ...

    def close(self) -> None:
        """All tensors are written. To close again does nothing."""


WRITERS: dict[str, Callable[[BinaryIO, tuple[Tensor, ...]], Writer]] = {
    ".safetensors": safetensors.Writer,
    ".npz": npy.ArchiveWriter,
    ".npy": npy.Writer,
}


def check(path: Path, inputs: Sequence[str]) -> None:
    """Whether a result can be written there at all; raises if not."""
    if path.suffix.lower() not in WRITERS:
        raise errors.unknown_output(path, WRITERS)
    if not path.parent.is_dir():
        raise errors.no_folder(path.parent)
    if path.exists() and any(os.path.exists(other) and path.samefile(other) for other in inputs):
        raise errors.output_is_input(path)


def check_model(path: object, suffix: str, tensors: Sequence[Tensor]) -> None:
    """Whether the format knows such a model; raises if not."""
    if suffix.lower() == ".npy" and len(tensors) != 1:
        raise errors.single_tensor_only(path, len(tensors))
    if suffix.lower() == ".safetensors" and any(tensor.fortran for tensor in tensors):
        raise errors.c_order_only(path, next(tensor.name for tensor in tensors if tensor.fortran))


class Target:
    """A file under a name of its own until it is complete; left without that, it is deleted."""

    def __init__(self, path: Path, tensors: tuple[Tensor, ...]) -> None:
        check_model(path, path.suffix, tensors)
        self.path, self._tensors = path, tensors
        self._partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
        self._writer: Writer | None = None
        self._file: BinaryIO = open(self._partial, "xb")  # noqa: SIM115 - see __exit__

    @property
    def folder(self) -> Path:
        """Where temporary files go."""
        return self.path.parent

    def sink(self, source: Files, kept: Sequence[int]) -> Output:
        return Output(source, self, partial(source.middles, kept))

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *exception: object) -> None:
        self._abandon()
        with suppress(OSError):  # what could not be written is not wanted any more
            self._file.close()
        self._partial.unlink(missing_ok=True)

    def writer(self) -> Writer:
        """Begin, or begin again."""
        self._abandon()
        self._file.seek(0)
        self._file.truncate()
        self._writer = WRITERS[self.path.suffix.lower()](self._file, self._tensors)
        return self._writer

    def complete(self) -> None:
        """Everything is on disk before the name is given."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def publish(self) -> None:
        """Give the file its name, for good before anybody is told."""
        renamed(self._partial, self.path)

    def _abandon(self) -> None:
        if self._writer is not None:
            with suppress(Exception):  # a half-written archive cannot be closed in order
                self._writer.close()


def renamed(old: Path, new: Path) -> None:
    """Give what is on disk its name, for good."""
    os.replace(old, new)
    folder = os.open(new.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class Output:
    """Takes the pieces of the result in the order of the cuts; `middles` gives those of an integer tensor."""

    def __init__(self, source: Files, target: Target, middles: Callable[[int], Iterator[Array]]) -> None:
        self._source, self._target, self._middles = source, target, middles
        self._writer = target.writer()
        self._pieces = (piece for cut in source.cuts() for piece in cut.tolist())

    def add(self, piece: Array) -> None:
        if piece.size:
            k, start, _ = next(self._pieces)
            if start == 0:
                self._writer.begin(k)
            self._writer.write(kernels.active().narrow(piece, self._source.tensors[k].storage))

    def result(self) -> Path:
        """Add what no piece has brought."""
        for k, tensor in enumerate(self._source.tensors):
            if tensor.size == 0 or not tensor.counts:
                self._writer.begin(k)
                for values in self._middles(k):
                    self._writer.write(values)
        self._writer.close()
        self._target.complete()
        return self._target.path

    def publish(self) -> None:
        self._target.publish()
