"""Evidence tensor by tensor, for rules that judge the layers of a model by themselves."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Generic, TypeVar

from robustagg import kernels
from robustagg.kernels.interface import GRAM_TILE, Rows
from robustagg.protocol import Block, Span

T = TypeVar("T", bound=Any)
TILES = 128  # of a tensor that are looked at together


@dataclass(frozen=True)
class ByTensor(Generic[T]):
    """What has been seen of each tensor, by its index: whatever adds up."""

    seen: Mapping[int, T]

    @classmethod
    def of(cls, block: Block, spans: Sequence[Span], look: Callable[[int, Rows], T]) -> ByTensor[T]:
        """What `look` sees of each tensor that a block has a part of.

        It gets parts that end where tiles of the block do: the same ones, or several together, in any cut.
        """
        pieces = ((k, tiled(begin, end)) for k, begin, end in within(block, spans))
        window = kernels.active().window
        return cls({k: reduce(add, (look(k, window(block.rows, *part)) for part in parts)) for k, parts in pieces})

    def __add__(self, other: ByTensor[T]) -> ByTensor[T]:
        both = dict(self.seen)
        for k, seen in other.seen.items():
            both[k] = both[k] + seen if k in both else seen
        return ByTensor(both)


def within(block: Block, spans: Sequence[Span]) -> Iterator[tuple[int, int, int]]:
    """Index of each tensor that a block has a part of, and from where to where in the block it is."""
    end = block.start + block.rows[0].size
    for k in range(max(bisect_right(spans, block.start, key=lambda span: span.start) - 1, 0), len(spans)):
        if spans[k].start >= end:
            return
        first, last = max(spans[k].start, block.start), min(spans[k].stop, end)
        if first < last:
            yield k, first - block.start, last - block.start


def tiled(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Coordinates of a block in parts: up to the end of a tile, then whole tiles."""
    while begin < end:
        tile = begin // GRAM_TILE
        stop = (tile + (1 if begin % GRAM_TILE else TILES)) * GRAM_TILE
        yield begin, min(stop, end)
        begin = stop
