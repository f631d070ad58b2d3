"""How a model is cut into blocks, and what its blocks' source and sinks have to know of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from robustagg.files.tensors import Model, Tensor
from robustagg.inputs import blocks
from robustagg.kernels.interface import Array
from robustagg.memory.vectors import Vector
from robustagg.protocol import Sink, Span, spans

Cut: TypeAlias = NDArray[np.int64]
"""(m, 3): values start ... stop - 1 of tensor k, for m pieces of one dtype that are read together."""

Middles: TypeAlias = Callable[[int], Iterator[Array]]
"""What the result holds of tensor k, which does not vote, piece by piece."""


def cuts(tensors: Sequence[Tensor], width: int) -> Iterator[Cut]:
    """The pieces of the tensors that vote, block by block."""
    for run in blocks.runs([tensor.storage if tensor.votes else None for tensor in tensors]):
        for pieces in blocks.cuts([(k, tensors[k].size) for k in run], width):
            yield np.array(pieces, np.int64)


def pieces_of(tensor: Tensor, k: int, width: int) -> Iterator[Cut]:
    """One tensor, by itself."""
    for start in range(0, tensor.size, width):
        yield np.array([(k, start, min(start + width, tensor.size))], np.int64)


@dataclass(frozen=True)
class Layout:
    """A model, and how wide its blocks are."""

    model: Model
    width: int
    """Coordinates that are read at a time: a multiple of GRAM_TILE."""
    limit: int
    """Bytes that may be held to bring a tensor into another order."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.model.tensors

    @property
    def d(self) -> int:
        return sum(tensor.size for tensor in self.tensors if tensor.votes)

    @property
    def spans(self) -> tuple[Span, ...]:
        return spans((tensor.name, tensor.shape) for tensor in self.tensors if tensor.votes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What holds a coordinate of any tensor."""
        double = any(tensor.dtype == "float64" for tensor in self.tensors if tensor.votes)
        return np.dtype(np.float64 if double else np.float32)

    def cuts(self) -> Iterator[Cut]:
        """The pieces of tensors that blocks are made of, in their order."""
        return cuts(self.tensors, self.width)


class Destination(Protocol):
    """Where the result of a round over files goes."""

    @property
    def folder(self) -> Path:
        """Where temporary files go."""

    def sink(self, layout: Layout, kept: Sequence[int], middles: Middles) -> Sink: ...


def turned(vector: Vector, shape: tuple[int, ...], limit: int) -> Iterator[Array]:
    """The values of an array, given in C order, in Fortran order; given those of the reversed shape, in C order.

    Holds about `limit` bytes, or one index of the last axis if that is more, twice.
    """
    *leading, last = shape
    rows = math.prod(leading)
    group = min(max(1, limit // (rows * vector.dtype.itemsize)), last) if rows else 1
    for start in range(0, last, group):
        stop = min(start + group, last)
        if stop - start == last:
            part = vector[: rows * last]
        else:
            part = np.empty((rows, stop - start), vector.dtype)
            for row in range(rows):
                part[row] = vector[row * last + start : row * last + stop]
        yield np.ascontiguousarray(part.reshape(*leading, stop - start).T).reshape(-1)
