"""Evidence in sums that no order of adding up can change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robustagg.protocol import Floats

if TYPE_CHECKING:
    from typing_extensions import Self

BITS = 32  # of a digit; sums of 2**21 digits are exact, which is 1.7e10 coordinates
DIGITS = 3  # of a sum, from the largest number that went into it: at least 65 bits
LOWEST = -28  # level of zero; what lies below 2**(BITS * (LOWEST - DIGITS)) = 2**-992 is not counted


@dataclass(frozen=True, eq=False)
class Sum:
    """The sum of matrices seen so far.

    An entry is DIGITS whole numbers on a grid that is the same for everyone: `digits[k]` counts units of
    2**(BITS * (level - 1 - k)), `level` being that of the largest number added. Numbers are cut to the grid, and sums
    of whole numbers are exact: in whatever order, on however many machines they are added, the bits are the same.
    (Demmel and Nguyen, "Fast reproducible floating-point summation", ARITH 2013.)
    """

    digits: Floats
    """(DIGITS, m, k), whole numbers."""
    level: NDArray[np.int64]
    """(m, k)."""

    @classmethod
    def sum(cls, terms: Floats) -> Self:
        """The sum of (t, m, k) matrices, t = 0 included."""
        terms = terms if len(terms) else np.zeros((1, *terms.shape[1:]))
        largest = np.maximum(terms.max(axis=0), -terms.min(axis=0))
        exponent = np.where(largest == 0, LOWEST * BITS, np.frexp(largest)[1])
        level = np.maximum(-(-exponent // BITS), LOWEST)
        digits, rest, counts = np.empty((DIGITS, *level.shape)), terms.copy(), np.empty_like(terms)
        for k in range(DIGITS):
            unit = np.ldexp(1.0, BITS * (level - 1 - k))
            np.trunc(np.multiply(rest, 1 / unit, out=counts), out=counts)
            digits[k] = counts.sum(axis=0)
            rest -= np.multiply(counts, unit, out=counts)
        return cls(digits, level)

    def __add__(self, other: Self) -> Self:
        level = np.maximum(self.level, other.level)
        return type(self)(self._raised(level) + other._raised(level), level)

    def _raised(self, level: NDArray[np.int64]) -> Floats:
        """The digits from a higher level down; those that fall off the end are dropped."""
        shift = level - self.level
        if not shift.any():
            return self.digits
        source = np.arange(DIGITS)[:, None, None] - shift
        return np.where(source >= 0, np.take_along_axis(self.digits, source.clip(0), axis=0), 0.0)

    def value(self) -> Floats:
        """(m, k) numbers."""
        digits = self.digits.copy()
        for k in range(DIGITS - 1, 0, -1):  # carry, so that equal sums have equal digits
            carry = np.floor(digits[k] * 2.0**-BITS)
            digits[k] -= carry * 2.0**BITS
            digits[k - 1] += carry
        value = np.zeros(self.level.shape)
        for k in range(DIGITS - 1, -1, -1):
            value += digits[k] * np.ldexp(1.0, BITS * (self.level - 1 - k))
        return value
