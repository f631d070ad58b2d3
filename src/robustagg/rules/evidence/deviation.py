"""How far the rectified updates lie from the coordinate-wise median: what a certificate is made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from robustagg import kernels
from robustagg.kernels.interface import GRAM_TILE, Detection, Rescale, Rows
from robustagg.protocol import Certificate, Floats, Round
from robustagg.rules.evidence.gram import Related

COPIES = 2  # of the rows, in bytes: they are rectified in the compute dtype
CHUNK = 2**20  # values of rectified rows at a time: they stay in the caches


@dataclass(frozen=True, eq=False)
class Deviations:
    """Of n rows less the median: lengths, and largest coordinates. The order of adding up does not matter."""

    related: Related
    """Of the rows and, last, the median, to the median."""
    extremes: Floats
    """(n,)."""

    @classmethod
    def of(cls, rows: Rows, found: Detection, rescale: Rescale) -> Deviations:
        """Those of one block. O(nd)."""
        d = rows[0].size
        step = max(CHUNK // len(rows) // GRAM_TILE, 1) * GRAM_TILE
        parts = (slice(start, min(start + step, d)) for start in range(0, max(d, 1), step))
        return reduce(add, (cls._of(rows, found, part, rescale) for part in parts))

    @classmethod
    def _of(cls, rows: Rows, found: Detection, part: slice, rescale: Rescale) -> Deviations:
        bits = np.ascontiguousarray(found.rejected[:, part.start // 8 : -(-part.stop // 8)])
        median = found.median[part]
        kept = kernels.active().rectify(kernels.active().window(rows, part.start, part.stop), bits, median, rescale)
        return cls(Related.of([*kept, median], len(rows)), _farthest(list(kept), median))

    def __add__(self, other: Deviations) -> Deviations:
        return Deviations(self.related + other.related, np.maximum(self.extremes, other.extremes))

    def certificate(self, weights: Floats, round: Round) -> Certificate:
        """Theirs under these weights of the admitted clients."""
        n = len(self.extremes)
        relation = self.related.relation(n)
        distances = relation.distances[:n]
        if relation.scale is not None:  # these rows were shortened to be counted
            distances = distances / relation.scale[:n]
        largest = np.finfo(np.float64).max
        told = (np.minimum(values, largest) for values in (distances, self.extremes))
        return Certificate(round.spread(weights, 0), *(round.spread(values, 0) for values in told))


@dataclass(frozen=True, eq=False)
class Judged:
    """What Reputation has seen: rejected coordinates per client and, where asked for, how far the others lie."""

    rejected: NDArray[np.int64]
    """(n,)."""
    deviations: Deviations | None

    def __add__(self, other: Judged) -> Judged:
        both = None if not (self.deviations and other.deviations) else self.deviations + other.deviations
        return Judged(self.rejected + other.rejected, both)


def _farthest(rows: Rows, median: NDArray[np.floating]) -> Floats:
    """(n,) each row's largest difference from the median."""
    away = np.empty_like(median)
    found = np.zeros(len(rows))
    for i, row in enumerate(rows if median.size else ()):
        np.abs(np.subtract(row, median, out=away), out=away)
        found[i] = away.max()
    return found
