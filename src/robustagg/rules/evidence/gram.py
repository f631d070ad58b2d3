"""What distance rules add up: inner products of all rows, or how the rows lie to one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from robustagg import kernels
from robustagg.kernels.interface import DIGIT_BITS as BITS
from robustagg.kernels.interface import GRAM_LIMIT, GRAM_TILE, SHRINK_BITS, Rows
from robustagg.kernels.interface import LOWEST_LEVEL as LOWEST
from robustagg.protocol import Floats
from robustagg.rules.evidence.geometry import Geometry, Relation
from robustagg.rules.evidence.sums import HIGHEST, Digits, Sum

if TYPE_CHECKING:
    from typing_extensions import Self

NEAR = 4 * GRAM_TILE  # coordinates that are summed, and then read once more
MATRICES = 16  # of one number per pair of rows, that are there while sums of digits are added up
SHIFT = SHRINK_BITS // BITS  # levels of digits
FAR = 12  # levels between most rows and those that hide them: a factor of 6e57 in length
APART = 4  # levels between most rows and those that are cut


class Products(Sum):
    """Sums of products over tiles, exact for rows however large."""

    @classmethod
    def _exact(
        cls,
        terms: Floats,
        huge: NDArray[np.bool_],
        again: Callable[[int, int, NDArray[np.uint8]], Floats],
        levels: Callable[[NDArray[np.int64]], NDArray[np.int64]],
    ) -> Self:
        """The sum of `terms`, those of tiles with something huge computed again, of these columns, with that shrunk."""
        (huge,) = kernels.active().home([huge])
        whole = huge.any(axis=tuple(range(1, huge.ndim)))
        if not whole.any():
            return cls.sum(terms)
        total = cls.sum(terms[~whole])
        for tile in np.flatnonzero(whole).tolist():
            sums = Digits.of(again(tile * GRAM_TILE, (tile + 1) * GRAM_TILE, huge[tile].astype(np.uint8)))
            total += cls(sums.shifted(SHIFT * levels(huge[tile].astype(np.int64))))
        return total


class Gram(Products):
    """The Gram matrix of rows, centred as :meth:`Kernels.gram` says, the centre being the last row."""

    @staticmethod
    def nbytes(n: int) -> int:
        """Bytes that the sums over n rows take, what adds them up included."""
        return MATRICES * 8 * (n + 1) ** 2

    @classmethod
    def of(cls, rows: Rows) -> Self:
        """The Gram matrix of one block. O(n^2 d)."""
        return reduce(add, map(cls._of, batches(rows)))

    @classmethod
    def _of(cls, rows: Rows) -> Self:
        terms = _at_hand(kernels.active().gram(rows))
        huge = np.diagonal(terms, axis1=1, axis2=2) >= GRAM_LIMIT**2

        def again(begin: int, end: int, shrunk: NDArray[np.uint8]) -> Floats:
            return kernels.active().gram(kernels.active().window(rows, begin, end), shrunk)

        return cls._exact(terms, huge, again, pairs)

    def geometry(self) -> Geometry:
        """The sums as numbers, where need be of shorter rows."""
        if self.in_range():
            products = self.value()
            if not hidden(np.diagonal(products)):
                return Geometry(products)
        digits = self.digits()
        levels = np.diagonal(digits.level)
        ordinary = max(median_level(levels[:-1]), int(levels[-1]))
        unit, cut = shortened(levels[:-1], ordinary, APART)  # huge rows must not hide the others by rounding
        cut = np.append(cut, 0)
        return Geometry(digits.shifted(-(2 * unit + pairs(cut))).value(), 2.0 ** (BITS * unit), scale_of(cut[:-1]))


class Related(Products):
    """What :meth:`Kernels.measure` says of rows and one of them, or zero."""

    @classmethod
    def of(cls, rows: Rows, reference: int | None = None) -> Self:
        """The relation of one block's rows to row `reference`, or to zero. O(nd)."""
        terms = _at_hand(kernels.active().measure(rows, reference))

        def again(begin: int, end: int, shrunk: NDArray[np.uint8]) -> Floats:
            return kernels.active().measure(kernels.active().window(rows, begin, end), reference, shrunk)

        def levels(shrunk: NDArray[np.int64]) -> NDArray[np.int64]:
            difference, row = shrunk.T
            return np.stack([2 * difference, row + (0 if reference is None else row[reference]), 2 * row], axis=1)

        return cls._exact(terms, terms[:, :, ::2] >= GRAM_LIMIT**2, again, levels)

    @classmethod
    def to_sum(cls, rows: Rows, coefficients: Floats) -> Self:
        """The relation of one block's rows to the coefficients times the rows, which comes last. O(nd)."""
        return reduce(add, (cls.of(part, len(rows)) for part in with_sum(rows, coefficients)))

    def relation(self, reference: int | None = None) -> Relation:
        """The sums as numbers, where need be of shorter rows."""
        if self.in_range():
            return Relation(*self.value().T)
        digits = self.digits()
        levels = digits.level[:, [0, 2]].max(axis=1)
        own = LOWEST if reference is None else int(digits.level[reference, 2])
        unit, cut = shortened(levels, own if own > LOWEST else median_level(levels))
        less = 2 * unit + np.stack([2 * cut, cut, 2 * cut], axis=1)
        squares, products, lengths = digits.shifted(-less).value().T
        return Relation(squares, products, lengths, 2.0 ** (BITS * unit), scale_of(cut))


def _at_hand(terms: Floats) -> Floats:
    """Sums of tiles; of a single one at the host, where they would come anyway."""
    return kernels.active().home([terms])[0] if len(terms) == 1 else terms


def batches(rows: Rows) -> Iterator[Rows]:
    """The rows in pieces of whole tiles, so that a kernel does not return more than a few matrices at a time."""
    n, d = len(rows), rows[0].size
    step = GRAM_TILE * max(4, kernels.active().PRODUCTS // (n + 1) ** 2)
    return (kernels.active().window(rows, start, start + step) for start in range(0, max(d, 1), step))


def with_sum(rows: Rows, coefficients: Floats) -> Iterator[Rows]:
    """The rows and, last, the coefficients times the rows, in the compute dtype; as many tiles as a cache holds."""
    kernel, d = kernels.active(), rows[0].size
    for start in range(0, max(d, 1), NEAR):
        part = kernel.window(rows, start, start + NEAR)
        yield [*map(kernel.widen, part), *kernel.split(kernel.mix(part, coefficients[None]))]


def hidden(squares: Floats) -> bool:
    """Whether some rows are so huge that what is computed with them hides the others by rounding."""
    levels = -(-np.frexp(squares)[1] // BITS)
    return len(levels) > 1 and bool(levels.max() - max(np.median(levels[:-1]), levels[-1]) > FAR)


def pairs(levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Levels of the products of rows of such levels."""
    return np.asarray(levels[:, None] + levels)


def median_level(levels: NDArray[np.int64]) -> int:
    """The (lower) median level."""
    return int(np.partition(levels, (len(levels) - 1) // 2)[(len(levels) - 1) // 2])


def shortened(levels: NDArray[np.int64], ordinary: int, most: int | None = None) -> tuple[int, NDArray[np.int64]]:
    """How rows of such squares are brought into range: levels of the unit of length, and those that each row loses.

    The unit is that of rows of the `ordinary` level, which stay well below what can be counted. What lies `most` levels
    above them, or cannot be counted, becomes about so long, in its own direction: the others are nothing beside it,
    either way.
    """
    unit = max(0, -((HIGHEST - APART - ordinary) // 2))
    highest = HIGHEST + 2 * unit if most is None else ordinary + most
    return unit, np.maximum(0, -((highest - levels) // 2))


def scale_of(cut: NDArray[np.int64]) -> Floats | None:
    return np.ldexp(1.0, -BITS * cut) if cut.any() else None
