"""Clients' files as a source of blocks."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from robustagg import errors, inputs
from robustagg.files.budget import Budget
from robustagg.files.layout import Cut, Destination, Layout, pieces_of
from robustagg.files.notes import SpilledNotes
from robustagg.files.progress import Progress
from robustagg.files.readers import Reader
from robustagg.files.seals import Seals
from robustagg.files.survey import Entrants, ModelFile, Survey
from robustagg.files.tensors import Tensor
from robustagg.kernels.interface import Array, Rows
from robustagg.memory.vectors import Disk, Memory, OnDisk, Vector
from robustagg.protocol import Client, Sink, Span

MIDDLES = 8  # integers are read this many times narrower than the rest: they are sorted in wider copies


class Files:
    """All clients' updates on disk. Closes its temporary file on leaving a ``with`` block."""

    def __init__(
        self, entrants: Entrants, found: Survey, budget: Budget, destination: Destination, progress: Progress
    ) -> None:
        self._entrants, self._found, self._budget = entrants, found, budget
        self._destination, self._progress = destination, progress
        self._layout = Layout(found.model, budget.width, budget.turning)
        self._notes: SpilledNotes | None = None
        self._references: list[list[Array] | ModelFile] = []
        self._seals = Seals() if progress.passes > 1 else None
        self._buffer = self._made_buffer()

    def __enter__(self) -> Files:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close_notes()

    # --- what the engine calls ---

    @property
    def clients(self) -> tuple[Client, ...]:
        return self._entrants.clients

    @property
    def d(self) -> int:
        return self._layout.d

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._layout.dtype

    @property
    def spans(self) -> tuple[Span, ...]:
        return self._layout.spans

    @property
    def excluded(self) -> Mapping[int, str]:
        return self._found.excluded | self._disagreeing()

    def blocks(self, kept: Sequence[int]) -> Iterator[Rows]:
        readers = self._readers(kept)
        references = [
            self._values(Reader(r.files, self._tensors, r.places)) if isinstance(r, ModelFile) else self._joined(r)
            for r in self._references
        ]
        self._progress.begin_pass(len(kept))
        if self._seals is not None:
            self._seals.begin(kept)
        for cut in self._cuts():
            rows = self._read(readers, cut)
            if self._seals is not None:
                self._seals.add(rows)
            yield [*rows, *(values(cut) for values in references)]
        if self._seals is not None and (changed := self._seals.changed()):
            fault = errors.file_changed()
            raise errors.Unusable({i: why for k in changed for i, why in self._entrants.refused(k, fault).items()})
        if not self.d:  # a model without coordinates is still a block
            yield [np.empty(0, np.float32)] * (len(kept) + len(self._references))

    def with_references(self, trees: Mapping[str, Any]) -> Files:
        """The source with further rows in every block, one of each named tree."""
        leaves = [
            inputs.Leaf((t.name,), [], t.shape, t.dtype, t.storage, lambda flat: flat, None if t.votes else "median")
            for t in self._tensors
        ]
        source = copy.copy(self)
        source._references = [
            tree
            if isinstance(tree, ModelFile)
            else [np.ascontiguousarray(row) for row in inputs.matched(leaves, name, tree, self.clients[0])]
            for name, tree in trees.items()
        ]
        return source

    def notes(self) -> SpilledNotes:
        self._close_notes()
        self._notes = SpilledNotes(self._budget.notes, self._destination.folder)
        return self._notes

    def sink(self, kept: Sequence[int]) -> Sink:
        return self._destination.sink(self._layout, kept, partial(self._middles, kept))

    def memory(self, old: Mapping[Client, Vector], names: Sequence[Client]) -> Memory:
        return OnDisk(old, names, self.d, self._layout.dtype, Disk.nameless(self._destination.folder))

    # --- reading ---

    def _made_buffer(self) -> Array:
        widest = max((tensor.storage.itemsize for tensor in self._tensors if tensor.votes), default=1)
        return np.empty((len(self._found.files), self._budget.width * widest), np.uint8)

    def _cuts(self) -> Iterator[Cut]:
        """How blocks are cut."""
        return self._layout.cuts()

    @property
    def _tensors(self) -> tuple[Tensor, ...]:
        return self._layout.tensors

    def _middles(self, kept: Sequence[int], k: int) -> Iterator[Array]:
        """What the result holds of tensor k, which does not vote, piece by piece."""
        tensor, readers = self._tensors[k], self._readers(kept)
        action = tensor.action or "median"
        for cut in pieces_of(tensor, k, self._budget.width // MIDDLES):
            rows = inputs.numbers(self._read(readers, cut), tensor.dtype)
            yield inputs.stored(_agreed(rows) if action == "equal" else inputs.reduced(action, rows), tensor.dtype)

    def _disagreeing(self) -> dict[int, str]:
        """Who holds another value than most of a tensor that must be equal."""
        excluded: dict[int, str] = {}
        for k, tensor in enumerate(self._tensors):
            if tensor.action == "equal":
                kept = [i for i in sorted(self._found.files) if i not in excluded and i not in self._found.excluded]
                excluded |= self._differing(kept, k)
        return excluded

    def _differing(self, kept: list[int], k: int) -> dict[int, str]:
        tensor, digests = self._tensors[k], {i: hashlib.sha256() for i in kept}
        unread: dict[int, str] = {}
        try:
            readers = self._readers(kept)
            for cut in pieces_of(tensor, k, self._budget.width // MIDDLES):
                for digest, row in zip(digests.values(), self._read(readers, cut), strict=True):
                    digest.update(inputs.comparable(row, tensor.dtype).tobytes())
        except errors.Unusable as fault:
            unread = dict(fault.reasons)
            rest = [i for i in kept if i not in unread]
            return unread | (self._differing(rest, k) if rest else {})
        odd, usual = inputs.odd_ones({i: digest.digest() for i, digest in digests.items()})
        if odd and usual is None:
            raise errors.may_be_weights(self.clients[kept[0]], (tensor.name,), tensor.dtype, tensor.shape)
        return {j: why for i in odd for j, why in self._entrants.refused(i, errors.other_values(tensor.name)).items()}

    def _joined(self, rows: Sequence[Array]) -> Callable[[Cut], Array]:
        """What gives the values of a cut from memory."""
        return lambda cut: np.concatenate([rows[k][start:stop] for k, start, stop in cut.tolist()])

    def _values(self, reader: Reader) -> Callable[[Cut], Array]:
        """What gives the values of a cut from a file of the model, which is read front to back."""

        def values(cut: Cut) -> Array:
            row = np.empty((cut[:, 2] - cut[:, 1]).sum(), self._tensors[cut[0, 0]].storage)
            try:
                reader.read(cut, row)
            except errors.Unreadable as fault:
                raise errors.unusable_reference(self._entrants.reference, fault) from None
            return row

        return values

    def _readers(self, kept: Sequence[int]) -> dict[int, Reader]:
        return {i: Reader(self._found.files[i], self._tensors, self._found.places[i]) for i in kept}

    def _read(self, readers: Mapping[int, Reader], cut: Cut) -> Array:
        """One row per reader, valid until the next call."""
        storage = self._tensors[cut[0, 0]].storage
        nbytes = int((cut[:, 2] - cut[:, 1]).sum()) * storage.itemsize
        rows: Array = self._buffer[: len(readers), :nbytes].view(storage)
        for row, (i, reader) in zip(rows, readers.items(), strict=True):
            try:
                reader.read(cut, row)
            except errors.Unreadable as fault:
                raise errors.Unusable(self._entrants.refused(i, fault)) from None
        self._progress.add(rows.nbytes)
        return rows

    def _close_notes(self) -> None:
        if self._notes is not None:
            self._notes.close()


def _agreed(rows: Array) -> Array:
    """The first row of equal ones; where somebody's bytes have changed since, what most have."""
    first, middle = rows[0], inputs.reduced("median", rows)
    return np.where((first == middle) | ((first != first) & (middle != middle)), first, middle)
