"""One client's tensors, read front to back, a piece at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from robustagg.files import float8
from robustagg.files.layout import Cut
from robustagg.files.members import Member
from robustagg.files.storage import Readable
from robustagg.files.tensors import PLAIN, Tensor
from robustagg.kernels.interface import Array


class Reader:
    """Reads cuts of one client's files, in their order."""

    def __init__(self, files: Sequence[Readable], tensors: Sequence[Tensor], places: NDArray[np.void]) -> None:
        self._files, self._tensors, self._places = files, tensors, places
        self._member: Member | None = None
        self._coded = {k: tensor.dtype for k, tensor in enumerate(tensors) if tensor.dtype in float8.TABLES}

    def read(self, cut: Cut, row: Array) -> None:
        """Fill the row with the cut's values."""
        if not self._coded:
            self._read(cut, row)
            return
        at = 0
        for name, run in groupby(cut.tolist(), key=lambda piece: self._coded.get(piece[0])):
            pieces = np.array(list(run))
            part = row[at : at + int((pieces[:, 2] - pieces[:, 1]).sum())]
            at += part.size
            if name is None:
                self._read(pieces, part)
            else:
                codes = np.empty(part.size, np.uint8)
                self._read_plain(pieces, codes.data, 1)
                part[:] = float8.decoded(codes, name)

    def _read(self, cut: Cut, row: Array) -> None:
        view = row.data.cast("B")
        if self._places["kind"][cut[0, 0]] == PLAIN:
            self._read_plain(cut, view, row.itemsize)
        else:
            self._read_members(cut, view, row.itemsize)
        if self._places["swapped"].any():
            at = 0
            for k, start, stop in cut.tolist():
                if self._places["swapped"][k]:
                    row[at : at + stop - start].byteswap(inplace=True)
                at += stop - start

    def _read_plain(self, cut: Cut, view: memoryview, itemsize: int) -> None:
        k, start, stop = cut.T
        begin, file = self._places["offset"][k] + start * itemsize, self._places["file"][k]
        sizes = (stop - start) * itemsize
        # pieces that lie side by side in a file are one read
        apart = (begin[1:] != begin[:-1] + sizes[:-1]) | (file[1:] != file[:-1])
        first = np.flatnonzero(np.append(True, apart))
        reads = zip(file[first].tolist(), begin[first].tolist(), np.add.reduceat(sizes, first).tolist(), strict=True)
        at = 0
        for which, run in groupby(reads, key=lambda read: read[0]):
            with self._files[which].open() as handle:
                for _, offset, size in run:
                    handle.read_into(offset, view[at : at + size])
                    at += size

    def _read_members(self, cut: Cut, view: memoryview, itemsize: int) -> None:
        at = 0
        with self._files[0].open() as handle:
            for k, start, stop in cut.tolist():
                if start == 0:
                    place = self._places[k]
                    self._member = Member(self._tensors[k].name, place)
                    self._member.read_into(handle, memoryview(bytearray(place["header"])))
                assert self._member is not None
                size = (stop - start) * itemsize
                self._member.read_into(handle, view[at : at + size])
                at += size
                if stop == self._tensors[k].size:
                    self._member.finish(handle)
