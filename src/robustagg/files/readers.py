"""One client's tensors, read front to back, a piece at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from robustagg.files.members import Member
from robustagg.files.storage import File
from robustagg.files.tensors import PLAIN, Tensor
from robustagg.kernels.interface import GRAM_TILE, Array

Cut: TypeAlias = NDArray[np.int64]
"""(m, 3): values start ... stop - 1 of tensor k, for m pieces of one dtype that are read together."""

PIECES = 4096  # of one cut, at most: a model may have a tensor per coordinate


def cuts(tensors: Sequence[Tensor], width: int) -> Iterator[Cut]:
    """Cut the tensors that count into pieces, and take together what makes at most `width` coordinates."""
    # at the ends of tiles, see GRAM_TILE
    voting = [k for k, tensor in enumerate(tensors) if tensor.counts]
    for _, run in groupby(voting, key=lambda k: tensors[k].dtype):
        yield from pieces_of(tensors, run, width, GRAM_TILE)


def pieces_of(tensors: Sequence[Tensor], run: Iterable[int], width: int, tile: int) -> Iterator[Cut]:
    """Cut tensors of one dtype at multiples of `tile`, which `width` is one of."""
    pieces: list[tuple[int, int, int]] = []
    space = width
    for k in run:
        start, size = 0, tensors[k].size
        while start < size:
            left = size - start
            taken = left if left <= space else space // tile * tile
            if taken:
                pieces.append((k, start, start + taken))
                space -= taken
                start += taken
            if start < size or len(pieces) == PIECES:
                yield np.array(pieces, np.int64)
                pieces, space = [], width
    if pieces:
        yield np.array(pieces, np.int64)


class Reader:
    """Reads cuts of one client's file, in their order."""

    def __init__(self, file: File, tensors: Sequence[Tensor], places: NDArray[np.void]) -> None:
        self._file, self._tensors, self._places = file, tensors, places
        self._member: Member | None = None

    def read(self, cut: Cut, row: Array) -> None:
        """Fill the row with the cut's values."""
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
        begin = self._places["offset"][k] + start * itemsize
        sizes = (stop - start) * itemsize
        # pieces that lie side by side in the file are one read
        first = np.flatnonzero(np.append(True, begin[1:] != begin[:-1] + sizes[:-1]))
        at = 0
        with self._file.open() as handle:
            for offset, size in zip(begin[first].tolist(), np.add.reduceat(sizes, first).tolist(), strict=True):
                handle.read_into(offset, view[at : at + size])
                at += size

    def _read_members(self, cut: Cut, view: memoryview, itemsize: int) -> None:
        at = 0
        with self._file.open() as handle:
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
