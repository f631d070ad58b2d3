"""Rows of tensors like others that were looked at, without a look of their own: the common case, and quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np

from robustagg.inputs.devices import TORCH, current, on_device, shared, torch_kinds
from robustagg.inputs.rows import flattened
from robustagg.inputs.tensors import NATIVE_FLOATS, lent
from robustagg.kernels.interface import Array

INTEGERS = ("bool", "uint8", "int8", "int16", "int32", "int64")
STORAGE = TORCH | {name: np.dtype(name) for name in INTEGERS}
SHAPE, DTYPE = attrgetter("shape"), attrgetter("dtype")

Look: TypeAlias = Callable[[list[Any]], list[Any] | None]
"""The rows of somebody's tensors; None where these are not like the first."""


def _host(tensor: Any, size: int, dtype: np.dtype[Any]) -> Array:
    return lent(tensor.cpu(), dtype).reshape(size)


def alike(first: Sequence[Any], rows: Sequence[Any]) -> Look | None:
    """What takes tensors that are like the first, whose rows are known; None where those are of no common kind."""
    return _arrays(first) or _torch(first, rows)


def _arrays(first: Sequence[Any]) -> Look | None:
    """NumPy's arrays of the same shapes and dtypes."""
    if not all(type(value) is np.ndarray and value.dtype in NATIVE_FLOATS for value in first):
        return None
    shapes, dtypes = list(map(SHAPE, first)), list(map(DTYPE, first))
    flat = all(len(shape) == 1 for shape in shapes)

    def look(values: list[Any]) -> list[Any] | None:
        if any(kind is not np.ndarray for kind in set(map(type, values))):
            return None
        if list(map(SHAPE, values)) != shapes or list(map(DTYPE, values)) != dtypes:
            return None
        return values if flat else list(map(flattened, values))

    return look


def _torch(first: Sequence[Any], rows: Sequence[Any]) -> Look | None:
    """Torch's tensors, contiguous, of the same shapes and dtypes, on devices whose queues the first have waited for."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    kinds, strided = torch_kinds(torch), torch.strided
    if not all(type(tensor) in kinds for tensor in first):
        return None
    names = [str(tensor.dtype).removeprefix("torch.") for tensor in first]
    if not STORAGE.keys() >= set(names) or not all(tensor.device.type in ("cpu", "cuda") for tensor in first):
        return None
    if any(on_device(row) and tensor.device.index != current() for tensor, row in zip(first, rows, strict=True)):
        return None  # its row is a copy
    known = [
        (tensor.dtype, tensor.shape, tensor.device, tensor.numel(), row.dtype, shared if on_device(row) else _host)
        for tensor, row in zip(first, rows, strict=True)
    ]

    def look(tensors: list[Any]) -> list[Any] | None:
        found = []
        for tensor, (dtype, shape, device, size, storage, row_of) in zip(tensors, known, strict=True):
            if type(tensor) not in kinds or tensor.layout is not strided or tensor.is_nested or tensor.dtype != dtype:
                return None
            if tensor.shape != shape or tensor.device != device or not tensor.is_contiguous() or tensor.is_neg():
                return None
            if size and not tensor.data_ptr():
                return None
            found.append(row_of(tensor.detach(), size, storage))  # its owner may give it other memory meanwhile
        return found

    return look
