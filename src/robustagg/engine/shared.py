"""Infinities and NaN that the clients share: masks and buffers that nobody uses are nobody's fault."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robustagg import kernels
from robustagg.kernels.interface import Array, Rows
from robustagg.memory.vectors import Memory, Vector
from robustagg.protocol import Block, Client, Divisible, Notes, Partition, Sink, Source

STRETCH = 2**26  # bytes of rows that are looked at together


@dataclass(frozen=True)
class Found:
    """What was found of NaN and infinities in some blocks; adds up."""

    bad: NDArray[np.bool_]
    """(rows,) who holds one that is not shared."""
    empty: NDArray[np.bool_]
    """(clients,) who holds nothing else."""
    shared: bool
    """Whether something is."""

    def __add__(self, other: Found) -> Found:
        return Found(self.bad | other.bad, self.empty & other.empty, self.shared or other.shared)

    @property
    def clean(self) -> bool:
        """Whether there are none."""
        return not (self.shared or self.bad.any())

    @property
    def guilty(self) -> NDArray[np.bool_]:
        """(rows,) whose fault they are. Clients without any number are odd first of all: what they share with others
        counts only once they are out.
        """
        if not (self.shared and self.empty.any()):
            return self.bad
        return np.concatenate([self.empty, self.bad[len(self.empty) :]])


class Look:
    """Whose fault a NaN or an infinity is, block by block.

    At a place where more than half of the m clients, and at least two, hold the same bits of a NaN or an infinity, the
    others are the odd ones; anywhere else, whoever holds one is. A reference, a row after the clients', may hold
    anything where the clients share.
    """

    def __init__(self, m: int, references: int) -> None:
        self._m = m
        self.found = Found(np.zeros(m + references, np.bool_), np.ones(m, np.bool_), False)

    def through(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The blocks before the first NaN; all are looked at."""
        for block in blocks:
            self.add(block.rows)
            if self.found.clean:
                yield block

    def add(self, rows: Rows) -> None:
        """The next block."""
        m, found = self._m, self.found
        odd = ~kernels.active().finite(rows)
        empty = found.empty & (odd[:m] | (not rows[0].size))
        if odd[:m].sum() >= _most(m):
            self._look(rows, odd, empty)
            return
        for i in np.flatnonzero(empty & odd[:m]).tolist():
            empty[i] = not any(_finite(row).any() for (row,) in _at_home([rows[i]]))
        self.found = Found(found.bad | odd, empty, found.shared)

    def _look(self, rows: Rows, odd: NDArray[np.bool_], empty: NDArray[np.bool_]) -> None:
        """At a block in which clients may share what is not finite; `odd` rows hold some of that."""
        m, bad, shared = self._m, self.found.bad.copy(), self.found.shared
        for part in _at_home(rows):
            places, held = _held(part[:m])
            shared = shared or bool(places.size)
            for i, row in enumerate(part):
                if not (odd[i] or (places.size and i < m)):
                    continue
                own = ~_finite(row)
                if i < m:
                    empty[i] &= own.all()
                    own[places] = _bits(row)[places] != held
                else:
                    own[places] = False
                bad[i] |= own.any()
        self.found = Found(bad, empty, shared)


def inspect(source: Source, kept: Sequence[int], references: int) -> Found:
    """A pass that looks for whose fault a NaN or an infinity is."""
    look = Look(len(kept), references)
    for rows in source.blocks(kept):
        look.add(rows)
    return look.found


def _at_home(rows: Rows) -> Iterator[Rows]:
    """Stretches of rows at the host, one after the other: what is elsewhere may be more than there is room for."""
    kernel, size = kernels.active(), rows[0].size
    step = max(STRETCH // (len(rows) * rows[0].dtype.itemsize), 1)
    for start in range(0, size, step):
        yield kernel.home(kernel.window(rows, start, start + step))


def _most(m: int) -> int:
    """How many of m clients must hold the same."""
    return max(m // 2 + 1, 2)


def _held(rows: Rows) -> tuple[NDArray[np.intp], Array]:
    """Where more than half of the rows share a NaN or an infinity, and its bits."""
    need = _most(len(rows))
    often = sum((~_finite(row)).astype(np.int32) for row in rows)
    places = np.flatnonzero(often >= need)
    if not places.size:
        return places, np.empty(0)
    columns = np.sort(np.stack([_bits(row)[places] for row in rows]), axis=0)
    middle = columns[len(rows) // 2]  # what more than half hold is in the middle
    agree = ((columns == middle).sum(axis=0) >= need) & ~_finite(middle.view(rows[0].dtype))
    return places[agree], middle[agree]


def _shared(rows: Rows) -> tuple[NDArray[np.intp], Array]:
    """Where all rows hold the same bits of a NaN or an infinity, and what the first holds there."""
    kernel = kernels.active()
    if kernel.finite(rows[:1]).all():
        return np.empty(0, np.intp), np.empty(0, rows[0].dtype)
    finite = [_finite(row) for (row,) in _at_home(rows[:1])]
    odd = np.flatnonzero(~np.concatenate(finite))
    held = kernel.home(kernel.take(rows, odd))
    same = np.all([_bits(values) == _bits(held[0]) for values in held], axis=0)
    return odd[same], held[0][same]


def _bits(row: Array) -> Array:
    return row.view(f"u{row.itemsize}")


def _finite(row: Array) -> NDArray[np.bool_]:
    """Where a row of any dtype of rows is finite."""
    return (row & 0x7F80) != 0x7F80 if row.dtype == np.uint16 else np.isfinite(row)


class Masked:
    """A source in which the places that all clients share hold zeros; its result has there what they share."""

    def __init__(self, source: Source, kept: Sequence[int]) -> None:
        self._source, self._m = source, len(kept)
        self.clients, self.d, self.excluded = source.clients, source.d, source.excluded
        self.dtype, self.spans = source.dtype, source.spans
        self._places: NDArray[np.intp] = np.empty(0, np.intp)
        self._values: Array = np.empty(0)

    def blocks(self, kept: Sequence[int]) -> Iterator[Rows]:
        put = kernels.active().put
        for rows in self._source.blocks(kept):
            self._places, self._values = _shared(rows[: self._m])
            if self._places.size:
                rows = [put(row, self._places, np.zeros_like(self._values)) for row in rows]
            yield rows

    def with_references(self, trees: Mapping[str, Any]) -> Source:
        return Masked(self._source.with_references(trees), range(self._m))

    def notes(self) -> Notes:
        return self._source.notes()

    def memory(self, old: Mapping[Client, Vector], names: Sequence[Client]) -> Memory:
        return self._source.memory(old, names)

    def sink(self, kept: Sequence[int]) -> Sink:
        return Restoring(self._source.sink(kept), self)

    def partitions(self, slots: int) -> list[Partition]:
        return cast(Divisible, self._source).partitions(slots)

    def part(self, partition: Partition) -> Source:
        part = copy.copy(self)
        part._source = cast(Divisible, self._source).part(partition)
        return part

    def shared(self, vectors: Mapping[Client, Vector]) -> Mapping[Client, Vector]:
        return cast(Divisible, self._source).shared(vectors)

    def joined(self, made: Sequence[Any]) -> None:
        cast(Divisible, self._source).joined(made)

    def restored(self, piece: Array) -> Array:
        """The result of the block that was given out last, with what the clients share."""
        if not self._places.size:
            return piece
        kernel = kernels.active()
        values = self._values if piece.dtype == self._values.dtype else kernel.widen(self._values)
        return kernel.put(piece, self._places, values)


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
