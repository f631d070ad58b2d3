"""How a model is cut into blocks, in memory and over files alike.

The tensors of one dtype that follow each other are one run of coordinates, in which blocks begin at multiples of
GRAM_TILE: the same tiles arise however wide the blocks are, and however the run is divided into tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeAlias

from robustagg.kernels.interface import GRAM_TILE

Piece: TypeAlias = tuple[int, int, int]
"""Values start ... stop - 1 of tensor k."""

PIECES = 4096  # of a block, about: a model may have a tensor per coordinate


def runs(storages: Sequence[object]) -> Iterator[list[int]]:
    """Indices of tensors that follow each other and are of one dtype; None are no part of the vote."""
    voting = [k for k, storage in enumerate(storages) if storage is not None]
    for _, run in groupby(voting, key=lambda k: storages[k]):
        yield list(run)


def cuts(run: Iterable[tuple[int, int]], width: int, alone: int | None = None) -> Iterator[list[Piece]]:
    """Pieces of a run of (tensor, size) that make a block each, of at most `width` coordinates.

    What is at least `alone` coordinates of one tensor is a block by itself, however wide: it need not be copied.
    """
    run = list(run)
    pieces: list[Piece] = []
    at = 0
    for k, size in run:
        start = 0
        while start < size:
            left = size - start
            if alone is not None and left >= alone and at % GRAM_TILE == 0:
                if pieces:
                    yield pieces
                    pieces, at = [], 0
                stop = size if k == run[-1][0] else start + left // GRAM_TILE * GRAM_TILE
                yield [(k, start, stop)]
                start = stop
                continue
            room = width - at
            if len(pieces) >= PIECES or (alone is not None and left >= alone):  # up to the end of the tile
                room = GRAM_TILE - at % GRAM_TILE
            taken = min(left, room)
            pieces.append((k, start, start + taken))
            start, at = start + taken, at + taken
            if at == width or (len(pieces) >= PIECES and at % GRAM_TILE == 0):
                yield pieces
                pieces, at = [], 0
    if pieces:
        yield pieces
