"""Whole parameters as differences from a reference: rules see these, and the result is whole again."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from robustagg import errors, kernels
from robustagg.inputs.devices import on_device
from robustagg.kernels.interface import GRAM_TILE, Array, Rows
from robustagg.memory.vectors import Memory, Vector
from robustagg.protocol import Client, Divisible, Notes, Partition, Sink, Source, Span

REFERENCE = "reference"
CHUNK = 2**25  # bytes of differences that are there at a time, or a tile if that is more
THERE = 2**30  # of those on a device, where a piece takes a launch for each client


class Relative:
    """A source of differences, block by block; of halves in float32, of others in their own dtype.

    Where the reference holds a NaN or an infinity, most clients must hold the same: that is no difference.
    """

    def __init__(self, source: Source, reference: Any, others: Mapping[str, Any] | None = None) -> None:
        self._plain, self._reference = source, reference
        self._source = source.with_references({REFERENCE: reference, **(others or {})})
        self.left = 0
        """Coordinates that the source's block has after the piece that was given out last."""
        self.piece: Array = np.empty(0)
        """The reference there."""

    def __getstate__(self) -> dict[str, Any]:
        """What a worker needs: the source has the rows of the reference."""
        return {**self.__dict__, "_plain": None, "_reference": None}

    @property
    def clients(self) -> tuple[Client, ...]:
        return self._source.clients

    @property
    def d(self) -> int:
        return self._source.d

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._source.dtype

    @property
    def spans(self) -> tuple[Span, ...]:
        return self._source.spans

    @property
    def excluded(self) -> Mapping[int, str]:
        return self._source.excluded

    def blocks(self, kept: Sequence[int]) -> Iterator[Rows]:
        m, widen = len(kept), kernels.active().widen
        buffer = np.empty((m, 0))
        for rows in self._source.blocks(kept):
            none, size, there = widen(rows[0][:0]), rows[0].size, on_device(rows[0])
            most = (THERE if there else CHUNK) // (m * none.itemsize)
            width = min(size, max(most // GRAM_TILE, 1) * GRAM_TILE)
            if buffer.dtype != none.dtype or buffer.shape[1] < width or on_device(buffer) != there:
                buffer = np.empty_like(none, shape=(m, width))
            for start in range(0, max(size, 1), max(width, 1)):
                part = [row[start : start + width] for row in rows]
                self.piece, self.left = widen(part[m]), size - start - part[m].size
                yield [*self._differences(part[:m], buffer[:, : self.piece.size]), *map(widen, part[m + 1 :])]

    def _differences(self, rows: Rows, out: Array) -> Rows:
        kernel = kernels.active()
        for row, difference in zip(rows, out, strict=True):
            np.subtract(kernel.widen(row), self.piece, out=difference)
        odd = np.flatnonzero(~np.isfinite(self.piece))
        if odd.size:
            shared = np.stack([_bits(kernel.widen(row[odd])) == _bits(self.piece[odd]) for row in rows])
            if (shared.sum(axis=0) * 2 <= len(rows)).any():
                raise errors.non_finite_reference(REFERENCE)
            out[:, odd] = np.where(shared, 0, np.nan)
        return kernel.split(out)

    def with_references(self, trees: Mapping[str, Any]) -> Relative:
        """The source with further rows in every block, which are differences already."""
        return Relative(self._plain, self._reference, trees)

    def partitions(self, slots: int) -> list[Partition]:
        return cast(Divisible, self._source).partitions(slots)

    def part(self, partition: Partition) -> Relative:
        part = copy.copy(self)
        part._source = cast(Divisible, self._source).part(partition)
        return part

    def shared(self, vectors: Mapping[Client, Vector]) -> Mapping[Client, Vector]:
        return cast(Divisible, self._source).shared(vectors)

    def joined(self, made: Sequence[Any]) -> None:
        cast(Divisible, self._source).joined(made)

    def notes(self) -> Notes:
        return self._source.notes()

    def sink(self, kept: Sequence[int]) -> Whole:
        return Whole(self._source.sink(kept), self)

    def memory(self, old: Mapping[Client, Vector], names: Sequence[Client]) -> Memory:
        return self._source.memory(old, names)


class Whole:
    """A sink of such a source: adds the reference back."""

    def __init__(self, sink: Sink, source: Relative) -> None:
        self._sink, self._source = sink, source
        self._pieces: list[Array] = []

    def add(self, piece: Array) -> None:
        self._pieces.append(piece + self._source.piece)
        if not self._source.left:
            pieces, self._pieces = self._pieces, []
            self._sink.add(kernels.active().join(pieces))

    def result(self) -> Any:
        return self._sink.result()

    def publish(self) -> None:
        self._sink.publish()


def _bits(values: Array) -> Array:
    return values.view(f"u{values.itemsize}")
