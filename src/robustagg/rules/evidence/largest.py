"""What Suspicion sees of one round: how rows and their median lie, who is outermost, where the largest differences agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robustagg import kernels
from robustagg.kernels.interface import Array, Rows
from robustagg.protocol import Floats
from robustagg.rules.evidence.gram import Gram
from robustagg.rules.evidence.magnitudes import Search

LARGEST = 0.02  # of the coordinates of a client, whose signs are compared
LEADING = 3  # binary digits of a magnitude, beside its exponent, that are looked at: one reading finds the largest
EXPONENT = {2: 8, 4: 8, 8: 11}  # bits, of what rows of so many bytes are computed in


def plan_of(itemsize: int) -> tuple[tuple[int, int]]:
    """Which bits of a magnitude's key a reading counts: the exponent and what leads."""
    bits = EXPONENT[itemsize] + LEADING
    return ((31 - bits, bits),)


@dataclass(frozen=True)
class Seen:
    """Evidence of the first reading."""

    gram: Gram
    """Of the n rows and their median."""
    outermost: NDArray[np.int64]
    """(n,)."""
    counts: NDArray[np.int64]
    """(n, 2, 2**bits) of the magnitudes of the rows less the median."""

    @classmethod
    def of(cls, rows: Rows) -> Seen:
        """That of one block. O(n^2 d)."""
        kernel = kernels.active()
        median, n = kernel.median(rows), len(rows)
        signs = np.zeros(median.size, np.int8)  # which are not asked for
        search = Search.of(n, 0, plan_of(rows[0].dtype.itemsize))
        counts = search.counts(apart(rows, median), signs)
        return cls(Gram.of([*rows, median]), kernel.outermost(rows), counts)  # which the median then centres

    def __add__(self, other: Seen) -> Seen:
        return Seen(self.gram + other.gram, self.outermost + other.outermost, self.counts + other.counts)


@dataclass(frozen=True)
class Agreeing:
    """Evidence of the second reading, and that of the first."""

    seen: Seen
    agreements: NDArray[np.int64]
    """(n, n)."""

    @classmethod
    def of(cls, rows: Rows, seen: Seen, keys: NDArray[np.int64]) -> Agreeing:
        """That of one block. O(nd), and a step for every two large differences in a coordinate."""
        kernel = kernels.active()
        return cls(seen, kernel.agreements(apart(rows, kernel.median(rows)), keys))

    def __add__(self, other: Agreeing) -> Agreeing:
        return Agreeing(self.seen, self.agreements + other.agreements)

    def likeness(self) -> Floats:
        """(n, n) cosines of the signs of the largest differences; 0 for a row that has none, and beside itself."""
        return cosines_of(self.agreements.astype(np.float64))


def apart(rows: Rows, median: Array) -> Rows:
    """The rows less their median, in the compute dtype."""
    n, kernel = len(rows), kernels.active()
    return kernel.split(kernel.mix([*rows, median], np.hstack([np.eye(n), np.full((n, 1), -1.0)])))


def least_keys(seen: Seen, d: int) -> NDArray[np.int64]:
    """(n,) the least key of a magnitude whose sign is compared."""
    n, _, many = seen.counts.shape
    bits = many.bit_length() - 1
    plan = ((31 - bits, bits),)
    found = Search.of(n, max(int(LARGEST * d + 1e-9), 1), plan).refined(seen.counts)
    return found.prefixes << 31 - bits


def cosines_of(products: Floats) -> Floats:
    """(n, n) cosines of vectors with these inner products; 0 for a vector of zeros, and beside itself."""
    norms = np.sqrt(np.maximum(np.diagonal(products), 0))
    lengths = norms[:, None] * norms
    cosine = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0).clip(-1, 1)
    np.fill_diagonal(cosine, 0)
    return np.asarray(cosine)
