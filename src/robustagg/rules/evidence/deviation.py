"""How far the rectified updates lie from the coordinate-wise median: what a certificate is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustagg import kernels
from robustagg.kernels.interface import DIGIT_BITS as BITS
from robustagg.kernels.interface import GRAM_LIMIT, Array, Detection, Rescale, Rows
from robustagg.protocol import Certificate, Floats, Round
from robustagg.rules.evidence.gram import Products


class Squares(Products):
    """(n, 1) squared lengths of rectified rows less the median."""

    @classmethod
    def of(cls, terms: Floats, rows: Rows, found: Detection, rescale: Rescale) -> Squares:
        """Their sum over tiles (t, n)."""
        kernel = kernels.active()

        def part(matrix: Array, begin: int, end: int) -> Array:
            return kernel.stack(kernel.window(kernel.split(matrix), begin, end))

        def again(begin: int, end: int, shrunk: NDArray[np.uint8]) -> Floats:
            note = part(found.rejected, begin // 8, end // 8), found.median[begin:end]
            (tile,) = kernel.home([kernel.deviations(kernel.window(rows, begin, end), *note, rescale, shrunk)])
            return tile[:, :, :1]

        def levels(shrunk: NDArray[np.int64]) -> NDArray[np.int64]:
            return 2 * shrunk[:, None]

        return cls._exact(terms[:, :, None], terms >= GRAM_LIMIT**2, again, levels)

    def roots(self) -> Floats:
        """(n,) the lengths; what is longer than the largest number is infinite."""
        if self.in_range():
            return np.asarray(np.sqrt(self.value()[:, 0]))
        digits = self.digits()
        half = digits.level // 2
        return np.asarray(np.ldexp(np.sqrt(digits.shifted(-2 * half).value()), BITS * half)[:, 0])


@dataclass(frozen=True, eq=False)
class Deviations:
    """Of n rectified rows less the median: lengths, and largest coordinates. The order of adding up does not matter."""

    squares: Squares
    extremes: Floats
    """(n,)."""

    @classmethod
    def of(cls, rows: Rows, found: Detection, rescale: Rescale) -> Deviations:
        """Those of one block. O(nd)."""
        kernel = kernels.active()
        (terms,) = kernel.home([kernel.deviations(rows, found.rejected, found.median, rescale)])
        return cls(Squares.of(terms[:, :, 0], rows, found, rescale), terms[:, :, 1].max(axis=0, initial=0.0))

    def __add__(self, other: Deviations) -> Deviations:
        return Deviations(self.squares + other.squares, np.maximum(self.extremes, other.extremes))

    def certificate(self, weights: Floats, round: Round) -> Certificate:
        """Theirs under these weights of the admitted clients."""
        largest = np.finfo(np.float64).max
        told = (np.minimum(values, largest) for values in (self.squares.roots(), self.extremes))
        return Certificate(round.spread(weights.copy(), 0), *(round.spread(values, 0) for values in told))


@dataclass(eq=False)
class Judged:
    """What Reputation has seen: rejected coordinates per client and, where asked for, how far the others lie."""

    rejected: NDArray[np.int64]
    """(n,)."""
    deviations: Deviations | None

    def __add__(self, other: Judged) -> Judged:
        both = None if not (self.deviations and other.deviations) else self.deviations + other.deviations
        return Judged(self.rejected + other.rejected, both)
