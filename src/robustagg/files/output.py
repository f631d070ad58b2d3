"""The result, written block by block to a file that appears whole or not at all."""

from __future__ import annotations

import os
import secrets
import weakref
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from robustagg import errors, inputs
from robustagg.files import safetensors, shards
from robustagg.files.layout import Cut, Layout, Middles, turned
from robustagg.files.loose import Loose
from robustagg.files.storage import Scratch
from robustagg.files.tensors import Model
from robustagg.files.writers import WRITERS, Writer, needs_loose
from robustagg.kernels.interface import Array
from robustagg.memory.publish import Draft
from robustagg.memory.vectors import TOGETHER, Disk


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
    resolved, place = Path(os.path.realpath(path)), _placed(path)
    for other in others:
        with suppress(OSError, ValueError, RuntimeError):  # what cannot be looked at is another
            there = Path(other).absolute().resolve()
            if there == resolved or there in resolved.parents or (path.exists() and path.samefile(there)):
                return True
            if other.endswith(shards.INDEXES) and place in shards.parts(_placed(Path(other))):
                return True
    return False


def _placed(path: Path) -> Path:
    """Where a name stands, whatever it leads to."""
    return Path(os.path.realpath(path.parent)) / path.name


def check_model(path: object, suffix: str, model: Model) -> None:
    """Whether the format knows such a model; raises if not."""
    if suffix.lower() == ".npy" and len(model.tensors) != 1:
        raise errors.single_tensor_only(path, len(model.tensors))
    if suffix.lower() == ".safetensors" and any(tensor.name == safetensors.METADATA for tensor in model.tensors):
        raise errors.reserved_name(path, safetensors.METADATA)


class Pieces:
    """Takes the pieces of one update that are cut so, in their order."""

    def __init__(self, writer: Writer, layout: Layout, cuts: Iterable[Cut]) -> None:
        self._writer, self._layout, self._cuts = writer, layout, iter(cuts)

    def add(self, piece: Array) -> None:
        if not piece.size:
            return
        cut, at = next(self._cuts).tolist(), 0
        values = inputs.narrowed(piece, self._layout.tensors[cut[0][0]].storage)
        for k, start, stop in cut:
            self._put(k, start, values[at : at + stop - start])
            at += stop - start

    def _put(self, k: int, start: int, values: Array) -> None:
        self._writer.write(k, start, values)


class Stretch(Pieces):
    """Takes some pieces of an update, whose file somebody else has begun and will finish."""

    def __init__(self, path: Path, layout: Layout, cuts: Iterable[Cut]) -> None:
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CLOEXEC | TOGETHER), "wb")
        weakref.finalize(self, self._file.close)  # of a partition that comes to nothing
        super().__init__(WRITERS.get(path.suffix.lower(), Loose)(self._file, layout.model), layout, cuts)
        self._held: list[Array] = []
        self._begin = self._end = (0, 0)

    def _put(self, k: int, start: int, values: Array) -> None:
        """Pieces of a tensor that follow each other are one write: each waits for the disk."""
        if self._end != (k, start) or sum(part.nbytes for part in self._held) >= self._layout.limit:
            self._flush()
            self._begin = k, start
        self._held.append(values)
        self._end = k, start + values.size

    def _flush(self) -> None:
        if self._held:
            held, self._held = np.concatenate(self._held), []
            super()._put(*self._begin, held)

    def result(self) -> None:
        """Let other machines see them."""
        self._flush()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def publish(self) -> None:
        """Somebody else does, when all are there."""


class Output(Pieces):
    """Takes all pieces of one update, or leaves them to others; those of integer tensors are the middles."""

    def __init__(self, file: BinaryIO, suffix: str, layout: Layout, middles: Middles, folder: Path) -> None:
        super().__init__(WRITERS[suffix.lower()](file, layout.model), layout, layout.cuts())
        self._writer.begin()
        self._middles = middles
        self._scratch = Scratch(partial(Disk.nameless, folder))
        self._aside: dict[int, int] = {}  # where tensors in Fortran order begin in it

    def take(self, loose: Loose) -> None:
        """What others have brought."""
        for k, start, values in loose.voted(self._layout.limit):
            self._put(k, start, values)

    def finish(self) -> None:
        """Add what no piece has brought."""
        for k, tensor in enumerate(self._layout.tensors):
            if tensor.size == 0:
                self._writer.write(k, 0, np.empty(0, tensor.storage))
            elif not tensor.votes:
                at = 0
                for values in self._middles(k):
                    self._put(k, at, values)
                    at += values.size
        for k, begin in self._aside.items():
            tensor, at = self._layout.tensors[k], 0
            vector = self._scratch.vector(begin, tensor.storage)
            for values in turned(vector, tensor.shape, self._layout.limit):
                self._writer.write(k, at, values)
                at += values.size
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
        super()._put(k, start, values)


class Target:
    """A file under a name of its own until it is complete; left without that, it is deleted.

    Parameters
    ----------
    path : Path
    model : Model
    pieces : bool
        Whether other processes write to it.
    """

    def __init__(self, path: Path, model: Model, pieces: bool = False) -> None:
        check_model(path.name, path.suffix, model)  # the path may be a draft's, which its caller has not named
        self._path, self._model, self._draft = path, model, Draft(path)
        self._pieces, self._loose = pieces, pieces and needs_loose(path.suffix, model)
        self._begun: tuple[Output, BinaryIO] | None = None

    @property
    def folder(self) -> Path:
        """Where temporary files go."""
        return self._path.absolute().parent

    def __enter__(self) -> Target:
        return self

    def __exit__(self, *exception: object) -> None:
        self._abandon()
        self._draft.__exit__()

    def sink(self, layout: Layout, kept: Sequence[int], middles: Middles) -> Target:
        """Begin, or begin again, in a new file: who still writes to an earlier one does no harm."""
        self._abandon()
        self.begun = self._draft.path.with_name(secrets.token_hex(8) + self._path.suffix)
        together = TOGETHER if self._pieces and not self._loose else 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | together
        file = os.fdopen(os.open(self.begun, flags, 0o666), "wb")
        self._begun = Output(file, self._path.suffix, layout, middles, self.folder), file
        if self._loose:
            self.stretches.touch(exist_ok=False)
        return self

    @property
    def stretches(self) -> Path:
        """Where other processes write."""
        return self.begun.with_suffix(Loose.SUFFIX) if self._loose else self.begun

    def add(self, piece: Array) -> None:
        assert self._begun is not None
        self._begun[0].add(piece)

    def result(self) -> Path:
        assert self._begun is not None
        output, file = self._begun
        if self._loose:
            with self.stretches.open("rb") as brought:
                output.take(Loose(brought, self._model))
        output.finish()
        file.flush()
        self.begun.replace(self._draft.path)
        return self._path

    def publish(self) -> None:
        self._draft.publish()

    def _abandon(self) -> None:
        if self._begun is None:
            return
        output, file = self._begun
        self._begun = None  # it knows the source, which knows us: memory goes now, not when a cycle is found
        output.abandon()
        with suppress(OSError):  # what could not be written is not wanted any more
            file.close()
        self.begun.unlink(missing_ok=True)
