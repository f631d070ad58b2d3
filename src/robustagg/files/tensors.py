"""What an update file holds, whatever its format."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robustagg import errors
from robustagg.files import float8
from robustagg.inputs.tensors import FLOATING

INTEGERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")

PLAIN, STORED, DEFLATED = range(3)
PLACE = np.dtype(
    [
        ("kind", np.uint8),
        ("swapped", np.bool_),  # not in this machine's byte order
        ("offset", np.int64),  # of the first byte in the file
        ("packed", np.int64),  # bytes in the file, of a zip member
        ("header", np.uint32),  # bytes before the data, in a zip member
        ("checksum", np.uint32),  # of a zip member
        ("file", np.uint32),  # which of the client's files
    ]
)


@dataclass(frozen=True)
class Tensor:
    """A named tensor, without its values."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    fortran: bool = field(default=False, compare=False, repr=False)
    """Whether its file holds it in Fortran order; the vote is on its values in C order, whatever the file."""

    action: str | None = field(default=None, compare=False, repr=False)
    """What the result holds of it if it does not vote; see :class:`robustagg.inputs.Policy`."""

    @property
    def storage(self) -> np.dtype[Any]:
        """How values are held in memory: bfloat16 as its bits, float8 as float32."""
        if self.dtype in float8.TABLES:
            return np.dtype(np.float32)
        return np.dtype(np.uint16 if self.dtype == "bfloat16" else self.dtype)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.storage.itemsize

    @property
    def width(self) -> int:
        """Bytes of a value in a file of safetensors."""
        return 1 if self.dtype in float8.TABLES else self.storage.itemsize

    @property
    def packed(self) -> int:
        """Bytes in such a file."""
        return self.size * self.width

    @property
    def votes(self) -> bool:
        """Whether it takes part in the vote."""
        return self.action is None and (self.dtype in FLOATING or self.dtype in float8.TABLES)


class Contents(NamedTuple):
    """A file's table of contents."""

    tensors: tuple[Tensor, ...]
    """In the order of their names."""
    places: NDArray[np.void]
    """Where each begins, of dtype PLACE."""
    order: NDArray[np.intp]
    """Which tensor comes first, second, ... for whoever lists the file."""
    metadata: Mapping[str, str]


class Model(NamedTuple):
    """What the clients share, and the result has too."""

    tensors: tuple[Tensor, ...]
    """In the order of their names, which is that of the computation."""
    order: NDArray[np.intp]
    """In which the result lists them."""
    metadata: Mapping[str, str]

    @property
    def listed(self) -> list[int]:
        return [int(k) for k in self.order]


def checked(name: str, dtype: str, shape: object, fortran: bool = False) -> Tensor:
    """A tensor as a header describes it; raises where no honest header would say so."""
    if not _is_plain(name):
        raise errors.bad_tensor_name(name)
    if dtype not in (*FLOATING, *INTEGERS, *float8.TABLES):
        raise errors.unsupported_dtype(name, dtype)
    if not isinstance(shape, (tuple, list)) or not all(type(k) is int and 0 <= k < 2**63 for k in shape):
        raise errors.bad_tensor_shape(name, shape)
    tensor = Tensor(name, dtype, tuple(shape), fortran)
    if len(shape) > 64 or tensor.nbytes >= 2**63:
        raise errors.bad_tensor_shape(name, shape)
    return tensor


def _is_plain(name: str) -> bool:
    """Whether a name can go into a zip archive, and be unpacked there without leaving the folder."""
    if not name or len(name) > 1024 or not name.isprintable() or name.startswith("/") or "\\" in name:
        return False
    return ".." not in name.split("/")


def in_order(found: list[tuple[Tensor, tuple[Any, ...]]], metadata: Mapping[str, str] | None = None) -> Contents:
    """The table of contents of what a reader has found, in the file's order: tensors, and their places as tuples."""
    ranks = sorted(range(len(found)), key=lambda k: found[k][0].name)
    order = np.empty(len(found), np.intp)
    order[ranks] = np.arange(len(found))  # of each entry of the file, which tensor it is
    tensors = tuple(found[k][0] for k in ranks)
    for tensor, following in pairwise(tensors):
        if tensor.name == following.name:
            raise errors.duplicate_tensor(tensor.name)
    return Contents(tensors, np.array([(*found[k][1], 0) for k in ranks], PLACE), order, metadata or {})


def in_common(metadata: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """What both say, in the order of the first."""
    return {name: value for name, value in metadata.items() if other.get(name) == value}
