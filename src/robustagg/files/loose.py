"""What workers write to where the result's format has no places for their pieces, until it is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from robustagg.files.tensors import Model
from robustagg.kernels.interface import Array
from robustagg.memory.vectors import Disk, Stored


class Loose:
    """Tensors in C order one after the other, in place of a format in which pieces have no places."""

    SUFFIX = ".loose"
    keeps_order = False
    has_places = True

    def __init__(self, file: BinaryIO, model: Model) -> None:
        self._file, self._tensors = file, model.tensors
        self._begins = np.cumsum([0, *(tensor.nbytes for tensor in model.tensors)]).tolist()

    def begin(self) -> None:
        """There is nothing before the tensors."""

    def write(self, k: int, start: int, values: Array) -> None:
        self._file.seek(self._begins[k] + start * values.itemsize)
        self._file.write(values.data)

    def close(self) -> None:
        """Nor after them."""

    def voted(self, limit: int) -> Iterator[tuple[int, int, Array]]:
        """What has been written of the tensors that vote: tensor k's values from `start` on, of `limit` bytes or so."""
        for k, tensor in enumerate(self._tensors):
            if tensor.votes:
                vector = Stored(
                    Disk(self._file.fileno(), self._file.name), self._begins[k], tensor.size, tensor.storage
                )
                step = max(limit // tensor.storage.itemsize, 1)
                for start in range(0, tensor.size, step):
                    yield k, start, vector[start : start + step]
