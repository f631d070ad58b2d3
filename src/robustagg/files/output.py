"""The result, written block by block to a file that appears whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from robustagg import errors, inputs
from robustagg.files import npy, safetensors
from robustagg.files.layout import Layout, Middles, turned
from robustagg.files.storage import Scratch
from robustagg.files.tensors import Model
from robustagg.kernels.interface import Array
from robustagg.memory.publish import Draft


class Writer(Protocol):
    """Writes tensors in any order, each in one go."""

    keeps_order: bool
    """Whether the format knows Fortran order."""

    def begin(self, k: int) -> None:
        """Tensor k comes next."""

    def write(self, values: Array) -> None: ...

    def close(self) -> None:
        """All tensors are written. To close again does nothing."""


WRITERS: dict[str, Callable[[BinaryIO, Model], Writer]] = {
    ".safetensors": safetensors.Writer,
    ".npz": npy.ArchiveWriter,
    ".npy": npy.Writer,
}


def check(path: Path, sent: Sequence[str]) -> None:
    """Whether a result can be written there at all; raises if not."""
    if path.suffix.lower() not in WRITERS:
        raise errors.unknown_output(path, WRITERS)
    if not path.parent.is_dir():
        raise errors.no_folder(path.parent)
    if path.is_dir():
        raise errors.output_is_folder(path)
    if overwritten(path, sent):
        raise errors.output_is_input(path)


def overwritten(path: Path, others: Sequence[str]) -> bool:
    """Whether to write there would change one of the others, by whatever name."""
    resolved = path.absolute().resolve()
    for other in others:
        with suppress(OSError, ValueError, RuntimeError):  # what cannot be looked at is another
            there = Path(other).absolute().resolve()
            if there == resolved or there in resolved.parents or (path.exists() and path.samefile(there)):
                return True
    return False


def check_model(path: object, suffix: str, model: Model) -> None:
    """Whether the format knows such a model; raises if not."""
    if suffix.lower() == ".npy" and len(model.tensors) != 1:
        raise errors.single_tensor_only(path, len(model.tensors))
    if suffix.lower() == ".safetensors" and any(tensor.name == safetensors.METADATA for tensor in model.tensors):
        raise errors.reserved_name(path, safetensors.METADATA)


class Output:
    """Takes the pieces of one update in the order of the cuts; those of integer tensors are the middles."""

    def __init__(self, file: BinaryIO, suffix: str, layout: Layout, middles: Middles, folder: Path) -> None:
        self._writer = WRITERS[suffix.lower()](file, layout.model)
        self._layout, self._middles = layout, middles
        self._cuts = layout.cuts()
        self._scratch = Scratch(folder)
        self._aside: dict[int, int] = {}  # where tensors in Fortran order begin in it

    def add(self, piece: Array) -> None:
        if not piece.size:
            return
        cut, at = next(self._cuts).tolist(), 0
        values = inputs.narrowed(piece, self._layout.tensors[cut[0][0]].storage)
        for k, start, stop in cut:
            self._put(k, start, values[at : at + stop - start])
            at += stop - start

    def finish(self) -> None:
        """Add what no piece has brought."""
        for k, tensor in enumerate(self._layout.tensors):
            if tensor.size == 0:
                self._writer.begin(k)
            elif not tensor.votes:
                at = 0
                for values in self._middles(k):
                    self._put(k, at, values)
                    at += values.size
        for k, begin in self._aside.items():
            tensor = self._layout.tensors[k]
            self._writer.begin(k)
            vector = self._scratch.vector(begin, tensor.storage)
            for values in turned(vector, tensor.shape, self._layout.limit):
                self._writer.write(values)
        self._writer.close()

    def abandon(self) -> None:
        with suppress(Exception):  # a half-written archive cannot be closed in order
            self._writer.close()

    def _put(self, k: int, start: int, values: Array) -> None:
        """The next values of tensor k; one in Fortran order has to be whole before it is written."""
        if self._layout.tensors[k].fortran and self._writer.keeps_order:
            if start == 0:
                self._aside[k] = self._scratch.end
            self._scratch.append(np.ascontiguousarray(values))
            return
        if start == 0:
            self._writer.begin(k)
        self._writer.write(values)


class Target:
    """A file under a name of its own until it is complete; left without that, it is deleted."""

    def __init__(self, path: Path, model: Model) -> None:
        check_model(path, path.suffix, model)
        self._path, self._draft = path, Draft(path)
        self._file = self._draft.open()
        self._output: Output | None = None

    @property
    def folder(self) -> Path:
        """Where temporary files go."""
        return self._path.absolute().parent

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._output is not None:
            self._output.abandon()
        self._output = None  # it knows the source, which knows us: memory goes now, not when a cycle is found
        with suppress(OSError):  # what could not be written is not wanted any more
            self._file.close()
        self._draft.__exit__()

    def sink(self, layout: Layout, kept: Sequence[int], middles: Middles) -> Target:
        """Begin, or begin again."""
        if self._output is not None:
            self._output.abandon()
        self._file.seek(0)
        self._file.truncate()
        self._output = Output(self._file, self._path.suffix, layout, middles, self.folder)
        return self

    def add(self, piece: Array) -> None:
        assert self._output is not None
        self._output.add(piece)

    def result(self) -> Path:
        assert self._output is not None
        self._output.finish()
        self._file.flush()
        return self._path

    def publish(self) -> None:
        self._draft.publish()
