"""Tensors as rows: the values in C order, whatever the order in memory, and results back in that order."""

from __future__ import annotations

import math
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

import numpy as np

from robustagg.kernels.interface import Array


class Strided:
    """A tensor in another order than C's as a row: a slice is a copy, the whole is never made."""

    def __init__(self, values: Array) -> None:
        self._values = values
        self.size, self.dtype, self.flags = values.size, values.dtype, values.flags

    def __getitem__(self, part: slice) -> Array:
        start, stop, _ = part.indices(self.size)
        values = np.empty(max(stop - start, 0), self.dtype)
        _copy(self._values, start, stop, values)
        return values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self[:] if dtype is None else self[:].astype(dtype)


def _copy(values: Array, start: int, stop: int, out: Array) -> None:
    """Values start ... stop - 1, in C order."""
    if start >= stop:
        return
    if values.ndim == 1:
        out[:] = values[start:stop]
        return
    inner = math.prod(values.shape[1:])
    first, last = -(-start // inner), stop // inner  # indices that are taken whole
    if first > last:
        _copy(values[last], start - last * inner, stop - last * inner, out)
        return
    head, tail = first * inner - start, last * inner - start
    if head:
        _copy(values[first - 1], inner - head, inner, out[:head])
    out[head:tail].reshape(values[first:last].shape)[...] = values[first:last]
    if tail < stop - start:
        _copy(values[last], 0, stop - last * inner, out[tail:])


def flattened(values: Array) -> Any:
    """A tensor as a row: a view of it, or, where there is none, what copies the slices that are asked for."""
    return values.reshape(-1) if values.ndim < 2 or values.flags.c_contiguous else Strided(values)


def are_contiguous(rows: Iterable[Any]) -> bool:
    """Whether a kernel may read the rows as they are."""
    return all(map(attrgetter("flags.c_contiguous"), rows))


def order_of(values: Array) -> tuple[int, ...] | None:
    """The axes from the slowest to the fastest; None: as in C."""
    if values.ndim < 2 or values.flags.c_contiguous:
        return None
    order = tuple(sorted(range(values.ndim), key=lambda axis: -abs(values.strides[axis])))
    return None if order == tuple(range(values.ndim)) else order


def laid_out(values: Array, order: tuple[int, ...] | None) -> Array:
    """The same values with their axes in another order in memory."""
    return values if order is None else np.ascontiguousarray(values.transpose(order)).transpose(np.argsort(order))
