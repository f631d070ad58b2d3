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
from robustagg.kernels.interface import SINGLE, Array, Rows
from robustagg.protocol import Floats

CHUNK = 2**19
"""Values that are widened at a time: their memory is used again."""
FEW = (20, 11), (10, 10), (0, 10)
"""Lowest bit, and bits, that a reading counts: few enough that the counts of a client fit a cache."""
SMALL = (24, 7), (16, 8), (8, 8), (0, 8)
"""One reading more, with an eighth of the counts."""


def comparable(rows: Rows, signs: Array, dtype: np.dtype[Any]) -> Iterator[tuple[Rows, Array]]:
    """The rows as wide as `dtype`, and the signs beside them: keys of magnitudes are compared within one dtype only."""
    if dtype == SINGLE or rows[0].dtype == dtype:
        yield rows, signs
        return
    kernel, step = kernels.active(), max(CHUNK // len(rows), 1)
    for start in range(0, max(rows[0].size, 1), step):
        *part, beside = kernel.window([*rows, signs], start, start + step)
        yield [kernel.widen(row, dtype) for row in part], beside


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
        return reduce(add, (count(*part, *bits, self.prefixes) for part in comparable(rows, signs, dtype)))

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
