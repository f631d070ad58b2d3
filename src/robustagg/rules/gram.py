"""The evidence of distance rules: inner products of the rows, in sums that no order of adding up can change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustagg import kernels
from robustagg.kernels.interface import GRAM_TILE, Rows
from robustagg.protocol import Floats
from robustagg.rules.geometry import Geometry

BITS = 32  # of a digit; sums of 2**21 digits are exact, which is 1.7e10 coordinates
DIGITS = 3  # of a sum, from the largest number that went into it: at least 65 bits
LOWEST = -28  # level of zero; what lies below 2**(BITS * (LOWEST - DIGITS)) = 2**-992 is not counted
BATCH = 2**20  # values that the kernel returns at a time, where that is more than 4 tiles


@dataclass(frozen=True, eq=False)
class Gram:
    """The Gram matrix of rows seen so far, centred as :meth:`Kernels.gram` says, the centre being the last row.

    An entry is DIGITS whole numbers on a grid that is the same for everyone: `digits[k]` counts units of
    2**(BITS * (level - 1 - k)), `level` being that of the largest number added. Numbers are cut to the grid, and sums
    of whole numbers are exact: in whatever order, on however many machines the tiles are added, the bits are the same.
    (Demmel and Nguyen, "Fast reproducible floating-point summation", ARITH 2013.)
    """

    digits: Floats
    """(DIGITS, n + 1, n + 1), whole numbers."""
    level: NDArray[np.int64]
    """(n + 1, n + 1)."""

    @classmethod
    def of(cls, rows: Rows) -> Gram:
        """The Gram matrix of one block. O(n^2 d)."""
        n, d = len(rows), rows[0].size
        total = cls.sum(np.zeros((1, n + 1, n + 1)))
        step = GRAM_TILE * max(4, BATCH // (n + 1) ** 2)
        for start in range(0, d, step):
            total += cls.sum(kernels.active().gram([row[start : start + step] for row in rows]))
        return total

    @classmethod
    def sum(cls, tiles: Floats) -> Gram:
        """The sum of (t, n + 1, n + 1) matrices."""
        exponent = np.where(tiles == 0, LOWEST * BITS, np.frexp(tiles)[1])
        level = np.maximum(-(-exponent // BITS), LOWEST).max(axis=0)
        digits, rest = np.empty((DIGITS, *level.shape)), tiles
        for k in range(DIGITS):
            unit = np.ldexp(1.0, BITS * (level - 1 - k))
            counts = np.trunc(rest / unit)
            digits[k] = counts.sum(axis=0)
            rest = rest - counts * unit
        return cls(digits, level)

    def __add__(self, other: Gram) -> Gram:
        level = np.maximum(self.level, other.level)
        return Gram(self._raised(level) + other._raised(level), level)

    def _raised(self, level: NDArray[np.int64]) -> Floats:
        """The digits from a higher level down; those that fall off the end are dropped."""
        shift = level - self.level
        if not shift.any():
            return self.digits
        source = np.arange(DIGITS)[:, None, None] - shift
        return np.where(source >= 0, np.take_along_axis(self.digits, source.clip(0), axis=0), 0.0)

    def geometry(self) -> Geometry:
        """The sums as numbers."""
        digits = self.digits.copy()
        for k in range(DIGITS - 1, 0, -1):  # carry, so that equal sums have equal digits
            carry = np.floor(digits[k] * 2.0**-BITS)
            digits[k] -= carry * 2.0**BITS
            digits[k - 1] += carry
        products = np.zeros(self.level.shape)
        for k in range(DIGITS - 1, -1, -1):
            products += digits[k] * np.ldexp(1.0, BITS * (self.level - 1 - k))
        return Geometry(products)
