"""What distance rules add up: inner products of all rows, or how the rows lie to one of them."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from robustagg import kernels
from robustagg.kernels.interface import GRAM_TILE, Rows
from robustagg.rules.evidence.geometry import Geometry, Relation
from robustagg.rules.evidence.sums import Sum

if TYPE_CHECKING:
    from typing_extensions import Self

BATCH = 2**20  # values that the kernel returns at a time, where that is more than 4 tiles


class Gram(Sum):
    """The Gram matrix of rows, centred as :meth:`Kernels.gram` says, the centre being the last row."""

    @classmethod
    def of(cls, rows: Rows) -> Self:
        """The Gram matrix of one block. O(n^2 d)."""
        n, d = len(rows), rows[0].size
        step = GRAM_TILE * max(4, BATCH // (n + 1) ** 2)
        parts = ([row[start : start + step] for row in rows] for start in range(0, max(d, 1), step))
        return reduce(add, (cls.sum(kernels.active().gram(part)) for part in parts))

    def geometry(self) -> Geometry:
        """The sums as numbers."""
        return Geometry(self.value())


class Related(Sum):
    """What :meth:`Kernels.measure` says of rows and one of them, or zero."""

    @classmethod
    def of(cls, rows: Rows, reference: int | None = None) -> Self:
        """The relation of one block's rows to row `reference`, or to zero. O(nd)."""
        return cls.sum(kernels.active().measure(rows, reference))

    def relation(self) -> Relation:
        """The sums as numbers."""
        return Relation(*self.value().T)
