"""Infinities and NaN that the clients share: masks and buffers that nobody uses are nobody's fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustagg import kernels
from robustagg.kernels.interface import Array, Rows
from robustagg.memory.vectors import Memory, Vector
from robustagg.protocol import Client, Notes, Sink, Source


class Found(NamedTuple):
    """What a pass over rows with NaN or infinities has found."""

    guilty: NDArray[np.bool_]
    """(rows,) who holds one that is not shared."""
    shared: bool
    """Whether something is."""


def inspect(source: Source, kept: Sequence[int], references: int) -> Found:
    """Whose fault a NaN or an infinity is.

    At a place where more than half of the clients, and at least two, hold the same bits of a NaN or an infinity, the
    others are the odd ones; anywhere else, whoever holds one is. Clients without any number are odd first of all: what
    they share with others counts only once they are out. A reference may hold anything where the clients share.
    """
    m = len(kept)
    empty, guilty, shared = np.ones(m, np.bool_), np.zeros(m + references, np.bool_), False
    for rows in source.blocks(kept):
        whole = kernels.active().finite(rows)
        rows = rows if whole.all() else kernels.active().home(rows)
        places, held = _held(rows[:m]) if not whole[:m].all() else (np.empty(0, np.intp), np.empty(0))
        shared |= bool(places.size)
        for i, row in enumerate(rows):
            if whole[i] and not (places.size and i < m):
                empty[i : i + 1] &= not row.size
                continue
            bad = ~_finite(row)
            if i < m:
                empty[i] &= bad.all()
                bad[places] = _bits(row)[places] != held
            else:
                bad[places] = False
            guilty[i] |= bad.any()
    if shared and empty.any():
        guilty[:m] = empty
        return Found(guilty, False)
    return Found(guilty, shared)


def _held(rows: Rows) -> tuple[NDArray[np.intp], Array]:
    """Where more than half of the rows share a NaN or an infinity, and its bits."""
    need = max(len(rows) // 2 + 1, 2)
    often = sum((~_finite(row)).astype(np.int32) for row in rows)
    places = np.flatnonzero(often >= need)
    if not places.size:
        return places, np.empty(0)
    columns = np.sort(np.stack([_bits(row)[places] for row in rows]), axis=0)
    middle = columns[len(rows) // 2]  # what more than half hold is in the middle
    agree = ((columns == middle).sum(axis=0) >= need) & ~_finite(middle.view(rows[0].dtype))
    return places[agree], middle[agree]


def _bits(row: Array) -> Array:
    return row.view(f"u{row.itemsize}")


def _finite(row: Array) -> NDArray[np.bool_]:
    """Where a row of any dtype of rows is finite."""
    return (row & 0x7F80) != 0x7F80 if row.dtype == np.uint16 else np.isfinite(row)


class Masked:
    """A source in which the places that all clients share hold zeros; its result has there what they share."""

    def __init__(self, source: Source, kept: Sequence[int]) -> None:
        self._source, self._m = source, len(kept)
        self.clients, self.d, self.spans, self.excluded = source.clients, source.d, source.spans, source.excluded
        self._places: NDArray[np.intp] = np.empty(0, np.intp)
        self._values: Array = np.empty(0)

    def blocks(self, kept: Sequence[int]) -> Iterator[Rows]:
        for rows in map(kernels.active().home, self._source.blocks(kept)):
            odd = np.flatnonzero(~_finite(rows[0]))
            if odd.size:
                first = _bits(rows[0])[odd]
                odd = odd[np.all([_bits(row)[odd] == first for row in rows[: self._m]], axis=0)]
            self._places, self._values = odd, rows[0][odd].copy()
            if odd.size:
                rows = [row.copy() for row in rows]
                for row in rows:
                    row[odd] = 0
            yield rows

    def with_references(self, trees: Mapping[str, Any]) -> Source:
        return Masked(self._source.with_references(trees), range(self._m))

    def notes(self) -> Notes:
        return self._source.notes()

    def memory(self, old: Mapping[Client, Vector], names: Sequence[Client]) -> Memory:
        return self._source.memory(old, names)

    def sink(self, kept: Sequence[int]) -> Sink:
        return Restoring(self._source.sink(kept), self)

    def restored(self, piece: Array) -> Array:
        """The result of the block that was given out last, with what the clients share."""
        if not self._places.size:
            return piece
        values = self._values
        if values.dtype == np.uint16 and piece.dtype != np.uint16:
            values = (values.astype(np.uint32) << 16).view(np.float32)
        piece = piece.copy()
        piece[..., self._places] = values
        return piece


class Restoring:
    """A sink of such a source."""

    def __init__(self, sink: Sink, source: Masked) -> None:
        self._sink, self._source = sink, source

    def add(self, piece: Array) -> None:
        self._sink.add(self._source.restored(piece))

    def result(self) -> Any:
        return self._sink.result()

    def publish(self) -> None:
        self._sink.publish()
