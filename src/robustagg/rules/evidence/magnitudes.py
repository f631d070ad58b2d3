"""The k-th largest magnitude of each client over a whole model, and who agrees with a sign above it, by counting.

Each reading counts some bits of the magnitudes, from the highest down, among those that share the bits found before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robustagg import kernels
from robustagg.kernels.interface import SINGLE, Rows
from robustagg.protocol import Floats

CHUNK = 2**19
"""Values that are widened at a time: their memory is used again."""
FEW = (20, 11), (10, 10), (0, 10)
"""Lowest bit, and bits, that a reading counts: few enough that the counts of a client fit a cache."""
SMALL = (24, 7), (16, 8), (8, 8), (0, 8)
"""One reading more, with an eighth of the counts."""


def comparable(rows: Rows, dtype: np.dtype[Any]) -> Iterator[tuple[slice, Rows]]:
    """The rows where they are, as wide as `dtype`: keys of magnitudes are compared within one dtype only."""
    kernel, d = kernels.active(), rows[0].size
    if kernel.widen(rows[0][:0]).dtype.itemsize >= dtype.itemsize:
        yield slice(d), rows
        return
    step = max(CHUNK // len(rows), 1)
    for start in range(0, max(d, 1), step):
        where = slice(start, start + step)
        yield where, [kernel.widen(row, dtype) for row in kernel.window(rows, where.start, where.stop)]


@dataclass(frozen=True)
class Search:
    """What is known of the k largest magnitudes of each of n clients after some readings."""

    prefixes: NDArray[np.int64]
    """(n,) bits of the k-th largest magnitude that are known."""
    left: NDArray[np.int64]
    """(n,) how many of the k share these bits."""
    agreeing: Floats
    """(n,) how many of the others agree in sign; after the last reading, of all k: of equal magnitudes their share."""
    readings: int = 0
    plan: Sequence[tuple[int, int]] = FEW

    @classmethod
    def of(cls, n: int, k: int, plan: Sequence[tuple[int, int]] = FEW) -> Search:
        return cls(np.zeros(n, np.int64), np.full(n, k), np.zeros(n), plan=plan)

    @property
    def done(self) -> bool:
        return self.readings == len(self.plan)

    @classmethod
    def nbytes(cls, n: int, plan: Sequence[tuple[int, int]] = FEW) -> int:
        """Bytes that the counts of n clients take, what adds them up included."""
        return 3 * n * (16 << max(bits for _, bits in plan))

    def counts(self, rows: Rows, signs: NDArray[np.int8], dtype: np.dtype[Any] = SINGLE) -> NDArray[np.int64]:
        """What the next reading counts in one block, of a model that `dtype` holds. O(nd)."""
        count, bits = kernels.active().magnitude_counts, self.plan[self.readings]
        return reduce(add, (count(part, signs[at], *bits, self.prefixes) for at, part in comparable(rows, dtype)))

    def refined(self, counts: NDArray[np.int64]) -> Search:
        """The search after a reading has given these counts."""
        everyone = np.arange(len(counts))
        both = counts.sum(axis=1)
        reached = both[:, ::-1].cumsum(axis=1)[:, ::-1]  # values from each place up
        place = np.maximum((reached >= self.left[:, None]).sum(axis=1) - 1, 0)
        here, above = both[everyone, place], reached[everyone, place] - both[everyone, place]
        agree = counts[:, 1, ::-1].cumsum(axis=1)[:, ::-1][everyone, place]
        tied = counts[everyone, 1, place]
        left, agreeing = self.left - above, self.agreeing + (agree - tied)
        if self.readings + 1 == len(self.plan):
            agreeing = agreeing + left * tied / np.maximum(here, 1)
        bits = self.plan[self.readings][1]
        return Search(self.prefixes << bits | place, left, agreeing, self.readings + 1, self.plan)
