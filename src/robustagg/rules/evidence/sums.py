"""Evidence in sums that no order of adding up can change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robustagg import kernels
from robustagg.kernels.interface import DIGIT_BITS as BITS
from robustagg.kernels.interface import DIGITS, FINEST
from robustagg.kernels.interface import LOWEST_LEVEL as LOWEST
from robustagg.protocol import Floats

if TYPE_CHECKING:
    from typing_extensions import Self

HIGHEST = 31  # level of numbers below 2**992, sums of which are finite


@dataclass(frozen=True, eq=False)
class Digits:
    """Sums as whole numbers, entry by entry of a matrix, as :meth:`Kernels.digits` makes them.

    In whatever order, on however many machines they are added, the bits are the same.
    """

    digits: Floats
    """(DIGITS, m, k), whole numbers."""
    level: NDArray[np.int64]
    """(m, k)."""

    @classmethod
    def of(cls, terms: Floats) -> Digits:
        """The sum of (t, m, k) matrices, t > 0."""
        return cls(*kernels.active().digits(terms))

    def __add__(self, other: Digits) -> Digits:
        level = np.maximum(self.level, other.level)
        return Digits(self._raised(level) + other._raised(level), level)

    def _raised(self, level: NDArray[np.int64]) -> Floats:
        """The digits from a higher level down; those that fall off the end are dropped."""
        shift = level - self.level
        if not shift.any():
            return self.digits
        source = np.arange(DIGITS)[:, None, None] - shift
        return np.where(source >= 0, np.take_along_axis(self.digits, source.clip(0), axis=0), 0.0)

    def shifted(self, levels: NDArray[np.int64]) -> Digits:
        """The sums times 2**(BITS * levels), exactly."""
        return Digits(self.digits, self.level + levels)

    def value(self) -> Floats:
        """(m, k) numbers."""
        digits = self.digits.copy()
        unit = np.ldexp(1.0, BITS * (self.level - DIGITS))
        value = np.zeros(self.level.shape)
        for k in range(DIGITS - 1, 0, -1):
            # Carry, so that equal sums have equal digits; to nearest, so that a single number comes back as it was.
            carry = np.floor(digits[k] * 2.0**-BITS + 0.5)
            value += (digits[k] - carry * 2.0**BITS) * unit
            digits[k - 1] += carry
            unit *= 2.0**BITS
        return np.asarray(value + digits[0] * unit)


@dataclass(frozen=True, eq=False)
class Sum:
    """The sum of matrices seen so far: digits, or one matrix, as it is until another is added."""

    total: Digits | Floats

    @classmethod
    def sum(cls, terms: Floats) -> Self:
        """The sum of (t, m, k) matrices, t = 0 included."""
        if len(terms) > 1:
            return cls(Digits.of(terms))
        (matrix,) = kernels.active().home([terms[0]]) if len(terms) else [np.zeros(terms.shape[1:])]
        small = (matrix < 2.0**64 * FINEST) & (matrix > -(2.0**64) * FINEST)  # all others are whole numbers of it
        small &= matrix != 0
        if small.any():
            matrix = matrix.copy()
            matrix[small] = np.trunc(matrix[small] / FINEST) * FINEST
        return cls(matrix)

    def in_range(self) -> bool:
        """Whether squares and sums of the numbers are, too."""
        return not isinstance(self.total, Digits) or bool(self.total.level.max(initial=LOWEST) <= HIGHEST)

    def __add__(self, other: Self) -> Self:
        return type(self)(self.digits() + other.digits())

    def digits(self) -> Digits:
        """The sum as whole numbers."""
        return self.total if isinstance(self.total, Digits) else Digits.of(self.total[None])

    def value(self) -> Floats:
        """(m, k) numbers."""
        return self.total.value() if isinstance(self.total, Digits) else self.total
